"""A link shows what was shared as it was, on both databases, until it is taken back or its conversation goes."""

import pytest
import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.store.accounts import User, create_user, local_owner, remove_user
from bise.store.audit import list_audit
from bise.store.branches import Question, add_turn
from bise.store.conversations import create_conversation, rename_conversation
from bise.store.database import Database
from bise.store.deleted import delete_conversation, erase_conversation, restore_conversation
from bise.store.erasure import erase_everything
from bise.store.feedback import improve_answer
from bise.store.shares import create_share, list_shares, open_share, revoke_share
from bise.store.tables import shares
from tests.store.talk import SETTINGS, Talk

HOSTILE = 'Grüße 🌬️ " \' \\ \\u0000 </script> {"role": 1} \u2028 \u202e \N{REPLACEMENT CHARACTER}'


async def talked(database: Database, name: str = "ada") -> tuple[User, Talk]:
    """A user with a conversation of two questions."""
    user = await create_user(database, name)
    talk = Talk(database, user.id, (await create_conversation(database, user.id)).id)
    await talk.ask("Hello", HOSTILE)
    await talk.ask("And then?", "Then the wind.")
    return user, talk


async def test_it_shows_what_was_shown_however_the_conversation_goes_on(database: Database) -> None:
    user, talk = await talked(database)
    share, token = await create_share(database, user, talk.id)
    shown = await open_share(database, token)
    assert (shown.title, shown.created_at) == ("Hello", share.created_at)
    said = [(each["role"], each["content"], each["model"], each["edited"]) for each in shown.messages]
    assert said == [
        ("user", "Hello", None, False),
        ("assistant", HOSTILE, "m", False),
        ("user", "And then?", None, False),
        ("assistant", "Then the wind.", "m", False),
    ]
    answer = (await talk.shown())[1].id
    await improve_answer(database, talk.owner, answer, "Better")
    await talk.again((await talk.shown())[3].id, "Then the sun.")
    await talk.ask("Later", "words")
    await rename_conversation(database, talk.owner, talk.id, "Renamed")
    assert await open_share(database, token) == shown
    again = await open_share(database, (await create_share(database, user, talk.id))[1])
    assert again.title == "Renamed"
    assert [each["content"] for each in again.messages] == [
        "Hello",
        "Better",
        "And then?",
        "Then the sun.",
        "Later",
        "words",
    ]
    assert [each["edited"] for each in again.messages] == [False, True, False, False, False, False]


async def test_the_secret_is_kept_nowhere_and_nothing_else_opens_it(database: Database) -> None:
    user, talk = await talked(database)
    share, token = await create_share(database, user, talk.id)
    async with database.read() as connection:
        row = (await connection.execute(shares.select())).one()
    assert token not in str(row)
    for guess in ("", "x", share.id, row.token_sha256, token[:-1], token + "x", token.swapcase(), "\0", "' OR 1=1 --"):
        with pytest.raises(NotFoundError):
            await open_share(database, guess)


async def test_links_are_listed_for_their_owner_alone_the_newest_first(database: Database) -> None:
    (ada, of_ada), (bob, of_bob) = await talked(database), await talked(database, "bob")
    made = [(await create_share(database, ada, of_ada.id))[0] for _ in range(3)]
    theirs = (await create_share(database, bob, of_bob.id))[0]
    assert await list_shares(database, ada.id) == tuple(reversed(made))
    assert await list_shares(database, bob.id) == (theirs,)
    for attempt in (create_share(database, bob, of_ada.id), revoke_share(database, bob, made[0].id)):
        with pytest.raises(NotFoundError):
            await attempt
    assert len(await list_shares(database, ada.id)) == 3


async def test_one_that_is_taken_back_shows_nothing_and_the_others_go_on(database: Database) -> None:
    user, talk = await talked(database)
    (first, token), (second, other) = [await create_share(database, user, talk.id) for _ in range(2)]
    await revoke_share(database, user, first.id)
    with pytest.raises(NotFoundError):
        await open_share(database, token)
    with pytest.raises(NotFoundError):
        await revoke_share(database, user, first.id)
    assert len((await open_share(database, other)).messages) == 4
    assert await list_shares(database, user.id) == (second,)
    logged = [(entry.actor, entry.action, entry.subject) for entry in await list_audit(database, 3)]
    assert logged[0] == ("ada", "share.create", f"share {first.id}")
    assert logged[2] == ("ada", "share.revoke", f"share {first.id}")


async def test_a_deleted_conversation_is_shown_by_no_link_until_it_is_had_back(database: Database) -> None:
    user, talk = await talked(database)
    share, token = await create_share(database, user, talk.id)
    shown = await open_share(database, token)
    await delete_conversation(database, user.id, talk.id)
    assert await list_shares(database, user.id) == ()
    with pytest.raises(NotFoundError):
        await open_share(database, token)
    with pytest.raises(NotFoundError):
        await create_share(database, user, talk.id)
    await restore_conversation(database, user.id, talk.id)
    assert await open_share(database, token) == shown
    assert await list_shares(database, user.id) == (share,)


async def end(database: Database, way: str, user: User, conversation_id: str) -> None:
    if way == "everything erased":
        await erase_everything(database, user)
    elif way == "user removed":
        await remove_user(database, user.name)
    else:
        await delete_conversation(database, user.id, conversation_id)
        await erase_conversation(database, user.id, conversation_id)


@pytest.mark.parametrize("way", ["erased", "everything erased", "user removed"])
async def test_the_copy_goes_with_its_conversation(database: Database, way: str) -> None:
    (user, talk), (bob, of_bob) = await talked(database), await talked(database, "bob")
    token, lasting = [(await create_share(database, *each))[1] for each in ((user, talk.id), (bob, of_bob.id))]
    await end(database, way, user, talk.id)
    with pytest.raises(NotFoundError):
        await open_share(database, token)
    assert (await open_share(database, lasting)).title == "Hello"
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(shares)) == 1


async def test_nothing_is_shared_before_there_is_an_answer_or_while_one_is_written(database: Database) -> None:
    user = await local_owner(database)
    talk = await Talk.begin(database)
    with pytest.raises(InputError):
        await create_share(database, user, talk.id)
    turn = await add_turn(database, talk.owner, talk.id, Question("Hello", "c"), SETTINGS)
    with pytest.raises(InputError):
        await create_share(database, user, talk.id)
    await talk.finish(turn, "Good day!")
    assert len((await open_share(database, (await create_share(database, user, talk.id))[1])).messages) == 2
    assert len(await list_shares(database, user.id)) == 1
