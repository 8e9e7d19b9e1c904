"""Folders hold conversations and tell models what their owner wants; nothing in them is lost with them."""

import pytest

from bise.errors import InputError, NotFoundError
from bise.store.accounts import create_user, local_owner
from bise.store.backup import back_up, restore
from bise.store.conversations import list_conversations, rename_conversation
from bise.store.database import Database, open_database
from bise.store.folders import (
    MAX_FOLDERS,
    change_folder,
    create_folder,
    delete_folder,
    file_conversation,
    list_folders,
    pin_conversation,
)
from tests.store.talk import Talk


async def test_instructions_are_what_the_next_answers_are_asked_with(database: Database) -> None:
    talk = await Talk.begin(database)
    folder = await create_folder(database, talk.owner, "  Winds of\nEurope ", "Answer in verse.\n")
    assert (folder.name, folder.instructions) == ("Winds of Europe", "Answer in verse.")
    before = await talk.ask("a", "A")
    await file_conversation(database, talk.owner, talk.id, folder.id)
    inside = await talk.ask("b", "B")
    await change_folder(database, talk.owner, folder.id, "Winds", "Answer in prose.")
    again = await talk.again(inside.assistant_message.id, "B2")
    await file_conversation(database, talk.owner, talk.id, None)
    after = await talk.ask("c", "C")
    prompts = [turn.assistant_message.system_prompt for turn in (before, inside, again, after)]
    assert prompts == [None, "Answer in verse.", "Answer in prose.", None]
    assert [message.system_prompt for message in await talk.shown()] == [
        None,
        None,
        None,
        "Answer in prose.",
        None,
        None,
    ]


async def test_a_folder_that_goes_leaves_its_conversations(database: Database) -> None:
    talk, other = await Talk.begin(database), await Talk.begin(database)
    await talk.ask("a", "A")
    folder = await create_folder(database, talk.owner, "Winds", "x")
    for each in (talk, other):
        await file_conversation(database, talk.owner, each.id, folder.id)
    said = await talk.read()
    await delete_folder(database, talk.owner, folder.id)
    assert await list_folders(database, talk.owner) == ()
    assert {(each.id, each.folder_id) for each in await list_conversations(database, talk.owner)} == {
        (talk.id, None),
        (other.id, None),
    }
    assert await talk.read() == said
    assert (await talk.ask("b", "B")).assistant_message.system_prompt is None


async def test_pins_and_places_stay_through_answers_and_a_backup(database: Database, tmp_path) -> None:
    talk = await Talk.begin(database)
    folder = await create_folder(database, talk.owner, "Winds", "x")
    await file_conversation(database, talk.owner, talk.id, folder.id)
    await pin_conversation(database, talk.owner, talk.id, True)
    await talk.ask("a", "A")
    await back_up(database, tmp_path / "copy.backup")
    await pin_conversation(database, talk.owner, talk.id, False)
    await delete_folder(database, talk.owner, folder.id)
    (conversation,) = await list_conversations(database, talk.owner)
    assert (conversation.folder_id, conversation.pinned) == (None, False)
    await restore(database, tmp_path / "copy.backup")
    (conversation,) = await list_conversations(database, talk.owner)
    assert (conversation.folder_id, conversation.pinned, conversation.instructions) == (folder.id, True, "x")
    assert await list_folders(database, talk.owner) == (folder,)


async def test_what_belongs_to_another_does_not_exist(database: Database) -> None:
    talk = await Talk.begin(database)
    other = (await create_user(database, "other")).id
    mine = await create_folder(database, talk.owner, "mine", "secret")
    theirs = await create_folder(database, other, "theirs", "x")
    for attempt in (
        change_folder(database, other, mine.id, "x", "x"),
        delete_folder(database, other, mine.id),
        file_conversation(database, other, talk.id, theirs.id),
        file_conversation(database, talk.owner, talk.id, theirs.id),
        pin_conversation(database, other, talk.id, True),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert await list_folders(database, talk.owner) == (mine,)
    assert await list_folders(database, other) == (theirs,)
    (conversation,) = await list_conversations(database, talk.owner)
    assert (conversation.folder_id, conversation.pinned) == (None, False)


async def test_there_are_never_more_than_a_list_can_show(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    owner = (await local_owner(database)).id
    for number in range(MAX_FOLDERS):
        await create_folder(database, owner, f"{number}", "")
    with pytest.raises(InputError, match=f"{MAX_FOLDERS} projects already"):
        await create_folder(database, owner, "one more", "")
    await database.close()


async def test_a_title_of_one_s_own_is_never_replaced(database: Database) -> None:
    """Automatic titles are the beginning of the first question, and only where there is none."""
    talk = await Talk.begin(database)
    first = await talk.ask("What is the bise?", "A wind.")
    (conversation,) = await list_conversations(database, talk.owner)
    assert conversation.title == "What is the bise?"
    await rename_conversation(database, talk.owner, talk.id, "Mine")
    await talk.ask("Another", "one", instead_of=first.user_message.id)
    await talk.ask("And more", "yes")
    (conversation,) = await list_conversations(database, talk.owner)
    assert conversation.title == "Mine"
