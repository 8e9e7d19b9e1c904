"""What a request says about its sampling holds in the engine, alone or in a crowd."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bise.engine.core import Engine, EngineConfig, Request, StepOutput
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.sampling import SamplingParams
from bise.errors import InputError
from bise.weights.files import open_weights
from tests.random_models import TINY, write_model

PROMPT = [5, 6, 7, 5]
ALL_IDS = tuple(range(TINY.vocab_size))
SAMPLED = SamplingParams(temperature=1, max_tokens=20, seed=9)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "filters": {"top_k": 20, "top_p": 0.9, "min_p": 0.01},
    "penalties": {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    "bias": {"logit_bias": ((3, 5.0), (4, -math.inf))},
    "length": {"min_tokens": 10, "stop_ids": ALL_IDS[:40]},
    "log probabilities": {"logprobs": 4, "prompt_logprobs": 2},
    "several": {"n": 3},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory: Path = write_model(tmp_path_factory.mktemp("model"), TINY)
    return Model(open_weights(directory), choose_kernels().kernels, num_threads=1)


def outputs_of(engine: Engine) -> list[StepOutput]:
    outputs = []
    while not engine.is_idle:
        outputs += engine.step()
    return outputs


def answers(model: Model, *requests: Request, config: EngineConfig | None = None) -> dict[str, list[StepOutput]]:
    """Each request's outputs, without how many tokens it shared: that depends on the company."""
    engine = Engine(model, config)
    for request in requests:
        engine.add_request(request)
    outputs = [replace(output, num_cached_tokens=0) for output in outputs_of(engine)]
    return {request.request_id: [o for o in outputs if o.request_id == request.request_id] for request in requests}


def tokens_of(outputs: list[StepOutput], index: int = 0) -> list[int]:
    return [token for output in outputs if output.index == index for token in output.token_ids]


def test_a_seed_gives_the_same_answer_in_any_company(model: Model) -> None:
    requests = [Request(kind, PROMPT, replace(SAMPLED, **values)) for kind, values in KINDS.items()]
    crowd = answers(model, *requests, config=EngineConfig(step_tokens=7, max_sequences=4))
    for request in requests:
        alone = answers(model, request)[request.request_id]
        for index in range(request.params.n):
            mine = [output for output in alone if output.index == index]
            assert mine == [output for output in crowd[request.request_id] if output.index == index]


def test_ends_are_held_back_until_min_tokens_and_ignored_when_told_so(model: Model) -> None:
    ending = replace(SAMPLED, stop_ids=ALL_IDS[:-1])
    assert answers(model, Request("a", PROMPT, ending))["a"][-1].finish_reason == "stop"
    for least in (1, 5, 20):
        outputs = answers(model, Request("a", PROMPT, replace(ending, min_tokens=least)))["a"]
        assert tokens_of(outputs)[:least] == [96] * least
        assert outputs[-1].finish_reason == ("length" if least == 20 else "stop")
    ignoring = answers(model, Request("a", PROMPT, replace(ending, ignore_eos=True)))["a"]
    assert len(tokens_of(ignoring)) == 20
    assert set(tokens_of(ignoring)) != {96}


def test_a_bias_decides_and_one_outside_the_vocabulary_is_refused(model: Model) -> None:
    forced = answers(model, Request("a", PROMPT, replace(SAMPLED, logit_bias=((11, 100.0),))))["a"]
    assert tokens_of(forced) == [11] * 20
    with pytest.raises(InputError, match="token 97, which is outside the vocabulary of 97"):
        Engine(model).add_request(Request("a", PROMPT, replace(SAMPLED, logit_bias=((97, 1.0),))))
