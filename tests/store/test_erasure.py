"""Erasing everything reaches all that its owner said, on both databases, and nothing else; the receipt tells just that."""

import hashlib
import json
from datetime import date

import sqlalchemy as sa

from bise.store.accounts import User, create_link, create_user, start_session
from bise.store.audit import list_audit
from bise.store.conversations import create_conversation, list_conversations, rename_conversation
from bise.store.database import Database
from bise.store.deleted import delete_conversation
from bise.store.erasure import count_holdings, erase_everything
from bise.store.feedback import Rating, improve_answer, prefer_answer, rate_answer
from bise.store.folders import create_folder, file_conversation
from bise.store.identities import Identity, link_identity, user_of_identity
from bise.store.keys import create_key
from bise.store.passwords import has_password, set_password
from bise.store.probabilities import KeptToken, keep_tokens
from bise.store.projects import change_member, create_project
from bise.store.search import search_conversations
from bise.store.shares import create_share
from bise.store.tables import metadata
from bise.store.usage import Counts, UsageKey, add_usage
from tests.store.talk import Talk

STAY = {"sessions", "sign_in_links", "identities", "api_keys", "project_members", "usage"}
DERIVED = ("search_entries", "search_queue")


async def moved_in(database: Database, name: str) -> User:
    """A user with something in every table that has an owner; all that they said names them."""
    user = await create_user(database, name)
    talk = Talk(database, user.id, (await create_conversation(database, user.id)).id)
    first = (await talk.ask(f"{name} asks", f"{name} is answered")).assistant_message.id
    second = (await talk.again(first, f"{name} is answered again")).assistant_message.id
    await rate_answer(database, user.id, first, Rating("down", None, f"{name} thinks"))
    await improve_answer(database, user.id, first, f"{name} knows better")
    await prefer_answer(database, user.id, first, second, "this")
    folder = await create_folder(database, user.id, f"{name} files", f"{name} instructs")
    await file_conversation(database, user.id, talk.id, folder.id)
    await create_share(database, user, talk.id)
    async with database.write() as connection:
        await keep_tokens(connection, first, [KeptToken(0, 1, name, -0.5, ((name, -0.5),))])
    gone = await create_conversation(database, user.id)
    await rename_conversation(database, user.id, gone.id, f"{name} deletes")
    await delete_conversation(database, user.id, gone.id)
    await start_session(database, user)
    await create_link(database, name)
    await set_password(database, name, "a hash", "nobody")
    await start_session(database, user)
    await create_link(database, name)
    await link_identity(database, user, Identity("https://issuer", name))
    key = (await create_key(database, user, "k"))[0]
    await create_project(database, f"of {name}")
    await change_member(database, f"of {name}", name, True)
    await add_usage(database, [(UsageKey(date(2026, 1, 1), user.id, "", key.id, "m"), Counts(1, 2, 3))])
    return user


async def contents(database: Database, user: User) -> dict[str, str]:
    """What each table with an owner holds of a user's, and under "said" all that anybody said."""
    async with database.read() as connection:
        owned = [table for table in metadata.sorted_tables if "user_id" in table.c]
        held = {
            table.name: str(
                sorted(map(str, await connection.execute(table.select().where(table.c.user_id == user.id))))
            )
            for table in owned
        }
        said = [table for table in metadata.sorted_tables if table.name not in {"users", "projects", "audit", *STAY}]
        texts = [str((await connection.execute(table.select())).all()) for table in said]
        texts += [str((await connection.execute(sa.text(f"SELECT * FROM {name}"))).all()) for name in DERIVED]
    return held | {"said": "\n".join(texts)}


async def test_all_that_was_said_is_erased_and_ways_in_and_others_stay(database: Database) -> None:
    # Neither name can stand in the hexadecimal digits of an id or a hash.
    zoe, bob = await moved_in(database, "zoe"), await moved_in(database, "bob")
    for user in (zoe, bob):
        assert len(await search_conversations(database, user.id, user.name)) == 4
    before = {user: await contents(database, user) for user in (zoe, bob)}
    assert [name for name, rows in before[zoe].items() if rows == "[]"] == []
    await erase_everything(database, zoe)
    after = await contents(database, zoe)
    assert {name for name, rows in after.items() if rows != "[]"} == STAY | {"said"}
    assert {name: after[name] for name in STAY} == {name: before[zoe][name] for name in STAY}
    assert "zoe" not in after["said"]
    theirs = await contents(database, bob)
    assert theirs | {"said": ""} == before[bob] | {"said": ""}
    assert theirs["said"].count("bob") == before[bob]["said"].count("bob")
    assert await search_conversations(database, zoe.id, "zoe") == ()
    assert len(await search_conversations(database, bob.id, "bob")) == 4
    assert await has_password(database, zoe.id)
    found = await user_of_identity(database, Identity("https://issuer", "zoe"))
    assert found is not None
    assert found.id == zoe.id


async def test_the_receipt_is_what_was_counted_and_its_hash_is_in_the_log(database: Database) -> None:
    user = await moved_in(database, "ada")
    before = vars(await count_holdings(database, user.id))
    ways_in = {"api_keys": 1, "sessions": 1, "identities": 1, "passwords": 1}
    said = "ada asks" + "ada is answered" + "ada is answered again"
    counted = {"conversations": 1, "deleted_conversations": 1, "messages": 3, "text_bytes": len(said), "ratings": 1}
    counted |= {"better_answers": 1, "preferences": 1, "folders": 1, "shares": 1}
    assert before == counted | ways_in
    receipt = await erase_everything(database, user, 2, ("a:b",))
    counted |= {"learning_runs": 2}
    assert receipt.as_record()["adapters"] == ["a:b"]
    assert dict(receipt.erased) == counted
    text = json.dumps(receipt.as_record(), sort_keys=True, separators=(",", ":"))
    assert receipt.sha256 == hashlib.sha256(text.encode()).hexdigest()
    (logged,) = await list_audit(database, 1)
    assert (logged.actor, logged.action) == ("ada", "data.erase")
    assert logged.details == counted | {"receipt_sha256": receipt.sha256}
    assert vars(await count_holdings(database, user.id)) == dict.fromkeys(before, 0) | ways_in


async def test_there_may_be_nothing_to_erase_and_life_goes_on_afterwards(database: Database) -> None:
    user = await create_user(database, "ada")
    for _ in range(2):
        assert set((await erase_everything(database, user)).erased.values()) == {0}
    talk = Talk(database, user.id, (await create_conversation(database, user.id)).id)
    await talk.ask("And", "on.")
    assert [each.id for each in await list_conversations(database, user.id)] == [talk.id]
    assert (await erase_everything(database, user)).erased["messages"] == 2
