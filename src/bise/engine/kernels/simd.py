"""The vector loop under both matrix products, written in LLVM's own vectors of 16 floats.

LLVM turns <16 x float> into whatever the processor has (one AVX-512, two AVX2 or four NEON registers), so one source
serves them all. Each output row is a lane and adds its columns in order, whatever the number of tokens or tiles in
flight: that is what makes results independent of the batch.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bise.engine.kernels.table import TILE

_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_BYTES, _INTS, _FLOATS = ir.VectorType(_I8, TILE), ir.VectorType(_I32, TILE), ir.VectorType(_F32, TILE)


class _Array:
    """A C-ordered array argument inside generated code."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self._builder = builder
        self._data = array.data
        self._item = kind.dtype.bitwidth // 8
        self.shape = cgutils.unpack_tuple(builder, array.shape)

    def load(self, kind: Any, *indices: Any) -> Any:
        """The value or vector of `kind` that begins at an element."""
        return self._builder.load(self._place(kind, indices), align=self._item)

    def store(self, value: Any, *indices: Any) -> None:
        """Put a value or vector where an element begins."""
        self._builder.store(value, self._place(value.type, indices), align=self._item)

    def _place(self, kind: Any, indices: tuple[Any, ...]) -> Any:
        offset = indices[0]
        for index, length in zip(indices[1:], self.shape[1:], strict=True):
            offset = self._builder.add(self._builder.mul(offset, length), index)
        return self._builder.bitcast(self._builder.gep(self._data, [offset]), kind.as_pointer())


def make_dot(num_tokens: int, num_tiles: int, *, integers: bool) -> Any:
    """An intrinsic `dot(x, tiles, scales, out, token, tile)` for a block of tokens and tiles that begins there.

    x [T, K], tiles [tiles, K, 16] float32 or int8, scales [tiles, K / group, 16] (ignored for floats), out [T, N].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = zip(signature.args[:4], arguments[:4], strict=True)
        x, weights, scales, out = (_Array(context, builder, kind, value) for kind, value in arrays)
        tokens = [builder.add(arguments[4], _I64(i)) for i in range(num_tokens)]
        tiles = [builder.add(arguments[5], _I64(i)) for i in range(num_tiles)]
        zero = ir.Constant(_FLOATS, [0.0] * TILE)
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in tiles] for _ in tokens]

        def add_column(column: Any, load_weights: Callable[[int], Any]) -> None:
            vectors = [load_weights(i) for i in range(num_tiles)]
            for token, row in zip(tokens, sums, strict=True):
                value = _splat(builder, x.load(_F32, token, column))
                for vector, total in zip(vectors, row, strict=True):
                    builder.store(_multiply_add(builder, vector, value, builder.load(total)), total)

        if integers:
            _for_int8_columns(builder, weights, scales, tiles, add_column)
        else:
            with cgutils.for_range(builder, weights.shape[1], intp=_I64) as loop:
                add_column(loop.index, lambda i: weights.load(_FLOATS, tiles[i], loop.index, _I64(0)))
        for token, row in zip(tokens, sums, strict=True):
            for tile, total in zip(tiles, row, strict=True):
                out.store(builder.load(total), token, builder.mul(tile, _I64(TILE)))
        return context.get_dummy_value()

    @intrinsic
    def dot(typing: Any, x: Any, tiles: Any, scales: Any, out: Any, token: Any, tile: Any) -> Any:
        del typing, token, tile
        return types.void(x, tiles, scales, out, types.int64, types.int64), generate

    return dot


def _for_int8_columns(
    builder: Any, weights: _Array, scales: _Array, tiles: list[Any], add_column: Callable[[Any, Any], None]
) -> None:
    """Visit every column with its weights turned to floats; a group's scales are loaded once."""
    size = builder.sdiv(weights.shape[1], scales.shape[1])
    with cgutils.for_range(builder, scales.shape[1], intp=_I64) as group:
        factors = [scales.load(_FLOATS, tile, group.index, _I64(0)) for tile in tiles]
        with cgutils.for_range(builder, size, intp=_I64) as loop:
            column = builder.add(builder.mul(group.index, size), loop.index)

            def load_weights(i: int) -> Any:
                stored = weights.load(_BYTES, tiles[i], column, _I64(0))
                return builder.fmul(builder.sitofp(builder.sext(stored, _INTS), _FLOATS), factors[i])

            add_column(column, load_weights)


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * TILE))


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS, _FLOATS, _FLOATS])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32"), [x, y, z])
