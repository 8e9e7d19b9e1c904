"""Putting keys and values into the cache's cells: the compiled twin of `cells.write_cells`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from bise.engine.kernels.cells import ITEM_BYTES, SCALE_GROUP, KVPrecision
from bise.engine.kernels.memory import make_copy
from bise.engine.kernels.table import BLOCK
from bise.engine.kernels.vectors import (
    absolute_bits,
    broadcast_half,
    divide,
    float_of_bits,
    larger_int,
    largest_int,
    load_float,
    load_floats,
    multiply,
    round_to_ints,
    splat,
    splat_int,
    store_bytes,
    store_floats,
    store_halves,
    subtract,
    zeros,
)

DEVICE: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy", "fastmath": False}
copy_half = make_copy(2)


@njit(**DEVICE)
def quantise_row(row, head_dim, out, scales, scale_bytes, scratch):
    """A row as int8 at `out` and its float16 scales at `scales`, which stand `scale_bytes` apart."""
    for first in range(0, head_dim, SCALE_GROUP):
        last = min(first + SCALE_GROUP, head_dim)
        bits = absolute_bits(load_floats(row, first * 4))
        for i in range(first + 16, last, 16):
            bits = larger_int(bits, absolute_bits(load_floats(row, i * 4)))
        step = float_of_bits(largest_int(bits)) * np.float32(1 / 127)
        store_halves(scratch, 0, splat(step))
        copy_half(scratch, scales + first // SCALE_GROUP * scale_bytes)
        store_floats(scratch, 64, broadcast_half(scratch, 0))
        inverse = zeros()
        if load_float(scratch, 64) != np.float32(0):
            inverse = divide(splat(np.float32(1)), broadcast_half(scratch, 0))
        for i in range(first, last, 16):
            integers = round_to_ints(multiply(load_floats(row, i * 4), inverse))
            integers = larger_int(integers, splat_int(np.int32(-127)))
            zero = splat_int(np.int32(0))  # a scale rounded down to few bits may ask for more than 127
            integers = subtract(zero, larger_int(subtract(zero, integers), splat_int(np.int32(-127))))
            store_bytes(out, i, integers)


def make_store(precision: KVPrecision) -> tuple[Any, Any]:
    """The device functions `store_keys` and `store_values(row, cell, place, head_dim, scratch)`.

    `row` is the address of D floats, `scratch` of 2 * D + 256 bytes.
    """
    item = ITEM_BYTES[precision]
    copy = make_copy(item)

    def round_row(row, head_dim, out):
        for i in range(0, head_dim, 16):
            if item == 4:
                store_floats(out, i * 4, load_floats(row, i * 4))
            else:
                store_halves(out, i * 2, load_floats(row, i * 4))

    round_row = _named(round_row, precision)

    def store_keys(row, cell, place, head_dim, scratch):
        rounded = row
        if item == 1:
            scales = cell + 2 * BLOCK * head_dim + place * 2
            quantise_row(row, head_dim, scratch + 128, scales, BLOCK * 2, scratch)
            rounded = scratch + 128
        elif item == 2:
            round_row(row, head_dim, scratch)
            rounded = scratch
        for dimension in range(head_dim):
            copy(rounded + dimension * item, cell + (dimension * BLOCK + place) * item)

    def store_values(row, cell, place, head_dim, scratch):
        out = cell + (BLOCK + place) * head_dim * item
        if item == 1:
            groups = (head_dim + SCALE_GROUP - 1) // SCALE_GROUP
            scales = cell + 2 * BLOCK * (head_dim + groups) + place * 2
            quantise_row(row, head_dim, out, scales, BLOCK * 2, scratch)
        else:
            round_row(row, head_dim, out)

    return _named(store_keys, precision), _named(store_values, precision)


def _named(function: Callable[..., Any], precision: KVPrecision) -> Any:
    """A device function under a name of its own.

    Compiled code that is loaded finds its functions by name: those of another precision must not pass for it.
    """
    function.__qualname__ = function.__name__ = f"{function.__name__}_{precision}"
    return njit(**DEVICE)(function)


_keys_fp32, _values_fp32 = make_store("fp32")
_keys_fp16, _values_fp16 = make_store("fp16")
_keys_int8, _values_int8 = make_store("int8")


@njit(**DEVICE)
def store_row(precision, is_key, row, cell, place, head_dim, scratch):
    """One key or value [D] into its place in a cell; `precision` is a place in PRECISIONS."""
    if precision == 1:
        if is_key:
            _keys_fp16(row, cell, place, head_dim, scratch)
        else:
            _values_fp16(row, cell, place, head_dim, scratch)
    elif precision == 2:
        if is_key:
            _keys_int8(row, cell, place, head_dim, scratch)
        else:
            _values_int8(row, cell, place, head_dim, scratch)
    elif is_key:
        _keys_fp32(row, cell, place, head_dim, scratch)
    else:
        _values_fp32(row, cell, place, head_dim, scratch)
