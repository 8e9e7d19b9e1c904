"""Asking and answering: new turns, questions asked anew, answers made anew or continued.

A question asked anew stands beside the first, and so does an answer made anew: they have the same parent. Of those
beside each other one is shown; the shown ones, from the root on, are the path that people read and models are sent.
Every function takes the id of the owner, and what belongs to somebody else does not exist for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.messages import Role
from bise.store.conversations import GENERATING, StoredConversation, owned_conversation, shorten
from bise.store.database import Database
from bise.store.tables import conversations, messages, new_id, now
from bise.store.turns import COMPLETE, StoredMessage, read_messages, read_shown, shown_path

# Event numbers that an answer in the making may use. A server that is killed leaves the end of this range in the
# database, above every number that a browser has seen, so that numbers never come twice.
RESERVED_EVENTS = 1_000_000


class BusyError(InputError):
    """An answer is being made in this conversation; what was asked must wait for it."""


@dataclass(frozen=True)
class Question:
    """What somebody writes; `client_id` is the browser's own name for it: the same name twice is the same question."""

    content: str
    client_id: str
    instead_of: str | None = None  # the question beside which it stands; None: it follows what is shown


@dataclass(frozen=True)
class AnswerSettings:
    """Who is to answer, and with which sampling parameters."""

    model: str
    parameters: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Turn:
    """A question and the answer to it; `is_new` is False when the same had been asked before."""

    user_message: StoredMessage
    assistant_message: StoredMessage
    first_event: int  # the number before the answer's first event
    is_new: bool


async def add_turn(
    database: Database, owner: str, conversation_id: str, question: Question, settings: AnswerSettings
) -> Turn:
    """Keep a question and open the answer to it, both or neither.

    Raises:
        NotFoundError: the owner has no such conversation, or that has not the question to stand beside.
        BusyError: an answer is being made in it.
    """
    async with database.write() as connection:
        opening = await _open(connection, owner, conversation_id, question.client_id)
        if isinstance(opening, Turn):
            return opening
        conversation, tree = opening
        shown = shown_path(tree)
        parent = shown[-1].id if shown else None
        if question.instead_of is not None:
            parent = _find(tree, question.instead_of, "user").parent_id
        user = StoredMessage(new_id(), "user", question.content, COMPLETE, None, now(), parent_id=parent)
        await _insert(connection, conversation_id, user, question.client_id)
        return await _open_answer(connection, conversation, [*tree, user], user.id, settings)


async def add_answer(
    database: Database, owner: str, conversation_id: str, instead_of: str, client_id: str, settings: AnswerSettings
) -> Turn:
    """Open another answer to the question that `instead_of` answers, which goes when it has no text.

    Raises:
        NotFoundError: the owner has no such conversation, or that has no such answer.
        BusyError: an answer is being made in it.
    """
    async with database.write() as connection:
        opening = await _open(connection, owner, conversation_id, client_id)
        if isinstance(opening, Turn):
            return opening
        conversation, tree = opening
        before = _find(tree, instead_of, "assistant")
        assert before.parent_id is not None, "answers have questions"
        if not before.content and all(message.parent_id != before.id for message in tree):
            await connection.execute(messages.delete().where(messages.c.id == before.id))
        return await _open_answer(connection, conversation, tree, before.parent_id, settings, client_id)


async def reopen_answer(database: Database, owner: str, conversation_id: str, message_id: str) -> Turn:
    """Open an answer that was cut short, to go on after its last word.

    Raises:
        NotFoundError: the owner has no such conversation, or that has no such answer.
        BusyError: an answer is being made in it.
        InputError: the answer is whole, empty, was made better by hand, or is not the last one shown.
    """
    async with database.write() as connection:
        opening = await _open(connection, owner, conversation_id, None)
        assert not isinstance(opening, Turn)
        conversation, tree = opening
        answer = _find(tree, message_id, "assistant")
        cut_short = answer.status != COMPLETE or answer.finish_reason == "length"
        untouched = answer.content and answer.better is None
        if not (cut_short and untouched and shown_path(tree)[-1].id == message_id):
            message = "Only the last answer can be continued, and only when it was cut short."
            raise InputError(message, code="not_cut_short")
        await connection.execute(
            messages.update()
            .where(messages.c.id == message_id)
            .values(status=GENERATING, finish_reason=None, error=None, error_facts=None)
        )
        return await _opened(connection, conversation, message_id)


async def show_branch(database: Database, owner: str, conversation_id: str, message_id: str) -> None:
    """Show a message instead of those beside it, with what was said after it.

    Raises:
        NotFoundError: the owner has no such conversation, or that has no such message.
        BusyError: an answer is being made in it.
    """
    async with database.write() as connection:
        opening = await _open(connection, owner, conversation_id, None)
        assert not isinstance(opening, Turn)
        _, tree = opening
        await _show(connection, tree, _find(tree, message_id).id)


async def _open(
    connection: AsyncConnection, owner: str, conversation_id: str, client_id: str | None
) -> Turn | tuple[StoredConversation, list[StoredMessage]]:
    """Find the turn that a browser sends again, or what a new one is added to."""
    conversation = await owned_conversation(connection, owner, conversation_id)
    tree = (await read_messages(connection, [conversation_id]))[conversation_id]
    known = await _known_turn(connection, conversation_id, client_id, tree) if client_id is not None else None
    if known is not None:
        return known
    if conversation.generating:
        message = "An answer is being written in this conversation. Wait for its end, or stop it."
        raise BusyError(message, code="answering")
    return conversation, tree


async def _known_turn(
    connection: AsyncConnection, conversation_id: str, client_id: str, tree: Sequence[StoredMessage]
) -> Turn | None:
    named = messages.select().where(messages.c.conversation_id == conversation_id, messages.c.client_id == client_id)
    row = (await connection.execute(named)).one_or_none()
    if row is None:
        return None
    found = _find(tree, row.id)
    question = found if found.role == "user" else _find(tree, str(found.parent_id))
    answer = next(message for message in tree if message.parent_id == question.id) if found is question else found
    return Turn(question, answer, 0, is_new=False)


async def _open_answer(
    connection: AsyncConnection,
    conversation: StoredConversation,
    tree: Sequence[StoredMessage],
    question_id: str,
    settings: AnswerSettings,
    client_id: str | None = None,
) -> Turn:
    answer = StoredMessage(
        id=new_id(),
        role="assistant",
        content="",
        status=GENERATING,
        model=settings.model,
        created_at=now(),
        parent_id=question_id,
        system_prompt=conversation.full_prompt,
        parameters=settings.parameters,
    )
    await _insert(connection, conversation.id, answer, client_id)
    await _show(connection, [*tree, answer], answer.id)
    return await _opened(connection, conversation, answer.id)


async def _opened(connection: AsyncConnection, conversation: StoredConversation, answer_id: str) -> Turn:
    """Reserve the numbers of an answer's events."""
    shown = await read_shown(connection, conversation.id)
    question, answer = shown[-2:]
    assert answer.id == answer_id
    first = next(message for message in shown if message.role == "user")
    await connection.execute(
        conversations.update()
        .where(conversations.c.id == conversation.id)
        .values(
            title=conversation.title or shorten(first.content),
            updated_at=now(),
            last_event=conversation.last_event + RESERVED_EVENTS,
        )
    )
    return Turn(question, answer, conversation.last_event, is_new=True)


def _find(tree: Sequence[StoredMessage], message_id: str, role: Role | None = None) -> StoredMessage:
    for message in tree:
        if message.id == message_id and role in (None, message.role):
            return message
    raise NotFoundError("There is no such message in this conversation.")


async def _show(connection: AsyncConnection, tree: Sequence[StoredMessage], message_id: str) -> None:
    """Show a message and all on the way to it, instead of those beside them."""
    known = {message.id: message for message in tree}
    here: str | None = message_id
    while here is not None:
        parent = known[here].parent_id
        beside = [message.id for message in tree if message.parent_id == parent]
        if len(beside) > 1:
            await connection.execute(
                messages.update().where(messages.c.id.in_(beside)).values(shown=messages.c.id == here)
            )
        here = parent


async def _insert(
    connection: AsyncConnection, conversation_id: str, message: StoredMessage, client_id: str | None
) -> None:
    here = messages.c.conversation_id == conversation_id
    await connection.execute(
        messages.insert().values(
            id=message.id,
            conversation_id=conversation_id,
            position=sa.select(sa.func.coalesce(sa.func.max(messages.c.position) + 1, 0)).where(here).scalar_subquery(),
            role=message.role,
            content=message.content,
            status=message.status,
            model=message.model,
            created_at=message.created_at,
            client_id=client_id,
            parent_id=message.parent_id,
            system_prompt=message.system_prompt,
            parameters=message.parameters,
        )
    )
