"""What was said in conversations: the messages, and the path through them that is shown (`branches.py` adds to them).

Every function takes the id of the owner, and what belongs to somebody else does not exist for it. The only exceptions
are named so: what the server itself does to an answer in the making, whose owner it checked when it began.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import NotFoundError
from bise.messages import Role
from bise.store.conversations import GENERATING, StoredConversation, kept, owned_conversation
from bise.store.database import Database
from bise.store.probabilities import KeptToken, keep_tokens
from bise.store.tables import better_answers, conversations, messages, preferences, ratings

COMPLETE = "complete"
STOPPED = "stopped"
FAILED = "failed"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Rating:
    """A thumb, "up" or "down", with the reason for it."""

    thumb: str
    reason: str | None
    comment: str | None


@dataclass(frozen=True)
class Preference:
    """Which of two answers to one question is better: "first", "second" or "equal"; the first is the older one."""

    first_id: str
    second_id: str
    verdict: str


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
    error_facts: Mapping[str, object] | None = None  # the error's code and values, where it has a code
    stats: dict[str, object] | None = None
    parent_id: str | None = None
    branches: tuple[str, ...] = ()  # all messages with this parent, this one too, oldest first
    better: str | None = None  # what its reader made of an answer
    rating: Rating | None = None
    preferences: tuple[Preference, ...] = ()
    system_prompt: str | None = None  # of an answer: what it was asked with
    parameters: Mapping[str, float] | None = None
    shown: bool = True
    thinking: str | None = None  # what the model thought before it answered

    @property
    def text(self) -> str:
        """What it tells those who read on: the better answer where there is one."""
        return self.content if self.better is None else self.better


async def get_conversation(
    database: Database, owner: str, conversation_id: str
) -> tuple[StoredConversation, tuple[StoredMessage, ...]]:
    """One conversation and the messages shown of it, in order.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    async with database.read() as connection:
        conversation = await owned_conversation(connection, owner, conversation_id)
        return conversation, await read_shown(connection, conversation_id)


async def read_shown(connection: AsyncConnection, conversation_id: str) -> tuple[StoredMessage, ...]:
    """The messages shown of a conversation, inside a transaction of the caller's, who checked whose it is."""
    tree = (await read_messages(connection, [conversation_id]))[conversation_id]
    return shown_path(tree)


async def read_messages(
    connection: AsyncConnection, conversation_ids: Collection[str]
) -> defaultdict[str, list[StoredMessage]]:
    """All messages of conversations, on every branch, oldest first; the caller checked whose they are."""
    query = (
        sa.select(
            messages, better_answers.c.content.label("better"), ratings.c.thumb, ratings.c.reason, ratings.c.comment
        )
        .outerjoin(better_answers, better_answers.c.message_id == messages.c.id)
        .outerjoin(ratings, ratings.c.message_id == messages.c.id)
        .where(messages.c.conversation_id.in_(conversation_ids))
        .order_by(messages.c.position)
    )
    judged = sa.select(preferences).join(messages, messages.c.id == preferences.c.second_id)
    judged = judged.where(messages.c.conversation_id.in_(conversation_ids)).order_by(preferences.c.created_at)
    verdicts: defaultdict[str, list[Preference]] = defaultdict(list)
    for row in await connection.execute(judged):
        for message_id in (row.first_id, row.second_id):
            verdicts[message_id].append(Preference(row.first_id, row.second_id, row.verdict))
    found: defaultdict[str, list[StoredMessage]] = defaultdict(list)
    for row in await connection.execute(query):
        found[row.conversation_id].append(_message(row, verdicts[row.id]))
    return found


def shown_path(tree: Sequence[StoredMessage]) -> tuple[StoredMessage, ...]:
    """Walk from the root along the messages that are shown, each with the names of those beside it."""
    children: defaultdict[str | None, list[StoredMessage]] = defaultdict(list)
    for message in tree:
        children[message.parent_id].append(message)
    path: list[StoredMessage] = []
    beside = children[None]
    while beside:
        here = next((message for message in beside if message.shown), beside[-1])
        path.append(replace(here, branches=tuple(message.id for message in beside)))
        beside = children[here.id]
    return tuple(path)


def path_to(tree: Mapping[str, StoredMessage], message: StoredMessage) -> tuple[StoredMessage, ...]:
    """What was said before a message, from the root on; `tree` holds its conversation's messages by id."""
    path: list[StoredMessage] = []
    while message.parent_id is not None:
        message = tree[message.parent_id]
        path.append(message)
    return tuple(reversed(path))


async def conversation_of_message(database: Database, owner: str, message_id: str) -> str:
    """The id of the conversation that holds a message.

    Raises:
        NotFoundError: the owner has no such message.
    """
    query = (
        sa.select(conversations.c.id)
        .join(messages, messages.c.conversation_id == conversations.c.id)
        .where(messages.c.id == message_id, kept(owner))
    )
    async with database.read() as connection:
        found: str | None = await connection.scalar(query)
    if found is None:
        raise NotFoundError("There is no such message.")
    return found


async def save_partial_answer(database: Database, message_id: str, content: str, thinking: str | None = None) -> None:
    """Keep what an answer in the making says and thought so far; the server's own, without an owner."""
    async with database.write() as connection:
        await connection.execute(
            messages.update().where(messages.c.id == message_id).values(content=content, thinking=thinking)
        )


async def finish_answer(
    database: Database,
    conversation_id: str,
    message: StoredMessage,
    last_event: int,
    tokens: Sequence[KeptToken] = (),
) -> None:
    """Keep an answer as it ended, and give back the event numbers that it left; the server's own, without an owner."""
    async with database.write() as connection:
        if tokens:
            await keep_tokens(connection, message.id, tokens)
        await connection.execute(
            messages.update()
            .where(messages.c.id == message.id)
            .values(
                content=message.content,
                thinking=message.thinking,
                status=message.status,
                finish_reason=message.finish_reason,
                error=message.error,
                error_facts=message.error_facts,
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


def _message(row: sa.Row[Any], verdicts: Sequence[Preference]) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        role=row.role,
        content=row.content,
        status=row.status,
        model=row.model,
        created_at=row.created_at,
        finish_reason=row.finish_reason,
        error=row.error,
        error_facts=row.error_facts,
        stats=row.stats,
        parent_id=row.parent_id,
        branches=(row.id,),
        better=row.better,
        rating=Rating(row.thumb, row.reason, row.comment) if row.thumb else None,
        preferences=tuple(verdicts),
        system_prompt=row.system_prompt,
        parameters=row.parameters,
        shown=row.shown,
        thinking=row.thinking,
    )
