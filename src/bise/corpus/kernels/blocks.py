"""Plain ASCII folded 32 bytes at once, as vectors that LLVM turns into the processor's own.

Each function writes 32 folded bytes whatever stands there, and returns where they are wrong: a bit for each byte that is
not ASCII, or that must be left out because it and the byte before are both spaces, or both digits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK = 32
_BYTES, _BITS = ir.VectorType(ir.IntType(8), BLOCK), ir.IntType(BLOCK)
_LONG = ir.IntType(64)


@intrinsic
def fold_letters(_context: Any, data: Any, i: Any, out: Any, j: Any, before: Any) -> Any:
    """Letters in lower case, digits as "0", "_", and a space for everything else; only digits are wrong in a row.

    `before` is the folded byte before the block.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments)
        lower = _lower(builder, block)
        is_digit = _is_between(builder, block, "0", "9")
        is_letter = builder.or_(_is_between(builder, lower, "a", "z"), _is_between(builder, block, "_", "_"))
        other = builder.select(is_digit, _all(ord("0")), _all(ord(" ")))
        _store(context, builder, signature, arguments, builder.select(is_letter, lower, other))
        return _wrong(builder, block, is_digit, builder.icmp_signed("==", arguments[4], ir.Constant(_LONG, ord("0"))))

    return types.uint64(data, types.int64, out, types.int64, types.int64), generate


@intrinsic
def fold_case(_context: Any, data: Any, i: Any, out: Any, j: Any, before: Any) -> Any:
    """Lower case, and a space for all white space; spaces are wrong in a row. `before` is the byte before the block."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        block = _load(context, builder, signature, arguments)
        is_space = builder.or_(_is_between(builder, block, " ", " "), _is_between(builder, block, "\t", "\r"))
        is_space = builder.or_(is_space, _is_between(builder, block, "\x1c", "\x1f"))
        folded = builder.select(is_space, _all(ord(" ")), _lower(builder, block))
        _store(context, builder, signature, arguments, folded)
        return _wrong(builder, block, is_space, builder.icmp_signed("==", arguments[4], ir.Constant(_LONG, ord(" "))))

    return types.uint64(data, types.int64, out, types.int64, types.int64), generate


@intrinsic
def space_bits(_context: Any, data: Any, i: Any) -> Any:
    """A bit for each of 64 bytes that is a space."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        blocks = ir.VectorType(ir.IntType(8), _LONG.width)
        pointer = builder.bitcast(_pointer(context, builder, signature, arguments, 0), blocks.as_pointer())
        is_space = builder.icmp_unsigned("==", builder.load(pointer, align=1), ir.Constant(blocks, [32] * _LONG.width))
        return builder.bitcast(is_space, _LONG)

    return types.uint64(data, types.int64), generate


def _load(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    return builder.load(_pointer(context, builder, signature, arguments, 0), align=1)


def _store(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, block: Any) -> None:
    builder.store(block, _pointer(context, builder, signature, arguments, 2), align=1)


def _pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, which: int) -> Any:
    """The address of a byte of an array: arguments `which` and the one after it."""
    array = context.make_array(signature.args[which])(context, builder, arguments[which])
    return builder.bitcast(builder.gep(array.data, [arguments[which + 1]]), _BYTES.as_pointer())


def _all(byte: int) -> ir.Constant:
    return ir.Constant(_BYTES, [byte] * BLOCK)


def _is_between(builder: ir.IRBuilder, block: Any, first: str, last: str) -> Any:
    """Which bytes lie between two characters, both included."""
    from_first = builder.sub(block, _all(ord(first)))
    return builder.icmp_unsigned("<=", from_first, _all(ord(last) - ord(first)))


def _lower(builder: ir.IRBuilder, block: Any) -> Any:
    return builder.select(_is_between(builder, block, "A", "Z"), builder.or_(block, _all(0x20)), block)


def _wrong(builder: ir.IRBuilder, block: Any, is_joined: Any, is_joined_before: Any) -> Any:
    """The bits of bytes that are not ASCII, or that are joined with the one before."""
    joined = builder.bitcast(is_joined, _BITS)
    carried = builder.or_(builder.shl(joined, ir.Constant(_BITS, 1)), builder.zext(is_joined_before, _BITS))
    not_ascii = builder.bitcast(builder.icmp_signed("<", block, _all(0)), _BITS)
    return builder.zext(builder.or_(not_ascii, builder.and_(joined, carried)), _LONG)
