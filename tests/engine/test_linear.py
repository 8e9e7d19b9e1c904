"""Integer products equal the reference on awkward shapes, bit for bit the same in every batch, split and set."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.engine.kernels.instructions import InstructionSet, available, choose_instruction_set
from bise.engine.kernels.linear import load_multiply, load_quantise
from bise.engine.kernels.packing import num_tiles, pack_matrix, padded_columns, unpack_matrix
from bise.engine.kernels.table import TILE, Floats
from bise.errors import InputError

BEST = available()[0] if available() else None
SETS = [name if name == BEST else pytest.param(name, marks=pytest.mark.slow) for name in available()]
pytestmark = pytest.mark.skipif(BEST is None, reason="the processor has no instruction set of the integer kernels")


@dataclass(frozen=True)
class Activations:
    values: Any  # int8 [K / 32, T, 32]
    scales: Floats  # [K / 32, T]
    offsets: Any  # int32 [K / 32, T]


@dataclass(frozen=True)
class Matrix:
    values: Any  # int8 [N, K]
    scales: Any  # float16 [N, K / 32]
    bits: int

    @property
    def packed(self) -> Any:
        return pack_matrix(self.values, self.scales, self.bits)


def random_matrix(rows: int, groups: int, bits: int, seed: int = 0) -> Matrix:
    random = np.random.default_rng([seed, rows, groups, bits])
    lowest, highest = {4: (-8, 7), 8: (-127, 127)}[bits]
    values = random.integers(lowest, highest + 1, (rows, 32 * groups)).astype(np.int8)
    return Matrix(values, random.standard_normal((rows, groups)).astype(np.float16), bits)


def quantise(x_TK: Floats) -> Activations:
    """By the product's own kernel, with the groups beyond the last column at zero."""
    tokens, columns = x_TK.shape
    groups = padded_columns(columns) // 32
    found = Activations(
        np.zeros((groups, tokens, 32), np.int8),
        np.zeros((groups, tokens), np.float32),
        np.zeros((groups, tokens), np.int32),
    )
    load_quantise()(x_TK, found.values, found.scales, found.offsets)
    return found


def random_activations(tokens: int, groups: int, seed: int = 0) -> Activations:
    return quantise(np.random.default_rng([seed, tokens, groups]).standard_normal((tokens, 32 * groups), np.float32))


def multiply(name: str, matrix: Matrix, x: Activations, tiles: tuple[int, int] | None = None) -> Floats:
    packed = matrix.packed
    first, last = tiles or (0, len(packed))
    y = np.full((x.values.shape[1], len(packed) * TILE), np.nan, np.float32)
    columns = padded_columns(matrix.values.shape[1])
    load_multiply(name)(
        InstructionSet(name), matrix.bits, packed, columns, x.values, x.scales, x.offsets, first, last, y
    )
    return y


def reference(matrix: Matrix, x: Activations) -> Floats:
    """Exact sums of integers, a group at a time, then float64: what the kernels round to float32 once a group."""
    rows, columns = matrix.values.shape
    groups = columns // 32
    weights = matrix.values.reshape(rows, groups, 32).astype(np.int64)
    sums_NGT = np.einsum("ngi,gti->ngt", weights, x.values[:groups].astype(np.int64))
    scales_NGT = matrix.scales.astype(np.float64)[:, :, None] * x.scales[None, :groups]
    return (sums_NGT * scales_NGT).sum(1).T


def assert_close(ours: Floats, exact: Floats) -> None:
    np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-6 * max(1, np.abs(exact).max()))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (16, 2), (33, 3), (97, 6), (64, 65)])
def test_products_equal_the_reference(name: str, bits: int, rows: int, groups: int) -> None:
    matrix = random_matrix(rows, groups, bits)
    for tokens in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 31, 70):
        x = random_activations(tokens, groups)
        y = multiply(name, matrix, x)
        assert_close(y[:, :rows], reference(matrix, x))
        assert not y[:, rows:].any(), "rows that fill up a tile are zero"


@cache
def wide_case(bits: int) -> tuple[Matrix, Activations]:
    return random_matrix(7 * 32, 5, bits), random_activations(300, 5)


@pytest.mark.parametrize("name", SETS)
@settings(deadline=None, max_examples=60)
@given(bits=st.sampled_from([4, 8]), tokens=st.integers(1, 300), data=st.data())
def test_a_result_does_not_depend_on_tokens_or_tiles_beside_it(name: str, bits: int, tokens: int, data: Any) -> None:
    matrix, x = wide_case(bits)
    first = data.draw(st.integers(0, 13))
    last = data.draw(st.integers(first + 1, 14))
    start = data.draw(st.integers(0, 300 - tokens))
    some = slice(start, start + tokens)
    part = Activations(*(np.ascontiguousarray(a[:, some]) for a in (x.values, x.scales, x.offsets)))
    y = multiply(name, matrix, part, (first, last))
    rows = slice(first * TILE, last * TILE)
    np.testing.assert_array_equal(y[:, rows], alone(name, bits)[some, rows])
    assert np.isnan(y[:, : rows.start]).all()
    assert np.isnan(y[:, rows.stop :]).all()


@cache
def alone(name: str, bits: int) -> Floats:
    """Every token by itself."""
    matrix, x = wide_case(bits)
    parts = [
        Activations(*(np.ascontiguousarray(a[:, t : t + 1]) for a in (x.values, x.scales, x.offsets)))
        for t in range(300)
    ]
    return np.concatenate([multiply(name, matrix, part) for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_all_instruction_sets_give_the_same_bits(bits: int) -> None:
    matrix, x = wide_case(bits)
    results = [multiply(name, matrix, x) for name in available()]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("bits", "weight"), [(4, -8), (4, 7), (8, -127), (8, 127)])
@pytest.mark.parametrize("activation", [-127, 127])
def test_the_largest_integers_do_not_saturate(name: str, bits: int, weight: int, activation: int) -> None:
    matrix = Matrix(np.full((16, 64), weight, np.int8), np.ones((16, 2), np.float16), bits)
    for tokens in (1, 4, 9):
        values = np.full((2, tokens, 32), activation, np.int8)
        offsets = np.full((2, tokens), -8 * 32 * activation, np.int32)
        y = multiply(name, matrix, Activations(values, np.ones((2, tokens), np.float32), offsets))
        np.testing.assert_array_equal(y[:, :16], 64 * weight * activation)


@given(rows=st.integers(1, 70), groups=st.integers(1, 7), bits=st.sampled_from([4, 8]))
@settings(deadline=None, max_examples=40)
def test_packing_loses_nothing(rows: int, groups: int, bits: int) -> None:
    matrix = random_matrix(rows, groups, bits)
    packed = matrix.packed
    assert len(packed) == num_tiles(rows)
    values, scales = unpack_matrix(packed, bits, rows, 32 * groups)
    np.testing.assert_array_equal(values, matrix.values)
    np.testing.assert_array_equal(scales, matrix.scales)


@pytest.mark.parametrize(("bits", "value"), [(4, 8), (4, -9), (8, -128)])
def test_a_value_that_the_kernels_cannot_hold_is_refused(bits: int, value: int) -> None:
    with pytest.raises(AssertionError, match=str(value)):
        pack_matrix(np.full((1, 32), value, np.int8), np.ones((1, 1), np.float16), bits)


def test_quantised_activations_are_within_half_a_step() -> None:
    x = np.random.default_rng(0).standard_normal((5, 96), np.float32) * 10
    x[1, :32] = 0
    x[2, 5] = 3000
    x[3, :32] = 1e-42  # too small to have an inverse
    found = quantise(x)
    steps = found.scales[:3, :, None]
    exact = x.reshape(5, 3, 32).transpose(1, 0, 2)
    assert (np.abs(found.values[:3] * steps - exact) <= steps * 0.5001 + 1e-38).all()
    assert np.abs(found.values.astype(int)).max() == 127
    np.testing.assert_array_equal(found.offsets, -8 * found.values.sum(axis=2, dtype=np.int32))
    assert not found.values[0, 1].any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_still_none_after_the_product(wrong: float) -> None:
    x = np.ones((3, 64), np.float32)
    x[1, 40] = wrong
    assert BEST is not None
    y = multiply(BEST, random_matrix(16, 2, 4), quantise(x))
    assert np.isfinite(y[[0, 2]]).all()
    assert not np.isfinite(y[1, :16]).any()


def test_a_set_that_is_not_there_is_an_error_with_what_is() -> None:
    assert choose_instruction_set() == InstructionSet(available()[0])
    with pytest.raises(InputError, match=f"'sse9'.*: auto, {available()[0]}"):
        choose_instruction_set("sse9")


@pytest.mark.slow
def test_a_set_that_numba_may_not_use_is_not_offered() -> None:
    code = "from bise.engine.kernels.instructions import available; print(*available())"
    environment = os.environ | {"NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c,-avx512f"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["avx2"]
