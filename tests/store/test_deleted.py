"""A deleted conversation exists for nobody but the page of the deleted, comes back whole, and after its time is gone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bise.errors import NotFoundError
from bise.store.accounts import create_user
from bise.store.branches import Question, add_answer, add_turn, reopen_answer, show_branch
from bise.store.conversations import choose_model, list_conversations, rename_conversation
from bise.store.database import Database, open_database
from bise.store.deleted import (
    KEPT_DAYS,
    delete_conversation,
    erase_conversation,
    erase_deleted,
    list_deleted,
    purge_deleted,
    restore_conversation,
)
from bise.store.feedback import (
    Rating,
    exclude_feedback,
    improve_answer,
    list_feedback,
    prefer_answer,
    rate_answer,
)
from bise.store.search import search_conversations
from bise.store.tables import metadata, now
from bise.store.turns import conversation_of_message, get_conversation
from tests.store.talk import SETTINGS, Talk


async def contents(database: Database) -> str:
    async with database.read() as connection:
        return repr([sorted(map(str, await connection.execute(table.select()))) for table in metadata.sorted_tables])


async def judged(database: Database) -> tuple[Talk, str, str]:
    """A conversation with two answers to one question, all of it judged."""
    talk = await Talk.begin(database)
    first = (await talk.ask("Hello", "one")).assistant_message.id
    second = (await talk.again(first, "two")).assistant_message.id
    await rate_answer(database, talk.owner, first, Rating("up", None, None))
    await improve_answer(database, talk.owner, first, "eins")
    await prefer_answer(database, talk.owner, first, second, "this")
    return talk, first, second


async def test_what_was_deleted_does_not_exist_and_comes_back_whole(database: Database) -> None:
    talk, first, second = await judged(database)
    item = (await list_feedback(database, talk.owner))[0].id
    before, shown = await contents(database), await get_conversation(database, talk.owner, talk.id)
    await delete_conversation(database, talk.owner, talk.id)
    assert await list_conversations(database, talk.owner) == ()
    assert await list_feedback(database, talk.owner) == ()
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: get_conversation(database, talk.owner, talk.id),
        lambda: rename_conversation(database, talk.owner, talk.id, "x"),
        lambda: choose_model(database, talk.owner, talk.id, "x"),
        lambda: delete_conversation(database, talk.owner, talk.id),
        lambda: add_turn(database, talk.owner, talk.id, Question("x", "c9"), SETTINGS),
        lambda: add_answer(database, talk.owner, talk.id, first, "c9", SETTINGS),
        lambda: reopen_answer(database, talk.owner, talk.id, first),
        lambda: show_branch(database, talk.owner, talk.id, first),
        lambda: conversation_of_message(database, talk.owner, first),
        lambda: rate_answer(database, talk.owner, first, None),
        lambda: improve_answer(database, talk.owner, first, "x"),
        lambda: prefer_answer(database, talk.owner, first, second, "other"),
        lambda: exclude_feedback(database, talk.owner, item, True),
    ]
    hidden = await contents(database)
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            await attempt()
    assert await contents(database) == hidden
    (deleted,) = await list_deleted(database, talk.owner)
    assert (deleted.id, deleted.title, deleted.num_messages) == (talk.id, "Hello", 3)
    assert (await restore_conversation(database, talk.owner, talk.id)).title == "Hello"
    assert await contents(database) == before
    assert await get_conversation(database, talk.owner, talk.id) == shown
    assert await list_deleted(database, talk.owner) == ()


async def test_the_deleted_of_others_do_not_exist(database: Database) -> None:
    talk, other = (await judged(database))[0], (await create_user(database, "other")).id
    await delete_conversation(database, talk.owner, talk.id)
    for attempt in (restore_conversation, erase_conversation):
        with pytest.raises(NotFoundError):
            await attempt(database, other, talk.id)
    assert await list_deleted(database, other) == ()
    assert await erase_deleted(database, other) == 0
    assert len(await list_deleted(database, talk.owner)) == 1


async def test_only_what_was_deleted_can_be_erased_or_restored(database: Database) -> None:
    talk = (await judged(database))[0]
    for attempt in (restore_conversation, erase_conversation):
        with pytest.raises(NotFoundError):
            await attempt(database, talk.owner, talk.id)
    assert len(await talk.shown()) == 2


async def test_after_its_time_it_is_purged_and_nothing_else_is(database: Database) -> None:
    old, lasting, living = (await judged(database))[0], await Talk.begin(database), await Talk.begin(database)
    await living.ask("I stay", "Good")
    await delete_conversation(database, old.owner, old.id)
    deleted_at = (await list_deleted(database, old.owner))[0].deleted_at
    await delete_conversation(database, old.owner, lasting.id)
    due = deleted_at + timedelta(days=KEPT_DAYS)
    assert await purge_deleted(database, due - timedelta(seconds=1)) == 0
    assert len(await list_deleted(database, old.owner)) == 2
    assert await purge_deleted(database, due) == 1
    assert [each.id for each in await list_deleted(database, old.owner)] == [lasting.id]
    with pytest.raises(NotFoundError):
        await restore_conversation(database, old.owner, old.id)
    assert await living.read() == ["I stay", "Good"]
    assert old.id not in await contents(database)
    assert await list_feedback(database, old.owner) == ()


@pytest.mark.parametrize("way", ["one", "all", "purge"])
async def test_what_is_erased_is_in_no_file_any_more(tmp_path: Path, way: str) -> None:
    """Neither in the database's free pages nor in its write-ahead log; what stays is where it was."""
    database = await open_database(f"sqlite:///{tmp_path / 'bise.db'}")
    erased, stays = await Talk.begin(database), await Talk.begin(database)
    await stays.ask("lasting-canary", "lasting-canary " * 500)
    for number in range(3):
        turn = await erased.ask(f"erased-canary {number}", "erased-canary " * 700)
        await improve_answer(database, erased.owner, turn.assistant_message.id, "erased-canary, better " * 300)
    assert await search_conversations(database, erased.owner, "erased-canary")  # its words are in the index, too
    await delete_conversation(database, erased.owner, erased.id)
    assert found(tmp_path, b"erased-canary")
    assert found(tmp_path, b"erased canary")
    if way == "one":
        await erase_conversation(database, erased.owner, erased.id)
    elif way == "all":
        assert await erase_deleted(database, erased.owner) == 1
    else:
        assert await purge_deleted(database, now() + timedelta(days=KEPT_DAYS)) == 1
    for traces in (b"erased-canary", b"erased canary", b"erased"):
        assert found(tmp_path, traces) == [], traces
    assert found(tmp_path, b"lasting-canary")
    await database.close()


def found(directory: Path, canary: bytes) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and canary in path.read_bytes()]
