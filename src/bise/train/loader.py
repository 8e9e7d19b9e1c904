"""Token shards to training batches, in an order that is a pure function of the seed and the step.

Documents longer than a row are cut into pieces that each begin with BOS, as every prompt will; then pieces are packed
best-fit. No token is lost and none is read twice in an epoch. To resume, only the step is needed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.tokenizer.shards import Shards
from bise.train.packing import PackedRows, Sample


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


def shard_rows(shards: Shards, bos_id: int, row_length: int, seed: int) -> PackedRows:
    """Rows of a directory of shards.

    Raises:
        InputError: there is no document.
    """
    if len(shards.document_ends) == 0:
        raise InputError("The corpus has no document left to train on. Curate more text.")
    pieces = cut(np.asarray(shards.document_ends, np.int64), row_length)

    def samples(piece: int) -> list[Sample]:
        ids = shards.tokens[pieces.starts[piece] : pieces.ends[piece]].astype(np.int64)
        return [Sample(ids if pieces.begins_document[piece] else np.concatenate(([bos_id], ids)))]

    return PackedRows(pieces.places(), samples, row_length, seed)
