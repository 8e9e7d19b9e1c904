"""How likely tokens were is kept in few bytes, for its owner, as long as the answer."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from bise.errors import NotFoundError
from bise.store.accounts import create_user
from bise.store.database import Database
from bise.store.deleted import delete_conversation, erase_deleted
from bise.store.probabilities import MAX_TOKENS, KeptToken, pack, read_tokens, unpack
from bise.store.tables import answer_tokens
from bise.store.turns import finish_answer
from tests.store.talk import Talk

LOGPROBS = st.floats(-100, 0).map(lambda value: round(value, 3))
TOKENS = st.builds(
    lambda start, length, text, logprob, top: KeptToken(start, start + length, text, logprob, tuple(top)),
    st.integers(0, 10**6),
    st.integers(0, 50),
    st.text(),
    LOGPROBS,
    st.lists(st.tuples(st.text(), LOGPROBS), max_size=5),
)


def token(start: int, logprob: float = -0.5) -> KeptToken:
    return KeptToken(start, start + 1, "a", logprob, (("a", logprob), ("b", -3.0)))


@given(st.lists(TOKENS, max_size=8))
def test_unpacking_undoes_packing(tokens: list[KeptToken]) -> None:
    assert unpack(pack(tokens)) == tuple(tokens)


def test_a_token_takes_few_bytes() -> None:
    words = ["the", "wind", "comes", "over", "lake", "and", "turns", "cold", "before", "evening", "falls", "on", "town"]
    tops = [tuple((f" {words[(place + k) % 12]}", -0.37 * k - place % 7) for k in range(5)) for place in range(1000)]
    tokens = [KeptToken(6 * place, 6 * place + 6, top[0][0], top[0][1], top) for place, top in enumerate(tops)]
    assert len(pack(tokens)) < 60 * len(tokens)


async def test_tokens_are_kept_with_their_answer_and_go_with_it(database: Database) -> None:
    talk = await Talk.begin(database)
    turn = await talk.ask("q", "aaaa")
    answer = turn.assistant_message
    assert await read_tokens(database, talk.owner, answer.id) == ()
    await finish_answer(database, talk.id, answer, 2, [token(0), token(1)])
    await finish_answer(database, talk.id, answer, 3)  # a continuation without figures takes none away
    await finish_answer(database, talk.id, answer, 4, [token(3)])
    assert await read_tokens(database, talk.owner, answer.id) == (token(0), token(1), token(3))
    other = (await create_user(database, "other")).id
    for owner, message in ((other, answer.id), (talk.owner, "none")):
        with pytest.raises(NotFoundError):
            await read_tokens(database, owner, message)
    await delete_conversation(database, talk.owner, talk.id)
    with pytest.raises(NotFoundError):
        await read_tokens(database, talk.owner, answer.id)
    await erase_deleted(database, talk.owner)
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(answer_tokens)) == 0


async def test_what_is_kept_is_bounded(database: Database) -> None:
    talk = await Talk.begin(database)
    answer = (await talk.ask("q", "a")).assistant_message
    for _ in range(2):
        await finish_answer(database, talk.id, answer, 2, [token(0)] * (MAX_TOKENS - 1))
    kept, _ = await asyncio.gather(read_tokens(database, talk.owner, answer.id), talk.shown())
    assert len(kept) == MAX_TOKENS
