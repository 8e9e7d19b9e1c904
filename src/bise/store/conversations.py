"""Conversations and their messages.

Every function takes the id of the owner, and what belongs to somebody else does not exist for it. The only exceptions
are named so: what the server itself does to an answer in the making, whose owner it checked when it began.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.messages import Role
from bise.store.database import Database
from bise.store.tables import conversations, messages, new_id, now

# Event numbers that an answer in the making may use. A server that is killed leaves the end of this range in the
# database, above every number that a browser has seen, so that numbers never come twice.
RESERVED_EVENTS = 1_000_000
MAX_TITLE_CHARS = 60

GENERATING = "generating"
COMPLETE = "complete"
STOPPED = "stopped"
FAILED = "failed"
INTERRUPTED = "interrupted"


class BusyError(InputError):
    """An answer is being made in this conversation; the next message must wait for it."""


@dataclass(frozen=True)
class StoredMessage:
    """One turn as the database keeps it; `error` is a sentence when `status` is "failed"."""

    id: str
    role: Role
    content: str
    status: str
    model: str | None
    created_at: datetime
    finish_reason: str | None = None
    error: str | None = None
    stats: dict[str, object] | None = None


@dataclass(frozen=True)
class StoredConversation:
    """A conversation without its messages."""

    id: str
    title: str
    updated_at: datetime
    last_event: int
    generating: bool


@dataclass(frozen=True)
class Turn:
    """A user's message and the answer to it; `is_new` is False when the same message had come before."""

    user_message: StoredMessage
    assistant_message: StoredMessage
    first_event: int  # the number before the answer's first event
    is_new: bool


async def create_conversation(database: Database, owner: str) -> StoredConversation:
    """Begin an empty conversation."""
    conversation = StoredConversation(new_id(), "", now(), 0, False)
    async with database.write() as connection:
        await connection.execute(
            conversations.insert().values(
                id=conversation.id,
                user_id=owner,
                title=conversation.title,
                created_at=conversation.updated_at,
                updated_at=conversation.updated_at,
                last_event=0,
            )
        )
    return conversation


async def list_conversations(database: Database, owner: str) -> tuple[StoredConversation, ...]:
    """All conversations of an owner, the one with the latest message first."""
    query = _select_conversations(owner).order_by(conversations.c.updated_at.desc(), conversations.c.id)
    async with database.read() as connection:
        return tuple(_conversation(row) for row in await connection.execute(query))


async def get_conversation(
    database: Database, owner: str, conversation_id: str
) -> tuple[StoredConversation, tuple[StoredMessage, ...]]:
    """One conversation and its messages in order.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    async with database.read() as connection:
        conversation = await _owned(connection, owner, conversation_id)
        query = messages.select().where(messages.c.conversation_id == conversation_id).order_by(messages.c.position)
        return conversation, tuple(_message(row) for row in await connection.execute(query))


async def rename_conversation(database: Database, owner: str, conversation_id: str, title: str) -> StoredConversation:
    """Give a conversation another title."""
    async with database.write() as connection:
        await _owned(connection, owner, conversation_id)
        await connection.execute(
            conversations.update().where(conversations.c.id == conversation_id).values(title=shorten(title))
        )
        return await _owned(connection, owner, conversation_id)


async def delete_conversation(database: Database, owner: str, conversation_id: str) -> None:
    """Delete a conversation with its messages."""
    async with database.write() as connection:
        await _owned(connection, owner, conversation_id)
        await connection.execute(conversations.delete().where(conversations.c.id == conversation_id))


async def add_turn(
    database: Database, owner: str, conversation_id: str, content: str, client_id: str, model: str
) -> Turn:
    """Keep a user's message and open the answer to it, both or neither; the same `client_id` twice is one message.

    Raises:
        NotFoundError: the owner has no such conversation.
        BusyError: an answer is being made in it.
    """
    async with database.write() as connection:
        conversation = await _owned(connection, owner, conversation_id)
        known = await _known_turn(connection, conversation_id, client_id)
        if known is not None:
            return known
        if conversation.generating:
            raise BusyError("An answer is being written in this conversation. Wait for its end, or stop it.")
        moment, position = now(), await _num_messages(connection, conversation_id)
        user = StoredMessage(new_id(), "user", content, COMPLETE, None, moment)
        assistant = StoredMessage(new_id(), "assistant", "", GENERATING, model, moment)
        await connection.execute(
            messages.insert(),
            [
                _values(user, conversation_id, position) | {"client_id": client_id},
                _values(assistant, conversation_id, position + 1) | {"client_id": None},
            ],
        )
        await connection.execute(
            conversations.update()
            .where(conversations.c.id == conversation_id)
            .values(
                title=conversation.title or shorten(content),
                updated_at=moment,
                last_event=conversation.last_event + RESERVED_EVENTS,
            )
        )
        return Turn(user, assistant, conversation.last_event, is_new=True)


async def conversation_of_message(database: Database, owner: str, message_id: str) -> str:
    """The id of the conversation that holds a message.

    Raises:
        NotFoundError: the owner has no such message.
    """
    query = (
        sa.select(conversations.c.id)
        .join(messages, messages.c.conversation_id == conversations.c.id)
        .where(messages.c.id == message_id, conversations.c.user_id == owner)
    )
    async with database.read() as connection:
        found: str | None = await connection.scalar(query)
    if found is None:
        raise NotFoundError("There is no such message.")
    return found


async def save_partial_answer(database: Database, message_id: str, content: str) -> None:
    """Keep what an answer in the making says so far; the server's own, without an owner."""
    async with database.write() as connection:
        await connection.execute(messages.update().where(messages.c.id == message_id).values(content=content))


async def finish_answer(database: Database, conversation_id: str, message: StoredMessage, last_event: int) -> None:
    """Keep an answer as it ended, and give back the event numbers that it left; the server's own, without an owner."""
    async with database.write() as connection:
        await connection.execute(
            messages.update()
            .where(messages.c.id == message.id)
            .values(
                content=message.content,
                status=message.status,
                finish_reason=message.finish_reason,
                error=message.error,
                stats=message.stats,
            )
        )
        await connection.execute(
            conversations.update().where(conversations.c.id == conversation_id).values(last_event=last_event)
        )


async def mark_interrupted(database: Database) -> int:
    """At the server's start, end what a killed one left "generating"; the server's own. Returns how many."""
    async with database.write() as connection:
        result = await connection.execute(
            messages.update().where(messages.c.status == GENERATING).values(status=INTERRUPTED)
        )
    return result.rowcount


def shorten(text: str) -> str:
    """The beginning of a text as a title: one line, cut at the border of a word."""
    line = " ".join(text.split())
    if len(line) <= MAX_TITLE_CHARS:
        return line
    cut = line[:MAX_TITLE_CHARS]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) >= MAX_TITLE_CHARS // 2 else cut).rstrip(" ,;:.-–—") + "…"


def _select_conversations(owner: str) -> sa.Select[Any]:
    generating = sa.exists().where(messages.c.conversation_id == conversations.c.id, messages.c.status == GENERATING)
    return sa.select(conversations, generating.label("generating")).where(conversations.c.user_id == owner)


async def _owned(connection: AsyncConnection, owner: str, conversation_id: str) -> StoredConversation:
    query = _select_conversations(owner).where(conversations.c.id == conversation_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such conversation. It may have been deleted.")
    return _conversation(row)


async def _known_turn(connection: AsyncConnection, conversation_id: str, client_id: str) -> Turn | None:
    here = messages.c.conversation_id == conversation_id
    user = (await connection.execute(messages.select().where(here, messages.c.client_id == client_id))).one_or_none()
    if user is None:
        return None
    answer = await connection.execute(messages.select().where(here, messages.c.position == user.position + 1))
    return Turn(_message(user), _message(answer.one()), 0, is_new=False)


async def _num_messages(connection: AsyncConnection, conversation_id: str) -> int:
    query = sa.select(sa.func.count()).where(messages.c.conversation_id == conversation_id)
    return await connection.scalar(query) or 0


def _values(message: StoredMessage, conversation_id: str, position: int) -> dict[str, object]:
    return {
        "id": message.id,
        "conversation_id": conversation_id,
        "position": position,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "model": message.model,
        "created_at": message.created_at,
    }


def _conversation(row: sa.Row[Any]) -> StoredConversation:
    return StoredConversation(row.id, row.title, row.updated_at, row.last_event, bool(row.generating))


def _message(row: sa.Row[Any]) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        role=row.role,
        content=row.content,
        status=row.status,
        model=row.model,
        created_at=row.created_at,
        finish_reason=row.finish_reason,
        error=row.error,
        stats=row.stats,
    )
