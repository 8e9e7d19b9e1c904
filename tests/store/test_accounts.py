"""Keys and sessions open the door for their owner, and only while they are valid; the database holds no secret."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bise.errors import NotFoundError
from bise.store.accounts import (
    create_key,
    create_user,
    list_keys,
    local_owner,
    revoke_key,
    start_session,
    user_of_key,
    user_of_session,
)
from bise.store.database import Database
from bise.store.tables import metadata, now, sessions


async def test_a_key_names_its_user_until_it_is_revoked(database: Database) -> None:
    owner = await local_owner(database)
    key, text = await create_key(database, owner, "laptop")
    assert await user_of_key(database, text) == owner
    assert (await revoke_key(database, owner, key.prefix)).revoked_at is not None
    assert await user_of_key(database, text) is None
    assert [entry.prefix for entry in await list_keys(database, owner)] == [key.prefix]


@pytest.mark.parametrize("spoil", ["", "bise", "bise_", "x{}", "{}x", "\ud800", "bise_é_ü"])
async def test_anything_else_names_nobody(database: Database, spoil: str) -> None:
    _, text = await create_key(database, await local_owner(database), "laptop")
    assert await user_of_key(database, spoil.format(text)) is None


async def test_keys_of_others_cannot_be_revoked(database: Database) -> None:
    key, text = await create_key(database, await local_owner(database), "mine")
    other = await create_user(database, "other")
    with pytest.raises(NotFoundError, match="none"):
        await revoke_key(database, other, key.prefix)
    assert await user_of_key(database, text) is not None


async def test_a_session_names_its_user_until_it_ends(database: Database) -> None:
    owner = await local_owner(database)
    token = await start_session(database, owner)
    assert await user_of_session(database, token) == owner
    assert await user_of_session(database, token + "x") is None
    async with database.write() as connection:
        await connection.execute(sa.update(sessions).values(expires_at=now() - timedelta(seconds=1)))
    assert await user_of_session(database, token) is None


async def test_no_secret_reaches_the_disk(database: Database, tmp_path: Path) -> None:
    owner = await local_owner(database)
    key, text = await create_key(database, owner, "laptop")
    secrets = [text.removeprefix(key.prefix), await start_session(database, owner)]
    async with database.read() as connection:
        kept = [str((await connection.execute(table.select())).all()) for table in metadata.sorted_tables]
    stored = "".join(kept).encode() + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.prefix.encode() in stored
    assert not any(secret.encode() in stored for secret in secrets)
