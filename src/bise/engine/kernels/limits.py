"""Kernels that do nothing but load the machine: how fast can it read memory, and multiply integers, at most?"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bise.engine.kernels import vectors as v
from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.instructions import InstructionSetType
from bise.engine.kernels.products import emit_dot, emit_multiply_pairs, lanes_of
from bise.engine.kernels.vectors import I32, I64

_CHAINS = 12  # independent sums: enough to hide what one instruction takes, few enough for 16 registers
_STREAM_BYTES = 512
_PREFETCH_BYTES = 8 << 10


def read_memory(data, first, last):
    """Read bytes [first, last) of an array; returns a sum, so that nothing can be left out."""
    base = v.address(data)
    a, b, c, d = v.splat_int(0), v.splat_int(0), v.splat_int(0), v.splat_int(0)
    for offset in range(first, last - _STREAM_BYTES + 1, _STREAM_BYTES):
        for line in range(0, _STREAM_BYTES, 64):
            v.prefetch(base, offset + line + _PREFETCH_BYTES)
        for line in range(0, _STREAM_BYTES, 256):
            a = v.add(a, v.load_ints(base, offset + line))
            b = v.add(b, v.load_ints(base, offset + line + 64))
            c = v.add(c, v.load_ints(base, offset + line + 128))
            d = v.add(d, v.load_ints(base, offset + line + 192))
    return v.total_int(v.add(v.add(a, b), v.add(c, d)))


@intrinsic
def repeat_dot(typing, product, rounds):
    """So many rounds of the instruction set's dot product, each on its own sum; returns what comes of it."""
    lanes = lanes_of(product.set_name)
    kind = ir.VectorType(I32, lanes)

    def emit_step(builder: Any, total: Any, x: Any) -> Any:
        if product.set_name != "avx2":
            return emit_dot(builder, total, x, total)
        pairs = emit_multiply_pairs(builder, x, total)
        return builder.bitcast(builder.add(builder.bitcast(total, pairs.type), pairs), kind)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        starts = [ir.Constant(kind, [i + 1] * lanes) for i in range(_CHAINS)]
        sums = [cgutils.alloca_once_value(builder, start) for start in starts]
        x = v.splat_vector(builder, builder.trunc(values[1], I32), lanes)
        with cgutils.for_range(builder, values[1], intp=I64):
            for total in sums:
                builder.store(emit_step(builder, builder.load(total), x), total)
        found = builder.load(sums[0])
        for total in sums[1:]:
            found = builder.xor(found, builder.load(total))
        return builder.extract_element(found, I32(0))

    return types.int32(product, types.int64), generate


def multiply_in_registers(instruction_set, rounds):
    """Integer products without memory: `operations` of them in each round."""
    return repeat_dot(instruction_set, rounds)


def operations(set_name: str) -> int:
    """Multiplications and additions of 8-bit integers in one round of `multiply_in_registers`."""
    return _CHAINS * lanes_of(set_name) * 4 * 2


@cache
def load_read_memory() -> Any:
    """`read_memory` compiled."""
    return compile_kernel(read_memory, "i4(u1[::1], i8, i8)")


@cache
def load_multiply_in_registers(set_name: str) -> Any:
    """`multiply_in_registers` compiled."""
    return compile_kernel(multiply_in_registers, types.int32(InstructionSetType(set_name), types.int64))
