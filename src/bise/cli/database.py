"""Commands that need the database and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bise.store.database import Database

Result = TypeVar("Result")


def with_database(action: "Callable[[Database], Awaitable[Result]]") -> Result:
    """Open the database, do something with it, and close it."""
    from bise.store.database import open_database

    async def act() -> Result:
        database = await open_database()
        try:
            return await action(database)
        finally:
            await database.close()

    return asyncio.run(act())
