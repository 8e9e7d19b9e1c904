"""Conversations as they leave and come in: whole, with all branches and what was thought of answers, apart from ids of ours.

Every function takes the id of the owner. What is deleted does not leave; what comes in gets new ids, belongs to whoever brings
it, and comes in whole or not at all. `app/archive.py` writes the files, `docs/chat.md` describes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError
from bise.store.accounts import sha256
from bise.store.conversations import GENERATING, kept, owned_conversation
from bise.store.database import Database
from bise.store.folders import MAX_FOLDERS
from bise.store.tables import better_answers, conversations, folders, messages, new_id, now, preferences, ratings
from bise.store.turns import INTERRUPTED

Status = Literal["complete", "stopped", "failed", "interrupted", "generating"]


@dataclass(frozen=True)
class PortableRating:
    """A thumb on an answer; `excluded`: nothing is to be learned from it."""

    thumb: Literal["up", "down"]
    created_at: datetime
    reason: str | None = None
    comment: str | None = None
    excluded: bool = False


@dataclass(frozen=True)
class PortableBetterAnswer:
    """What somebody made of an answer."""

    content: str
    created_at: datetime
    excluded: bool = False


@dataclass(frozen=True)
class PortablePreference:
    """Which of two answers to one question is better; the first is the older one."""

    first: str  # ids inside the conversation
    second: str
    verdict: Literal["first", "second", "equal"]
    created_at: datetime
    excluded: bool = False


@dataclass(frozen=True)
class PortableMessage:
    """A question, or an answer to the question that is its parent."""

    id: str  # known inside the conversation only
    parent: str | None
    role: Literal["user", "assistant"]
    content: str
    created_at: datetime
    thinking: str | None = None
    shown: bool = True  # of the messages with one parent, one is
    status: Status = "complete"
    model: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    stats: dict[str, Any] | None = None
    system_prompt: str | None = None
    parameters: dict[str, float] | None = None
    rating: PortableRating | None = None
    better: PortableBetterAnswer | None = None


@dataclass(frozen=True)
class PortableFolder:
    """What the chat calls a project: brought in, it is the one with the same name and instructions, or a new one."""

    name: str
    instructions: str


@dataclass(frozen=True)
class PortableConversation:
    """A conversation with every branch; `messages` come after their parents, oldest first."""

    id: str  # at home where it comes from
    title: str
    created_at: datetime
    updated_at: datetime
    messages: tuple[PortableMessage, ...]
    preferences: tuple[PortablePreference, ...] = ()
    model: str | None = None
    system_prompt: str | None = None
    parameters: dict[str, float] | None = None  # of the next answers
    keeps_probabilities: bool = False
    pinned_at: datetime | None = None
    folder: PortableFolder | None = None


_HEAD = ("id", "title", "created_at", "updated_at", "model", "system_prompt", "parameters", "keeps_probabilities",
    "pinned_at",
)  # fmt: skip
_MESSAGE = (
    "role", "content", "created_at", "thinking", "shown", "model", "finish_reason", "error", "stats", "system_prompt",
    "parameters",
)  # fmt: skip


async def list_portable(database: Database, owner: str) -> tuple[str, ...]:
    """The ids of the conversations of an owner that can be taken along, oldest first."""
    query = sa.select(conversations.c.id).where(kept(owner)).order_by(conversations.c.created_at, conversations.c.id)
    async with database.read() as connection:
        return tuple(await connection.scalars(query))


async def read_portable(database: Database, owner: str, conversation_id: str) -> PortableConversation:
    """One conversation with everything that its owner can take along.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    here = messages.c.conversation_id == conversation_id
    async with database.read() as connection:
        await owned_conversation(connection, owner, conversation_id)
        with_folder = sa.select(conversations, folders.c.name, folders.c.instructions).outerjoin(folders)
        head = (await connection.execute(with_folder.where(conversations.c.id == conversation_id))).one()
        said = (await connection.execute(messages.select().where(here).order_by(messages.c.position))).all()
        thumbs = await _by_message(connection, ratings, here)
        better = await _by_message(connection, better_answers, here)
        query = sa.select(preferences).join(messages, messages.c.id == preferences.c.first_id).where(here)
        verdicts = (await connection.execute(query.order_by(preferences.c.created_at, preferences.c.id))).all()
    return PortableConversation(
        messages=tuple(_message(row, thumbs.get(row.id), better.get(row.id)) for row in said),
        preferences=tuple(
            PortablePreference(row.first_id, row.second_id, row.verdict, row.created_at, row.excluded)
            for row in verdicts
        ),
        folder=None if head.name is None else PortableFolder(head.name, head.instructions),
        **{name: getattr(head, name) for name in _HEAD},
    )


async def insert_portable(database: Database, owner: str, conversation: PortableConversation, source: str) -> bool:
    """Take a conversation in, whole or not at all; False: it is here already.

    `source` says where its id comes from; the same id from the same source is the same conversation.

    Raises:
        InputError: its messages are no tree of questions and answers.
    """
    check_tree(conversation.messages)
    origin = sha256(f"{source}:{conversation.id}")
    known = (conversations.c.source_sha256 == origin) | (conversations.c.id == conversation.id)
    async with database.write() as connection:
        if await connection.scalar(sa.select(conversations.c.id).where(kept(owner), known).limit(1)) is not None:
            return False
        ids = {message.id: new_id() for message in conversation.messages}
        head = {name: getattr(conversation, name) for name in _HEAD}
        head |= {"id": new_id(), "user_id": owner, "last_event": 0, "source_sha256": origin}
        head["folder_id"] = await _folder(connection, owner, conversation.folder)
        await connection.execute(conversations.insert().values(**head))
        rows = [_row(message, position, ids) for position, message in enumerate(conversation.messages)]
        if rows:
            await connection.execute(messages.insert(), [row | {"conversation_id": head["id"]} for row in rows])
        await _insert_feedback(connection, owner, conversation, ids)
    return True


def check_tree(said: Sequence[PortableMessage]) -> None:
    """Check that answers answer questions, and questions follow answers.

    Raises:
        InputError: saying which message is wrong.
    """
    roles: dict[str, str] = {}
    for number, message in enumerate(said, 1):
        if message.id in roles:
            raise InputError(f"Message {number} has the id of an earlier one.")
        if message.parent is not None and message.parent not in roles:
            raise InputError(f"Message {number} follows one that does not come before it.")
        above = None if message.parent is None else roles[message.parent]
        if (message.role == "assistant") != (above == "user"):
            raise InputError(f"Message {number} is out of turn: answers follow questions, and questions answers.")
        roles[message.id] = message.role


async def _folder(connection: AsyncConnection, owner: str, folder: PortableFolder | None) -> str | None:
    """Find an owner's folder, or make it; None: no folder, or the owner has as many as may be."""
    if folder is None:
        return None
    mine = folders.c.user_id == owner
    same = mine & (folders.c.name == folder.name) & (folders.c.instructions == folder.instructions)
    found: str | None = await connection.scalar(sa.select(folders.c.id).where(same).limit(1))
    if found is not None:
        return found
    if (await connection.scalar(sa.select(sa.func.count()).select_from(folders).where(mine)) or 0) >= MAX_FOLDERS:
        return None
    made = new_id()
    await connection.execute(folders.insert().values(id=made, user_id=owner, created_at=now(), **vars(folder)))
    return made


async def _by_message(
    connection: AsyncConnection, table: sa.Table, here: sa.ColumnElement[bool]
) -> Mapping[str, sa.Row[Any]]:
    query = sa.select(table).join(messages, messages.c.id == table.c.message_id).where(here)
    return {row.message_id: row for row in await connection.execute(query)}


def _message(row: sa.Row[Any], thumb: sa.Row[Any] | None, better: sa.Row[Any] | None) -> PortableMessage:
    return PortableMessage(
        id=row.id,
        parent=row.parent_id,
        status=row.status,
        rating=thumb and PortableRating(thumb.thumb, thumb.created_at, thumb.reason, thumb.comment, thumb.excluded),
        better=better and PortableBetterAnswer(better.content, better.created_at, better.excluded),
        **{name: getattr(row, name) for name in _MESSAGE},
    )


def _row(message: PortableMessage, position: int, ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": ids[message.id],
        "parent_id": None if message.parent is None else ids[message.parent],
        "position": position,
        "status": INTERRUPTED if message.status == GENERATING else message.status,
    } | {name: getattr(message, name) for name in _MESSAGE}


async def _insert_feedback(
    connection: AsyncConnection, owner: str, conversation: PortableConversation, ids: Mapping[str, str]
) -> None:
    rows: dict[sa.Table, list[dict[str, Any]]] = {ratings: [], better_answers: [], preferences: []}
    for message in conversation.messages:
        if message.rating is not None:
            rows[ratings].append({"message_id": ids[message.id]} | vars(message.rating))
        if message.better is not None:
            rows[better_answers].append({"message_id": ids[message.id]} | vars(message.better))
    for each in conversation.preferences:
        pair = {"first_id": ids[each.first], "second_id": ids[each.second]}
        rest = {name: value for name, value in vars(each).items() if name not in ("first", "second")}
        rows[preferences].append(pair | rest)
    for table, new in rows.items():
        if new:
            await connection.execute(table.insert(), [{"id": new_id(), "user_id": owner} | row for row in new])
