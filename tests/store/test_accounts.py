"""Users and sessions open the door for their owner, and only while they are valid; the database holds no secret."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.store.accounts import (
    create_link,
    create_user,
    disable_user,
    find_user,
    list_users,
    local_owner,
    remove_user,
    spend_link,
    start_session,
    user_of_session,
)
from bise.store.audit import list_audit
from bise.store.conversations import create_conversation
from bise.store.database import Database
from bise.store.keys import create_key
from bise.store.signing_up import create_invitation
from bise.store.tables import audit, conversations, metadata, now, sessions, sign_in_links


async def test_the_local_owner_is_one_and_an_admin(database: Database) -> None:
    owner = await local_owner(database)
    assert await local_owner(database) == owner
    assert owner.role == "admin"
    ada = await create_user(database, " ada ")
    assert (ada.name, ada.role) == ("ada", "user")
    assert await find_user(database, "ada") == ada
    assert await list_users(database) == (ada, owner)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\0b", "\u202eadmin"])
async def test_what_is_no_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(InputError, match="is no name"):
        await create_user(database, name)


async def test_a_name_is_taken_once_and_unknown_ones_are_answered_with_those_there_are(database: Database) -> None:
    await create_user(database, "ada")
    with pytest.raises(InputError, match="ada already"):
        await create_user(database, "ada", "admin")
    for name in ("bob", "ada\0", "ada' --"):
        with pytest.raises(NotFoundError, match="The users are: ada"):
            await find_user(database, name.replace("\0", "?"))


async def test_a_session_names_its_user_until_it_ends(database: Database) -> None:
    owner = await local_owner(database)
    token = await start_session(database, owner)
    assert await user_of_session(database, token) == owner
    assert await user_of_session(database, token + "x") is None
    await disable_user(database, owner.name, True)
    assert await user_of_session(database, token) is None
    await disable_user(database, owner.name, False)
    assert await user_of_session(database, token) == owner
    async with database.write() as connection:
        await connection.execute(sa.update(sessions).values(expires_at=now() - timedelta(seconds=1)))
    assert await user_of_session(database, token) is None


async def test_a_link_lets_one_browser_in_once_within_its_day(database: Database) -> None:
    ada = await create_user(database, "ada")
    link = await create_link(database, "ada")
    assert await spend_link(database, link + "x") is None
    assert await spend_link(database, link) == ada
    assert await spend_link(database, link) is None
    for spoil in (
        disable_user(database, "ada", True),
        _age_links(database),
    ):
        late = await create_link(database, "ada")
        await spoil
        assert await spend_link(database, late) is None
        await disable_user(database, "ada", False)


async def _age_links(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sign_in_links.update().values(expires_at=now() - timedelta(seconds=1)))


async def test_a_removed_user_takes_everything_along(database: Database) -> None:
    ada = await create_user(database, "ada")
    token = await start_session(database, ada)
    await create_key(database, ada, "laptop")
    await create_conversation(database, ada.id)
    await remove_user(database, "ada")
    assert await user_of_session(database, token) is None
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(conversations)) == 0


async def test_the_audit_log_tells_everything_and_can_only_grow(database: Database) -> None:
    await create_user(database, "ada", "admin", actor="somebody")
    await disable_user(database, "ada", True)
    with pytest.raises(InputError):
        await create_user(database, "ada")
    entries = await list_audit(database, 10)
    assert [(entry.actor, entry.action, entry.subject) for entry in entries] == [
        ("somebody", "user.add", "user ada"),
        ("the command line", "user.disable", "user ada"),
    ]
    assert entries[0].details == {"role": "admin"}
    assert await list_audit(database, 1) == entries[1:]
    for change in (audit.delete(), audit.update().values(actor="nobody")):
        with pytest.raises(sa.exc.DBAPIError, match="only grow"):
            async with database._writer.begin() as connection:
                await connection.execute(change)
    assert await list_audit(database, 10) == entries


async def test_no_secret_reaches_the_disk(database: Database, tmp_path: Path) -> None:
    owner = await local_owner(database)
    key, text = await create_key(database, owner, "laptop")
    secrets = [text.removeprefix(key.prefix), await start_session(database, owner)]
    secrets.append(await create_link(database, owner.name))
    secrets.append((await create_invitation(database))[1])
    async with database.read() as connection:
        kept = [str((await connection.execute(table.select())).all()) for table in metadata.sorted_tables]
    stored = "".join(kept).encode() + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.prefix.encode() in stored
    assert not any(secret.encode() in stored for secret in secrets)
