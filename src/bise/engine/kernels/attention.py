"""Causal grouped-query attention over the paged cache: the compiled twin of `reference.attention`.

A unit of work is one key/value head and the queries of a few neighbouring tokens that read it, so that each key that
is read serves many rows. Scores are taken for chunks of 128 tokens at fixed places of the sequence and folded into a
running softmax (arXiv 2205.14135). Each row multiplies and adds in the order of its own positions, whatever rows share
its unit: its bits do not depend on the batch.

How keys and values lie in memory is told in `cells.py`.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, register_jitable

from bise.engine.kernels.attention_loops import CHUNK, CHUNK_BLOCKS, AttentionType, has_scales, is_wide, mix, scores
from bise.engine.kernels.cache import address_of, compile_kernel
from bise.engine.kernels.cells import SCALE_GROUP, KVPrecision
from bise.engine.kernels.linear import DEVICE
from bise.engine.kernels.memory import load_int32, load_int64, store_int64
from bise.engine.kernels.table import BLOCK
from bise.engine.kernels.vectors import (
    F32,
    I8,
    I64,
    exponential,
    larger,
    largest,
    load_float,
    load_floats,
    load_halves,
    multiply,
    splat,
    store_float,
    store_floats,
    subtract,
    total,
    zeros,
)
from bise.engine.kernels.vectors import add as add_floats

MAX_ROWS = 32  # queries in one unit
_STATE = 32  # floats of a row's running softmax: 16 partial totals, then its maximum


@register_jitable
def scratch_floats(head_dim: int) -> int:
    """Memory that `attend` needs for itself."""
    return 4 * CHUNK_BLOCKS + MAX_ROWS * (4 + _STATE + 2 * CHUNK + 2 * head_dim)


@njit(**DEVICE)
def fold_scores(scores, state, first, last, out, head_dim):
    """Turn a row's scores of the chunk's tokens [first, last) into weights, and correct what was summed before."""
    start, end = first // BLOCK, (last + BLOCK - 1) // BLOCK
    for j in range(start * BLOCK, first):
        store_float(scores, j * 4, np.float32(-np.inf))
    for j in range(last, end * BLOCK):
        store_float(scores, j * 4, np.float32(-np.inf))
    highest = splat(np.float32(-np.inf))
    for block in range(start, end):
        highest = larger(load_floats(scores, block * 64), highest)
    before = load_float(state, 64)
    maximum = max(largest(highest), before)
    totals = load_floats(state, 0)
    if maximum != before:
        store_float(state, 64, maximum)
        correction = exponential(splat(before - maximum))
        totals = multiply(totals, correction)
        for i in range(head_dim // BLOCK):
            store_floats(out, i * 64, multiply(load_floats(out, i * 64), correction))
    shift = splat(maximum)
    for block in range(start, end):
        weights = exponential(subtract(load_floats(scores, block * 64), shift))
        store_floats(scores, block * 64, weights)
        totals = add_floats(totals, weights)
    store_floats(state, 0, totals)


@njit(**DEVICE)
def weigh_scales(weights, cells, first, last, offset, out):
    """A row's weights times the scales that lie at `offset` in each cell."""
    for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
        cell = load_int64(cells, block * 8)
        store_floats(out, block * 64, multiply(load_floats(weights, block * 64), load_halves(cell, offset)))


@njit(**DEVICE, inline="always")
def blend_row(kind, weights, cells, low, high, first, last, head_dim, out):
    """Add the values of the chunk's tokens [low, high) to one row, columns [first, last)."""
    column = first if low < high else last
    while last - column >= 64:
        mix(kind, 1, 4, weights, cells, low, high, column, head_dim, out)
        column += 64
    while column < last:
        mix(kind, 1, 1, weights, cells, low, high, column, head_dim, out)
        column += 16


@njit(**DEVICE, inline="always")
def blend_rows(kind, count, weights, cells, low, high, first, last, head_dim, out):
    """As `blend_row` for 8 or 4 rows."""
    column = first
    while column < last:
        if count == 8 and last - column >= 32:
            mix(kind, 8, 2, weights, cells, low, high, column, head_dim, out)
            column += 32
        elif count == 8:
            mix(kind, 8, 1, weights, cells, low, high, column, head_dim, out)
            column += 16
        elif is_wide(kind) and last - column >= 64:
            mix(kind, 4, 4, weights, cells, low, high, column, head_dim, out)
            column += 64
        else:
            mix(kind, 4, 1, weights, cells, low, high, column, head_dim, out)
            column += 16


@njit(**DEVICE)
def blend(kind, weights, cells, ranges, rows, first, last, head_dim, out):
    """Add values times weights for all rows of a unit, columns [first, last) of the head.

    Rows of several tokens end, and with a window begin, at different places: what they share is done together, each
    row's own beginning and end by itself, always in the order of the tokens.
    """
    row = 0
    while row < rows:
        count = 8 if is_wide(kind) and rows - row >= 8 else 4 if rows - row >= 4 else 1
        row_weights, row_out = weights + row * CHUNK * 4, out + row * head_dim * 4
        low, high = load_int64(ranges, (row + count - 1) * 16), load_int64(ranges, row * 16 + 8)
        if low < high and count > 1:
            border, resume = low, high
        else:
            border = resume = low
        for i in range(count):
            begin, end = load_int64(ranges, (row + i) * 16), load_int64(ranges, (row + i) * 16 + 8)
            at, to = row_weights + i * CHUNK * 4, row_out + i * head_dim * 4
            blend_row(kind, at, cells, begin, min(border, end), first, last, head_dim, to)
        if border < resume:
            blend_rows(kind, count, row_weights, cells, low, high, first, last, head_dim, row_out)
        for i in range(count):
            begin, end = load_int64(ranges, (row + i) * 16), load_int64(ranges, (row + i) * 16 + 8)
            at, to = row_weights + i * CHUNK * 4, row_out + i * head_dim * 4
            blend_row(kind, at, cells, max(begin, resume), end, first, last, head_dim, to)
        row += count


@njit(**DEVICE)
def score(kind, queries, cells, first_block, last_block, rows, head_dim, out):
    """Scores of all rows of a unit with the chunk's blocks [first_block, last_block), and perhaps a few beside them."""
    row = 0
    while row < rows:
        at, to = queries + row * head_dim * 4, out + row * CHUNK * 4
        if is_wide(kind) and rows - row >= 8:
            for block in range(first_block // 2 * 2, last_block, 2):
                scores(kind, 8, 2, at, cells + block * 8, head_dim, to + block * 64)
            row += 8
        elif rows - row >= 4:
            if is_wide(kind):
                for block in range(first_block // 4 * 4, last_block, 4):
                    scores(kind, 4, 4, at, cells + block * 8, head_dim, to + block * 64)
            else:
                for block in range(first_block, last_block):
                    scores(kind, 4, 1, at, cells + block * 8, head_dim, to + block * 64)
            row += 4
        elif rows - row >= 2:
            for block in range(first_block // 2 * 2, last_block, 2):
                scores(kind, 2, 2, at, cells + block * 8, head_dim, to + block * 64)
            row += 2
        else:
            for block in range(first_block // 4 * 4, last_block, 4):
                scores(kind, 1, 4, at, cells + block * 8, head_dim, to + block * 64)
            row += 1


@njit(**DEVICE)
def fold_chunk(states, weights, ranges, rows, heads, position, start, window, head_dim, out):
    """Turn all rows' scores of the chunk that begins at `start` into weights, and note the range that each row sees."""
    for row in range(rows):
        seen = position + row // heads + 1
        low = max(0, (seen - window if window > 0 else 0) - start)
        high = min(seen - start, CHUNK)
        if low < high:
            at, state, to = weights + row * CHUNK * 4, states + row * _STATE * 4, out + row * head_dim * 4
            fold_scores(at, state, low, high, to, head_dim)
        else:
            low = high = 0 if high <= 0 else CHUNK
        store_int64(ranges, row * 16, low)
        store_int64(ranges, row * 16 + 8, high)


def attend(
    kind,
    queries,  # address of the first token's first query [heads, D]; the next token's is query_bytes further
    query_bytes,
    out,  # as queries
    out_bytes,
    num_tokens,
    heads,  # queries of each token; num_tokens * heads is at most MAX_ROWS
    position,  # of the first token
    window,  # tokens that each token sees, itself included; 0 for all
    head_dim,
    scale,
    blocks,  # address of the sequence's block numbers, int32
    cells_base,  # address of this head's cell in block 0
    block_bytes,
    scratch,  # address of scratch_floats(D) floats
):
    """One unit of attention."""
    rows = num_tokens * heads
    cells = scratch
    ranges = cells + 2 * CHUNK_BLOCKS * 8
    states = ranges + MAX_ROWS * 16
    weights = states + MAX_ROWS * _STATE * 4
    scaled_weights = weights + MAX_ROWS * CHUNK * 4
    rows_in = scaled_weights + MAX_ROWS * CHUNK * 4
    rows_out = rows_in + MAX_ROWS * head_dim * 4
    factor = splat(scale)
    for row in range(rows):
        query = queries + (row // heads) * query_bytes + (row % heads) * head_dim * 4
        for i in range(head_dim // 16):
            store_floats(rows_in + row * head_dim * 4, i * 64, multiply(load_floats(query, i * 64), factor))
            store_floats(rows_out + row * head_dim * 4, i * 64, zeros())
        store_floats(states + row * _STATE * 4, 0, zeros())
        store_float(states + row * _STATE * 4, 64, np.float32(-np.inf))
    lowest = max(0, position - window + 1) // BLOCK if window > 0 else 0
    highest = (position + num_tokens - 1) // BLOCK
    for chunk in range(lowest // CHUNK_BLOCKS, highest // CHUNK_BLOCKS + 1):
        for i in range(2 * CHUNK_BLOCKS):
            block = min(max(chunk * CHUNK_BLOCKS + i, lowest), highest)
            store_int64(cells, i * 8, cells_base + load_int32(blocks, block * 4) * block_bytes)
        first_block = max(lowest - chunk * CHUNK_BLOCKS, 0)
        last_block = min(highest + 1 - chunk * CHUNK_BLOCKS, CHUNK_BLOCKS)
        score(kind, rows_in, cells, first_block, last_block, rows, head_dim, weights)
        fold_chunk(states, weights, ranges, rows, heads, position, chunk * CHUNK, window, head_dim, rows_out)
        step = SCALE_GROUP if has_scales(kind) else head_dim
        for column in range(0, head_dim, step):
            ready = weights
            if has_scales(kind):
                ready = scaled_weights
                offset = 2 * BLOCK * head_dim + ((head_dim + SCALE_GROUP - 1) // SCALE_GROUP) * 32 + column
                for row in range(rows):
                    low, high = load_int64(ranges, row * 16), load_int64(ranges, row * 16 + 8)
                    weigh_scales(weights + row * CHUNK * 4, cells, low, high, offset, ready + row * CHUNK * 4)
            last = min(column + step, head_dim)
            blend(kind, ready, cells, ranges, rows, column, last, head_dim, rows_out)
    for row in range(rows):
        inverse = splat(np.float32(1) / total(load_floats(states + row * _STATE * 4, 0)))
        target = out + (row // heads) * out_bytes + (row % heads) * head_dim * 4
        for i in range(head_dim // 16):
            store_floats(target, i * 64, multiply(load_floats(rows_out + row * head_dim * 4, i * 64), inverse))


@cache
def load_attend(precision: KVPrecision, wide: bool) -> int:
    """The address of `attend` compiled for a precision; `wide`: the processor has 32 long registers."""
    counts = [types.int64]
    signature = types.void(AttentionType(precision, wide), *counts * 9, types.float32, *counts * 4)
    return address_of(compile_kernel(attend, signature, exact=True))


@intrinsic
def call_attend(
    typing,
    function,
    queries,
    query_bytes,
    out,
    out_bytes,
    num_tokens,
    heads,
    position,
    window,
    head_dim,
    scale,
    blocks,
    cells,
    block_bytes,
    scratch,
):
    """Call `attend` by its address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I8, *[I64] * 9, F32, *[I64] * 4])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), [I8(0), *values[1:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10, types.float32, *[types.int64] * 4), generate
