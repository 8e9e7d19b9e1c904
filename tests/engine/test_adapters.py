"""Adapters in a step: as if they were merged into the weights, and each token's bits as if it were alone."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bise.engine.batch import Adapted, Batch, PackedAdapter
from bise.engine.forward import Model
from bise.engine.kernels.instructions import available
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.engine.kernels.table import Floats, Kernels, choose_kernels
from bise.errors import InputError
from bise.weights.adapter import TARGETS, AdapterSpec, possible_targets
from bise.weights.adapters import open_adapter
from bise.weights.files import Weights, open_weights
from bise.weights.spec import ModelSpec
from tests.engine.test_fused import SHAPES as FUSED_SHAPES
from tests.engine.test_fused import WIDE, batch_of, prompt, quantised, run
from tests.random_adapters import adapter_tensors, merge, write_adapter
from tests.random_models import SHAPES, TINY, write_model

ALONE = {"rank": 3, "alpha": 5}
SOME = ("wq", "wv", "w3", "w2")


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    choice = choose_kernels()
    if choice.kernels.instruction_set is None:
        pytest.skip("this processor has no instruction set for the fused path")
    return choice.kernels


@pytest.fixture(scope="module", params=FUSED_SHAPES)
def fused(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernels: Kernels
) -> Iterator[Model]:
    directory = quantised(tmp_path_factory.mktemp("model"), FUSED_SHAPES[request.param])
    model = Model(open_weights(directory), kernels, num_threads=2, least_shared_bytes=0)
    yield model
    model.close()


def load(model: Model, directory: Path, **options: object) -> PackedAdapter:
    write_adapter(directory, model.spec, **options)  # type: ignore[arg-type]
    return model.pack_adapter(open_adapter(directory, model.spec))


def adapt(batch: Batch, *adapters: tuple[PackedAdapter, int]) -> Batch:
    """Give sequences of a batch adapters."""
    places: dict[int, list[int]] = {}
    by_id = {id(adapter): adapter for adapter, _ in adapters}
    for adapter, sequence in adapters:
        places.setdefault(id(adapter), []).extend(np.flatnonzero(batch.sequences_T == sequence).tolist())
    return replace(batch, adapted=tuple(Adapted(by_id[key], np.array(p, np.intp)) for key, p in places.items()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_float_weights_with_an_adapter_are_the_merged_ones(tmp_path: Path, shape: str, name: str) -> None:
    spec, kernels = SHAPES[shape], NUMPY_KERNELS if name == "numpy" else choose_kernels().kernels
    base = open_weights(write_model(tmp_path / "base", spec))
    floats = {tensor: base.tensor(tensor) for tensor in spec.tensor_shapes()}
    whole = batch_of((0, prompt(spec, 40), 0))
    possible = possible_targets(spec)
    for seed, targets in enumerate((possible, tuple(target for target in SOME if target in possible), ("wo",))):
        adapter = AdapterSpec(3, 5, targets)
        merged = merge(floats, spec, (adapter, adapter_tensors(adapter, spec, seed)))
        model = Model(base, kernels, 1)
        packed = load(model, tmp_path / f"{seed}", **ALONE, targets=targets, seed=seed)
        (ours,) = run(model, adapt(whole, (packed, 0)), precision="fp32")
        (plain,) = run(model, whole, precision="fp32")
        expected_model = Model(open_weights(write_model(tmp_path / f"merged-{seed}", spec, merged)), kernels, 1)
        (expected,) = run(expected_model, whole, precision="fp32")
        assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()
        assert np.abs(plain - expected).max() > 0.1 * np.abs(expected).max(), "the adapter changes something"


@pytest.mark.parametrize("targets", [TARGETS, SOME, ("wk",)])
@pytest.mark.parametrize("rank", [1, 8, 19])
def test_the_fused_step_with_an_adapter_is_the_merged_model_but_for_rounded_activations(
    tmp_path: Path, kernels: Kernels, targets: tuple[str, ...], rank: int
) -> None:
    spec = replace(WIDE, num_layers=1)
    weights = open_weights(quantised(tmp_path / "base", spec))
    floats = {name: weights.tensor(name) for name in spec.tensor_shapes()}
    adapter = AdapterSpec(rank, rank / 2, targets)
    merged = merge(floats, spec, (adapter, adapter_tensors(adapter, spec)))
    model = Model(weights, kernels)
    exact = Model(open_weights(write_model(tmp_path / "merged", spec, merged)), kernels)
    assert (model.is_fused, exact.is_fused) == (True, False)
    whole = batch_of((0, prompt(spec, 200), 0))
    packed = load(model, tmp_path / "adapter", rank=rank, alpha=rank / 2, targets=targets)
    (ours,), (expected,), (plain,) = run(model, adapt(whole, (packed, 0))), run(exact, whole), run(model, whole)
    assert np.linalg.norm(ours - expected) < 0.03 * np.linalg.norm(expected)
    assert np.linalg.norm(plain - expected) > 0.1 * np.linalg.norm(expected), "the adapter changes something"
    model.close()
    exact.close()


def check_company(model: Model, directory: Path) -> None:
    """Sequences with two adapters and none, batched and in chunks, have the bits of each alone."""
    first, second = load(model, directory / "1", rank=2, seed=1), load(model, directory / "2", rank=11, seed=2)
    one, two, three = prompt(model.spec, 60, 1), prompt(model.spec, 45, 2), prompt(model.spec, 50, 3)
    (alone_1,) = run(model, adapt(batch_of((0, one, 0)), (first, 0)))
    (alone_2,) = run(model, adapt(batch_of((1, two, 0)), (second, 1)))
    (alone_3,) = run(model, batch_of((2, three, 0)))
    steps = batch_of((1, two[:9], 0), (0, one[:59], 0), (2, three, 0)), batch_of((0, one, 59), (1, two, 9))
    began, went_on = run(model, *(adapt(step, (first, 0), (second, 1)) for step in steps))
    np.testing.assert_array_equal(np.concatenate([began[:9], went_on[1:]]), alone_2)
    np.testing.assert_array_equal(np.concatenate([began[9:68], went_on[:1]]), alone_1)
    np.testing.assert_array_equal(began[68:], alone_3)
    pieces = [batch_of((0, one[:end], start)) for start, end in pairwise((0, 1, 2, 40, 60))]
    np.testing.assert_array_equal(np.concatenate(run(model, *(adapt(piece, (first, 0)) for piece in pieces))), alone_1)
    (both,) = run(model, adapt(batch_of((0, one, 0), (1, two, 0)), (second, 0), (second, 1)))
    np.testing.assert_array_equal(both[60:], alone_2)


def test_company_changes_no_bit_in_the_fused_step(fused: Model, tmp_path: Path) -> None:
    check_company(fused, tmp_path)


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_company_changes_no_bit_operation_by_operation(tmp_path: Path, name: str) -> None:
    kernels = NUMPY_KERNELS if name == "numpy" else choose_kernels().kernels
    check_company(Model(open_weights(write_model(tmp_path / "model", TINY)), kernels, 2), tmp_path)


def test_zeros_change_no_bit(fused: Model, tmp_path: Path) -> None:
    whole = batch_of((0, prompt(fused.spec, 70), 0))
    zeros = load(fused, tmp_path, size=0)
    np.testing.assert_array_equal(run(fused, adapt(whole, (zeros, 0))), run(fused, whole))


def test_values_of_every_size_keep_their_digits(tmp_path: Path, kernels: Kernels) -> None:
    """Packing fits each rank into float16 by a power of two, so tiny and huge sides of a product cost nothing."""
    model = Model(open_weights(quantised(tmp_path / "model", WIDE)), kernels)
    spec = AdapterSpec(4, 8, TARGETS)
    tensors = adapter_tensors(spec, WIDE)
    whole, found = batch_of((0, prompt(WIDE, 30), 0)), []
    for power in (0, 60, -60):
        scaled = {name: np.ldexp(value, power if "lora_A" in name else -power) for name, value in tensors.items()}
        packed = model.pack_adapter(FromTensors(spec, WIDE, scaled))  # type: ignore[arg-type]
        found += run(model, adapt(whole, (packed, 0)))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    model.close()


class FromTensors:
    """An adapter that is in no file."""

    def __init__(self, spec: AdapterSpec, model: ModelSpec, tensors: dict[str, Floats]) -> None:
        from bise.weights.adapter import tensor_name

        self.spec = spec
        self._pairs = {
            matrix: (tensors[tensor_name(matrix, "A")], tensors[tensor_name(matrix, "B")])
            for matrix in spec.matrices(model.num_layers)
        }

    def pair(self, matrix: str) -> tuple[Floats, Floats] | None:
        return self._pairs.get(matrix)


@pytest.mark.slow
@pytest.mark.parametrize("name", available())
def test_every_instruction_set_obeys_the_laws_with_adapters(tmp_path: Path, name: str) -> None:
    weights = open_weights(quantised(tmp_path / "model", WIDE, 4))
    model = Model(weights, choose_kernels(instruction_set=name).kernels, 3, least_shared_bytes=0)
    check_company(model, tmp_path)
    model.close()


def test_a_damaged_adapter_is_a_sentence(tmp_path: Path) -> None:
    weights: Weights = open_weights(write_model(tmp_path / "model", TINY))
    other = write_adapter(tmp_path / "other", replace(TINY, ffn_size=128))
    with pytest.raises(InputError, match="made for"):
        open_adapter(other, TINY)
    broken = write_adapter(tmp_path / "broken", TINY)
    file = broken / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(InputError, match="not numbers"):
        Model(weights, NUMPY_KERNELS).pack_adapter(open_adapter(broken, TINY))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        open_adapter(broken, TINY)
