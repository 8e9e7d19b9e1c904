"""Conversations, without what is said in them (`turns.py`).

Every function takes the id of the owner, and what belongs to somebody else does not exist for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import NotFoundError
from bise.store.database import Database
from bise.store.tables import conversations, folders, messages, new_id, now, users

MAX_TITLE_CHARS = 60
GENERATING = "generating"  # the status of an answer in the making


@dataclass(frozen=True)
class StoredConversation:
    """A conversation without its messages."""

    id: str
    title: str
    updated_at: datetime
    last_event: int
    generating: bool
    model: str | None = None  # who answers here; None: the default
    system_prompt: str | None = None
    parameters: Mapping[str, float] | None = None  # of its own; those that are missing are the default ones
    keeps_probabilities: bool = False  # whether how likely each token was is kept with the next answers
    folder_id: str | None = None
    pinned: bool = False
    instructions: str = ""  # of its folder

    @property
    def full_prompt(self) -> str | None:
        """What its answers are asked with: the folder's instructions, then its own."""
        return "\n\n".join(part for part in (self.instructions, self.system_prompt) if part) or None


@dataclass(frozen=True)
class ConversationSettings:
    """How a conversation's next answers are asked for."""

    system_prompt: str | None = None
    parameters: Mapping[str, float] | None = None
    keeps_probabilities: bool = False


_AS_EVER = ConversationSettings()


async def create_conversation(
    database: Database, owner: str, model: str | None = None, settings: ConversationSettings = _AS_EVER
) -> StoredConversation:
    """Begin an empty conversation."""
    conversation = StoredConversation(
        new_id(), "", now(), 0, False, model, settings.system_prompt, settings.parameters, settings.keeps_probabilities
    )
    async with database.write() as connection:
        await connection.execute(
            conversations.insert().values(
                id=conversation.id,
                user_id=owner,
                title=conversation.title,
                created_at=conversation.updated_at,
                updated_at=conversation.updated_at,
                last_event=0,
                model=model,
                **vars(settings),
            )
        )
    return conversation


async def list_conversations(database: Database, owner: str) -> tuple[StoredConversation, ...]:
    """All conversations of an owner, the one with the latest message first."""
    query = _select(owner).order_by(conversations.c.updated_at.desc(), conversations.c.id)
    async with database.read() as connection:
        return tuple(_conversation(row) for row in await connection.execute(query))


async def rename_conversation(database: Database, owner: str, conversation_id: str, title: str) -> StoredConversation:
    """Give a conversation another title."""
    return await _change(database, owner, conversation_id, title=shorten(title))


async def choose_model(database: Database, owner: str, conversation_id: str, model: str) -> StoredConversation:
    """Say who gives the next answers of a conversation."""
    return await _change(database, owner, conversation_id, model=model)


async def choose_settings(
    database: Database, owner: str, conversation_id: str, settings: ConversationSettings
) -> StoredConversation:
    """Say how the next answers of a conversation are asked for."""
    return await _change(database, owner, conversation_id, **vars(settings))


async def forget_model(database: Database, model: str) -> None:
    """Let the default answer wherever a model was chosen that is gone; the server's own, without an owner."""
    async with database.write() as connection:
        await connection.execute(conversations.update().where(conversations.c.model == model).values(model=None))
        await connection.execute(users.update().where(users.c.default_model == model).values(default_model=None))


async def owned_conversation(connection: AsyncConnection, owner: str, conversation_id: str) -> StoredConversation:
    """Find a conversation, inside a transaction of the caller's.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    row = (await connection.execute(_select(owner).where(conversations.c.id == conversation_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such conversation. It may have been deleted.")
    return _conversation(row)


def kept(owner: str) -> sa.ColumnElement[bool]:
    """The condition of every query: the conversation is this owner's, and not among the deleted (`deleted.py`)."""
    return (conversations.c.user_id == owner) & conversations.c.deleted_at.is_(None)


def shorten(text: str) -> str:
    """Make a title of a text: its beginning on one line, cut at the border of a word."""
    line = " ".join(text.split())
    if len(line) <= MAX_TITLE_CHARS:
        return line
    cut = line[:MAX_TITLE_CHARS]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) >= MAX_TITLE_CHARS // 2 else cut).rstrip(" ,;:.-–—") + "…"


async def _change(database: Database, owner: str, conversation_id: str, **values: object) -> StoredConversation:
    async with database.write() as connection:
        await owned_conversation(connection, owner, conversation_id)
        await connection.execute(conversations.update().where(conversations.c.id == conversation_id).values(**values))
        return await owned_conversation(connection, owner, conversation_id)


def _select(owner: str) -> sa.Select[Any]:
    generating = sa.exists().where(messages.c.conversation_id == conversations.c.id, messages.c.status == GENERATING)
    query = sa.select(conversations, generating.label("generating"), folders.c.instructions)
    return query.outerjoin(folders, folders.c.id == conversations.c.folder_id).where(kept(owner))


def _conversation(row: sa.Row[Any]) -> StoredConversation:
    return StoredConversation(
        id=row.id,
        title=row.title,
        updated_at=row.updated_at,
        last_event=row.last_event,
        generating=bool(row.generating),
        model=row.model,
        system_prompt=row.system_prompt,
        parameters=row.parameters,
        keeps_probabilities=row.keeps_probabilities,
        folder_id=row.folder_id,
        pinned=row.pinned_at is not None,
        instructions=row.instructions or "",
    )
