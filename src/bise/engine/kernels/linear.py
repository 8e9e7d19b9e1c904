"""Products of packed integer matrices with the activations of a step's tokens, for kernels to call.

Activations are quantised to int8 in groups of 32 columns, each with its own scale, since one outlier would spoil the
precision of everything that shares a scale with it. For T tokens, K columns and room for `stride` >= T tokens:

    activations   int8    [K / 32, stride, 32]
    scales        float32 [K / 32, stride]
    offsets       int32   [K / 32, stride]    -8 times the sum of the group's 32 integers

K is a multiple of 64; where the matrix has fewer columns, the groups beyond them hold zeros. `y` is float32
[T, y_stride]. Everything is passed as int64 addresses (`vectors.address`) and counts. A row's groups are added in order,
whatever the tokens, tiles and threads: a result has the same bits alone or in any batch.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from bise.engine.kernels import vectors as v
from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.instructions import InstructionSetType
from bise.engine.kernels.tiles import call_product

# No fast-math: additions must stay in their order. Left unsaid, it would be that of whichever kernel is compiled first.
DEVICE = {
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "fastmath": False,
}
TOKEN_BLOCK = 128  # tokens whose activations stay in the second cache while all tiles pass
_SMALLEST_NORMAL = np.float32(np.finfo(np.float32).smallest_normal)


@njit(**DEVICE)
def quantise_group(
    low: Any, high: Any, activations: Any, scales: Any, offsets: Any, stride: Any, group: Any, token: Any
) -> None:
    """Round 32 values, in two vectors of floats, to int8 and put them in their places; NaN goes into the scale."""
    bits = v.largest_int(v.larger_int(v.absolute_bits(low), v.absolute_bits(high)))
    scale = v.float_of_bits(bits) * np.float32(1 / 127)
    inverse = np.float32(1) / scale
    if scale < _SMALLEST_NORMAL:  # its inverse may be infinite
        scale = inverse = np.float32(0)
    factor = v.splat(inverse)
    low_ints, high_ints = v.round_to_ints(v.multiply(low, factor)), v.round_to_ints(v.multiply(high, factor))
    place = group * stride + token
    v.store_bytes(activations, 32 * place, low_ints)
    v.store_bytes(activations, 32 * place + 16, high_ints)
    v.store_float(scales, 4 * place, scale)
    v.store_int(offsets, 4 * place, np.int32(-8) * v.total_int(v.add(low_ints, high_ints)))


def linear(
    instruction_set: Any,
    bits: Any,
    weights: Any,
    tile0: Any,
    tile1: Any,
    columns: Any,
    activations: Any,
    scales: Any,
    offsets: Any,
    stride: Any,
    num_tokens: Any,
    y: Any,
    y_stride: Any,
) -> None:
    """Rows of tiles [tile0, tile1) of `x @ weight.T`; only inside compiled code.

    `bits` (4 or 8) and `columns` (K as packed) describe the matrix at `weights`; `y[t, row]` is written for its rows.
    """
    raise NotImplementedError


@overload(linear, jit_options=DEVICE)
def _choose_linear(
    instruction_set, bits, weights, tile0, tile1, columns, activations, scales, offsets, stride, num_tokens, y, y_stride
):
    def implementation(
        instruction_set,
        bits,
        weights,
        tile0,
        tile1,
        columns,
        activations,
        scales,
        offsets,
        stride,
        num_tokens,
        y,
        y_stride,
    ):
        for first in range(0, num_tokens, TOKEN_BLOCK):
            call_product(
                instruction_set,
                bits,
                weights,
                tile0,
                tile1,
                columns // 64,
                activations + 32 * first,
                scales + 4 * first,
                offsets + 4 * first,
                stride,
                min(TOKEN_BLOCK, num_tokens - first),
                y + 4 * first * y_stride,
                y_stride,
            )

    return implementation


def multiply_tiles(isa, bits, packed, columns, x, scales, offsets, tile0, tile1, y):  # numba: arrays for addresses
    """`linear` on arrays."""
    linear(
        isa,
        bits,
        v.address(packed),
        tile0,
        tile1,
        columns,
        v.address(x),
        v.address(scales),
        v.address(offsets),
        x.shape[1],
        y.shape[0],
        v.address(y),
        y.shape[1],
    )


def quantise_tokens(x, activations, scales, offsets):
    """`quantise_group` on arrays: every token of x [T, K], K a multiple of 32."""
    tokens, columns = x.shape
    for token in range(tokens):
        for group in range(columns // 32):
            place = v.address(x) + 4 * (token * columns + 32 * group)
            quantise_group(
                v.load_floats(place, 0),
                v.load_floats(place, 64),
                v.address(activations),
                v.address(scales),
                v.address(offsets),
                activations.shape[1],
                group,
                token,
            )


@cache
def load_multiply(name: str) -> Any:
    """`multiply_tiles` compiled for one instruction set."""
    signature = types.void(
        InstructionSetType(name),
        types.int64,
        types.uint8[:, ::1],
        types.int64,
        types.int8[:, :, ::1],
        types.float32[:, ::1],
        types.int32[:, ::1],
        types.int64,
        types.int64,
        types.float32[:, ::1],
    )
    return compile_kernel(multiply_tiles, signature)


@cache
def load_quantise() -> Any:
    """`quantise_tokens` compiled."""
    return compile_kernel(quantise_tokens, "void(f4[:,::1], i1[:,:,::1], f4[:,::1], i4[:,::1])")
