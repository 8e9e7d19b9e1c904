"""What is kept packed on the disk is what packing makes, whatever happened to the file, and it is packed once."""

import os
from pathlib import Path

import numpy as np
import pytest

from bise.engine.packed import PackedMatrices, cache_path
from bise.weights.files import Weights, open_weights
from bise.weights.quantise import quantise_directory
from tests.random_models import TINY, write_model

NAMES = [f"layers.0.attention.{name}.weight" for name in ("wq", "wk", "wv")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bise/kernels"
    (tmp_path / "cache/bise").mkdir(parents=True)
    kernels.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache/bise/kernels").symlink_to(kernels)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=[4, 8])
def weights(tmp_path: Path, request: pytest.FixtureRequest) -> Weights:
    quantise_directory(write_model(tmp_path / "float", TINY), tmp_path / "int", request.param)
    return open_weights(tmp_path / "int")


def load(weights: Weights) -> list[np.ndarray]:
    matrices = PackedMatrices(weights, least_parameters=0)
    found = [
        matrices.joined(NAMES),
        matrices.in_turn("layers.1.feed_forward.w1.weight", "layers.1.feed_forward.w3.weight"),
    ]
    matrices.finish()
    return [matrix.data for matrix in found]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_second_start_maps_what_the_first_packed(weights: Weights) -> None:
    first = load(weights)
    assert all(matrix.flags.writeable for matrix in first)
    second = load(weights)
    assert not any(matrix.flags.writeable for matrix in second)  # mapped
    assert all(matrix.ctypes.data % 64 == 0 for matrix in second)
    assert_same(second, first)


def test_other_weights_are_packed_anew(weights: Weights, tmp_path: Path) -> None:
    load(weights)
    path = cache_path(weights)
    os.utime(weights.path, ns=(1, 1))
    assert cache_path(weights) != path
    assert all(matrix.flags.writeable for matrix in load(weights))


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_file_that_was_cut_short_does_no_harm(weights: Weights, size: int) -> None:
    first = load(weights)
    os.truncate(cache_path(weights), size)
    assert_same(load(weights), first)


def test_a_disk_that_takes_nothing_does_no_harm(weights: Weights, caplog: pytest.LogCaptureFixture) -> None:
    path = cache_path(weights)
    path.parents[1].parent.mkdir(parents=True, exist_ok=True)
    path.parents[1].write_text("in the way", encoding="utf-8")
    first = load(weights)
    assert_same(load(weights), first)
    assert "is not kept" in caplog.text


def test_small_models_are_not_kept(weights: Weights) -> None:
    matrices = PackedMatrices(weights)
    matrices.joined(NAMES)
    matrices.finish()
    assert not cache_path(weights).exists()
