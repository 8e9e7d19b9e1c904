"""Deleted conversations: hidden at once from everything else, had back within 30 days, then really gone.

Every function takes the id of the owner, and what belongs to somebody else does not exist for it; `purge_deleted` alone is
the server's own.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import NotFoundError
from bise.store.conversations import StoredConversation, owned_conversation
from bise.store.database import Database
from bise.store.search import compact_index
from bise.store.tables import conversations, messages, now

KEPT_DAYS = 30


@dataclass(frozen=True)
class DeletedConversation:
    """A conversation that its owner deleted, and can still have back."""

    id: str
    title: str
    deleted_at: datetime
    num_messages: int

    @property
    def gone_at(self) -> datetime:
        """When it will be erased."""
        return self.deleted_at + timedelta(days=KEPT_DAYS)


async def delete_conversation(database: Database, owner: str, conversation_id: str) -> None:
    """Hide a conversation; after `KEPT_DAYS` it is erased.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    async with database.write() as connection:
        await owned_conversation(connection, owner, conversation_id)
        await _mark(connection, conversation_id, now())


async def restore_conversation(database: Database, owner: str, conversation_id: str) -> StoredConversation:
    """Have a deleted conversation back, with everything it had.

    Raises:
        NotFoundError: the owner has deleted no such conversation, or it is gone.
    """
    async with database.write() as connection:
        await _check_deleted(connection, owner, conversation_id)
        await _mark(connection, conversation_id, None)
        return await owned_conversation(connection, owner, conversation_id)


async def list_deleted(database: Database, owner: str) -> tuple[DeletedConversation, ...]:
    """The deleted conversations of an owner, the one deleted last first."""
    said = sa.select(sa.func.count()).where(messages.c.conversation_id == conversations.c.id).scalar_subquery()
    query = sa.select(conversations, said.label("num_messages")).where(_deleted(owner))
    query = query.order_by(conversations.c.deleted_at.desc(), conversations.c.id)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return tuple(DeletedConversation(row.id, row.title, row.deleted_at, row.num_messages) for row in rows)


async def erase_conversation(database: Database, owner: str, conversation_id: str) -> None:
    """Erase a deleted conversation now, with its messages and what was thought of them.

    Raises:
        NotFoundError: the owner has deleted no such conversation, or it is gone.
    """
    async with database.write() as connection:
        await _check_deleted(connection, owner, conversation_id)
        await connection.execute(conversations.delete().where(conversations.c.id == conversation_id))
        await compact_index(connection)
    await database.clear_traces()


async def erase_deleted(database: Database, owner: str) -> int:
    """Erase all deleted conversations of an owner now; returns how many."""
    return await _erase(database, _deleted(owner))


async def purge_deleted(database: Database, moment: datetime) -> int:
    """Erase what had been deleted `KEPT_DAYS` before a moment; the server's own. Returns how many."""
    return await _erase(database, conversations.c.deleted_at <= moment - timedelta(days=KEPT_DAYS))


async def _erase(database: Database, which: sa.ColumnElement[bool]) -> int:
    async with database.write() as connection:
        num_erased = (await connection.execute(conversations.delete().where(which))).rowcount
        if num_erased:
            await compact_index(connection)
    if num_erased:
        await database.clear_traces()
    return num_erased


def _deleted(owner: str) -> sa.ColumnElement[bool]:
    return (conversations.c.user_id == owner) & conversations.c.deleted_at.is_not(None)


async def _check_deleted(connection: AsyncConnection, owner: str, conversation_id: str) -> None:
    query: sa.Select[Any] = sa.select(conversations.c.id).where(_deleted(owner), conversations.c.id == conversation_id)
    if await connection.scalar(query) is None:
        raise NotFoundError("There is no such conversation among the deleted. It may have been erased.")


async def _mark(connection: AsyncConnection, conversation_id: str, moment: datetime | None) -> None:
    where = conversations.c.id == conversation_id
    await connection.execute(conversations.update().where(where).values(deleted_at=moment))
