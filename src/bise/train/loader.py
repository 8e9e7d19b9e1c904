"""Token shards to training batches, in an order that is a pure function of the seed and the step.

Documents longer than a row are cut into pieces that each begin with BOS, as every prompt will; then pieces are packed
best-fit. No token is lost and none is read twice in an epoch. To resume, only the step is needed.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.tokenizer.shards import Shards
from bise.train.packing import Batch, Sample, assemble, pack


@dataclass(frozen=True)
class Pieces:
    """Spans of the token stream; one that does not begin its document gets a BOS in front."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    begins_document: NDArray[np.bool_]

    def places(self) -> NDArray[np.int64]:
        """Input places that each piece takes in a row."""
        return self.ends - self.starts - self.begins_document


def cut(document_ends: NDArray[np.int64], row_length: int) -> Pieces:
    """Cut documents, each BOS + ids + EOS, into pieces of at most `row_length` input places."""
    document_starts = np.concatenate(([0], document_ends[:-1]))
    lengths = document_ends - document_starts
    # The first piece holds row_length + 1 ids; a later one row_length, behind its BOS.
    num_pieces = 1 + np.maximum(0, -(-(lengths - row_length - 1) // row_length))
    document = np.repeat(np.arange(len(lengths)), num_pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    starts = document_starts[document] + np.where(number > 0, 1 + number * row_length, 0)
    ends = np.minimum(document_starts[document] + 1 + (number + 1) * row_length, document_ends[document])
    return Pieces(starts, ends, number == 0)


class ShardLoader:
    """Rows of a directory of shards."""

    def __init__(self, shards: Shards, bos_id: int, row_length: int, seed: int) -> None:
        if len(shards.document_ends) == 0:
            raise InputError("The corpus has no document left to train on. Curate more text.")
        self._tokens = shards.tokens
        self._bos_id = bos_id
        self._row_length = row_length
        self._pieces = cut(np.asarray(shards.document_ends, np.int64), row_length)
        self._rows = pack(self._pieces.places(), row_length)
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(self._rows))
        )

    @property
    def num_rows(self) -> int:
        """Rows in one epoch."""
        return len(self._rows)

    def batch(self, step: int, num_rows: int) -> Batch:
        """The rows of a step, whatever was read before."""
        positions = range(step * num_rows, (step + 1) * num_rows)
        chosen = [self._order(position // self.num_rows)[position % self.num_rows] for position in positions]
        return assemble([[self._sample(piece) for piece in self._rows[row]] for row in chosen], self._row_length)

    def _sample(self, piece: int) -> Sample:
        ids = self._tokens[self._pieces.starts[piece] : self._pieces.ends[piece]].astype(np.int64)
        return Sample(ids if self._pieces.begins_document[piece] else np.concatenate(([self._bos_id], ids)))
