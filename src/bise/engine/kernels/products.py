"""The inner loops of the matrix products, as LLVM instructions: a few tiles of weights times a few tokens.

A loop runs over the groups of 32 columns. Within a group it adds products of integers, exactly; then it turns the sum
into a float, times the weights' scale, times the activations' scale, and adds that to the row's total by one fused
multiply-add. Every shape of loop and every instruction set does the same per row and token, so all give the same bits.

    avx512     vpdpbusd on 16 rows
    avxvnni    vpdpbusd on 8 rows
    avx2       vpmaddubsw, which adds two products in 16 bits and saturates: 4-bit weights cannot reach that in a whole
               group (16 x 15 x 127 = 30480); 8-bit ones are split into |w| and activations with the sign of w, neither
               beyond 127, and widened at once (2 x 127 x 127 = 32258)
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from bise.engine.kernels.packing import BLOCK_BYTES
from bise.engine.kernels.vectors import (
    F32,
    I8,
    I16,
    I32,
    I64,
    call,
    emit_fma,
    emit_load_halves,
    emit_prefetch,
    pointer,
    splat_vector,
)


def lanes_of(set_name: str) -> int:
    """How many int32 a register of an instruction set holds."""
    return 16 if set_name == "avx512" else 8


@dataclass(frozen=True)
class Loop:
    """A shape of inner loop."""

    instruction_set: str  # "avx512", "avxvnni" or "avx2"
    bits: int  # of a weight
    num_tiles: int
    num_tokens: int
    prefetch_lines: int  # lines of weights to ask for in each block of 64 columns

    @property
    def lanes(self) -> int:
        """Rows of one vector."""
        return lanes_of(self.instruction_set)

    @property
    def halves(self) -> int:
        """Vectors that hold a tile's rows."""
        return 16 // self.lanes


@dataclass(frozen=True)
class _Pointers:
    """Addresses at the block that is being multiplied."""

    weights: list[Any]  # one a tile
    activations: Any
    scales: Any
    offsets: Any


class ProductType(types.Type):
    """What a product is compiled for: instruction set and bits, inside compiled code a type and no value."""

    def __init__(self, set_name: str, bits: int) -> None:
        super().__init__(name=f"Product({set_name}, {bits})")
        self.set_name = set_name
        self.bits = bits


@register_model(ProductType)
class _ProductModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, I8)


@intrinsic
def block_bytes(typing, product):
    """Bytes of a block of 64 columns of a tile."""
    return types.int64(product), lambda context, builder, signature, values: I64(BLOCK_BYTES[product.bits])


@intrinsic(prefer_literal=True)
def share_bytes(typing, product, num_tiles, num_shares):
    """Bytes that `multiply_block` asks for ahead in each block of columns."""
    lines = _share_lines(product, num_tiles, num_shares)
    return types.int64(product, num_tiles, num_shares), lambda context, builder, signature, values: I64(64 * lines)


@intrinsic(prefer_literal=True)
def multiply_block(
    typing,
    product,
    num_tiles,
    num_tokens,
    num_shares,
    weights,
    tile_bytes,
    num_blocks,
    x,
    scales,
    offsets,
    stride,
    y,
    y_stride,
    ahead,
):
    """Multiply so many tiles with so many tokens, from the addresses on; the first three numbers are constants.

    Meanwhile ask for the memory at `ahead`: a share of the size of these tiles.
    """
    shape = (num_tiles, num_tokens, num_shares)
    tiles, tokens = num_tiles.literal_value, num_tokens.literal_value
    loop = Loop(product.set_name, product.bits, tiles, tokens, _share_lines(product, num_tiles, num_shares))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.call(_loop_function(builder.module, loop), values[4:])
        return context.get_dummy_value()

    return types.void(product, *shape, *[types.int64] * 10), generate


def _share_lines(product: Any, num_tiles: Any, num_shares: Any) -> int:
    lines: int = BLOCK_BYTES[product.bits] // 64 * num_tiles.literal_value
    return -(-lines // int(num_shares.literal_value))


def _loop_function(module: Any, loop: Loop) -> Any:
    """A loop as a function of its own: the processor's registers are all there for it."""
    name = f"loop_{loop.num_tiles}x{loop.num_tokens}_{loop.prefetch_lines}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 10), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    _emit_loop(builder, loop, function.args)
    builder.ret_void()
    return function


def _emit_loop(builder: Any, loop: Loop, values: Any) -> None:
    weights, tile_bytes, num_blocks, activations, scales, offsets, stride, y, y_stride, ahead = values
    zero = ir.Constant(ir.VectorType(F32, loop.lanes), [0.0] * loop.lanes)
    totals = [
        [cgutils.alloca_once_value(builder, zero) for _ in range(loop.num_tokens)]
        for _ in range(loop.num_tiles * loop.halves)
    ]
    tiles = [builder.add(weights, builder.mul(tile_bytes, I64(i))) for i in range(loop.num_tiles)]
    with cgutils.for_range(builder, num_blocks, intp=I64) as block:
        here = builder.mul(block.index, I64(BLOCK_BYTES[loop.bits]))
        place = builder.add(ahead, builder.mul(block.index, I64(64 * loop.prefetch_lines)))
        for line in range(loop.prefetch_lines):
            emit_prefetch(builder, pointer(builder, place, I64(64 * line), I8), 3)
        for h in range(2):
            group = builder.mul(builder.add(builder.mul(block.index, I64(2)), I64(h)), stride)
            pointers = _Pointers(
                [builder.add(tile, here) for tile in tiles],
                builder.add(activations, builder.mul(group, I64(32))),
                builder.add(scales, builder.mul(group, I64(4))),
                builder.add(offsets, builder.mul(group, I64(4))),
            )
            _emit_group(builder, loop, h, pointers, totals)
    for i, row in enumerate(totals):
        for token, total in enumerate(row):
            place = builder.add(builder.mul(y_stride, I64(4 * token)), I64(4 * loop.lanes * i))
            builder.store(builder.load(total), pointer(builder, y, place, zero.type), align=4)


def _emit_group(builder: Any, loop: Loop, h: int, at: _Pointers, totals: list[list[Any]]) -> None:
    emit_sums = _emit_sums_vnni if loop.instruction_set != "avx2" else _emit_sums_avx2
    sums = emit_sums(builder, loop, h, at)
    kind = ir.VectorType(F32, loop.lanes)
    weight_scales = [
        emit_load_halves(builder, base, I64(32 * h + 2 * loop.lanes * half), loop.lanes)
        for base in at.weights
        for half in range(loop.halves)
    ]
    for token in range(loop.num_tokens):
        scale = _broadcast(builder, at.scales, 4 * token, F32, loop.lanes)
        for i, factor in enumerate(weight_scales):
            total = totals[i][token]
            value = builder.sitofp(sums[i][token], kind)
            builder.store(emit_fma(builder, value, builder.fmul(factor, scale), builder.load(total)), total)


def _emit_sums_vnni(builder: Any, loop: Loop, h: int, at: _Pointers) -> list[list[Any]]:
    sums: list[list[Any]] = [[] for _ in range(loop.num_tiles * loop.halves)]
    for token in range(loop.num_tokens):
        offset = _offset(builder, loop, at, token)
        for row in sums:
            row.append(offset)
    for j in range(8):
        weights = _load_weights(builder, loop, h, j, at)
        for token in range(loop.num_tokens):
            x = _broadcast(builder, at.activations, 32 * token + 4 * j, I32, loop.lanes)
            for row, vector in zip(sums, weights, strict=True):
                row[token] = emit_dot(builder, row[token], vector, x)
    return sums


def emit_dot(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """vpdpbusd: each lane adds four products of unsigned and signed bytes."""
    kind = ir.VectorType(I8, 4 * total.type.count)
    operands = total, builder.bitcast(unsigned, kind), builder.bitcast(signed, kind)
    return call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * total.type.count}", total.type, *operands)


def _emit_sums_avx2(builder: Any, loop: Loop, h: int, at: _Pointers) -> list[list[Any]]:
    emit = _add_avx2_int4 if loop.bits == 4 else _add_avx2_int8
    sums: list[list[Any]] = [[None] * loop.num_tokens for _ in range(loop.num_tiles * loop.halves)]
    for j in range(8):
        weights = _load_weights(builder, loop, h, j, at)
        for token in range(loop.num_tokens):
            x = _broadcast(builder, at.activations, 32 * token + 4 * j, I32, loop.lanes)
            for row, vector in zip(sums, weights, strict=True):
                row[token] = emit(builder, row[token], vector, x)
    if loop.bits == 4:
        for token in range(loop.num_tokens):
            offset = _offset(builder, loop, at, token)
            for row in sums:
                row[token] = builder.add(_widen_pairs(builder, row[token]), offset)
    return sums


def _add_avx2_int4(builder: Any, total: Any, weights: Any, x: Any) -> Any:
    pairs = emit_multiply_pairs(builder, weights, x)
    return pairs if total is None else builder.add(total, pairs)


def _add_avx2_int8(builder: Any, total: Any, weights: Any, x: Any) -> Any:
    kind = ir.VectorType(I8, 32)
    signed = builder.xor(builder.bitcast(weights, kind), ir.Constant(kind, [-128] * 32))
    turned = call(builder, "llvm.x86.avx2.psign.b", kind, builder.bitcast(x, kind), signed)
    size = call(builder, "llvm.abs.v32i8", kind, signed, ir.Constant(ir.IntType(1), 0))
    fours = _widen_pairs(builder, emit_multiply_pairs(builder, size, turned))
    return fours if total is None else builder.add(total, fours)


def emit_multiply_pairs(builder: Any, unsigned: Any, signed: Any) -> Any:
    """vpmaddubsw: sums of two neighbouring products in 16 bits."""
    kind = ir.VectorType(I8, 32)
    operands = builder.bitcast(unsigned, kind), builder.bitcast(signed, kind)
    return call(builder, "llvm.x86.avx2.pmadd.ub.sw", ir.VectorType(I16, 16), *operands)


def _widen_pairs(builder: Any, pairs: Any) -> Any:
    """vpmaddwd with ones: sums of two neighbours in 32 bits."""
    ones = ir.Constant(pairs.type, [1] * 16)
    return call(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(I32, 8), pairs, ones)


def _load_weights(builder: Any, loop: Loop, h: int, j: int, at: _Pointers) -> list[Any]:
    """Unsigned bytes of columns 4j..4j+3 of group h of every row, as ints."""
    kind = ir.VectorType(I32, loop.lanes)
    start = 64 + 64 * (8 * h + j if loop.bits == 8 else 4 * h + j % 4)
    loaded = []
    for base in at.weights:
        for half in range(loop.halves):
            stored = builder.load(pointer(builder, base, I64(start + 32 * half), kind), align=1)
            if loop.bits == 4:
                if j >= 4:
                    stored = builder.lshr(stored, ir.Constant(kind, [4] * loop.lanes))
                stored = builder.and_(stored, ir.Constant(kind, [0x0F0F0F0F] * loop.lanes))
            loaded.append(stored)
    return loaded


def _offset(builder: Any, loop: Loop, at: _Pointers, token: int) -> Any:
    """Minus what the weights' offset adds to the sum: stored for 4 bits (8), 16 times that for 8 bits (128)."""
    offset = _broadcast(builder, at.offsets, 4 * token, I32, loop.lanes)
    if loop.bits == 8:
        offset = builder.shl(offset, ir.Constant(offset.type, [4] * loop.lanes))
    return offset


def _broadcast(builder: Any, base: Any, offset: int, kind: Any, lanes: int) -> Any:
    return splat_vector(builder, builder.load(pointer(builder, base, I64(offset), kind), align=1), lanes)
