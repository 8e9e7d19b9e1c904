"""On the real model: shared = fresh, in company = alone, in chunks = whole, preempted = undisturbed, bit for bit."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.engine.cache import bytes_per_block
from bise.engine.core import Engine, EngineConfig, Request, StepOutput
from bise.engine.forward import Model
from bise.engine.kernels.cells import KVPrecision
from bise.engine.kernels.table import BLOCK, choose_kernels
from bise.engine.sampling import SamplingParams
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from tests.random_models import TINY, write_model

SPEC = replace(TINY, context_length=200)
PARAMS = SamplingParams(temperature=1, seed=7, max_tokens=20, logprobs=3)


@dataclass
class Setting:
    """A model and how its keys and values are kept."""

    model: Model
    kv_precision: KVPrecision

    def engine(self, **changes: Any) -> Engine:
        return Engine(self.model, EngineConfig(kv_precision=self.kv_precision, **changes))

    def alone(self, request: Request) -> tuple[object, ...]:
        return answers(self.engine(prefix_sharing=False), request)[request.request_id, 0]


@pytest.fixture(scope="module", params=[(32, "fp32"), (8, "int8"), (4, "fp16")], ids=str)
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    bits, precision = request.param
    directory = write_model(tmp_path_factory.mktemp("model") / "float", SPEC)
    if bits != 32:
        quantise_directory(directory, directory.parent / "integers", bits)
        directory = directory.parent / "integers"
    return Setting(Model(open_weights(directory), choose_kernels().kernels, num_threads=1), precision)


def prompt(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, SPEC.vocab_size, length).tolist()


def finish(engine: Engine) -> dict[tuple[str, int], list[StepOutput]]:
    outputs: dict[tuple[str, int], list[StepOutput]] = {}
    while not engine.is_idle:
        for output in engine.step():
            outputs.setdefault((output.request_id, output.index), []).append(output)
    assert engine.blocks.num_used == 0
    return outputs


def answers(engine: Engine, *requests: Request) -> dict[tuple[str, int], tuple[object, ...]]:
    """Tokens and log probabilities of every answer, to be compared bit for bit."""
    for request in requests:
        engine.add_request(request)
    return {
        name: (
            [token for output in outputs for token in output.token_ids],
            [logprob for output in outputs for logprob in output.logprobs],
            outputs[0].prompt_logprobs,
        )
        for name, outputs in finish(engine).items()
    }


@pytest.mark.parametrize("length", [1, 15, 16, 17, 33, 64, 100])
def test_a_shared_beginning_changes_no_bit(setting: Setting, length: int) -> None:
    request = Request("x", prompt(length), PARAMS)
    engine = setting.engine()
    first = answers(engine, request)
    engine.add_request(request)
    again = finish(engine)["x", 0]
    assert first["x", 0] == setting.alone(request)
    assert [token for output in again for token in output.token_ids] == first["x", 0][0]
    assert [logprob for output in again for logprob in output.logprobs] == first["x", 0][1]
    assert {output.num_cached_tokens for output in again} == {(length - 1) // 16 * 16}


def test_the_next_turn_of_a_conversation_computes_only_what_is_new(setting: Setting) -> None:
    engine = setting.engine()
    said = answers(engine, Request("1", prompt(50), PARAMS))["1", 0][0]
    assert isinstance(said, list)
    following = Request("2", [*prompt(50), *said, *prompt(9, 1)], PARAMS)
    engine.add_request(following)
    outputs = finish(engine)["2", 0]
    assert outputs[0].num_cached_tokens == 64, "the answer's blocks are shared as the prompt's are"
    assert [token for output in outputs for token in output.token_ids] == setting.alone(following)[0]


def test_two_tenants_share_nothing(setting: Setting) -> None:
    engine = setting.engine()
    for tenant in "ab":
        engine.add_request(Request(tenant, prompt(50), PARAMS, tenant=tenant))
        engine.step()
        engine.step()
    assert engine.stats().num_used_blocks == 8
    outputs = finish(engine)
    engine.add_request(Request("c", prompt(50), PARAMS, tenant="c"))
    assert finish(engine)["c", 0][0].num_cached_tokens == outputs["b", 0][0].num_cached_tokens == 0


def test_several_answers_are_those_of_single_requests(setting: Setting) -> None:
    params = replace(PARAMS, n=4, prompt_logprobs=2)
    several = answers(setting.engine(), Request("x", prompt(40), params))
    assert len({tuple(answer[0]) for answer in several.values()}) > 1, "each answer has random numbers of its own"
    unshared = answers(setting.engine(prefix_sharing=False), Request("x", prompt(40), params))
    assert several == unshared
    assert several["x", 0] == setting.alone(Request("x", prompt(40), replace(params, n=1)))


def test_log_probabilities_of_the_prompt_are_those_of_its_tokens_when_drawn(setting: Setting) -> None:
    engine = setting.engine(step_tokens=32)
    first = answers(engine, Request("x", prompt(40), replace(PARAMS, prompt_logprobs=3)))["x", 0]
    assert isinstance(first[0], list)
    assert isinstance(first[1], list)
    following = Request("y", [*prompt(40), *first[0]], replace(PARAMS, prompt_logprobs=3, max_tokens=1))
    engine.add_request(following)
    (output,) = finish(engine)["y", 0]
    assert output.num_cached_tokens == 0, "its logits are wanted, so it is computed"
    assert output.prompt_logprobs == (*first[2], *first[1])


def test_what_stands_before_the_scored_part_of_a_prompt_is_shared(setting: Setting) -> None:
    engine, params = setting.engine(), replace(PARAMS, prompt_logprobs=3, max_tokens=1)
    engine.add_request(Request("x", prompt(70), params))
    (whole,) = finish(engine)["x", 0]
    for start in (1, BLOCK, BLOCK + 1, 50, 69, 70):
        engine.add_request(Request("y", prompt(70), replace(params, scored_from=start)))
        (output,) = finish(engine)["y", 0]
        assert whole.prompt_logprobs is not None
        assert output.prompt_logprobs == (*[None] * start, *whole.prompt_logprobs[start:])
        assert output.num_cached_tokens == (start - 1) // BLOCK * BLOCK
        assert output.token_ids == whole.token_ids


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_company_chunks_and_preemption_change_no_bit(setting: Setting, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    requests = []
    for number in range(5):
        beginning = prompt(90, int(random.integers(2)))[: random.integers(1, 90)]
        params = replace(
            PARAMS,
            seed=number,
            max_tokens=int(random.choice([3, 30, 60])),
            prompt_logprobs=[None, None, 2][random.integers(3)],
        )
        priority = "batch" if random.random() < 0.4 else "interactive"
        requests.append(Request(str(number), beginning + prompt(3, number), params, priority=priority))
    sequences = int(random.integers(1, 6))
    engine = setting.engine(
        step_tokens=sequences + int(random.integers(0, 60)),
        max_sequences=sequences,
        cache_bytes=int(random.integers(11, 20)) * bytes_per_block(SPEC, setting.kv_precision),
    )
    together = answers(engine, *requests)
    for request in requests:
        assert together[request.request_id, 0] == setting.alone(request)
