"""Proposals change the time alone: every answer has the bits that it has without them, drawn or greedy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.core import Engine, EngineConfig, Request, StepOutput
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.lookup import LONGEST_PAUSE, NGRAM, Lookup
from bise.engine.sampling import SamplingParams
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from tests.random_models import TINY, write_model

SPEC = replace(TINY, context_length=400)
FEW = tuple((token, 50.0) for token in (11, 21, 31))  # of three tokens, some are soon to be guessed
SAMPLING: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "nearly greedy": {"temperature": 0.05, "seed": 1},
    "drawn": {"temperature": 0.4, "top_p": 0.9, "top_k": 7, "seed": 2},
    "penalties": {"temperature": 0.1, "frequency_penalty": 0.1, "repetition_penalty": 1.02, "seed": 3},
    "log probabilities": {"temperature": 0.05, "logprobs": 2, "seed": 4},
    "scored prompt": {"temperature": 0, "prompt_logprobs": 1},
    "several answers": {"temperature": 0.1, "n": 3, "seed": 5},
    "ends": {"temperature": 0.05, "seed": 6, "stop_ids": (11,), "min_tokens": 40},
}


@pytest.fixture(scope="module", params=[32, 8])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory: Path = write_model(tmp_path_factory.mktemp("model") / "float", SPEC)
    if request.param != 32:
        quantise_directory(directory, directory.parent / "integers", request.param)
        directory = directory.parent / "integers"
    return Model(open_weights(directory), choose_kernels().kernels, num_threads=1)


def prompt(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, SPEC.vocab_size, 30).tolist()


def answers(engine: Engine, *requests: Request) -> dict[tuple[str, int], tuple[object, ...]]:
    """All that is told of each answer, however it is divided among steps."""
    outputs: dict[tuple[str, int], list[StepOutput]] = {}
    for request in requests:
        engine.add_request(request)
    while not engine.is_idle:
        for output in engine.step():
            outputs.setdefault((output.request_id, output.index), []).append(output)
    assert engine.blocks.num_used == 0
    return {
        key: (
            [token for output in each for token in output.token_ids],
            [logprob for output in each for logprob in output.logprobs],
            each[0].prompt_logprobs,
            each[-1].finish_reason,
        )
        for key, each in outputs.items()
    }


def requests_of(max_tokens: int = 90) -> list[Request]:
    return [
        Request(name, prompt(seed), SamplingParams(max_tokens=max_tokens, logit_bias=FEW, **sampling))
        for seed, (name, sampling) in enumerate(SAMPLING.items())
    ]


def test_every_answer_is_the_same_with_and_without(model: Model) -> None:
    held = proposed = 0
    for request in requests_of():
        engine = Engine(model)
        assert answers(engine, request) == answers(Engine(model, EngineConfig(speculation=False)), request)
        held += engine.stats().num_held_tokens
        proposed += engine.stats().num_proposed_tokens
    assert 100 < held < proposed, "some hold, some do not"


def test_company_and_want_of_memory_change_nothing(model: Model) -> None:
    from bise.engine.cache import bytes_per_block

    expected = answers(Engine(model, EngineConfig(speculation=False)), *requests_of())
    for config in (EngineConfig(max_sequences=3, step_tokens=12), EngineConfig(cache_bytes=20 * bytes_per_block(SPEC))):
        assert answers(Engine(model, config), *requests_of()) == expected


@pytest.mark.parametrize("max_tokens", [1, 2, 15, 16, 17, 31])
def test_no_answer_is_longer_than_it_may_be(model: Model, max_tokens: int) -> None:
    request = Request("x", [1, 2, 3] * 8, SamplingParams(temperature=0, max_tokens=max_tokens))
    ((ids, _, _, reason),) = answers(Engine(model), request).values()
    assert (len(ids), reason) == (max_tokens, "length")


def test_copying_takes_few_steps(model: Model) -> None:
    engine, num_steps = Engine(model), 0
    params = SamplingParams(temperature=0, max_tokens=300, logit_bias=((5, 100.0),))
    engine.add_request(Request("x", prompt(0), params))
    while not engine.is_idle:
        engine.step()
        num_steps += 1
    assert num_steps < 30
    assert engine.stats().num_drawn_tokens == 300


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 20))
def test_what_followed_last_is_proposed(tokens: list[int], most: int) -> None:
    proposed = Lookup().propose(tokens, most)
    known = [p for p in range(NGRAM, len(tokens)) if tokens[p - NGRAM : p] == tokens[-NGRAM:]]
    assert bool(proposed) == bool(known)
    text = list(tokens)
    for token in proposed:
        assert token == text[known[-1]]
        text.append(token)
        known[-1] += 1
    assert len(proposed) <= most


def test_it_turns_itself_down_while_nothing_holds_and_up_again() -> None:
    lookup, tokens, made = Lookup(), [1, 2, 3] * 10, []
    for step in range(200):
        proposed = lookup.propose(tokens, 16)
        if proposed:
            lookup.observe(len(proposed), 0)
            made.append(step)
    assert len(made) < 12
    assert made[-1] - made[-2] == LONGEST_PAUSE + 1
    while not (proposed := lookup.propose(tokens, 16)):
        pass
    lookup.observe(len(proposed), len(proposed))
    assert len(lookup.propose(tokens, 16)) == 2 * len(proposed)
