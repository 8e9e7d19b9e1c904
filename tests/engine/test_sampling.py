"""Sampling follows the distribution that its parameters describe, exactly, and its seed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bise.engine.sampling import Draw, Sampler, SamplingParams, keep_nucleus, largest, place_at, token_logprob
from bise.errors import InputError

SMALL = np.log(np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.03, 0.02], np.float32)) + np.float32(2)
WIDE = (np.random.default_rng(5).standard_normal(1000) * 2).astype(np.float32)
LOGITS = arrays.arrays(np.float32, st.integers(1, 700), elements=st.floats(-30, 30, width=32))
INFINITY = math.inf


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": 5.1}, "from 0 to 5"),
        ({"top_p": 0.0}, "top_p is 0.0, but must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"seed": 2**64}, "64 bits"),
        ({"seed": -(2**63) - 1}, "64 bits"),
        ({"top_k": -1}, "top_k is -1, but must be at least 0"),
        ({"min_p": 1.5}, "min_p is 1.5, but must be from 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, but must be from 0.01 to 10"),
        ({"presence_penalty": 2.5}, "presence_penalty is 2.5, but must be from -2 to 2"),
        ({"frequency_penalty": -2.5}, "frequency_penalty is -2.5, but must be from -2 to 2"),
        ({"n": 0}, "n is 0, but must be from 1 to 128"),
        ({"min_tokens": -1}, "min_tokens is -1"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens is 9, but must be at most max_tokens (8)"),
        ({"logprobs": 21}, "logprobs is 21, but must be from 0 to 20"),
        ({"prompt_logprobs": -1}, "prompt_logprobs is -1"),
        ({"logit_bias": ((7, 101.0),)}, "logit_bias of token 7 is 101.0"),
        ({"logit_bias": ((7, math.nan),)}, "logit_bias of token 7 is nan"),
        ({"logit_bias": ((7, INFINITY),)}, "logit_bias of token 7 is inf"),
        ({"logit_bias": ((7, 1.0), (7, 2.0))}, "names a token twice"),
        ({"logit_bias": tuple((i, 1.0) for i in range(1025))}, "1025 entries, but may have at most 1024"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        SamplingParams(**values)
    assert words in str(error.value)


def test_what_depends_on_the_vocabulary_is_checked_with_it() -> None:
    with pytest.raises(InputError, match="token 9, which is outside the vocabulary of 9"):
        SamplingParams(logit_bias=((9, 1.0),)).check_vocabulary(9)
    forbidding = SamplingParams(logit_bias=((0, -INFINITY), (1, -INFINITY)), stop_ids=(2,), min_tokens=1)
    forbidding.check_vocabulary(4)
    with pytest.raises(InputError, match="forbid all 3 tokens"):
        forbidding.check_vocabulary(3)


COMBINATIONS: list[tuple[dict[str, Any], list[int], list[int]]] = [  # parameters, prompt, answer so far
    ({"temperature": 1.0}, [], []),
    ({"temperature": 0.5}, [], []),
    ({"temperature": 2.0}, [], []),
    ({"temperature": 1.0, "top_p": 0.6}, [], []),
    ({"temperature": 1.7, "top_p": 0.9}, [], []),
    ({"temperature": 1.0, "top_k": 4}, [], []),
    ({"temperature": 1.0, "min_p": 0.2}, [], []),
    ({"temperature": 1.5, "min_p": 0.05, "top_k": 6, "top_p": 0.8}, [], []),
    ({"temperature": 1.0, "logit_bias": ((0, -2.0), (8, 3.5), (1, -INFINITY))}, [], []),
    ({"temperature": 1.0, "repetition_penalty": 1.5}, [0, 3, 3], [1]),
    ({"temperature": 1.0, "repetition_penalty": 0.8}, [0], [7, 7]),
    ({"temperature": 1.0, "presence_penalty": 1.5}, [2, 2], [0, 0, 4]),
    ({"temperature": 1.0, "frequency_penalty": 0.7}, [2, 2], [0, 0, 4]),
    ({"temperature": 1.0, "presence_penalty": -1.0, "frequency_penalty": -0.5}, [], [8]),
    ({"temperature": 1.0, "min_tokens": 2, "stop_ids": (0, 2)}, [], [5]),
    ({"temperature": 1.0, "min_tokens": 2, "stop_ids": (0, 2)}, [], [5, 5]),
    (
        {
            "temperature": 0.8,
            "top_p": 0.95,
            "top_k": 7,
            "min_p": 0.02,
            "repetition_penalty": 1.2,
            "presence_penalty": 0.4,
            "frequency_penalty": 0.3,
            "logit_bias": ((6, 1.5),),
        },
        [0, 5],
        [1, 1, 2],
    ),
]


@pytest.mark.parametrize("logits", [SMALL, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize(("values", "prompt", "answer"), COMBINATIONS, ids=[str(c[0]) for c in COMBINATIONS])
def test_draws_follow_the_exact_distribution(
    values: dict[str, Any], prompt: list[int], answer: list[int], logits: np.ndarray
) -> None:
    params = SamplingParams(seed=1, **values)
    counts = draw_counts(params, prompt, answer, logits)
    expected = exact_distribution(logits, params, prompt, answer)
    assert all(counts[token] == 0 for token in range(len(logits)) if expected[token] == 0)
    assert chi_square(counts, expected) < chi_square_limit(counts, expected)


@pytest.mark.parametrize(
    ("drawn", "claimed", "answer"),
    [
        ({"temperature": 1.0}, {"temperature": 1.15}, []),
        ({"temperature": 1.0, "top_p": 0.75}, {"temperature": 1.0, "top_p": 0.8}, []),
        ({"temperature": 1.0, "presence_penalty": 0.5}, {"temperature": 1.0}, [0]),
    ],
)
def test_the_test_of_distributions_sees_small_errors(
    drawn: dict[str, Any], claimed: dict[str, Any], answer: list[int]
) -> None:
    counts = draw_counts(SamplingParams(seed=1, **drawn), [], answer, SMALL)
    expected = exact_distribution(SMALL, SamplingParams(**claimed), [], answer)
    assert chi_square(counts, expected) > chi_square_limit(counts, expected)


@settings(deadline=None)
@given(LOGITS, st.integers(0, 2**32))
def test_one_candidate_is_the_greedy_choice(logits: np.ndarray, seed: int) -> None:
    greedy = Sampler(SamplingParams(temperature=0), []).draw(logits).token_id
    assert greedy == int(logits.argmax())
    least = float(np.nextafter(0, 1))
    for values in ({"top_k": 1}, {"temperature": 1e-6}):
        assert Sampler(SamplingParams(seed=seed, **values), []).draw(logits).token_id == greedy  # type: ignore[arg-type]
    nucleus = Sampler(SamplingParams(seed=seed, top_p=least), []).draw(logits).token_id
    assert np.exp((logits[nucleus] - logits[greedy]) / np.float32(0.7)) > 1 - 1e-6, (
        "as likely, as far as float32 can tell"
    )
    likeliest = Sampler(SamplingParams(seed=seed, min_p=1), []).draw(logits).token_id
    assert logits[likeliest] == logits[greedy]


@settings(deadline=None)
@given(LOGITS.filter(lambda logits: len(logits) > 1), st.data())
def test_a_forbidden_token_is_never_drawn(logits: np.ndarray, data: st.DataObject) -> None:
    forbidden = data.draw(st.sets(st.integers(0, len(logits) - 1), min_size=1, max_size=len(logits) - 1))
    bias = tuple((token, -INFINITY) for token in forbidden)
    for temperature in (0.0, 1.0, 5.0):
        sampler = Sampler(SamplingParams(temperature=temperature, logit_bias=bias, repetition_penalty=2), [0])
        assert forbidden.isdisjoint(sampler.draw(logits).token_id for _ in range(20))


@settings(deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 700), elements=st.sampled_from([0, 1e-30, 0.25, 1, 3])), st.data())
def test_a_place_is_where_the_running_sum_passes(weights: np.ndarray, data: st.DataObject) -> None:
    weights[data.draw(st.integers(0, len(weights) - 1))] = 1
    uniform = data.draw(st.floats(0, 1, exclude_max=True))
    place = place_at(weights, uniform)
    held = np.cumsum(weights.astype(np.float64))
    assert weights[place] > 0
    assert held[place] - weights[place] - 1e-9 <= uniform * held[-1] <= held[place] + 1e-9


@settings(deadline=None)
@given(LOGITS, st.floats(0.01, 1))
def test_the_nucleus_is_the_fewest_tokens_that_hold_top_p(logits: np.ndarray, top_p: float) -> None:
    weights = np.exp(logits - logits.max())
    kept = weights.copy()
    keep_nucleus(kept, top_p)
    total = weights.sum(dtype=np.float64)
    places = np.flatnonzero(kept)
    assert (kept[places] == weights[places]).all()
    assert kept.sum(dtype=np.float64) >= total * top_p * (1 - 1e-9)
    assert (kept.sum(dtype=np.float64) - kept[places].min()) < total * top_p * (1 + 1e-9)
    assert set(places) == set(largest(weights, len(places)))


@settings(deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 50), elements=st.integers(-3, 3)), st.integers(1, 60))
def test_the_largest_are_those_that_come_first_among_equals(values: np.ndarray, count: int) -> None:
    assert sorted(largest(values, count)) == sorted(np.argsort(-values, kind="stable")[:count])


@settings(deadline=None)
@given(LOGITS, st.integers(0, 20), st.data())
def test_logprobs_are_the_models_own_whatever_the_request_changes(
    logits: np.ndarray, alternatives: int, data: st.DataObject
) -> None:
    prompt = data.draw(st.lists(st.integers(0, len(logits) - 1)))
    params = SamplingParams(
        temperature=2, top_p=0.9, repetition_penalty=3, logit_bias=((0, -50.0),), logprobs=alternatives
    )
    draw = Sampler(params, prompt).draw(logits)
    assert draw.logprob is not None
    assert draw.logprob == token_logprob(logits, draw.token_id, alternatives)
    wide = logits.astype(np.float64)
    expected = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    assert draw.logprob.logprob == pytest.approx(expected[draw.token_id], abs=1e-4)
    assert [token for token, _ in draw.logprob.top] == np.argsort(-logits, kind="stable")[:alternatives].tolist()
    for token, logprob in draw.logprob.top:
        assert logprob == pytest.approx(expected[token], abs=1e-4)


def test_no_logprobs_unless_asked_for() -> None:
    assert Sampler(SamplingParams(temperature=0), []).draw(SMALL) == Draw(0, None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 299), max_size=50), st.integers(0, 2**32), st.integers(1, 200))
def test_penalties_follow_the_history_however_long(prompt: list[int], seed: int, length: int) -> None:
    params = SamplingParams(
        temperature=0, repetition_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((3, 2.0),)
    )
    random = np.random.default_rng(seed)
    sampler, answer = Sampler(params, prompt), []
    for _ in range(length):
        logits = random.standard_normal(300).astype(np.float32) * np.float32(3)
        expected = exact_logits(logits, params, prompt, answer)
        answer.append(sampler.draw(logits).token_id)
        assert expected[answer[-1]] == pytest.approx(max(expected), abs=1e-4)


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    logits = np.zeros(1000, np.float32)

    def draws(seed: int | None, index: int = 0, n: int = 1) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1, seed=seed, n=n), [], index)
        return [sampler.draw(logits).token_id for _ in range(8)]

    assert draws(7) == draws(7) == draws(7, 0, 4)
    assert draws(7) != draws(-7)
    assert draws(None) != draws(None)
    assert len({tuple(draws(7, index)) for index in range(10)}) == 10


def test_each_token_uses_one_random_number_whatever_was_drawn_before() -> None:
    def third(first: np.ndarray, second: np.ndarray, **values: Any) -> int:
        sampler = Sampler(SamplingParams(temperature=1, seed=11, **values), [])
        sampler.draw(first)
        sampler.draw(second)
        return sampler.draw(np.zeros(1000, np.float32)).token_id

    certain = np.where(np.arange(9) == 4, 50, 0).astype(np.float32)
    assert third(SMALL, WIDE) == third(certain, certain) == third(WIDE, SMALL, min_p=0.1)


def test_stop_ids_end_an_answer_unless_told_to_ignore_them() -> None:
    assert SamplingParams(stop_ids=(2, 5)).ending_ids == {2, 5}
    ignoring = SamplingParams(temperature=0, stop_ids=(0,), ignore_eos=True, min_tokens=5)
    assert ignoring.ending_ids == frozenset()
    assert Sampler(ignoring, []).draw(SMALL).token_id == 0


def test_stop_ids_are_held_back_until_min_tokens_are_drawn() -> None:
    sampler = Sampler(SamplingParams(temperature=0, stop_ids=(0, 1, 500), min_tokens=3), [])
    assert [sampler.draw(SMALL).token_id for _ in range(5)] == [2, 2, 2, 0, 0]


def draw_counts(params: SamplingParams, prompt: list[int], answer: list[int], logits: np.ndarray) -> np.ndarray:
    """How often each token is drawn after a history; a stream of its own for each draw where there is one."""
    if not answer and not prompt:
        sampler = Sampler(params, prompt)
        return np.bincount([sampler.draw(logits).token_id for _ in range(5_000)], minlength=len(logits))
    return np.bincount([draw_after(params, prompt, answer, logits, i) for i in range(2_000)], minlength=len(logits))


def draw_after(params: SamplingParams, prompt: list[int], answer: list[int], logits: np.ndarray, index: int) -> int:
    sampler = Sampler(params, prompt, index)
    for token in answer:
        certain = np.full(len(logits), -1e6, np.float32)
        certain[token] = 1e6
        assert sampler.draw(certain).token_id == token
    return sampler.draw(logits).token_id


def exact_logits(logits: Sequence[float], params: SamplingParams, prompt: list[int], answer: list[int]) -> list[float]:
    """Bias, minimum length and penalties, one token at a time."""
    values = [float(value) for value in logits]
    for token, bias in params.logit_bias:
        values[token] += bias
    if len(answer) < params.min_tokens:
        for token in params.stop_ids:
            values[token] = -INFINITY
    for token in {*prompt, *answer}:
        value, penalty = values[token], params.repetition_penalty
        value = value / penalty if value > 0 else value * penalty
        value -= params.frequency_penalty * answer.count(token) + params.presence_penalty * (token in answer)
        values[token] = value
    return values


def exact_distribution(
    logits: Sequence[float], params: SamplingParams, prompt: list[int], answer: list[int]
) -> list[float]:
    """What the sampler should follow, written from the papers in plain Python."""
    values = [value / params.temperature for value in exact_logits(logits, params, prompt, answer)]
    weights = [math.exp(value - max(values)) for value in values]
    order = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    order = [token for token in order if weights[token] > 0 and weights[token] >= params.min_p * weights[order[0]]]
    order = order[: params.top_k or None]
    if params.top_p < 1:
        total, held, size = sum(weights[token] for token in order), 0.0, 0
        while held < params.top_p * total:
            held += weights[order[size]]
            size += 1
        order = order[:size]
    total = sum(weights[token] for token in order)
    return [weights[token] / total if token in set(order) else 0.0 for token in range(len(weights))]


def pooled(counts: np.ndarray, expected: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Observed and expected counts, with rare tokens in one cell: the test wants at least five expected in each."""
    wanted = np.array(expected) * counts.sum()
    common = wanted >= 5
    cells = counts[common], wanted[common]
    if wanted[~common].sum() < 5:
        return cells
    return np.append(cells[0], counts[~common].sum()), np.append(cells[1], wanted[~common].sum())


def chi_square(counts: np.ndarray, expected: Sequence[float]) -> float:
    observed, wanted = pooled(counts, expected)
    return float(((observed - wanted) ** 2 / wanted).sum())


def chi_square_limit(counts: np.ndarray, expected: Sequence[float]) -> float:
    """What a right sampler exceeds once in a thousand seeds (Wilson and Hilferty's approximation)."""
    freedom = len(pooled(counts, expected)[0]) - 1
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + 3.09 * math.sqrt(spread)) ** 3)
