"""How likely each token of an answer was, kept apart from the messages: large, and looked at seldom.

A token stands from `start` to `end` in the answer's text, counted in UTF-16 code units as browsers count. Tokens may cut
a character between them: such a character belongs to each of them.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import NotFoundError
from bise.store.conversations import kept
from bise.store.database import Database
from bise.store.tables import answer_tokens, conversations, messages

MAX_TOKENS = 4096  # of one answer whose figures are kept


@dataclass(frozen=True)
class KeptToken:
    """A token of an answer, its natural log probability, and the likeliest tokens in its place with theirs."""

    start: int
    end: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


async def read_tokens(database: Database, owner: str, message_id: str) -> tuple[KeptToken, ...]:
    """The tokens kept of an answer, in order; none where nobody asked for them.

    Raises:
        NotFoundError: the owner has no such message.
    """
    query = (
        sa.select(messages.c.id, answer_tokens.c.tokens)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .outerjoin(answer_tokens, answer_tokens.c.message_id == messages.c.id)
        .where(messages.c.id == message_id, kept(owner))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such message.")
    return unpack(row.tokens) if row.tokens is not None else ()


async def keep_tokens(connection: AsyncConnection, message_id: str, tokens: Sequence[KeptToken]) -> None:
    """Add tokens to those of an answer, as many as are kept, inside a transaction of the caller's, who checked whose it is."""
    before = await connection.scalar(sa.select(answer_tokens.c.tokens).where(answer_tokens.c.message_id == message_id))
    known = unpack(before) if before is not None else ()
    packed = pack([*known, *tokens][:MAX_TOKENS])
    if before is None:
        await connection.execute(answer_tokens.insert().values(message_id=message_id, tokens=packed))
    else:
        here = answer_tokens.c.message_id == message_id
        await connection.execute(answer_tokens.update().where(here).values(tokens=packed))


def pack(tokens: Sequence[KeptToken]) -> bytes:
    """Write tokens in few bytes: about fifty each."""
    rows = [
        [
            token.end - token.start,
            token.start,
            token.text,
            round(token.logprob, 3),
            [_pair(*each) for each in token.top],
        ]
        for token in tokens
    ]
    return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())


def unpack(packed: bytes) -> tuple[KeptToken, ...]:
    """Read what `pack` wrote."""
    rows = json.loads(zlib.decompress(packed))
    return tuple(
        KeptToken(start, start + length, text, logprob, tuple((other, score) for other, score in top))
        for length, start, text, logprob, top in rows
    )


def _pair(text: str, logprob: float) -> tuple[str, float]:
    return text, round(logprob, 3)
