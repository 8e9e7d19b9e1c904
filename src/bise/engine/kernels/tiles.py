"""Which inner loops a product is made of, by the number of tokens; compiled once for each instruction set and bits.

These functions stand by themselves, called by address, so that what calls them is not compiled together with them: their
loops are most of the work of a cold start.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bise.engine.kernels.cache import address_of, compile_kernel
from bise.engine.kernels.products import ProductType, block_bytes, multiply_block, share_bytes
from bise.engine.kernels.vectors import I8, I64

PREFETCH_BYTES = 18 << 10  # how far ahead of its use a weight is asked for


def multiply_wide(product, weights, tile0, tile1, blocks, x, scales, offsets, stride, tokens, y, y_stride):
    """With 32 long registers: up to 6 tokens with one tile at a time, more in panels of 3 to 6 with two tiles.

    Two tiles share each load of activations, which are what limits one; but their two streams of weights are slower to
    read, so that this pays only when every weight is used often. While one pair of tiles is multiplied, its panels
    together ask for the next pair, each for its share.
    """
    size = blocks * block_bytes(product)
    count = (tokens + 5) // 6  # panels
    share = blocks * (share_bytes(product, 2, 2) if count == 2 else share_bytes(product, 2, 3))
    tile = tile0
    while tile < tile1:
        w = weights + tile * size
        is_pair = count > 1 and tile + 1 < tile1
        t = 0
        for panel in range(count):
            some = tokens // count + (panel < tokens % count)
            a, s, o, out = x + 32 * t, scales + 4 * t, offsets + 4 * t, y + 4 * (t * y_stride + 16 * tile)
            ahead = w + 2 * size + panel * share if panel < 3 else w
            near = w + PREFETCH_BYTES
            if not is_pair:
                if some == 1:
                    multiply_block(product, 1, 1, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
                elif some == 2:
                    multiply_block(product, 1, 2, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
                elif some == 3:
                    multiply_block(product, 1, 3, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
                elif some == 4:
                    multiply_block(product, 1, 4, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
                elif some == 5:
                    multiply_block(product, 1, 5, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
                else:
                    multiply_block(product, 1, 6, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
            elif count == 2:
                if some == 3:
                    multiply_block(product, 2, 3, 2, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                elif some == 4:
                    multiply_block(product, 2, 4, 2, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                elif some == 5:
                    multiply_block(product, 2, 5, 2, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
                else:
                    multiply_block(product, 2, 6, 2, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
            elif some == 4:
                multiply_block(product, 2, 4, 3, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
            elif some == 5:
                multiply_block(product, 2, 5, 3, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
            else:
                multiply_block(product, 2, 6, 3, w, size, blocks, a, s, o, stride, out, y_stride, ahead)
            t += some
        tile += 2 if is_pair else 1


def multiply_narrow(product, weights, tile0, tile1, blocks, x, scales, offsets, stride, tokens, y, y_stride):
    """With 16 short registers: up to 4 tokens with one tile at a time."""
    size = blocks * block_bytes(product)
    for tile in range(tile0, tile1):
        w = weights + tile * size
        near = w + PREFETCH_BYTES
        for t in range(0, tokens, 4):
            a, s, o, out = x + 32 * t, scales + 4 * t, offsets + 4 * t, y + 4 * (t * y_stride + 16 * tile)
            some = tokens - t
            if some == 1:
                multiply_block(product, 1, 1, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
            elif some == 2:
                multiply_block(product, 1, 2, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
            elif some == 3:
                multiply_block(product, 1, 3, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)
            else:
                multiply_block(product, 1, 4, 1, w, size, blocks, a, s, o, stride, out, y_stride, near)


@cache
def load_product(set_name: str, bits: int) -> int:
    """The address of a product's compiled function."""
    function = multiply_wide if set_name == "avx512" else multiply_narrow
    signature = types.void(ProductType(set_name, bits), *[types.int64] * 11)
    return address_of(compile_kernel(function, signature, exact=True))


@intrinsic
def call_product(
    typing, instruction_set, bits, weights, tile0, tile1, blocks, x, scales, offsets, stride, tokens, y, y_stride
):
    """Call the function for an instruction set and bits; the rest are its arguments."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        table, bits, *arguments = values
        kind = ir.FunctionType(ir.VoidType(), [I8, *[I64] * 11]).as_pointer()
        is_int8 = builder.icmp_signed("==", bits, I64(8))
        place = builder.add(table, builder.select(is_int8, I64(8), I64(0)))
        function = builder.load(builder.inttoptr(place, kind.as_pointer()))
        builder.call(function, [I8(0), *arguments])
        return context.get_dummy_value()

    return types.void(instruction_set, *[types.int64] * 12), generate
