"""Finding conversations by their titles and by what was said in them, on every branch.

    messages, titles ──triggers──> search_queue ──`_index`──> search_entries: folded texts (`words.py`)
                                                               └─ search_index (FTS5), or a GIN index in PostgreSQL

Whoever writes a text need not know of the search: the database lists what is new or changed. The server works the list
off now and then (`index_waiting`), and a search what is left of it, so it finds everything. What is deleted leaves the
index with it. Every function but the server's own takes the id of the owner.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.store.conversations import kept
from bise.store.database import Database
from bise.store.tables import ID, better_answers, conversations, messages
from bise.store.words import compose, fold, phrases_of, words_of

MAX_HITS = 50
_BATCH = 200  # texts indexed in one transaction: others want to write, too
_PAUSE_S = 0.1  # between transactions that nobody waits for; SQLite's other writers look for a free moment that often
_CHARS_BEFORE = 60  # of the first word found, in an excerpt
_EXCERPT_CHARS = 200

# Not part of the schema that is copied and compared: these tables follow from the others.
_derived = sa.MetaData()
_entries = sa.Table(
    "search_entries",
    _derived,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject_id", ID),
    sa.Column("conversation_id", ID),
    sa.Column("message_id", ID),
    sa.Column("folded", sa.Text),
)
_queue = sa.Table(
    "search_queue", _derived, sa.Column("subject_id", ID, primary_key=True), sa.Column("conversation_id", ID)
)


@dataclass(frozen=True)
class Excerpt:
    """A piece of a text; `found` says that it is one of the words looked for."""

    text: str
    found: bool


@dataclass(frozen=True)
class Hit:
    """A message in which all words were found, or with `message_id` None the title of a conversation."""

    conversation_id: str
    title: str
    message_id: str | None
    role: str | None
    at: datetime
    excerpt: tuple[Excerpt, ...]


async def search_conversations(database: Database, owner: str, query: str) -> tuple[Hit, ...]:
    """Find the titles, then the messages, that hold all words of a query, the newest first; at most `MAX_HITS`.

    Case, accents and ligatures make no difference; the last word may be the beginning of one. Signs mean nothing.
    """
    phrases = phrases_of(query)
    if not phrases:
        return ()
    while await _index(database, conversations.c.user_id == owner):
        pass
    text = sa.func.coalesce(better_answers.c.content, messages.c.content, conversations.c.title)
    at = sa.func.coalesce(messages.c.created_at, conversations.c.updated_at, type_=messages.c.created_at.type)
    found = (
        sa.select(_entries, conversations.c.title, messages.c.role, text.label("text"), at.label("at"))
        .join(conversations, conversations.c.id == _entries.c.conversation_id)
        .outerjoin(messages, messages.c.id == _entries.c.message_id)
        .outerjoin(better_answers, better_answers.c.message_id == _entries.c.message_id)
        .where(kept(owner), _matches(database, phrases))
        .order_by(_entries.c.message_id.is_not(None), sa.desc("at"), _entries.c.id)
        .limit(MAX_HITS)
    )
    async with database.read() as connection:
        rows = list(await connection.execute(found))
    return await asyncio.to_thread(lambda: tuple(_hit(row, phrases) for row in rows))


async def index_waiting(database: Database) -> int:
    """Index what is new or changed, whosever it is, with pauses in which others write; returns how many texts.

    Cancelled, it ends with the transaction that it is in.
    """
    num_indexed = 0
    while num_now := await _uninterrupted(_index(database, sa.true())):
        num_indexed += num_now
        await asyncio.sleep(_PAUSE_S)
    return num_indexed


async def _uninterrupted(step: Coroutine[Any, Any, int]) -> int:
    """Hear of a cancellation after a step: amid a transaction it would leave a connection behind."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def compact_index(connection: AsyncConnection) -> None:
    """Take the words of deleted texts out of the index's own file pages, which keep them for a while in SQLite."""
    if connection.dialect.name == "sqlite":
        await connection.execute(sa.text("INSERT INTO search_index(search_index) VALUES ('optimize')"))


def _matches(database: Database, phrases: Sequence[Sequence[str]]) -> sa.ColumnElement[bool]:
    """Folded words hold neither quotes nor wild cards, so they need no escaping."""
    if database.url.get_backend_name() == "sqlite":
        query = " ".join(f'"{" ".join(phrase)}"' for phrase in phrases) + " *"
        rowids = sa.text("SELECT rowid FROM search_index WHERE search_index MATCH :query").bindparams(query=query)
        return _entries.c.id.in_(rowids.columns(sa.column("rowid", sa.BigInteger)))
    words = [word for phrase in phrases for word in phrase]
    query = " & ".join(f"'{word}'" for word in words) + ":*"
    vector = sa.func.array_to_tsvector(sa.func.string_to_array(_entries.c.folded, sa.literal_column("' '")))
    spaced = sa.literal(" ").concat(_entries.c.folded).concat(" ")
    together = [spaced.like(f"% {' '.join(phrase)}%") for phrase in phrases if len(phrase) > 1]
    return sa.and_(vector.bool_op("@@")(sa.cast(query, TSQUERY)), *together)


async def _index(database: Database, whose: sa.ColumnElement[bool]) -> int:
    """Fold some of somebody's texts that are new or changed; returns how many there were, none at the end."""
    waiting = (
        sa.select(_queue.c.subject_id, _queue.c.conversation_id)
        .join(conversations, conversations.c.id == _queue.c.conversation_id)
        .where(whose)
        .limit(_BATCH)
    )
    async with database.read() as connection:
        if (await connection.execute(waiting.limit(1))).first() is None:
            return 0
    async with database.write() as connection:
        listed = [row.subject_id for row in await connection.execute(waiting)]
        await connection.execute(_queue.delete().where(_queue.c.subject_id.in_(listed)))
        await connection.execute(_entries.delete().where(_entries.c.subject_id.in_(listed)))
        rows = await _texts(connection, listed)
        entries = await asyncio.to_thread(lambda: [_entry(row) for row in rows])
        if entries:
            await connection.execute(_entries.insert(), entries)
    return len(listed)


async def _texts(connection: AsyncConnection, subjects: Sequence[str]) -> list[sa.Row[Any]]:
    said = sa.func.coalesce(better_answers.c.content, messages.c.content)
    of_messages = (
        sa.select(messages.c.id, messages.c.conversation_id, messages.c.id.label("message_id"), said.label("text"))
        .outerjoin(better_answers, better_answers.c.message_id == messages.c.id)
        .where(messages.c.id.in_(subjects))
    )
    here = conversations.c.id
    titles = sa.select(
        here, here.label("conversation_id"), sa.null().label("message_id"), conversations.c.title.label("text")
    )
    return [*await connection.execute(of_messages), *await connection.execute(titles.where(here.in_(subjects)))]


def _entry(row: sa.Row[Any]) -> dict[str, object]:
    return {
        "id": secrets.randbits(62),  # FTS5 knows rows by number
        "subject_id": row.id,
        "conversation_id": row.conversation_id,
        "message_id": row.message_id,
        "folded": fold(row.text),
    }


def _hit(row: sa.Row[Any], phrases: Sequence[Sequence[str]]) -> Hit:
    return Hit(row.conversation_id, row.title, row.message_id, row.role, row.at, excerpt(row.text, phrases))


def excerpt(text: str, phrases: Sequence[Sequence[str]]) -> tuple[Excerpt, ...]:
    """Cut the surroundings of the first word found out of a text, on one line, with all found words in them marked."""
    composed = compose(text)
    exact, beginning = {word for phrase in phrases for word in phrase}, phrases[-1][-1]
    spans: list[tuple[int, int]] = []
    for word in words_of(composed):
        if spans and word.start > spans[0][0] + _EXCERPT_CHARS:
            break
        if word.folded in exact or word.folded.startswith(beginning):
            spans.append((word.start, word.end))
    first = spans[0][0] if spans else 0
    start = _word_border(composed, max(0, first - _CHARS_BEFORE), first)
    end = min(len(composed), start + _EXCERPT_CHARS)
    return _pieces(composed, start, end, [span for span in spans if span[1] <= end])


def _word_border(text: str, start: int, first: int) -> int:
    """The beginning of the next word, when `start` lies inside one."""
    space = text.find(" ", start, first)
    return start if start == 0 or space < 0 else space + 1


def _pieces(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> tuple[Excerpt, ...]:
    pieces: list[Excerpt] = [Excerpt("…", False)] if start else []
    here = start
    for left, right in spans:
        pieces += [Excerpt(_line(text[here:left]), False), Excerpt(text[left:right], True)]
        here = right
    pieces.append(Excerpt(_line(text[here:end]) + ("…" if end < len(text) else ""), False))
    return tuple(piece for piece in pieces if piece.text)


def _line(text: str) -> str:
    """Put a piece on one line; spaces at its ends stay, for other pieces follow."""
    line = " ".join(text.split())
    before, after = " " if text[:1].isspace() and line else "", " " if text[-1:].isspace() else ""
    return f"{before}{line}{after}"
