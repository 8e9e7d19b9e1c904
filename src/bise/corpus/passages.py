"""The passages of a unit's texts that passed, by which it is known what documents share: hashes in files, raw."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.corpus.repeats import Hashes, Passage
from bise.corpus.texts import Offsets
from bise.corpus.work import write_array


class PassageWriter:
    """Takes the passages of one batch after another; for use in `with`."""

    def __init__(self, directory: Path, kinds: Sequence[Passage]) -> None:
        self._directory, self._stack = directory, ExitStack()
        self._files = {kind: self._stack.enter_context((directory / kind).open("wb")) for kind in kinds}
        self._counts: dict[Passage, list[Offsets]] = {kind: [np.empty(0, np.int64)] for kind in kinds}

    def __enter__(self) -> "PassageWriter":
        return self

    def write(self, passages: Mapping[Passage, tuple[Hashes, Offsets]]) -> None:
        """Append the hashes of some texts; offsets say where each text's begin, and how many there are."""
        for kind, (hashes, offsets) in passages.items():
            self._files[kind].write(hashes.data)
            self._counts[kind].append(np.diff(offsets))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is None:
            for name, counts in self._counts.items():
                write_array(_counts_file(self._directory, name), np.concatenate(counts))


def passage_starts(directory: Path, kind: Passage) -> Offsets:
    """Where each text's passages begin, and how many there are [texts + 1]."""
    return np.concatenate([[0], np.cumsum(np.load(_counts_file(directory, kind)))])


def write_chosen(directory: Path, kind: Passage, is_chosen: NDArray[np.bool_], path: Path) -> Offsets:
    """Write the hashes of some texts into a file of their own; where each text's begin there, others' being empty."""
    starts = passage_starts(directory, kind)
    counts = np.diff(starts)
    hashes = np.fromfile(directory / kind, np.uint64)
    with path.open("wb") as file:
        file.write(hashes[np.repeat(is_chosen, counts)].data)
    return np.concatenate([[0], np.cumsum(np.where(is_chosen, counts, 0))])


def _counts_file(directory: Path, kind: Passage) -> Path:
    return directory / f"{kind}.counts.npy"
