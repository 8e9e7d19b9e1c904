"""The forward pass gives the logits of our PyTorch model, whatever the shape, and the same bits however tokens are batched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.engine.cache import KVCache
from bise.engine.forward import Batch, Model
from bise.engine.kernels.cells import KVPrecision
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.engine.kernels.table import Floats, Kernels, choose_kernels
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from bise.weights.spec import ModelSpec
from tests.random_models import SHAPES, TINY, write_model

BLOCKS = 4  # of each sequence: 64 tokens


def batch_of(*pieces: tuple[int, list[int], int]) -> Batch:
    """A batch of (sequence, its tokens, how many of them are cached), each sequence with four blocks of its own."""
    rows = [(s, i, tokens[i]) for s, tokens, cached in pieces for i in range(cached, len(tokens))]
    sequence, position, token = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    blocks = np.arange(3 * BLOCKS, dtype=np.int32)[::-1].reshape(3, BLOCKS).copy()  # not in order, as in a used cache
    slots = (blocks[sequence, position // 16] * 16 + position % 16).astype(np.int32)
    return Batch(token, position, sequence, slots, blocks, np.arange(len(rows)))


def run(model: Model, *steps: Batch, precision: KVPrecision = "fp32") -> list[Floats]:
    cache = KVCache(model.spec, 3 * BLOCKS, precision)
    return [model.forward(step, cache) for step in steps]


def prompt(spec: ModelSpec, length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, spec.vocab_size, length).tolist()


@pytest.fixture(scope="module", params=["numba", "numpy"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    if request.param == "numpy":
        return NUMPY_KERNELS
    choice = choose_kernels()
    assert choice.kernels.name == "numba", choice.reason
    return choice.kernels


@pytest.mark.parametrize("shape", SHAPES)
def test_cached_batched_and_chunked_are_the_same_bits(tmp_path: Path, kernels: Kernels, shape: str) -> None:
    spec = SHAPES[shape]
    model = Model(open_weights(write_model(tmp_path, spec)), kernels, num_threads=1)
    one, two, three = prompt(spec, 37, 1), prompt(spec, 5, 2), prompt(spec, 18, 3)
    (whole,) = run(model, batch_of((0, one, 0)))
    decoded = run(model, *(batch_of((0, one[: i + 1], i)) for i in range(len(one))))
    np.testing.assert_array_equal(np.concatenate(decoded), whole)
    chunked = run(model, *(batch_of((0, one[:end], start)) for start, end in ((0, 7), (7, 16), (16, 17), (17, 37))))
    np.testing.assert_array_equal(np.concatenate(chunked), whole)
    first, second = run(
        model,
        batch_of((1, two[:2], 0), (0, one[:20], 0), (2, three, 0)),
        batch_of((0, one, 20), (1, two, 2)),
    )
    np.testing.assert_array_equal(first[2:22], whole[:20])
    np.testing.assert_array_equal(second[:17], whole[20:])


def test_threads_change_nothing(tmp_path: Path, kernels: Kernels) -> None:
    spec = replace(TINY, hidden_size=320, ffn_size=1024)  # products large enough to be shared
    weights = open_weights(write_model(tmp_path, spec))
    ids = prompt(spec, 40)
    alone = run(Model(weights, kernels, num_threads=1), batch_of((0, ids, 0)))[0]
    threaded = Model(weights, kernels, num_threads=3)
    np.testing.assert_array_equal(run(threaded, batch_of((0, ids, 0)))[0], alone)
    threaded.close()


def test_int8_weights_compute_what_their_float_twin_computes(tmp_path: Path, kernels: Kernels) -> None:
    source = write_model(tmp_path / "float", TINY)
    quantise_directory(source, tmp_path / "int8")
    quantised = open_weights(tmp_path / "int8")
    twin = {name: quantised.tensor(name) for name in TINY.tensor_shapes()}
    ids = prompt(TINY, 23)
    expected = run(Model(open_weights(write_model(tmp_path / "twin", TINY, twin)), kernels), batch_of((0, ids, 0)))[0]
    logits = run(Model(quantised, kernels, activations="float32"), batch_of((0, ids, 0)))[0]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    full = run(Model(open_weights(source), kernels), batch_of((0, ids, 0)))[0]
    assert np.linalg.norm(logits - full) < 0.05 * np.linalg.norm(full)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "expert" not in shape])
def test_logits_equal_those_of_our_pytorch_model(tmp_path: Path, kernels: Kernels, shape: str) -> None:
    torch = pytest.importorskip("torch")
    from bise.model.files import load_model

    spec = SHAPES[shape]
    directory = write_model(tmp_path, spec)
    ids = prompt(spec, 40)
    with torch.no_grad():
        expected = load_model(directory).eval()(torch.tensor([ids]))[0].numpy()
    (logits,) = run(Model(open_weights(directory), kernels), batch_of((0, ids, 0)))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
