"""Integer weight matrices packed for the kernels: read from first byte to last, once, with nothing beside them.

A tile is 16 output rows, one a vector lane. Its columns lie in blocks of 64, two groups of 32 (h = 0, 1); a block is

    64 bytes      2 x 16 float16 scales: those of group 0, those of group 1
    8 vectors     4 bits: vector 4h + j holds, in byte 4r + i, column 32h + 4j + i of row r in the low half of the byte
                  and column 32h + 16 + 4j + i in the high half, each plus 8
    16 vectors    8 bits: vector 8h + j holds, in byte 4r + i, column 32h + 4j + i of row r, plus 128

with 64 bytes a vector: four neighbouring columns of a row are what one lane of a dot-product instruction takes. The
offsets make the weights unsigned, as those instructions want one operand; `linear.py` takes them out again.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.table import TILE

GROUP = 32  # columns that share a scale
BLOCK_COLUMNS = 64
BLOCK_BYTES = {4: 64 + 8 * 64, 8: 64 + 16 * 64}
LOWEST = {4: -8, 8: -127}
HIGHEST = {4: 7, 8: 127}

Bytes = NDArray[np.uint8]


def padded_columns(columns: int) -> int:
    """Columns of a packed matrix: a multiple of 64."""
    return -(-columns // BLOCK_COLUMNS) * BLOCK_COLUMNS


def num_tiles(rows: int) -> int:
    """Tiles of a packed matrix: an even number, as the kernels for many tokens take two at once."""
    return -(-rows // (2 * TILE)) * 2


def tile_bytes(columns: int, bits: int) -> int:
    """Bytes of one tile."""
    return padded_columns(columns) // BLOCK_COLUMNS * BLOCK_BYTES[bits]


def empty_matrix(rows: int, columns: int, bits: int) -> Bytes:
    """An unwritten packed matrix [tiles, bytes of a tile], to be filled by `pack_rows`."""
    return np.empty((num_tiles(rows), tile_bytes(columns, bits)), np.uint8)


def pack_matrix(values: NDArray[np.int8], scales: NDArray[np.float16], bits: int) -> Bytes:
    """Pack int8 values [rows, columns] with scales [rows, columns / 32]; what is added to fill up counts as zero.

    Values must lie in -8..7 for 4 bits and -127..127 for 8, and columns be a multiple of 32.
    """
    rows, columns = values.shape
    packed = empty_matrix(rows, columns, bits)
    pack_rows(values, scales, bits, packed)
    return packed


def pack_rows(values: NDArray[np.int8], scales: NDArray[np.float16], bits: int, packed: Bytes) -> None:
    """Fill a packed matrix, or whole tiles of one, as `pack_matrix` does."""
    rows, columns = values.shape
    assert columns % GROUP == 0, f"{columns} columns are not whole groups of {GROUP}"
    assert scales.shape == (rows, columns // GROUP), f"scales {scales.shape} do not fit values {values.shape}"
    assert packed.shape[1] == tile_bytes(columns, bits), f"tiles of {packed.shape[1]} bytes do not fit"
    assert rows <= len(packed) * TILE, f"{rows} rows do not fit into {len(packed)} tiles"
    if values.size:
        smallest, largest = values.min(), values.max()
        assert smallest >= LOWEST[bits], f"{smallest} is too small for {bits} bits"
        assert largest <= HIGHEST[bits], f"{largest} is too large for {bits} bits"
    values, scale_bits = np.ascontiguousarray(values), np.ascontiguousarray(scales, np.float16).view(np.uint16)
    _compiled(bits)(values, scale_bits, packed.view(np.uint16), packed)


def unpack_matrix(packed: Bytes, bits: int, rows: int, columns: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Undo `pack_matrix`."""
    blocks = padded_columns(columns) // BLOCK_COLUMNS
    data = packed.reshape(len(packed), blocks, BLOCK_BYTES[bits])
    scales = np.ascontiguousarray(data[:, :, :64]).view(np.float16).reshape(-1, blocks, 2, TILE)
    vectors = data[:, :, 64:]
    if bits == 4:
        bytes_ = vectors.reshape(-1, blocks, 2, 1, 4, TILE, 4)
        unsigned = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=3)  # [tile, block, group, half, j, row, i]
        ordered = unsigned.transpose(0, 5, 1, 2, 3, 4, 6)
    else:
        ordered = vectors.reshape(-1, blocks, 2, 8, TILE, 4).transpose(0, 4, 1, 2, 3, 5)
    values = (ordered.astype(np.int16) - (8 if bits == 4 else 128)).astype(np.int8)
    return (
        values.reshape(len(packed) * TILE, -1)[:rows, :columns],
        scales.transpose(0, 3, 1, 2).reshape(len(packed) * TILE, -1)[:rows, : columns // GROUP],
    )


def _pack4(values: Any, scales: Any, halves: Any, packed: Any) -> None:
    rows, columns = values.shape
    blocks = packed.shape[1] // 576
    for tile in range(packed.shape[0]):
        for block in range(blocks):
            base = block * 576
            for h in range(2):
                group = 2 * block + h
                for r in range(16):
                    row = 16 * tile + r
                    if row >= rows or group * 32 >= columns:
                        halves[tile, base // 2 + 16 * h + r] = 0
                        for j in range(4):
                            for i in range(4):
                                packed[tile, base + 64 + 256 * h + 64 * j + 4 * r + i] = 0x88
                        continue
                    halves[tile, base // 2 + 16 * h + r] = scales[row, group]
                    for j in range(4):
                        for i in range(4):
                            low = values[row, 32 * group + 4 * j + i] + 8
                            high = values[row, 32 * group + 16 + 4 * j + i] + 8
                            packed[tile, base + 64 + 256 * h + 64 * j + 4 * r + i] = low | high << 4


def _pack8(values: Any, scales: Any, halves: Any, packed: Any) -> None:
    rows, columns = values.shape
    blocks = packed.shape[1] // 1088
    for tile in range(packed.shape[0]):
        for block in range(blocks):
            base = block * 1088
            for h in range(2):
                group = 2 * block + h
                for r in range(16):
                    row = 16 * tile + r
                    if row >= rows or group * 32 >= columns:
                        halves[tile, base // 2 + 16 * h + r] = 0
                        for j in range(8):
                            for i in range(4):
                                packed[tile, base + 64 + 512 * h + 64 * j + 4 * r + i] = 128
                        continue
                    halves[tile, base // 2 + 16 * h + r] = scales[row, group]
                    for j in range(8):
                        for i in range(4):
                            packed[tile, base + 64 + 512 * h + 64 * j + 4 * r + i] = (
                                values[row, 32 * group + 4 * j + i] + 128
                            )


def load_packing() -> dict[int, Any]:
    """The packing functions by bits."""
    return {bits: _compiled(bits) for bits in (4, 8)}


@cache
def _compiled(bits: int) -> Any:
    stored = (types.Array(kind, 2, "C", readonly=True) for kind in (types.int8, types.uint16))  # a mapped file is
    signature = types.void(*stored, types.uint16[:, ::1], types.uint8[:, ::1])
    return compile_kernel(_pack4 if bits == 4 else _pack8, signature)
