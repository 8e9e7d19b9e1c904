"""GGUF's blocks mean what ggml says, and those that are ours pass unchanged."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.gguf import TYPES
from bise.weights.formats.blocks import read_exact, to_floats, write_exact
from bise.weights.quantise import quantise
from bise.weights.tensors import dequantise

QUANTISED = [(name, block, size) for name, block, size in TYPES.values() if name.startswith("Q")]


def random_blocks(kind: str, block: int, size: int, seed: int) -> np.ndarray:
    """Rows of three blocks of any bytes, but for scales, which are numbers."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 256, (5, 3, size), np.uint8)
    at = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_0": (0,), "Q5_0": (0,), "Q8_0": (0,)}.get(kind, (0, 2))
    for start in at:
        scales = random.standard_normal((5, 3, 1)).astype(np.float16)
        rows[:, :, start : start + 2] = scales.view(np.uint8)
    return rows.reshape(5, -1)


@pytest.mark.parametrize(("kind", "block", "size"), QUANTISED, ids=[name for name, _, _ in QUANTISED])
@pytest.mark.parametrize("seed", range(3))
def test_floats_are_those_of_the_reference(kind: str, block: int, size: int, seed: int) -> None:
    rows = random_blocks(kind, block, size, seed)
    expected = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[kind])
    assert expected.shape == (5, 3 * block)
    np.testing.assert_allclose(to_floats(kind, rows), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "size"), [("Q4_0", 18), ("Q8_0", 34)])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_our_own_types_pass_bit_for_bit(kind: str, size: int, data: st.DataObject) -> None:
    rows = np.frombuffer(data.draw(st.binary(min_size=size * 2, max_size=size * 2)), np.uint8).reshape(1, -1)
    tensor = read_exact(kind, rows)
    assert tensor.values.shape == (1, 64)
    np.testing.assert_array_equal(write_exact(tensor), rows)


@pytest.mark.parametrize("bits", [4, 8])
def test_ours_is_read_by_the_reference(bits: int) -> None:
    weight = np.random.default_rng(0).standard_normal((7, 96)).astype(np.float32)
    tensor = quantise(weight, bits)
    kind = "Q4_0" if bits == 4 else "Q8_0"
    written = write_exact(tensor)
    np.testing.assert_array_equal(gguf.quants.dequantize(written, gguf.GGMLQuantizationType[kind]), dequantise(tensor))
    np.testing.assert_array_equal(to_floats(kind, written), dequantise(tensor))
