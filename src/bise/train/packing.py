"""Sequences of any length into rows of one length, without padding where it can be helped and without leaks.

Training and tuning share this. A sequence of n ids takes n - 1 places of a row: each id but the last is an input, each
but the first a target. Sequences in one row are told apart by number, and the model lets none see another.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORED = -100  # a target that carries no loss
_PADDING_DOCUMENT = -1


@dataclass(frozen=True)
class Batch:
    """Rows of one length. Shape suffixes as in `bise.model.transformer`."""

    inputs_BT: Tensor  # int64
    targets_BT: Tensor  # int64, IGNORED where no loss is wanted
    documents_BT: Tensor  # int64, which sequence of the row each token belongs to

    @property
    def num_targets(self) -> int:
        """How many targets carry loss."""
        return int((self.targets_BT != IGNORED).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; copies to a graphics card do not wait for one another."""
        tensors = [self.inputs_BT, self.targets_BT, self.documents_BT]
        if device.type == "cuda":
            tensors = [tensor.pin_memory() if tensor.device.type == "cpu" else tensor for tensor in tensors]
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))

    def split(self, num_rows: int) -> list["Batch"]:
        """The same rows in batches of at most `num_rows`."""
        spans = [slice(start, start + num_rows) for start in range(0, len(self.inputs_BT), num_rows)]
        return [Batch(self.inputs_BT[span], self.targets_BT[span], self.documents_BT[span]) for span in spans]


@dataclass(frozen=True)
class Sample:
    """Ids of one sequence and which of them are to be learned (None: all)."""

    ids: NDArray[np.int64]
    learned: NDArray[np.bool_] | None = None
    number: int | None = None  # as a document of its batch; none means its place in the row


class PackedRows:
    """Items packed into rows once, and the rows in an order that is a pure function of the seed and the step."""

    def __init__(
        self, places: NDArray[np.int64], samples: Callable[[int], Sequence[Sample]], row_length: int, seed: int
    ) -> None:
        """Pack.

        Args:
            places: how many places each item takes, 1..row_length.
            samples: gives the samples of an item by its index; they stay in one row.
            row_length: places in a row.
            seed: of the order of the rows.
        """
        self._samples = samples
        self._row_length = row_length
        self._rows = pack(places, row_length)
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(self._rows))
        )

    @property
    def num_rows(self) -> int:
        """Rows in one epoch."""
        return len(self._rows)

    def batch(self, step: int, num_rows: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The rows of a step, whatever was read before; of `world_size` processes each takes every so manieth.

        Together they have the rows that one process alone would have: a run may go on with more or fewer of them.
        """
        assert 0 <= rank < world_size
        assert num_rows % world_size == 0, f"{num_rows} rows cannot be shared by {world_size} processes"
        positions = range(step * num_rows + rank, (step + 1) * num_rows, world_size)
        chosen = [self._order(position // self.num_rows)[position % self.num_rows] for position in positions]
        rows = [[sample for item in self._rows[row] for sample in self._samples(item)] for row in chosen]
        return assemble(rows, self._row_length)


def pack(places: NDArray[np.int64], row_length: int) -> list[list[int]]:
    """Put items into rows, the longest first and each where it fits best (arXiv 2404.10830).

    Args:
        places: how many places each item takes, 1..row_length.
        row_length: places in a row.

    Returns:
        The items of each row, by index.
    """
    assert places.size == 0 or (places.min() >= 1 and places.max() <= row_length)
    rows: list[list[int]] = []
    rows_by_space: list[list[int]] = [[] for _ in range(row_length + 1)]
    open_spaces = 0  # bit s is set while a row has exactly s places left
    for item in np.argsort(-places, kind="stable").tolist():
        size = int(places[item])
        fitting = open_spaces >> size
        space = size + ((fitting & -fitting).bit_length() - 1) if fitting else row_length
        if fitting:
            row = rows_by_space[space].pop()
            if not rows_by_space[space]:
                open_spaces &= ~(1 << space)
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(item)
        if space > size:
            rows_by_space[space - size].append(row)
            open_spaces |= 1 << (space - size)
    return rows


def assemble(rows: Sequence[Sequence[Sample]], row_length: int) -> Batch:
    """Lay packed samples out as one batch, padded to `row_length`."""
    inputs = np.zeros((len(rows), row_length), np.int64)
    targets = np.full((len(rows), row_length), IGNORED, np.int64)
    documents = np.full((len(rows), row_length), _PADDING_DOCUMENT, np.int64)
    for row, samples in enumerate(rows):
        start = 0
        for place, sample in enumerate(samples):
            end = start + len(sample.ids) - 1
            inputs[row, start:end] = sample.ids[:-1]
            learned = True if sample.learned is None else sample.learned[1:]
            targets[row, start:end] = np.where(learned, sample.ids[1:], IGNORED)
            documents[row, start:end] = place if sample.number is None else sample.number
            start = end
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(documents))
