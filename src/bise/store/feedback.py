"""What people think of answers: thumbs with a reason, better answers, and which of two answers is better.

Every function takes the id of the owner, and what belongs to somebody else does not exist for it. What was given can be
changed and taken back; it goes with the conversation it is about. `list_feedback` is what tuning learns from and what
the owner sees and takes along: each item holds everything that it says, also the conversation before the answer.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.messages import Conversation, Message
from bise.store.conversations import GENERATING, kept
from bise.store.database import Database
from bise.store.tables import better_answers, conversations, messages, new_id, now, preferences, ratings
from bise.store.turns import Rating, StoredMessage, path_to, read_messages

Kind = Literal["rating", "better_answer", "preference"]
Verdict = Literal["first", "second", "equal"]
Reason = Literal[
    "correct", "clear", "well_written",  # for a thumb up
    "wrong", "off_topic", "incomplete", "too_long", "language", "style", "harmful",  # for a thumb down
]  # fmt: skip
REASONS: Mapping[str, tuple[Reason, ...]] = {"up": get_args(Reason)[:3], "down": get_args(Reason)[3:]}
# Why no right answer of a model follows from an item.
Useless = Literal["other_model", "better_counts", "no_better", "equal", "no_question"]
MAX_COMMENT_CHARS = 2000
MIN_LESSONS = 5  # to learn from: fewer leave nothing to hold out that would tell something

_TABLES: Mapping[Kind, sa.Table] = {"rating": ratings, "better_answer": better_answers, "preference": preferences}


@dataclass(frozen=True)
class FeedbackItem:
    """One thing that somebody said about one answer, or about two answers to the same question.

    Of a rating, `rating` is set; of a better answer, `better`; of a preference `other` and `verdict`, and `answer` is the
    first of the two, `other` the second. Earlier answers in `conversation` read as their better answers say.
    """

    id: str
    kind: Kind
    conversation_id: str
    message_id: str
    created_at: datetime
    excluded: bool  # the owner does not want it to be learned from
    model: str | None
    parameters: Mapping[str, float]
    conversation: Conversation  # everything before the answer, the system prompt first; ends with the question
    answer: str  # as the model gave it
    rating: Rating | None = None
    better: str | None = None
    other: str | None = None
    verdict: Verdict | None = None

    @property
    def chosen(self) -> str | None:
        """The better one of two answers; None for other kinds, and when both are equally good."""
        return {"first": self.answer, "second": self.other}.get(self.verdict or "")

    @property
    def rejected(self) -> str | None:
        """The worse one of two answers; None for other kinds, and when both are equally good."""
        return {"first": self.other, "second": self.answer}.get(self.verdict or "")

    def as_record(self) -> dict[str, Any]:
        """Write it as one JSON object, without what does not apply to its kind."""
        said = {
            "rating": {"answer": self.answer, **({} if self.rating is None else vars(self.rating))},
            "better_answer": {"answer": self.answer, "better": self.better},
            "preference": {"verdict": self.verdict, "first": self.answer, "second": self.other}
            if self.verdict == "equal"
            else {"verdict": self.verdict, "chosen": self.chosen, "rejected": self.rejected},
        }[self.kind]
        head = {
            "id": self.id,
            "kind": self.kind,
            "created_at": self.created_at.isoformat(),
            "conversation_id": self.conversation_id,
            "excluded": self.excluded,
            "model": self.model,
            "parameters": dict(self.parameters),
            "conversation": [{"role": turn.role, "content": turn.content} for turn in self.conversation.messages],
        }
        return head | {name: value for name, value in said.items() if value is not None}


def improved_messages(items: Iterable[FeedbackItem]) -> set[str]:
    """Ids of the answers that have a better one to learn from, which then counts instead of a thumb."""
    return {item.message_id for item in items if item.kind == "better_answer" and not item.excluded}


def why_useless(item: FeedbackItem, model: str, improved: Container[str]) -> Useless | None:
    """Why nothing follows from an item for a model and its adapters, if so; exclusion is the owner's to say.

    Args:
        item: what somebody said.
        model: the name of the base model.
        improved: what `improved_messages` gives of all items.
    """
    if (item.model or "").split(":")[0] != model:
        return "other_model"
    if item.rating is not None:
        if item.message_id in improved:
            return "better_counts"
        if item.rating.thumb == "down":
            return "no_better"
    if item.kind == "preference" and item.chosen is None:
        return "equal"
    turns = item.conversation.messages
    return None if turns and turns[-1].role == "user" else "no_question"


async def rate_answer(database: Database, owner: str, message_id: str, rating: Rating | None) -> None:
    """Give an answer a thumb, instead of one that it had, or take it back with None.

    Raises:
        NotFoundError: the owner has no such message.
        InputError: it is no answer, or not written yet; or the reason does not go with the thumb.
    """
    if rating is not None:
        _check(rating)
    async with database.write() as connection:
        await _finished_answer(connection, owner, message_id)
        where = {"message_id": message_id}
        await _keep(connection, ratings, owner, where, None if rating is None else vars(rating))


async def improve_answer(database: Database, owner: str, message_id: str, content: str | None) -> None:
    """Keep a better text beside an answer's own, or forget it with None; its own text again is no better one.

    Raises:
        NotFoundError: the owner has no such message.
        InputError: it is no answer, or not written yet.
    """
    async with database.write() as connection:
        answer = await _finished_answer(connection, owner, message_id)
        values = None if content is None or content == answer.content else {"content": content}
        await _keep(connection, better_answers, owner, {"message_id": message_id}, values)


async def prefer_answer(
    database: Database, owner: str, message_id: str, other_id: str, verdict: Literal["this", "other", "equal"] | None
) -> None:
    """Say which of two answers to one question is better, or take it back with None.

    Raises:
        NotFoundError: the owner has no such message.
        InputError: they are not two finished answers to the same question.
    """
    async with database.write() as connection:
        pair = [await _finished_answer(connection, owner, each) for each in (message_id, other_id)]
        if pair[0].parent_id != pair[1].parent_id or message_id == other_id:
            raise InputError("These are not two answers to the same question. Compare two branches of one answer.")
        first, second = sorted(pair, key=lambda row: row.position)
        named = {"this": message_id, "other": other_id}.get(verdict or "")
        absolute = "equal" if named is None else "first" if named == first.id else "second"
        where = {"first_id": first.id, "second_id": second.id}
        await _keep(connection, preferences, owner, where, None if verdict is None else {"verdict": absolute})


async def exclude_feedback(database: Database, owner: str, item_id: str, excluded: bool) -> None:
    """Say whether an item is to be left out when something is learned from feedback.

    Raises:
        NotFoundError: the owner has no such item.
    """
    async with database.write() as connection:
        for table in _TABLES.values():
            own = _with_conversation(table).where(kept(owner)).with_only_columns(table.c.id)
            where = (table.c.id == item_id) & table.c.id.in_(own)
            if (await connection.execute(table.update().where(where).values(excluded=excluded))).rowcount:
                return
    raise NotFoundError("There is no such feedback. It may have been taken back.")


async def list_feedback(database: Database, owner: str) -> tuple[FeedbackItem, ...]:
    """All that an owner has said about answers, oldest first, excluded items too."""
    async with database.read() as connection:
        rows = [
            (kind, row)
            for kind, table in _TABLES.items()
            for row in await connection.execute(_with_conversation(table).where(kept(owner)))
        ]
        said = await read_messages(connection, {row.conversation_id for _, row in rows})
    trees = {key: {message.id: message for message in tree} for key, tree in said.items()}
    items = [_item(kind, row, trees[row.conversation_id]) for kind, row in rows]
    return tuple(sorted(items, key=lambda item: (item.created_at, item.id)))


def _check(rating: Rating) -> None:
    if rating.thumb not in REASONS:
        raise InputError(f"thumb is {rating.thumb!r}, but must be one of {', '.join(REASONS)}.")
    allowed = REASONS[rating.thumb]
    if rating.reason is not None and rating.reason not in allowed:
        raise InputError(
            f"reason is {rating.reason!r}, but for a thumb {rating.thumb} must be one of {', '.join(allowed)}."
        )
    if len(rating.comment or "") > MAX_COMMENT_CHARS:
        message = f"The comment is longer than {MAX_COMMENT_CHARS} characters. Write less."
        raise InputError(message, code="comment_too_long", max=MAX_COMMENT_CHARS)


async def _finished_answer(connection: AsyncConnection, owner: str, message_id: str) -> sa.Row[Any]:
    query = (
        sa.select(messages)
        .join(conversations, messages.c.conversation_id == conversations.c.id)
        .where(messages.c.id == message_id, kept(owner))
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such message.")
    if row.role != "assistant" or row.status == GENERATING or not row.content:
        message = "Only an answer that has ended and has text can be judged or improved."
        raise InputError(message, code="not_to_be_judged")
    return row


async def _keep(
    connection: AsyncConnection,
    table: sa.Table,
    owner: str,
    key: Mapping[str, str],
    values: Mapping[str, object] | None,
) -> None:
    """Write the one row with that key, or delete it; what was excluded stays so."""
    where = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if values is None:
        await connection.execute(table.delete().where(where))
        return
    if not (await connection.execute(table.update().where(where).values(**values, created_at=now()))).rowcount:
        head = {"id": new_id(), "user_id": owner, "created_at": now(), "excluded": False}
        await connection.execute(table.insert().values(**head, **key, **values))


def _with_conversation(table: sa.Table) -> sa.Select[Any]:
    about = table.c.first_id if table is preferences else table.c.message_id
    query = sa.select(table, messages.c.conversation_id).join(messages, messages.c.id == about)
    return query.join(conversations, conversations.c.id == messages.c.conversation_id)


def _item(kind: Kind, row: sa.Row[Any], tree: Mapping[str, StoredMessage]) -> FeedbackItem:
    answer = tree[row.first_id if kind == "preference" else row.message_id]
    said = tuple(Message(turn.role, turn.text) for turn in path_to(tree, answer) if turn.text)
    system = (Message("system", answer.system_prompt),) if answer.system_prompt else ()
    return FeedbackItem(
        id=row.id,
        kind=kind,
        conversation_id=row.conversation_id,
        message_id=answer.id,
        created_at=row.created_at,
        excluded=row.excluded,
        model=answer.model,
        parameters=answer.parameters or {},
        conversation=Conversation((*system, *said)),
        answer=answer.content,
        rating=answer.rating if kind == "rating" else None,
        better=row.content if kind == "better_answer" else None,
        other=tree[row.second_id].content if kind == "preference" else None,
        verdict=row.verdict if kind == "preference" else None,
    )
