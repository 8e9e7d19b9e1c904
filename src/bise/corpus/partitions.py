"""Which of the hashes in many files stand further left already, in memory that does not grow with their number.

Equal hashes have equal last bits, so the hashes are dealt by these to parts small enough to compare in memory, each part keeping
the order of the corpus; the marks of the parts are then dealt back in the same way.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.corpus.repeats import Hashes, Marks, mark_repeats

_MARKED_AT_ONCE = 1 << 24  # hashes that are compared together, at 25 bytes each
_READ_AT_ONCE = 1 << 22


def mark_files(
    hash_files: Sequence[Path],
    mark_files: Sequence[Path],
    scratch: Path,
    marked_at_once: int = _MARKED_AT_ONCE,
    read_at_once: int = _READ_AT_ONCE,
    *,
    also_first: bool = False,
) -> None:
    """Write for each file of hashes (raw uint64) a file of marks (a byte each), as `mark_repeats` of all would be.

    `scratch` is a directory for the parts: eight bytes a hash, taken away again.
    """
    num_parts = 1
    while sum(path.stat().st_size for path in hash_files) > 8 * marked_at_once * num_parts:
        num_parts *= 2
    parts = [scratch / f"{part}.part" for part in range(num_parts)]
    for hashes in (hashes for path in hash_files for hashes in _read(path, read_at_once)):
        for path, dealt in zip(parts, np.split(*_deal(hashes, num_parts)), strict=True):
            _append(path, dealt)
    for path in parts:
        if path.exists():
            marks = mark_repeats(np.fromfile(path, np.uint64), also_first=also_first)
            path.unlink()
            _append(path, marks)
    starts = np.zeros(num_parts, np.int64)
    for source, target in zip(hash_files, mark_files, strict=True):
        target.touch()
        for hashes in _read(source, read_at_once):
            _append(target, _collect(hashes, parts, starts))
    for path in parts:
        path.unlink(missing_ok=True)


def _order(hashes: Hashes, num_parts: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hashes by part, in their order within each; and where each part but the first begins."""
    part = (hashes & np.uint64(num_parts - 1)).astype(np.uint16)  # of which the stable sort is by radix
    return np.argsort(part, kind="stable"), np.cumsum(np.bincount(part, minlength=num_parts))[:-1]


def _deal(hashes: Hashes, num_parts: int) -> tuple[Hashes, NDArray[np.int64]]:
    order, bounds = _order(hashes, num_parts)
    return hashes[order], bounds


def _collect(hashes: Hashes, parts: Sequence[Path], starts: NDArray[np.int64]) -> Marks:
    """The marks of some hashes from those of the parts; `starts` moves on behind them."""
    order, bounds = _order(hashes, len(parts))
    marks = np.empty(len(hashes), np.bool_)
    for index, own in enumerate(np.split(order, bounds)):
        if len(own):
            marks[own] = np.fromfile(parts[index], np.bool_, len(own), offset=int(starts[index]))
            starts[index] += len(own)
    return marks


def _read(path: Path, read_at_once: int) -> Iterator[Hashes]:
    with path.open("rb") as file:
        while len(hashes := np.fromfile(file, np.uint64, read_at_once)):
            yield hashes


def _append(path: Path, values: Hashes | Marks) -> None:
    with path.open("ab") as file:  # not `tofile`, which does not say why it failed
        file.write(values.data)
