"""Every compiled kernel computes what its NumPy twin computes, on shapes that fill no vector, block or tile."""

from collections.abc import Callable

import numpy as np
import pytest

from bise.engine.kernels.cells import PRECISIONS, Cells, KVPrecision, cell_bytes, read_cells, write_cells
from bise.engine.kernels.compiled import loaders_for
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.engine.kernels.table import BLOCK, TILE, Floats, Kernels, choose_kernels, pack_tiles
from bise.engine.warm import warmth
from bise.errors import InputError

TOKENS = (1, 2, 3, 4, 5, 9)


@pytest.fixture(scope="module")
def compiled() -> Kernels:
    choice = choose_kernels()
    assert choice.kernels.name == "numba", choice.reason
    return choice.kernels


def normal(*shape: int) -> Floats:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def assert_close(ours: Floats, reference: Floats) -> None:
    np.testing.assert_allclose(ours, reference, rtol=2e-5, atol=2e-5 * max(1, np.abs(reference).max()))


def both(compiled: Kernels, call: Callable[[Kernels], tuple[Floats, ...]]) -> None:
    for ours, reference in zip(call(compiled), call(NUMPY_KERNELS), strict=True):
        assert_close(ours, reference)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("columns", [1, 7, 64, 100])
def test_rms_norm(compiled: Kernels, tokens: int, columns: int) -> None:
    def call(kernels: Kernels) -> tuple[Floats, ...]:
        out = np.empty((tokens, columns), np.float32)
        kernels.rms_norm(normal(tokens, columns), normal(columns), 1e-5, out)
        return (out,)

    both(compiled, call)


def test_rms_norm_of_zeros_is_zero(compiled: Kernels) -> None:
    out = np.ones((1, 8), np.float32)
    compiled.rms_norm(np.zeros((1, 8), np.float32), normal(8), 1e-5, out)
    assert not out.any()


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (16, 3), (40, 33), (97, 128)])
def test_matmul_float(compiled: Kernels, tokens: int, rows: int, columns: int) -> None:
    x, weight = normal(tokens, columns), normal(rows, columns)
    tiles = pack_tiles(weight)
    out = np.zeros((tokens, len(tiles) * TILE), np.float32)
    compiled.matmul_float(x, tiles, 0, len(tiles), out)
    assert_close(out[:, :rows], x @ weight.T)
    assert not out[:, rows:].any()


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (16, 3), (40, 2), (97, 4)])
def test_matmul_int8(compiled: Kernels, tokens: int, rows: int, groups: int) -> None:
    random = np.random.default_rng(0)
    values = random.integers(-127, 128, (rows, groups * 32)).astype(np.int8)
    scales = random.random((rows, groups)).astype(np.float32)
    x = normal(tokens, groups * 32)
    tiles, tile_scales = pack_tiles(values), pack_tiles(scales)

    def call(kernels: Kernels) -> tuple[Floats, ...]:
        out = np.zeros((tokens, len(tiles) * TILE), np.float32)
        kernels.matmul_int8(x, tiles, tile_scales, 0, len(tiles), out)
        return (out,)

    both(compiled, call)
    assert_close(call(compiled)[0][:, :rows], x @ (values * np.repeat(scales, 32, axis=1)).T)


def test_a_range_of_tiles_leaves_the_others_alone(compiled: Kernels) -> None:
    tiles = pack_tiles(normal(80, 5))
    for first in range(5):
        for last in range(first, 6):
            out = np.full((3, 80), np.nan, np.float32)
            compiled.matmul_float(normal(3, 5), tiles, first, last, out)
            assert np.isfinite(out[:, first * TILE : last * TILE]).all()
            assert np.isnan(out[:, : first * TILE]).all()
            assert np.isnan(out[:, last * TILE :]).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("window", [0, 1, 20])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(1, 1, 2), (4, 2, 16), (6, 2, 10), (8, 1, 48)])
@pytest.mark.parametrize("positions", [[0], [0, 1, 2], [15, 16, 17], [200, 3, 31, 32]])
def test_rotation_and_attention(
    compiled: Kernels,
    precision: KVPrecision,
    window: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    positions: list[int],
) -> None:
    tokens, number = len(positions), PRECISIONS.index(precision)
    random = np.random.default_rng(0)
    blocks = random.permutation(tokens * 13).astype(np.int32).reshape(tokens, 13)  # each token is a sequence
    position = np.array(positions, np.int32)
    sequence = np.arange(tokens, dtype=np.int32)
    slots = (blocks[sequence, position // BLOCK] * BLOCK + position % BLOCK).astype(np.int32)
    angles = normal(208, head_dim // 2)
    width = (heads + 2 * kv_heads) * head_dim + 3  # the products before are padded
    filled = filled_cells(precision, tokens * 13, kv_heads, head_dim)

    def call(kernels: Kernels) -> tuple[Floats, ...]:
        qkv, cells = normal(tokens, width), filled.copy()
        out = np.empty((tokens, heads * head_dim), np.float32)
        kernels.rotate_and_store(qkv, position, slots, np.cos(angles), np.sin(angles), heads, cells, number)
        kernels.attention(qkv, position, sequence, blocks, cells, number, heads, window, out)
        return qkv[:, : heads * head_dim], *read_cells(cells, precision, np.sort(blocks.ravel()), head_dim), out

    for ours, reference in zip(call(compiled), call(NUMPY_KERNELS), strict=True):
        np.testing.assert_allclose(ours, reference, atol=1e-5 if precision == "fp32" else 0.05)  # a rounding may tip


def filled_cells(precision: KVPrecision, num_blocks: int, kv_heads: int, head_dim: int) -> Cells:
    cells = np.zeros((num_blocks, kv_heads, cell_bytes(head_dim, precision)), np.uint8)
    slots = np.arange(num_blocks * BLOCK, dtype=np.int32)
    keys, values = normal(len(slots), kv_heads, head_dim), normal(len(slots), kv_heads, head_dim)
    write_cells(cells, precision, slots, keys, values[::-1])
    return cells


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_cell_holds_what_was_put_into_it(precision: KVPrecision) -> None:
    keys = normal(5, 3, 40) * np.float32([[[3]], [[1]], [[1e-3]], [[0]], [[1e-9]]])
    slots = np.array([3, 17, 40, 16, 47], np.int32)
    cells = np.zeros((3, 3, cell_bytes(40, precision)), np.uint8)
    write_cells(cells, precision, slots, keys, -keys)
    stored_keys, stored_values = read_cells(cells, precision, np.arange(3), 40)
    error = {"fp32": 0, "fp16": 2**-11, "int8": 0.5 / 127 * 1.01}[precision]
    largest = np.abs(keys).max(axis=2, keepdims=True)
    assert (np.abs(stored_keys[:, slots].transpose(1, 0, 2) - keys) <= error * largest + 1e-7).all()
    np.testing.assert_array_equal(stored_values, -stored_keys)
    others = np.setdiff1d(np.arange(48), slots)
    assert not stored_keys[:, others].any()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_attention_does_not_look_ahead_or_at_others(compiled: Kernels, precision: KVPrecision) -> None:
    number = PRECISIONS.index(precision)
    cells = filled_cells(precision, 4, 1, 8)
    qkv, position, sequence = normal(1, 24), np.array([18], np.int32), np.array([0], np.int32)
    blocks = np.array([[2, 0]], np.int32)
    before, after = np.empty((1, 8), np.float32), np.empty((1, 8), np.float32)
    compiled.attention(qkv, position, sequence, blocks, cells, number, 1, 0, before)
    unseen = np.array([*range(16, 32), *range(48, 64), *range(3, 16)], np.int32)  # other sequences, later places
    nothing = np.full((len(unseen), 1, 8), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        write_cells(cells, precision, unseen, nothing, nothing)
    compiled.attention(qkv, position, sequence, blocks, cells, number, 1, 0, after)
    np.testing.assert_array_equal(before, after)


def test_attention_survives_large_scores(compiled: Kernels) -> None:
    qkv = np.full((1, 24), 1e4, np.float32)
    cells = np.zeros((1, 1, cell_bytes(8, "fp16")), np.uint8)
    large, one = np.full((16, 1, 8), 1e4, np.float32), np.ones((16, 1, 8), np.float32)
    write_cells(cells, "fp16", np.arange(16, dtype=np.int32), large, one)
    out = np.empty((1, 8), np.float32)
    zero = np.zeros(1, np.int32)
    compiled.attention(qkv, np.array([9], np.int32), zero, np.zeros((1, 1), np.int32), cells, 1, 1, 0, out)
    np.testing.assert_allclose(out, 1, rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 16, 75])
def test_silu_gate(compiled: Kernels, columns: int) -> None:
    gate_up = normal(3, 2 * columns + 5) * 3
    gate_up[0, 0], gate_up[1, 0] = 200, -200

    def call(kernels: Kernels) -> tuple[Floats, ...]:
        out = np.empty((3, columns), np.float32)
        kernels.silu_gate(gate_up, out)
        return (out,)

    both(compiled, call)


def test_a_wrong_type_is_refused_instead_of_compiled(compiled: Kernels) -> None:
    with pytest.raises(TypeError, match="No matching definition"):
        compiled.silu_gate(np.zeros((1, 2)), np.zeros((1, 1)))  # type: ignore[arg-type]


def test_numpy_runs_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = choose_kernels(instruction_set="numpy")
    assert (asked.kernels.name, asked.reason) == ("numpy", "NumPy was asked for")
    monkeypatch.setenv("BISE_INSTRUCTION_SET", "numpy")
    assert choose_kernels() == asked
    assert warmth().kernels == "numpy"


def test_an_instruction_set_that_is_not_there_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_INSTRUCTION_SET", "avx3")
    for ask in (choose_kernels, warmth):
        with pytest.raises(InputError, match=r"'avx3'.*numpy"):
            ask()


def test_integer_models_do_not_wait_for_single_operations(compiled: Kernels) -> None:
    if compiled.instruction_set is None:
        pytest.skip("this processor has no instruction set for the fused path")
    loaded = loaders_for(compiled.instruction_set, operations=False)
    assert "step" in loaded
    assert "rms_norm" not in loaded
    named: list[str] = []
    kernels = choose_kernels(lambda name, *_: named.append(name), operations=False).kernels
    assert not named  # `compiled` has them compiled, so nobody hears of it
    out = np.empty((1, 2), np.float32)
    kernels.silu_gate(np.ones((1, 4), np.float32), out)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-1)), rtol=1e-6)
