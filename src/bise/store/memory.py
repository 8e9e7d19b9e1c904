"""A database in memory: the same tables, and nothing of it ever touches a disk."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bise.store.database import Database
from bise.store.sqlite import prepare_sqlite
from bise.store.tables import metadata


class MemoryDatabase(Database):
    """A database that lives as long as it is open. Transactions take turns: its connections share one memory."""

    def __init__(self) -> None:
        place = f"file:bise-{secrets.token_hex(8)}?mode=memory&cache=shared"
        url = f"sqlite+aiosqlite:///{place}&uri=true"
        engine = create_async_engine(url, poolclass=sa.NullPool, hide_parameters=True)  # errors are logged
        prepare_sqlite(engine)
        super().__init__(engine)
        self._turn = asyncio.Lock()
        self._anchor = sqlite3.connect(place, uri=True)  # SQLite forgets everything with the last connection

    async def create_tables(self) -> None:
        """Make the tables, empty."""
        async with self.write() as connection:
            await connection.execute(sa.text("PRAGMA temp_store = MEMORY"))
            await connection.run_sync(metadata.create_all)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees one state of the database."""
        async with self._turn, super().read() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that alone may write."""
        async with self._turn, super().write() as connection:
            yield connection

    async def close(self) -> None:
        """Forget everything."""
        await super().close()
        self._anchor.close()
