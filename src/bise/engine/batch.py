"""What a step is about, and the rotary angles of its positions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.table import Floats, Ints
from bise.weights.rope import rotary_frequencies
from bise.weights.spec import ModelSpec


class PackedAdapter(Protocol):
    """An adapter in memory, in the form that the path which packed it reads."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""


@dataclass(frozen=True)
class Adapted:
    """The tokens of a step that an adapter is for."""

    adapter: PackedAdapter
    tokens: NDArray[np.intp]  # places in the step, in order


@dataclass(frozen=True)
class Batch:
    """The tokens of one step; those of a sequence stand together and in order."""

    token_ids_T: Ints
    positions_T: Ints  # place of each token in its sequence
    sequences_T: Ints  # row of `blocks` that each token belongs to
    slots_T: Ints  # where in the cache its keys and values go: block * 16 + place
    blocks: Ints  # [S, most blocks] each sequence's cache blocks, in order; whole blocks may be shared
    logit_rows: NDArray[np.intp]  # the tokens whose logits are wanted
    adapted: tuple[Adapted, ...] = ()  # each adapter once, each token at most once


class RotaryTables:
    """Cosines and sines of position times frequency (arXiv 2104.09864), as far as positions have been asked for."""

    def __init__(self, spec: ModelSpec) -> None:
        self._frequencies = rotary_frequencies(spec.head_dim, spec.rope_theta, spec.rope_scaling)
        self._factor = spec.rope_scaling.attention_factor if spec.rope_scaling is not None else 1.0
        self._tables = rotary_tables(0, self._frequencies, self._factor)

    def up_to(self, position: int) -> tuple[Floats, Floats]:
        """Tables that reach the position; they grow by doubling, so that a long context costs nothing until used."""
        if position >= len(self._tables[0]):
            length = max(1024, 1 << position.bit_length())
            self._tables = rotary_tables(length, self._frequencies, self._factor)
        return self._tables


def identity_tables(head_dim: int) -> tuple[Floats, Floats]:
    """Tables of one position, whose rotation changes nothing: for layers without a rotary embedding."""
    return np.ones((1, head_dim // 2), np.float32), np.zeros((1, head_dim // 2), np.float32)


def rotary_tables(length: int, frequencies: NDArray[np.float64], factor: float = 1.0) -> tuple[Floats, Floats]:
    """Cosines and sines, each [length, head_dim / 2], of position times frequency, multiplied by a factor."""
    angles = np.outer(np.arange(length), frequencies)
    return (factor * np.cos(angles)).astype(np.float32), (factor * np.sin(angles)).astype(np.float32)
