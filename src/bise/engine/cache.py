"""The memory of the attention: keys and values of every token in flight, in the blocks that `blocks.py` lends."""

import numpy as np

from bise.engine.kernels.table import BLOCK, Floats
from bise.weights.spec import ModelSpec


class KVCache:
    """Blocks of keys and values, [layer][block][key/value head][place][head_dim]."""

    def __init__(self, spec: ModelSpec, num_blocks: int) -> None:
        shape = (spec.num_layers, num_blocks, spec.num_kv_heads, BLOCK, spec.head_dim)
        self.keys: Floats = np.zeros(shape, np.float32)  # the system gives memory only when a block is first used
        self.values: Floats = np.zeros(shape, np.float32)


def bytes_per_block(spec: ModelSpec) -> int:
    """Memory of one block over all layers, keys and values."""
    return 2 * spec.num_layers * spec.num_kv_heads * BLOCK * spec.head_dim * 4
