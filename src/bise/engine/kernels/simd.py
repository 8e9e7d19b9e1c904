"""The vector loop under both matrix products, written in LLVM's own vectors of 16 floats.

LLVM turns <16 x float> into whatever the processor has (one AVX-512, two AVX2 or four NEON registers), so one source
serves them all. Each output row is a lane and sums its columns in order, whatever the number of tokens or tiles in
flight: that is what makes results independent of the batch.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_BYTES, _INTS, _FLOATS = ir.VectorType(_I8, LANES), ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


def _at(builder: Any, base: Any, byte_offset: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(base, [byte_offset]), kind.as_pointer())


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(undefined, scalar, _I32(0)), undefined, ir.Constant(_INTS, [0] * LANES)
    )


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return builder.bitcast(context.make_array(array_type)(context, builder, array).data, _I8.as_pointer())


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS, _FLOATS, _FLOATS])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32"), [x, y, z])


def _add_columns(
    builder: Any,
    columns: Any,
    sums: list[list[Any]],
    weights_at: Callable[[int, Any], Any],
    x_at: Callable[[int, Any], Any],
) -> None:
    """sums[token][tile] += weight[tile][column] * x[token][column] for every column."""
    with cgutils.for_range(builder, columns, intp=_I64) as loop:
        vectors = [weights_at(tile, loop.index) for tile in range(len(sums[0]))]
        for token, row in enumerate(sums):
            x = _splat(builder, x_at(token, loop.index))
            for tile, total in enumerate(row):
                builder.store(_multiply_add(builder, vectors[tile], x, builder.load(total)), total)


def make_dot(num_tokens: int, num_tiles: int, *, integers: bool) -> Any:
    """An intrinsic `dot(x, tiles, scales, out, token, tile)` for a block of tokens and tiles beginning there.

    x [T, K], tiles [tiles, K, 16] float32 or int8, scales [tiles, K / group, 16] (ignored for floats), out [T, N].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, tiles, scales, out = (
            _data(context, builder, kind, value) for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        )
        shapes = [
            cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, value).shape)
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        ]
        columns, groups, width = shapes[0][1], shapes[2][1], shapes[3][1]
        token, tile = arguments[4], arguments[5]
        item = 1 if integers else 4
        sums = [
            [cgutils.alloca_once_value(builder, ir.Constant(_FLOATS, [0.0] * LANES)) for _ in range(num_tiles)]
            for _ in range(num_tokens)
        ]

        def offset(row: Any, row_length: Any, column: Any, size: int) -> Any:
            return builder.mul(builder.add(builder.mul(row, row_length), column), _I64(size))

        def x_at(index: int, column: Any) -> Any:
            return builder.load(_at(builder, x, offset(builder.add(token, _I64(index)), columns, column, 4), _F32))

        def load_tile(index: int, column: Any) -> Any:
            row = builder.add(tile, _I64(index))
            kind = _BYTES if integers else _FLOATS
            return builder.load(_at(builder, tiles, offset(row, columns, column, LANES * item), kind), align=item)

        if integers:
            size = builder.sdiv(columns, groups)
            with cgutils.for_range(builder, groups, intp=_I64) as group:
                factors = [
                    builder.load(
                        _at(
                            builder, scales, offset(builder.add(tile, _I64(i)), groups, group.index, LANES * 4), _FLOATS
                        ),
                        align=4,
                    )
                    for i in range(num_tiles)
                ]
                start = builder.mul(group.index, size)

                def scaled(index: int, column: Any) -> Any:
                    loaded = load_tile(index, builder.add(start, column))
                    return builder.fmul(builder.sitofp(builder.sext(loaded, _INTS), _FLOATS), factors[index])

                _add_columns(builder, size, sums, scaled, lambda index, column: x_at(index, builder.add(start, column)))
        else:
            _add_columns(builder, columns, sums, load_tile, x_at)
        for i, row in enumerate(sums):
            for j, total in enumerate(row):
                column = builder.mul(builder.add(tile, _I64(j)), _I64(LANES))
                place = _at(builder, out, offset(builder.add(token, _I64(i)), width, column, 4), _FLOATS)
                builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    @intrinsic
    def dot(typing: Any, x: Any, tiles: Any, scales: Any, out: Any, token: Any, tile: Any) -> Any:
        del typing, token, tile
        return types.void(x, tiles, scales, out, types.int64, types.int64), generate

    return dot
