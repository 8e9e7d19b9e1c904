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
from bise.engine.kernels.packing import BLOCK_BYTES
from bise.engine.kernels.products import make_product

# No fast-math: additions must stay in their order.
DEVICE = {"nogil": True, "boundscheck": False, "error_model": "numpy", "no_cpython_wrapper": True}
PREFETCH_BYTES = 18 << 10  # how far ahead of its use a weight is asked for
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
    make = _make_wide if instruction_set.set_name == "avx512" else _make_narrow
    linear4, linear8 = make(4), make(8)

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
            some = min(TOKEN_BLOCK, num_tokens - first)
            a, s, o = activations + 32 * first, scales + 4 * first, offsets + 4 * first
            out = y + 4 * first * y_stride
            if bits == 4:
                linear4(instruction_set, weights, tile0, tile1, columns // 64, a, s, o, stride, some, out, y_stride)
            else:
                linear8(instruction_set, weights, tile0, tile1, columns // 64, a, s, o, stride, some, out, y_stride)

    return implementation


@cache
def _make_wide(bits: int) -> Any:
    """For 32 long registers: up to 6 tokens with one tile at a time, more in panels of 3 to 6 with two tiles.

    Two tiles share each load of activations, which are what limits one; but their two streams of weights are slower to
    read, so that this pays only when every weight is used often. While one pair of tiles is multiplied, its panels
    together ask for the next pair, each for its share.
    """
    block_bytes = BLOCK_BYTES[bits]
    lines = block_bytes // 64
    one1, one2, one3, one4, one5, one6 = (_loop(bits, 1, n, lines) for n in range(1, 7))
    half3, half4, half5, half6 = (_loop(bits, 2, n, lines) for n in (3, 4, 5, 6))
    third4, third5, third6 = (_loop(bits, 2, n, -(-2 * lines // 3)) for n in (4, 5, 6))

    @njit(**DEVICE)
    def rows(isa, w, size, blocks, x, scales, offsets, stride, tokens, y, y_stride):
        ahead = w + PREFETCH_BYTES
        if tokens == 1:
            one1(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 2:
            one2(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 3:
            one3(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 4:
            one4(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 5:
            one5(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        else:
            one6(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)

    @njit(**DEVICE)
    def half_panel(isa, w, size, blocks, x, scales, offsets, stride, tokens, y, y_stride, ahead):
        if tokens == 3:
            half3(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 4:
            half4(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 5:
            half5(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        else:
            half6(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)

    @njit(**DEVICE)
    def third_panel(isa, w, size, blocks, x, scales, offsets, stride, tokens, y, y_stride, ahead):
        if tokens == 4:
            third4(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        elif tokens == 5:
            third5(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)
        else:
            third6(isa, w, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)

    @njit(**DEVICE)
    def wide(isa, weights, tile0, tile1, blocks, x, scales, offsets, stride, tokens, y, y_stride):
        size = blocks * block_bytes
        count = (tokens + 5) // 6  # panels
        share = 64 * blocks * (lines if count == 2 else -(-2 * lines // 3))
        tile = tile0
        while tile < tile1:
            w = weights + tile * size
            is_pair = count > 1 and tile + 1 < tile1
            t = 0
            for panel in range(count):
                some = tokens // count + (panel < tokens % count)
                a, s, o, out = x + 32 * t, scales + 4 * t, offsets + 4 * t, y + 4 * (t * y_stride + 16 * tile)
                ahead = w + 2 * size + panel * share if panel < 3 else w
                if not is_pair:
                    rows(isa, w, size, blocks, a, s, o, stride, some, out, y_stride)
                elif count == 2:
                    half_panel(isa, w, size, blocks, a, s, o, stride, some, out, y_stride, ahead)
                else:
                    third_panel(isa, w, size, blocks, a, s, o, stride, some, out, y_stride, ahead)
                t += some
            tile += 2 if is_pair else 1

    return wide


@cache
def _make_narrow(bits: int) -> Any:
    """For 16 short registers: up to 4 tokens at once with half a tile, then the other half."""
    block_bytes = BLOCK_BYTES[bits]
    one1, one2, one3, one4 = (_loop(bits, 1, n, block_bytes // 64) for n in range(1, 5))

    @njit(**DEVICE)
    def narrow(isa, weights, tile0, tile1, blocks, x, scales, offsets, stride, tokens, y, y_stride):
        size = blocks * block_bytes
        for tile in range(tile0, tile1):
            w = weights + tile * size
            for t in range(0, tokens, 4):
                a, s, o, out = x + 32 * t, scales + 4 * t, offsets + 4 * t, y + 4 * (t * y_stride + 16 * tile)
                some = tokens - t
                ahead = w + PREFETCH_BYTES
                if some == 1:
                    one1(isa, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                elif some == 2:
                    one2(isa, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                elif some == 3:
                    one3(isa, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                else:
                    one4(isa, w, size, blocks, a, s, o, stride, out, y_stride, ahead)

    return narrow


@cache
def _loop(bits: int, num_tiles: int, num_tokens: int, prefetch_lines: int) -> Any:
    """One inner loop as a function of its own, so that it is compiled once."""
    product = make_product(bits, num_tiles, num_tokens, prefetch_lines)

    @njit(**DEVICE)
    def loop(isa, weights, size, blocks, x, scales, offsets, stride, y, y_stride, ahead):
        product(isa, weights, size, blocks, x, scales, offsets, stride, y, y_stride, ahead)

    return loop


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
