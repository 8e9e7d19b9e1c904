"""Low-rank adapters (LoRA, arXiv 2106.09685) in the fused step: `y += B (A x)` for the tokens that have one.

The tokens of a step that share an adapter are computed together, in pieces of at most PIECE; different adapters and
none stand side by side in one step, as in Punica (arXiv 2310.18547). A step has four products that adapters add to,
each with one or more matrices as its parts; `shrink` is a phase of its own before such a product, and `expand` follows
inside it. A token's sums have one order whatever stands beside it.

For each layer and product an adapter has a record of four int64: the addresses of A, B and factors, and R, the rank
times the number of parts, where the rank is filled up to a multiple of 8 with zeros. R is zero where it has nothing.

    A         float16 [R / 8, columns / 32, 8, 32]   eight ranks side by side, as they are read
    B         float16 [tiles, rank, 16]              a tile's rows, the tiles in the order of the product's
    factors   float32 [R]                            what undoes the powers of two that fitted A and B into float16
"""

from numba import njit

from bise.engine.kernels import vectors as v
from bise.engine.kernels.linear import DEVICE
from bise.engine.kernels.memory import load_int64
from bise.engine.kernels.table import TILE

QUERY_KEY_VALUE, OUTPUT, GATE_UP, DOWN = range(4)  # the products
RANKS = 8  # that `shrink` takes at once
PIECE = 32  # most tokens of an adapter in a unit
RECORD_BYTES = 32  # of a product
_LAYER_BYTES = 4 * RECORD_BYTES
_PIECE_BYTES = 24  # address of an adapter's records, first of its tokens, count
_AHEAD = 4096  # bytes that are asked for before they are read


@njit(**DEVICE)
def piece_of(task, number):
    """An adapter's records, and where its tokens begin and end in `adapted`."""
    at = task.pieces + _PIECE_BYTES * number
    first = load_int64(at, 8)
    return load_int64(at, 0), first, first + load_int64(at, 16)


@njit(**DEVICE)
def shrink_rows(x, scales, stride, token, groups, a, factors, low):
    """Eight products of A's rows with a token's quantised activations."""
    s0, s1, s2, s3 = v.zeros(), v.zeros(), v.zeros(), v.zeros()
    s4, s5, s6, s7 = v.zeros(), v.zeros(), v.zeros(), v.zeros()
    for group in range(groups):
        place, at = group * stride + token, 512 * group
        scale = v.broadcast_float(scales, 4 * place)
        for half in range(2):
            part = v.multiply(v.to_floats(v.load_bytes(x, 32 * place + 16 * half)), scale)
            row = a + at + 32 * half
            for line in range(4):
                v.prefetch(row, _AHEAD + 128 * line)
            s0 = v.fma(part, v.load_halves(row, 0), s0)
            s1 = v.fma(part, v.load_halves(row, 64), s1)
            s2 = v.fma(part, v.load_halves(row, 128), s2)
            s3 = v.fma(part, v.load_halves(row, 192), s3)
            s4 = v.fma(part, v.load_halves(row, 256), s4)
            s5 = v.fma(part, v.load_halves(row, 320), s5)
            s6 = v.fma(part, v.load_halves(row, 384), s6)
            s7 = v.fma(part, v.load_halves(row, 448), s7)
    v.store_float(low, 0, v.total(s0) * v.load_float(factors, 0))
    v.store_float(low, 4, v.total(s1) * v.load_float(factors, 4))
    v.store_float(low, 8, v.total(s2) * v.load_float(factors, 8))
    v.store_float(low, 12, v.total(s3) * v.load_float(factors, 12))
    v.store_float(low, 16, v.total(s4) * v.load_float(factors, 16))
    v.store_float(low, 20, v.total(s5) * v.load_float(factors, 20))
    v.store_float(low, 24, v.total(s6) * v.load_float(factors, 24))
    v.store_float(low, 28, v.total(s7) * v.load_float(factors, 28))


@njit(**DEVICE)
def shrink(task, index, product, unit, columns, activations, scales):
    """A unit of the phase `shrink`: eight rows of A for the tokens of a piece; none where A has fewer rows."""
    parts = task.low_columns // RANKS
    records, first, last = piece_of(task, unit // parts)
    record, ranks = records + _LAYER_BYTES * index + RECORD_BYTES * product, unit % parts * RANKS
    if ranks >= load_int64(record, 24):
        return
    a = load_int64(record, 0) + 2 * ranks * columns
    factors = load_int64(record, 16) + 4 * ranks
    for place in range(first, last):
        token = load_int64(task.adapted, 8 * place)
        low = task.low + 4 * (token * task.low_columns + ranks)
        shrink_rows(activations, scales, task.stride, token, columns // 32, a, factors, low)


@njit(**DEVICE)
def part_of(task, product, tile):
    """Which part of a product a tile belongs to: queries, keys or values; gates or ups, which lie in turn."""
    if product == GATE_UP:
        return tile % 2
    if product != QUERY_KEY_VALUE:
        return 0
    head = tile * TILE // task.head_dim
    return (head >= task.num_heads) + (head >= task.num_heads + task.num_kv_heads)


@njit(**DEVICE)
def expand_tile(b, low, rank, row):
    """Add a tile of B's products to a row of y."""
    even, odd = v.zeros(), v.zeros()
    for r in range(0, rank, 2):
        even = v.fma(v.broadcast_float(low, 4 * r), v.load_halves(b, 32 * r), even)
        odd = v.fma(v.broadcast_float(low, 4 * r + 4), v.load_halves(b, 32 * r + 32), odd)
    v.store_floats(row, 0, v.add(v.load_floats(row, 0), v.add(even, odd)))


@njit(**DEVICE)
def expand(task, index, product, num_parts, tile0, tile1, y, width):
    """Add the tiles [tile0, tile1) of B's products to y [tokens, width], which begins with the first of these tiles."""
    for piece in range(task.num_pieces):
        records, first, last = piece_of(task, piece)
        record = records + _LAYER_BYTES * index + RECORD_BYTES * product
        rank = load_int64(record, 24) // num_parts
        if rank == 0:
            continue
        for tile in range(tile0, tile1):
            b = load_int64(record, 8) + 2 * TILE * rank * tile
            for line in range(0, 2 * TILE * rank, 64):
                v.prefetch(b, _AHEAD + line)
            ranks = part_of(task, product, tile) * rank
            for place in range(first, last):
                token = load_int64(task.adapted, 8 * place)
                low = task.low + 4 * (token * task.low_columns + ranks)
                expand_tile(b, low, rank, y + 4 * (token * width + (tile - tile0) * TILE))
