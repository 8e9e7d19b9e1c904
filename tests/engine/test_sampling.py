"""Sampling follows the distribution that its parameters describe, and its seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bise.engine.sampling import Sampler, SamplingParams, nucleus, softmax
from bise.errors import InputError

LOGITS = np.log(np.array([0.5, 0.2, 0.15, 0.1, 0.05], np.float32))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 5.1}, "from 0 to 5"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": float("nan")}, "top_p is nan"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"seed": 2**64}, "64 bits"),
        ({"seed": -(2**63) - 1}, "64 bits"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(InputError) as error:
        SamplingParams(**values)  # type: ignore[arg-type]
    assert words in str(error.value)


def test_temperature_zero_takes_the_most_likely() -> None:
    sampler = Sampler(SamplingParams(temperature=0))
    assert [sampler.draw(LOGITS) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_distribution(temperature: float) -> None:
    sampler = Sampler(SamplingParams(temperature=temperature, seed=1))
    counts = np.bincount([sampler.draw(LOGITS) for _ in range(20_000)], minlength=5) / 20_000
    expected = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    np.testing.assert_allclose(counts, expected, atol=0.015)


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, st.integers(1, 200), elements=st.floats(-30, 30, width=32)),
    st.floats(0.01, 1, exclude_max=False),
)
def test_the_nucleus_is_the_fewest_tokens_that_hold_top_p(logits: np.ndarray, top_p: float) -> None:
    everything = softmax(logits)
    np.testing.assert_allclose(everything.sum(), 1)
    tokens = nucleus(everything, top_p)
    held = everything[tokens]
    assert len(set(tokens.tolist())) == len(tokens)
    if top_p == 1:
        assert len(tokens) == len(everything)
        return
    assert (np.diff(held) <= 0).all()
    left_out = np.delete(everything, tokens)
    assert left_out.size == 0 or left_out.max() <= held[-1] + 1e-12
    assert held.sum() >= top_p - 1e-9
    assert held[:-1].sum() < top_p + 1e-9


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    logits = np.zeros(1000, np.float32)

    def draws(seed: int | None) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1, seed=seed))
        return [sampler.draw(logits) for _ in range(8)]

    assert draws(7) == draws(7)
    assert draws(7) != draws(-7)
    assert draws(None) != draws(None)
