"""A request gets the same tokens whatever runs beside it, and gives back all that it was lent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.engine.blocks import blocks_for
from bise.engine.cache import bytes_per_block
from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.sampling import SamplingParams
from bise.errors import InputError
from bise.weights.files import open_weights
from bise.weights.spec import ModelSpec
from tests.random_models import TINY, random_tensors, write_model

SPEC = replace(TINY, tied_embeddings=True)
ONE_CONTEXT = blocks_for(SPEC.context_length) * bytes_per_block(SPEC)
GREEDY = SamplingParams(temperature=0, max_tokens=12)
Requests = dict[str, tuple[list[int], SamplingParams]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(tmp_path_factory.mktemp("model"), SPEC)


def load(directory: Path, spec: ModelSpec, tensors: dict[str, np.ndarray] | None = None) -> Model:
    return Model(open_weights(write_model(directory, spec, tensors)), choose_kernels().kernels, num_threads=1)


def finish(engine: Engine) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Step until idle: the tokens and the finish reason of every request."""
    tokens: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    while not engine.is_idle:
        for output in engine.step():
            assert output.request_id not in reasons, "nothing comes after the end"
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
            if output.finish_reason:
                reasons[output.request_id] = output.finish_reason
    assert engine.blocks.num_used == 0
    return tokens, reasons


def alone(model: Model, prompt: list[int], params: SamplingParams) -> list[int]:
    engine = Engine(model)
    engine.add_request(Request("x", prompt, params))
    return finish(engine)[0]["x"]


def prompt(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, SPEC.vocab_size, length).tolist()


def test_greedy_decoding_takes_the_argmax_of_a_fresh_pass_each_time(model: Model) -> None:
    ids = prompt(9)
    for token in alone(model, ids, GREEDY):
        engine = Engine(model)
        engine.add_request(Request("x", ids, SamplingParams(temperature=0, max_tokens=1)))
        assert engine.step()[0].token_ids == (token,)
        ids = [*ids, token]


def test_a_request_gets_the_same_tokens_in_any_company(model: Model) -> None:
    requests: Requests = {
        f"{length}": (prompt(length, length), SamplingParams(temperature=t, top_p=p, seed=length, max_tokens=20))
        for length, t, p in ((1, 1.0, 1.0), (5, 0.0, 1.0), (17, 0.7, 0.9), (40, 2.0, 0.5), (2, 1.0, 0.95))
    }
    expected = {name: alone(model, *request) for name, request in requests.items()}
    engine = Engine(model, EngineConfig(step_tokens=7, max_sequences=3))
    tokens: dict[str, list[int]] = {}
    for name, request in requests.items():  # they arrive while others run
        engine.add_request(Request(name, *request))
        for output in engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
    for name, rest in finish(engine)[0].items():
        tokens.setdefault(name, []).extend(rest)
    assert tokens == expected


def test_a_long_prompt_does_not_stop_a_running_answer(model: Model) -> None:
    engine = Engine(model, EngineConfig(step_tokens=4, max_sequences=4))
    engine.add_request(Request("short", prompt(3), replace(GREEDY, max_tokens=30)))
    engine.step()
    engine.add_request(Request("long", prompt(40), GREEDY))
    steps = 0
    while True:
        names = {output.request_id for output in engine.step()}
        assert "short" in names
        steps += 1
        if "long" in names:
            break
    assert steps == 14  # three prompt tokens beside the running answer's one
    finish(engine)


def test_a_stop_token_ends_the_answer_and_is_not_part_of_it(model: Model) -> None:
    tokens = alone(model, prompt(9), GREEDY)
    engine = Engine(model)
    engine.add_request(Request("x", prompt(9), replace(GREEDY, stop_ids=(tokens[5],))))
    ended, reasons = finish(engine)
    assert ended["x"] == tokens[: tokens.index(tokens[5])]
    assert reasons == {"x": "stop"}


def test_an_answer_ends_at_its_limit_or_with_the_context(model: Model) -> None:
    engine = Engine(model)
    engine.add_request(Request("limit", prompt(9), GREEDY))
    engine.add_request(Request("context", prompt(60), replace(GREEDY, max_tokens=None)))
    engine.add_request(Request("more than fits", prompt(60), replace(GREEDY, max_tokens=1000)))
    tokens, reasons = finish(engine)
    assert {name: len(ids) for name, ids in tokens.items()} == {"limit": 12, "context": 4, "more than fits": 4}
    assert set(reasons.values()) == {"length"}


def test_cancelling_frees_the_cache_at_once(model: Model) -> None:
    engine = Engine(model, EngineConfig(cache_bytes=ONE_CONTEXT))
    engine.add_request(Request("running", prompt(60), replace(GREEDY, max_tokens=None)))
    engine.add_request(Request("waiting", prompt(30), GREEDY))
    engine.add_request(Request("last", prompt(30), GREEDY))
    engine.step()
    assert engine.blocks.num_available == 0
    engine.cancel("running")
    engine.cancel("waiting")
    engine.cancel("unknown")
    assert engine.blocks.num_used == 0
    assert list(finish(engine)[0]) == ["last"]
    assert engine.stats().num_running == engine.stats().num_waiting == 0


def test_more_than_the_cache_holds_waits_and_is_answered_in_order(model: Model) -> None:
    engine = Engine(model, EngineConfig(cache_bytes=ONE_CONTEXT))
    for name in "abc":
        engine.add_request(Request(name, prompt(30), replace(GREEDY, max_tokens=None)))
    tokens, _ = finish(engine)
    assert list(tokens) == ["a", "b", "c"]
    assert tokens["a"] == tokens["b"] == tokens["c"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], ["empty"]),
        ([1] * 64, ["64 tokens", "context is 64"]),
        ([1] * 100, ["100 tokens", "context is 64"]),
        ([1, 97], ["97", "vocabulary of 97"]),
        ([-1], ["-1"]),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(model: Model, ids: list[int], words: list[str]) -> None:
    engine = Engine(model)
    with pytest.raises(InputError) as error:
        engine.add_request(Request("x", ids, GREEDY))
    assert all(word in str(error.value) for word in words)
    assert engine.is_idle


def test_memory_for_less_than_a_context_shortens_it(model: Model) -> None:
    engine = Engine(model, EngineConfig(cache_bytes=2 * bytes_per_block(SPEC)))
    with pytest.raises(InputError, match="32 tokens, but the memory set aside here holds 32"):
        engine.add_request(Request("x", prompt(32), GREEDY))
    engine.add_request(Request("x", prompt(30), GREEDY))
    tokens, reasons = finish(engine)
    assert (len(tokens["x"]), reasons["x"]) == (2, "length")


def test_a_vast_context_costs_nothing_until_used(tmp_path: Path) -> None:
    vast = replace(SPEC, context_length=10**12)
    engine = Engine(load(tmp_path, vast, random_tensors(SPEC)), EngineConfig(cache_bytes=1 << 20))
    engine.add_request(Request("x", prompt(30), GREEDY))
    assert len(finish(engine)[0]["x"]) == 12


def test_a_model_that_overflows_fails_its_request_and_not_the_engine(tmp_path: Path) -> None:
    tensors = random_tensors(SPEC)
    tensors["norm.weight"][:] = 3e38
    engine = Engine(load(tmp_path, SPEC, tensors))
    engine.add_request(Request("x", prompt(3), GREEDY))
    with np.errstate(all="ignore"):
        assert finish(engine) == ({"x": []}, {"x": "failed"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_sequences": 300}, "max_sequences is 300"),
        ({"max_sequences": 0}, "max_sequences is 0"),
        ({"step_s": 0}, "step_s is 0"),
        ({"kv_precision": "fp8"}, "'fp8', but must be one of fp32, fp16, int8"),
    ],
)
def test_limits_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EngineConfig(**changes)
