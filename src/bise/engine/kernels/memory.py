"""Single numbers in memory and what threads share, for numba: the companion of `vectors.py`."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bise.engine.kernels.vectors import I32, I64, pointer


@intrinsic
def load_int32(typing: Any, base: Any, offset: Any) -> Any:
    """One int32, as int64."""
    del typing, base, offset

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.sext(builder.load(pointer(builder, values[0], values[1], I32), align=4), I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def load_int64(typing: Any, base: Any, offset: Any) -> Any:
    """One int64."""
    del typing, base, offset

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.load(pointer(builder, values[0], values[1], I64), align=8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def store_int64(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """One int64."""
    del typing, base, offset, x

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        builder.store(values[2], pointer(builder, values[0], values[1], I64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


def make_copy(size: int) -> Any:
    """A function that copies so many bytes (1, 2 or 4) from one address to another."""
    kind = ir.IntType(8 * size)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        item = builder.load(pointer(builder, values[0], I64(0), kind), align=1)
        builder.store(item, pointer(builder, values[1], I64(0), kind), align=1)
        return context.get_dummy_value()

    @intrinsic
    def copy(typing: Any, source: Any, target: Any) -> Any:
        del typing, source, target
        return types.void(types.int64, types.int64), generate

    return copy


@intrinsic
def atomic_exchange(typing: Any, place: Any, value: Any) -> Any:
    """Set the int64 at an address; returns what was there."""
    del typing, place, value

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.atomic_rmw("xchg", builder.inttoptr(values[0], I64.as_pointer()), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate
