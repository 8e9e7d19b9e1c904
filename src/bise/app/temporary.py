"""Temporary conversations: the whole chat, on a database in memory. Gone with the server, after a while, or by a click.

    /api/conversations/…            the database       found, exported, shared, rated, learned from
    /api/temporary/conversations/…  memory             none of it: these routes do not exist there

The same functions answer both (`routes.py`); which database they use, the address decides (`requests.py`).
"""

import asyncio
from datetime import datetime, timedelta

import sqlalchemy as sa

from bise.app.generation import Generations
from bise.errors import InputError
from bise.server.admission import Admission
from bise.store.accounts import User
from bise.store.conversations import GENERATING
from bise.store.database import Database
from bise.store.memory import MemoryDatabase
from bise.store.tables import conversations, messages, now, users

MAX_CHATS = 10  # of one person; the one longest unused makes room
MAX_CHATS_OF_ALL = 200
MAX_CHARS = 1_000_000  # of one conversation
IDLE_HOURS = 12
_SWEEP_EVERY_S = 600.0


class TemporaryChats:
    """The conversations that are kept in memory only, and the answers being made in them."""

    def __init__(self, admission: Admission, accounts: Database) -> None:
        self.database = MemoryDatabase()
        self.generations = Generations(self.database, admission, accounts)
        self._known: set[str] = set()  # the people who are in its tables
        self._opening = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None
        accounts.before_close(self.close)

    async def admit(self, user: User) -> None:
        """Let somebody in who has an account; the first opens the house."""
        async with self._opening:
            if self._sweeping is None:
                await self.database.create_tables()
                self._sweeping = asyncio.create_task(self._keep_sweeping())
            if user.id in self._known:
                return
            async with self.database.write() as connection:
                await connection.execute(users.insert().values(id=user.id, name=user.name, created_at=now()))
            self._known.add(user.id)

    async def make_room(self, owner: str) -> None:
        """Forget the conversations longest unused, so that one more of an owner fits."""
        oldest_first = sa.select(conversations.c.id).where(~_is_answering()).order_by(conversations.c.updated_at)
        async with self.database.read() as connection:
            mine = list(await connection.scalars(oldest_first.where(conversations.c.user_id == owner)))
            everybody = list(await connection.scalars(oldest_first))
        for found, most in ((mine, MAX_CHATS), (everybody, MAX_CHATS_OF_ALL)):
            for conversation_id in found[: max(0, len(found) - most + 1)]:
                await self.forget(conversation_id)

    async def check_size(self, conversation_id: str) -> None:
        """See that a conversation may grow.

        Raises:
            InputError: it holds as much as may be.
        """
        said = sa.select(sa.func.sum(sa.func.length(messages.c.content)))
        async with self.database.read() as connection:
            num_chars = await connection.scalar(said.where(messages.c.conversation_id == conversation_id)) or 0
        if num_chars >= MAX_CHARS:
            raise InputError(
                f"This temporary chat holds {num_chars:,} characters; no more than {MAX_CHARS:,} are kept in memory. "
                "Begin another one."
            )

    async def forget(self, conversation_id: str) -> None:
        """End an answer in the making, and let nothing stay of a conversation."""
        await self.generations.forget(conversation_id)
        async with self.database.write() as connection:
            await connection.execute(conversations.delete().where(conversations.c.id == conversation_id))

    async def sweep(self, moment: datetime) -> None:
        """Forget what nobody has used for `IDLE_HOURS` before a moment."""
        idle = conversations.c.updated_at < moment - timedelta(hours=IDLE_HOURS)
        async with self.database.read() as connection:
            found = list(await connection.scalars(sa.select(conversations.c.id).where(idle, ~_is_answering())))
        for conversation_id in found:
            await self.forget(conversation_id)

    async def close(self) -> None:
        """Forget everything."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await self.generations.close()
        await self.database.close()

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            await self.sweep(now())


def _is_answering() -> sa.Exists:
    return sa.exists().where(messages.c.conversation_id == conversations.c.id, messages.c.status == GENERATING)
