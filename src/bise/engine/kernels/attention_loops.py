"""The two inner loops of attention, in LLVM's own vectors: scores of queries with keys, and values times weights.

Each is written for some rows (queries) and some blocks or vectors of columns, whose sums all stay in registers. A lane
of a vector is a token of the scores or a column of the values: its sum runs in the same order in every such shape.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from bise.engine.kernels.cells import ITEM_BYTES, SCALE_GROUP, KVPrecision
from bise.engine.kernels.table import BLOCK
from bise.engine.kernels.vectors import (
    F32,
    FLOATS,
    I8,
    I64,
    INTS,
    emit_fma,
    emit_load_halves,
    emit_prefetch,
    pointer,
    splat_vector,
)

CHUNK_BLOCKS = 8
CHUNK = CHUNK_BLOCKS * BLOCK  # tokens between two corrections of the running softmax


class AttentionType(types.Type):
    """What attention is compiled for, inside compiled code a type and no value."""

    def __init__(self, precision: KVPrecision, wide: bool) -> None:
        super().__init__(name=f"Attention({precision}, {wide})")
        self.precision = precision
        self.wide = wide  # the processor has 32 long registers


@register_model(AttentionType)
class _AttentionModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, I8)


@intrinsic
def is_wide(typing, kind):
    """Whether the processor has 32 long registers, a constant."""
    return types.boolean(kind), lambda context, builder, signature, values: ir.Constant(ir.IntType(1), kind.wide)


@intrinsic
def has_scales(typing, kind):
    """Whether the cache's numbers are integers with scales, a constant."""
    found = kind.precision == "int8"
    return types.boolean(kind), lambda context, builder, signature, values: ir.Constant(ir.IntType(1), found)


def _offset(builder: Any, base: Any, index: Any, stride: int) -> Any:
    return builder.add(base, builder.mul(index, I64(stride)))


def _load(builder: Any, precision: KVPrecision, address: Any) -> Any:
    """Sixteen neighbouring numbers of a cell as floats."""
    if precision == "fp32":
        return builder.load(pointer(builder, address, I64(0), FLOATS), align=4)
    if precision == "fp16":
        return emit_load_halves(builder, address, I64(0))
    stored = builder.load(pointer(builder, address, I64(0), ir.VectorType(I8, BLOCK)), align=1)
    return builder.sitofp(builder.sext(stored, INTS), FLOATS)


def _load_address(builder: Any, table: Any, index: Any) -> Any:
    return builder.load(pointer(builder, table, builder.mul(index, I64(8)), I64), align=8)


def _splat_from(builder: Any, address: Any) -> Any:
    return splat_vector(builder, builder.load(pointer(builder, address, I64(0), F32), align=4))


def _as_function(name: str, num_arguments: int, emit: Callable[..., None]) -> Callable[..., Any]:
    """Code for a call of a function of addresses and counts, which a module holds once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        if name not in builder.module.globals:
            kind = ir.FunctionType(ir.VoidType(), [I64] * num_arguments)
            function = ir.Function(builder.module, kind, name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            body = ir.IRBuilder(function.append_basic_block())
            emit(body, *function.args)
            body.ret_void()
        builder.call(builder.module.globals[name], values[-num_arguments:])
        return context.get_dummy_value()

    return generate


@intrinsic(prefer_literal=True)
def scores(typing, kind, rows, blocks, queries, cells, head_dim, out):
    """Products of some rows and blocks, two constants: `queries` [rows, D] with the cells' keys, `out` [rows, CHUNK].

    The values of the same cells, which are read next, are prefetched.
    """
    shape = (rows.literal_value, blocks.literal_value)
    emit = _scores_of(kind.precision, *shape)
    name = f"scores_{shape[0]}x{shape[1]}"
    return types.void(kind, rows, blocks, *[types.int64] * 4), _as_function(name, 4, emit)


def _scores_of(precision: KVPrecision, rows: int, blocks: int) -> Callable[..., None]:
    item = ITEM_BYTES[precision]
    unroll = 2 if item > 1 else 4  # a cache line of fp16 or int8 keys

    def emit(builder: Any, queries: Any, table: Any, head_dim: Any, out: Any) -> None:
        cells = [_load_address(builder, table, I64(b)) for b in range(blocks)]
        row_addresses = [_offset(builder, queries, builder.mul(head_dim, I64(r)), 4) for r in range(rows)]
        zero = ir.Constant(FLOATS, [0.0] * BLOCK)
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(blocks)] for _ in range(rows)]

        def add_dimensions(first: Any, last: Any) -> None:
            with cgutils.for_range_slice(builder, first, last, I64(unroll), intp=I64) as (start, _):
                for step in range(unroll):
                    dimension = builder.add(start, I64(step))
                    places = [_offset(builder, cell, dimension, BLOCK * item) for cell in cells]
                    if step == 0:
                        value_bytes = builder.mul(head_dim, I64(BLOCK * item))
                        for place in places:
                            emit_prefetch(builder, pointer(builder, place, value_bytes, I8), 3)
                    keys = [_load(builder, precision, place) for place in places]
                    for row_address, row in zip(row_addresses, sums, strict=True):
                        query = _splat_from(builder, _offset(builder, row_address, dimension, 4))
                        for key, place in zip(keys, row, strict=True):
                            builder.store(emit_fma(builder, query, key, builder.load(place)), place)

        if precision != "int8":
            add_dimensions(I64(0), head_dim)
        else:
            _add_groups(builder, cells, head_dim, sums, add_dimensions)
        for r, row in enumerate(sums):
            for b, place in enumerate(row):
                builder.store(builder.load(place), pointer(builder, out, I64((r * CHUNK + b * BLOCK) * 4), FLOATS), 4)

    return emit


def _add_groups(builder: Any, cells: list[Any], head_dim: Any, sums: list[list[Any]], add_dimensions: Any) -> None:
    """Sum each group of int8 dimensions by itself, then add it times the group's scales."""
    zero = ir.Constant(FLOATS, [0.0] * BLOCK)
    totals = [[cgutils.alloca_once_value(builder, zero) for _ in row] for row in sums]
    scales_at = builder.mul(head_dim, I64(2 * BLOCK))
    with cgutils.for_range_slice(builder, I64(0), head_dim, I64(SCALE_GROUP), intp=I64) as (first, _):
        end = builder.add(first, I64(SCALE_GROUP))
        last = builder.select(builder.icmp_signed("<", end, head_dim), end, head_dim)
        for row in sums:
            for place in row:
                builder.store(zero, place)
        add_dimensions(first, last)
        offset = builder.add(scales_at, first)  # 16 float16 scales a group of 32
        for b, cell in enumerate(cells):
            scales = emit_load_halves(builder, cell, offset)
            for row, into in zip(sums, totals, strict=True):
                builder.store(emit_fma(builder, builder.load(row[b]), scales, builder.load(into[b])), into[b])
    for row, into in zip(sums, totals, strict=True):
        for place, whole in zip(row, into, strict=True):
            builder.store(builder.load(whole), place)


@intrinsic(prefer_literal=True)
def mix(typing, kind, rows, vectors, weights, cells, first, last, column, head_dim, out):
    """Add values times weights to some rows and vectors of columns, two constants.

    The values of the chunk's tokens [first, last) and their weights [rows, CHUNK] go to `out` [rows, D], columns from
    `column` on. Keys of the next chunk, whose cells follow in the table, are prefetched.
    """
    shape = (rows.literal_value, vectors.literal_value)
    emit = _mix_of(kind.precision, *shape)
    name = f"mix_{shape[0]}x{shape[1]}"
    return types.void(kind, rows, vectors, *[types.int64] * 7), _as_function(name, 7, emit)


def _mix_of(precision: KVPrecision, rows: int, vectors: int) -> Callable[..., None]:
    item = ITEM_BYTES[precision]
    width = vectors * BLOCK * item

    def emit(
        builder: Any, weights: Any, table: Any, first: Any, last: Any, column: Any, head_dim: Any, out: Any
    ) -> None:
        places = [
            [
                pointer(
                    builder, _offset(builder, out, builder.add(column, builder.mul(head_dim, I64(r))), 4), at, FLOATS
                )
                for at in (I64(v * BLOCK * 4) for v in range(vectors))
            ]
            for r in range(rows)
        ]
        sums = [[cgutils.alloca_once_value(builder, builder.load(p, align=4)) for p in row] for row in places]
        row_bytes = builder.mul(head_dim, I64(item))
        value_start = builder.add(builder.mul(row_bytes, I64(BLOCK)), builder.mul(column, I64(item)))
        end_block = builder.add(builder.sdiv(builder.sub(last, I64(1)), I64(BLOCK)), I64(1))
        start_block = builder.sdiv(first, I64(BLOCK))
        with cgutils.for_range_slice(builder, start_block, end_block, I64(1), intp=I64) as (block, _):
            cell = _load_address(builder, table, block)
            following = _load_address(builder, table, builder.add(block, I64(CHUNK_BLOCKS)))
            start = builder.mul(block, I64(BLOCK))
            end = builder.add(start, I64(BLOCK))
            low = builder.select(builder.icmp_signed(">", first, start), first, start)
            high = builder.select(builder.icmp_signed("<", last, end), last, end)
            with cgutils.for_range_slice(builder, low, high, I64(1), intp=I64) as (token, _):
                row_offset = builder.mul(builder.sub(token, start), row_bytes)
                ahead = builder.add(builder.add(following, row_offset), builder.mul(column, I64(item)))
                for line in range(max(1, width // 64)):
                    emit_prefetch(builder, pointer(builder, ahead, I64(64 * line), I8), 3)
                value_at = builder.add(builder.add(cell, row_offset), value_start)
                loaded = [
                    _load(builder, precision, builder.add(value_at, I64(v * BLOCK * item))) for v in range(vectors)
                ]
                for r, row in enumerate(sums):
                    weight = _splat_from(builder, _offset(builder, builder.add(weights, I64(r * CHUNK * 4)), token, 4))
                    for value, place in zip(loaded, row, strict=True):
                        builder.store(emit_fma(builder, weight, value, builder.load(place)), place)
        for place_row, row in zip(places, sums, strict=True):
            for target, place in zip(place_row, row, strict=True):
                builder.store(builder.load(place), target, align=4)

    return emit
