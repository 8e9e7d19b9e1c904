"""The KV cache's unit of memory: a cell holds one block (16 tokens) of one key/value head in one layer.

Keys are transposed, [D, 16], so that one vector holds the same dimension of 16 tokens and one pass over them gives 16
scores; values, [16, D], follow. D is head_dim padded to a multiple of 16. In an int8 cell every 32 dimensions of a token
share a float16 scale, its largest magnitude over 127: keys with outliers in some dimensions, as rotary models have, then
lose little. The scales stand at the end of the cell: [ceil(D / 32), 16] for the keys, the same for the values.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.table import BLOCK, Floats, Ints

KVPrecision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[KVPrecision, ...] = ("fp32", "fp16", "int8")  # a precision's place here is its number in kernels
ITEM_BYTES: dict[KVPrecision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
SCALE_GROUP = 32  # dimensions that share a scale
_DTYPES: dict[KVPrecision, Any] = {"fp32": np.float32, "fp16": np.float16, "int8": np.int8}

Cells = NDArray[np.uint8]  # one layer's cache: [blocks, G, cell_bytes]


def padded_head_dim(head_dim: int) -> int:
    """Dimensions of a head as it is stored."""
    return -(-head_dim // BLOCK) * BLOCK


def cell_bytes(head_dim: int, precision: KVPrecision) -> int:
    """Size of one cell, a multiple of 64."""
    padded = padded_head_dim(head_dim)
    scales = 2 * 2 * BLOCK * -(-padded // SCALE_GROUP) if precision == "int8" else 0
    return 2 * BLOCK * padded * ITEM_BYTES[precision] + scales


def write_cells(cells: Cells, precision: KVPrecision, slots_T: Ints, keys_TGD: Floats, values_TGD: Floats) -> None:
    """Put each token's keys and values into its slot; slot s is place s % 16 of block s // 16."""
    blocks, places = slots_T // BLOCK, slots_T % BLOCK
    padded = padded_head_dim(keys_TGD.shape[2])
    padding = ((0, 0), (0, 0), (0, padded - keys_TGD.shape[2]))
    rows, views = (np.pad(keys_TGD, padding), np.pad(values_TGD, padding)), _views(cells, precision, padded)
    stored: list[NDArray[Any]] = list(rows)
    if precision == "int8":
        for index, scales in enumerate(_scale_views(cells, padded)):
            stored[index], scales[blocks, :, :, places] = _quantise(rows[index])
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite, and is found in the logits
        views[0][blocks, :, :, places] = stored[0]
        views[1][blocks, :, places] = stored[1]


def read_cells(cells: Cells, precision: KVPrecision, blocks: Ints, head_dim: int) -> tuple[Floats, Floats]:
    """Keys and values of a sequence's blocks as floats, each [G, tokens, D]."""
    padded, heads = padded_head_dim(head_dim), cells.shape[1]
    stored_keys, stored_values = _views(cells, precision, padded)
    keys = stored_keys[blocks].astype(np.float32).transpose(1, 0, 3, 2)
    values = stored_values[blocks].astype(np.float32).transpose(1, 0, 2, 3)
    if precision == "int8":
        key_scales, value_scales = (
            np.repeat(scales[blocks].astype(np.float32), SCALE_GROUP, axis=2)[:, :, :padded].transpose(1, 0, 3, 2)
            for scales in _scale_views(cells, padded)
        )
        keys, values = keys * key_scales, values * value_scales
    tokens = len(blocks) * BLOCK
    return keys.reshape(heads, tokens, padded)[..., :head_dim], values.reshape(heads, tokens, padded)[..., :head_dim]


def _views(cells: Cells, precision: KVPrecision, padded: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Views of a layer's keys [blocks, G, D, 16] and values [blocks, G, 16, D]."""
    size = BLOCK * padded
    items = cells[..., : 2 * size * ITEM_BYTES[precision]].view(_DTYPES[precision])
    shape = cells.shape[:2]
    return items[..., :size].reshape(*shape, padded, BLOCK), items[..., size:].reshape(*shape, BLOCK, padded)


def _scale_views(cells: Cells, padded: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Views of a layer's scales, of keys and of values, each [blocks, G, groups, 16]."""
    groups = -(-padded // SCALE_GROUP)
    scales = cells[..., 2 * BLOCK * padded :].view(np.float16).reshape(*cells.shape[:2], 2, groups, BLOCK)
    return scales[:, :, 0], scales[:, :, 1]


def _quantise(rows_TGD: Floats) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Rows as int8 and their scales, [T, G, groups]."""
    tokens, heads, padded = rows_TGD.shape
    groups = -(-padded // SCALE_GROUP)
    whole = np.pad(rows_TGD, ((0, 0), (0, 0), (0, groups * SCALE_GROUP - padded)))
    grouped = whole.reshape(tokens, heads, groups, SCALE_GROUP)
    scales = (np.abs(grouped).max(axis=3) * np.float32(1 / 127)).astype(np.float16)
    steps = np.where(scales == 0, np.inf, scales.astype(np.float32))[..., None]
    values = np.clip(np.nan_to_num(np.rint(grouped * (1 / steps))), -127, 127).astype(np.int8)
    return values.reshape(tokens, heads, -1)[..., :padded], scales
