"""A text's vector is the mean of its final states: those of the logits, whatever runs beside it and however it is cut."""

from dataclasses import replace

import numpy as np
import pytest

from bise.engine.cache import bytes_per_block
from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.embedding import MeanState
from bise.engine.forward import Model
from bise.engine.sampling import SamplingParams
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from tests.engine.test_sharing import SPEC, finish, prompt
from tests.random_models import write_model

ONCE = SamplingParams(max_tokens=1)


@pytest.fixture(scope="module", params=[32, 8], ids=["float", "int8"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    from bise.engine.kernels.table import choose_kernels

    directory = write_model(tmp_path_factory.mktemp("model") / "float", SPEC)
    if request.param == 8:
        quantise_directory(directory, directory.parent / "integers", 8)
        directory = directory.parent / "integers"
    return Model(open_weights(directory), choose_kernels().kernels, num_threads=1)


def vector(engine: Engine, ids: list[int], tenant: str = "") -> np.ndarray:
    engine.add_request(Request("vector", ids, ONCE, tenant, embeds=True))
    (output,) = finish(engine)["vector", 0]
    assert (output.token_ids, output.finish_reason) == ((), "stop")
    return np.array(output.embedding)


def test_one_token_has_the_state_that_its_logits_come_from(model: Model) -> None:
    """The head times the vector is a multiple of the logits."""
    state = vector(Engine(model, EngineConfig(kv_precision="fp32")), [5])
    engine = Engine(model, EngineConfig(kv_precision="fp32"))
    engine.add_request(Request("logits", [5], replace(ONCE, temperature=0, logprobs=20)))
    (output,) = finish(engine)["logits", 0]
    head = np.array(model._weights.tensor("output.weight"))
    best = np.argsort(-(head @ state))[:3].tolist()
    assert best == [token for token, _ in output.logprobs[0].top[:3]]


def test_the_vector_is_the_same_cut_shared_or_preempted(model: Model) -> None:
    ids = prompt(100)
    whole = vector(Engine(model, EngineConfig(kv_precision="fp32")), ids)
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-6)
    cut = vector(Engine(model, EngineConfig(kv_precision="fp32", step_tokens=7, max_sequences=4)), ids)
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    warm = Engine(model, EngineConfig(kv_precision="fp32"))
    vector(warm, ids)
    np.testing.assert_allclose(vector(warm, ids), whole, atol=1e-6)
    tight = EngineConfig(
        kv_precision="fp32", step_tokens=16, max_sequences=4, cache_bytes=9 * bytes_per_block(SPEC, "fp32")
    )
    engine = Engine(model, tight)
    engine.add_request(Request("vector", ids, ONCE, embeds=True))
    for name in "abc":
        engine.add_request(Request(name, prompt(20, ord(name)), replace(ONCE, max_tokens=60)))
    np.testing.assert_allclose(np.array(finish(engine)["vector", 0][0].embedding), whole, atol=1e-6)
    assert np.abs(whole - vector(Engine(model), prompt(100, 1))).max() > 0.01


def test_a_mean_of_nothing_is_not_divided_by_zero() -> None:
    assert MeanState(np.ones(4, np.float32), 1e-5).vector() == (0.0,) * 4
