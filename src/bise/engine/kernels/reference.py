"""The kernels in NumPy: right everywhere, slow, and what every compiled kernel is tested against."""

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.cells import PRECISIONS, Cells, read_cells, write_cells
from bise.engine.kernels.table import BLOCK, TILE, Floats, Ints, Kernels


def rms_norm(x_TK: Floats, weight_K: Floats, epsilon: float, out_TK: Floats) -> None:
    """Root-mean-square norm (arXiv 1910.07467) of each token."""
    scale_T1 = 1 / np.sqrt((x_TK * x_TK).mean(axis=1, keepdims=True) + np.float32(epsilon))
    out_TK[:] = x_TK * scale_T1 * weight_K


def matmul_float(x_TK: Floats, tiles: Floats, first: int, last: int, out_TN: Floats) -> None:
    """Rows of tiles [first, last) of `x @ weight.T`; `tiles` as `pack_tiles` makes them; N is a multiple of 16."""
    for token, x_K in enumerate(x_TK):  # one by one, tile by tile: the order of addition depends on a product's shape
        out_TN[token, first * TILE : last * TILE] = (x_K @ tiles[first:last]).reshape(-1)


def matmul_int8(x_TK: Floats, tiles: NDArray[np.int8], scales: Floats, first: int, last: int, out_TN: Floats) -> None:
    """As `matmul_float` with integer weights; `scales` [tiles, K / group, 16] multiply them."""
    group = tiles.shape[1] // scales.shape[1]
    floats = tiles.astype(np.float32) * np.repeat(scales, group, axis=1)
    matmul_float(x_TK, floats, first, last, out_TN)


def rotate_and_store(
    qkv_TN: Floats,
    positions_T: Ints,
    slots_T: Ints,
    cosines: Floats,
    sines: Floats,
    num_heads: int,
    cells: Cells,
    precision: int,
) -> None:
    """Rotate queries and keys to their positions (RoPE, arXiv 2104.09864, half-split) and put keys and values away.

    A row of `qkv_TN` is the H query, G key and G value heads. `cosines` and `sines` are [context, D / 2]. `cells` is one
    layer's cache, `precision` its place in PRECISIONS; slot s is place s % 16 of block s // 16. Queries stay in place.
    """
    num_kv_heads, half = cells.shape[1], cosines.shape[1]
    rotated = num_heads + num_kv_heads
    tokens, width = len(qkv_TN), (rotated + num_kv_heads) * 2 * half
    heads = qkv_TN[:, :width].reshape(tokens, -1, 2 * half)
    cosine, sine = cosines[positions_T][:, None], sines[positions_T][:, None]
    first, second = heads[:, :rotated, :half].copy(), heads[:, :rotated, half:].copy()
    heads[:, :rotated, :half] = first * cosine - second * sine
    heads[:, :rotated, half:] = second * cosine + first * sine
    qkv_TN[:, :width] = heads.reshape(tokens, -1)
    write_cells(cells, PRECISIONS[precision], slots_T, heads[:, num_heads:rotated], heads[:, rotated:])


def attention(
    qkv_TN: Floats,
    positions_T: Ints,
    sequences_T: Ints,
    blocks: Ints,
    cells: Cells,
    precision: int,
    num_heads: int,
    window: int,
    out_TK: Floats,
) -> None:
    """Causal grouped-query attention of each token over its own sequence's cache, itself included.

    `blocks` [S, most blocks] lists each sequence's blocks in order. A token sees the last `window` tokens, or all when
    that is zero. `out_TK` is [T, H * D].
    """
    num_kv_heads, head_dim = cells.shape[1], out_TK.shape[1] // num_heads
    for token, (position, sequence) in enumerate(zip(positions_T, sequences_T, strict=True)):
        start = max(0, position - window + 1) if window else 0
        first = start // BLOCK
        table = blocks[sequence, first : position // BLOCK + 1]
        seen = slice(start - first * BLOCK, position + 1 - first * BLOCK)
        k_GJD, v_GJD = (x[:, seen] for x in read_cells(cells, PRECISIONS[precision], table, head_dim))
        q_GQD = qkv_TN[token, : num_heads * head_dim].reshape(num_kv_heads, -1, head_dim)
        scores_GQJ = q_GQD @ k_GJD.transpose(0, 2, 1) / np.float32(np.sqrt(head_dim))
        scores_GQJ = np.exp(scores_GQJ - scores_GQJ.max(axis=2, keepdims=True))
        scores_GQJ /= scores_GQJ.sum(axis=2, keepdims=True)
        out_TK[token] = (scores_GQJ @ v_GJD).reshape(-1)


def silu_gate(gate_up_TN: Floats, out_TK: Floats) -> None:
    """silu(gate) * up (SwiGLU, arXiv 2002.05202); a row of `gate_up_TN` is K gates, then K ups."""
    columns = out_TK.shape[1]
    gate_TK, up_TK = gate_up_TN[:, :columns], gate_up_TN[:, columns : 2 * columns]
    with np.errstate(over="ignore"):  # exp(-gate) may overflow to infinity: the quotient is then zero, as it should be
        out_TK[:] = gate_TK / (1 + np.exp(-gate_TK)) * up_TK


NUMPY_KERNELS = Kernels("numpy", None, rms_norm, matmul_float, matmul_int8, rotate_and_store, attention, silu_gate)
