"""The memory of the attention: keys and values of every token in flight, in the blocks that `blocks.py` lends."""

import numpy as np

from bise.engine.kernels.cells import Cells, KVPrecision, cell_bytes
from bise.weights.spec import ModelSpec

_ALIGNMENT = 64  # bytes of a cache line


class KVCache:
    """Blocks of keys and values: bytes [layer, block, key/value head, cell]; `kernels/cells.py` tells what a cell holds."""

    def __init__(self, spec: ModelSpec, num_blocks: int, precision: KVPrecision = "fp16") -> None:
        self.precision: KVPrecision = precision
        self.num_blocks = num_blocks
        shape = (spec.num_layers, num_blocks, spec.num_kv_heads, cell_bytes(spec.head_dim, precision))
        size = int(np.prod(shape))
        memory = np.zeros(size + _ALIGNMENT, np.uint8)  # the system gives memory only when a block is first used
        start = -memory.ctypes.data % _ALIGNMENT
        self.cells: Cells = memory[start : start + size].reshape(shape)


def bytes_per_block(spec: ModelSpec, precision: KVPrecision = "fp16") -> int:
    """Memory of one block over all layers, keys and values."""
    return spec.num_layers * spec.num_kv_heads * cell_bytes(spec.head_dim, precision)
