"""What a step is about, and the rotary angles of its positions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.table import Floats, Ints
from bise.weights.spec import ModelSpec


@dataclass(frozen=True)
class Batch:
    """The tokens of one step; those of a sequence stand together and in order."""

    token_ids_T: Ints
    positions_T: Ints  # place of each token in its sequence
    sequences_T: Ints  # row of `blocks` that each token belongs to
    slots_T: Ints  # where in the cache its keys and values go: block * 16 + place
    blocks: Ints  # [S, most blocks] each sequence's cache blocks, in order; whole blocks may be shared
    logit_rows: NDArray[np.intp]  # the tokens whose logits are wanted


class RotaryTables:
    """Cosines and sines of position times frequency (arXiv 2104.09864), as far as positions have been asked for."""

    def __init__(self, spec: ModelSpec) -> None:
        self._head_dim, self._theta = spec.head_dim, spec.rope_theta
        self._tables = rotary_tables(0, spec.head_dim, spec.rope_theta)

    def up_to(self, position: int) -> tuple[Floats, Floats]:
        """Tables that reach the position; they grow by doubling, so that a long context costs nothing until used."""
        if position >= len(self._tables[0]):
            length = max(1024, 1 << position.bit_length())
            self._tables = rotary_tables(length, self._head_dim, self._theta)
        return self._tables


def rotary_tables(length: int, head_dim: int, theta: float) -> tuple[Floats, Floats]:
    """Cosines and sines, each [length, head_dim / 2], of position times frequency (arXiv 2104.09864)."""
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(length), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
