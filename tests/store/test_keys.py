"""A key names on whose behalf a program comes, as long as its user, its project and its own end allow."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.store.accounts import create_user, disable_user, local_owner, remove_user
from bise.store.audit import list_audit
from bise.store.database import Database
from bise.store.keys import Grant, caller_of_key, caller_of_user, create_key, list_keys, revoke_key
from bise.store.limits import Limits, list_limits, set_limits
from bise.store.projects import archive_project, change_member, create_project, list_projects
from bise.store.tables import api_keys, now


async def test_a_key_names_its_user_until_it_is_revoked(database: Database) -> None:
    owner = await local_owner(database)
    key, text = await create_key(database, owner, "laptop")
    caller = await caller_of_key(database, text)
    assert caller is not None
    assert (caller.user_id, caller.key_prefix, caller.models) == (owner.id, key.prefix, None)
    assert caller.scopes == {"inference", "embeddings"}
    before = database.num_account_changes
    assert (await revoke_key(database, owner, key.prefix)).revoked_at is not None
    assert database.num_account_changes > before
    assert await caller_of_key(database, text) is None
    assert [entry.prefix for entry in await list_keys(database, owner)] == [key.prefix]
    await revoke_key(database, owner, key.prefix)
    assert [entry.action for entry in await list_audit(database, 9)] == ["key.add", "key.revoke"]


@pytest.mark.parametrize("spoil", ["", "bise", "bise_", "x{}", "{}x", "\ud800", "bise_é_ü", "{}\0"])
async def test_anything_else_names_nobody(database: Database, spoil: str) -> None:
    _, text = await create_key(database, await local_owner(database), "laptop")
    assert await caller_of_key(database, spoil.format(text)) is None


async def test_keys_of_others_cannot_be_revoked_but_by_an_operator(database: Database) -> None:
    key, text = await create_key(database, await local_owner(database), "mine")
    other = await create_user(database, "other")
    with pytest.raises(NotFoundError, match="none"):
        await revoke_key(database, other, key.prefix)
    assert await list_keys(database, other) == ()
    assert await caller_of_key(database, text) is not None
    await revoke_key(database, None, key.prefix)
    assert await caller_of_key(database, text) is None


async def test_a_key_of_a_project_opens_nothing_without_it(database: Database) -> None:
    ada = await create_user(database, "ada")
    await create_project(database, "search")
    with pytest.raises(InputError, match="bise admin projects join search ada"):
        await create_key(database, ada, "k", Grant(project="search"))
    with pytest.raises(NotFoundError, match="The projects are: search"):
        await create_key(database, ada, "k", Grant(project="sea"))
    await change_member(database, "search", "ada", True)
    assert [(each.name, each.members) for each in await list_projects(database)] == [("search", ("ada",))]
    key, text = await create_key(database, ada, "k", Grant(project="search"))
    assert (await list_keys(database))[0] == key
    there_and_back: list[tuple[Awaitable[Any], Awaitable[Any]]] = [
        (archive_project(database, "search", True), archive_project(database, "search", False)),
        (change_member(database, "search", "ada", False), change_member(database, "search", "ada", True)),
        (disable_user(database, "ada", True), disable_user(database, "ada", False)),
    ]
    for shut, open_again in there_and_back:
        assert (await caller_of_key(database, text)) is not None
        await shut
        assert await caller_of_key(database, text) is None
        await open_again
    await remove_user(database, "ada")
    assert await caller_of_key(database, text) is None


async def test_a_key_says_what_it_opens_and_ends(database: Database) -> None:
    ada = await create_user(database, "ada")
    end = now() + timedelta(days=1)
    grant = Grant(scopes=("embeddings",), models=("small", "small:mine"), expires_at=end)
    key, text = await create_key(database, ada, "k", grant)
    caller = await caller_of_key(database, text)
    assert caller is not None
    assert (caller.scopes, caller.models, caller.expires_at) == ({"embeddings"}, {"small", "small:mine"}, end)
    assert (await list_keys(database, ada)) == (key,)
    async with database.write() as connection:
        await connection.execute(sa.update(api_keys).values(expires_at=now()))
    assert await caller_of_key(database, text) is None
    for wrong, words in (
        (Grant(scopes=("everything",)), "everything is no scope. The scopes are: inference"),
        (Grant(scopes=()), "Nothing is no scope"),
        (Grant(expires_at=now() - timedelta(days=1)), "has passed"),
    ):
        with pytest.raises(InputError, match=words):
            await create_key(database, ada, "k", wrong)
    with pytest.raises(InputError, match="is no name"):
        await create_key(database, ada, "x" * 101)


async def test_all_limits_that_apply_bind_and_everybody_s_those_without_own(database: Database) -> None:
    ada, bob = await create_user(database, "ada"), await create_user(database, "bob")
    await create_project(database, "search")
    await change_member(database, "search", "ada", True)
    key, text = await create_key(database, ada, "k", Grant(project="search"))
    await set_limits(database, "everybody", {"parallel": 2})
    await set_limits(database, "user:ada", {"tokens_per_min": 100, "parallel": 5})
    await set_limits(database, "user:ada", {"tokens_per_min": 200, "requests_per_s": 0.5})
    await set_limits(database, "project:search", {"tokens_total": 10**12})
    await set_limits(database, f"key:{key.prefix}", {"tokens_per_month": 7})
    caller = await caller_of_key(database, text)
    assert caller is not None
    assert {each.subject.kind: each.limits for each in caller.limits} == {
        "user": Limits(requests_per_s=0.5, tokens_per_min=200, parallel=5),
        "project": Limits(tokens_total=10**12),
        "key": Limits(tokens_per_month=7),
    }
    (of_bob,) = (await caller_of_user(database, bob.id)).limits
    assert (of_bob.subject.id, of_bob.limits) == (bob.id, Limits(parallel=2))
    assert [each.subject.name for each in await list_limits(database)] == ["everybody", "ada", "search", key.prefix]
    await set_limits(database, "user:ada", dict.fromkeys(vars(Limits())))
    assert {each.subject.kind: each.limits for each in (await caller_of_user(database, ada.id)).limits} == {
        "user": Limits(parallel=2)
    }


@pytest.mark.parametrize(
    ("address", "words"),
    [("ada", "is nobody"), ("user:eve", "The users are: ada"), ("project:x", "none"), ("key:x", "There is no key"),
     ("everybody:x", "is nobody"), ("", "is nobody")],
)  # fmt: skip
async def test_limits_of_nobody_are_refused(database: Database, address: str, words: str) -> None:
    await create_user(database, "ada")
    with pytest.raises((InputError, NotFoundError), match=words):
        await set_limits(database, address, {"parallel": 1})
    with pytest.raises(InputError, match="must be above 0"):
        await set_limits(database, "user:ada", {"parallel": 0})
    assert await list_limits(database) == ()
