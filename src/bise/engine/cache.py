"""The memory of the attention: keys and values of every token in flight, in blocks of 16 tokens lent to sequences."""

import numpy as np

from bise.engine.kernels.table import BLOCK, Floats
from bise.weights.spec import ModelSpec


class KVCache:
    """Blocks of keys and values, [layer][block][key/value head][place][head_dim], and which are free."""

    def __init__(self, spec: ModelSpec, num_blocks: int) -> None:
        shape = (spec.num_layers, num_blocks, spec.num_kv_heads, BLOCK, spec.head_dim)
        self.keys: Floats = np.zeros(shape, np.float32)  # the system gives memory only when a block is first used
        self.values: Floats = np.zeros(shape, np.float32)
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks))[::-1]

    @property
    def num_free(self) -> int:
        """Blocks that no sequence holds."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Lend blocks; the caller has checked that there are enough."""
        assert count <= len(self._free), f"{count} blocks wanted, {len(self._free)} free"
        return [self._free.pop() for _ in range(count)]

    def give_back(self, blocks: list[int]) -> None:
        """Return a sequence's blocks."""
        self._free.extend(reversed(blocks))


def blocks_for(num_tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-num_tokens // BLOCK)


def bytes_per_block(spec: ModelSpec) -> int:
    """Memory of one block over all layers, keys and values."""
    return 2 * spec.num_layers * spec.num_kv_heads * BLOCK * spec.head_dim * 4
