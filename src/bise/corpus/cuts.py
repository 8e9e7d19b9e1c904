"""Take out of texts the parts that earlier documents have, too: marked among all, then cut unit by unit.

Of windows only the anchors were kept; documents whose anchors stand elsewhere, too, are hashed window by window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.corpus.partitions import mark_files
from bise.corpus.passages import PassageWriter, passage_starts, write_chosen
from bise.corpus.passed import read_chosen
from bise.corpus.pool import Tell, run_tasks
from bise.corpus.progress import Meter
from bise.corpus.repeats import Marks, Passage, Spans, paragraph_spans, window_hashes, window_spans
from bise.corpus.survivors import Decisions, Survivors
from bise.corpus.texts import Offsets, from_arrow
from bise.corpus.units import Unit, hash_of
from bise.corpus.work import WorkDirectory, write_array

HASHING, FINDING = "Hashing passages", "Finding repeats"  # phases
_SPANS_FILE = "spans.npy"
_SPANS = {"paragraphs": paragraph_spans, "windows": window_spans}


@dataclass(frozen=True)
class WindowHasher:
    """Hashes the windows of those texts of a unit that share some with others; made once in each worker."""

    work: WorkDirectory
    sharing: str  # key of which texts these are

    def key(self, unit: Unit) -> str:
        """What the result is kept under."""
        return hash_of([unit.key, self.sharing])

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Keep the hashes, and how many there are of each text that passed."""
        is_chosen = np.load(self.work.result(self.sharing) / _chosen_file(unit))
        empty = np.empty(0, np.uint64)
        with self.work.writing(self.key(unit)) as (directory, _), PassageWriter(directory, ("windows",)) as writer:
            reached = 0
            for rows, texts in read_chosen(self.work.result(unit.key), is_chosen):
                hashes, starts = window_hashes(*from_arrow(texts))
                counts = np.zeros(int(rows[-1]) + 1 - reached, np.int64)
                counts[rows - reached] = np.diff(starts)
                writer.write({"windows": (hashes, np.concatenate([[0], np.cumsum(counts)]))})
                reached = int(rows[-1]) + 1
                tell(unit.size_bytes * reached // len(is_chosen), 0, f"document {reached:,} of those that passed")
            writer.write({"windows": (empty, np.zeros(len(is_chosen) - reached + 1, np.int64))})


@dataclass(frozen=True)
class CutFinder:
    """Finds what to cut of one unit's texts; made once in each worker."""

    work: WorkDirectory
    marks: str  # key of the marks

    def key(self, unit: Unit) -> str:
        """What the result is kept under."""
        return hash_of([unit.key, self.marks])

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Keep the spans [spans, 3] of document of the unit, first byte and byte after the last."""
        directory = self.work.result(self.marks)
        marks = {
            kind: np.fromfile(path, np.bool_) for kind in _SPANS if (path := directory / _file(unit, kind)).exists()
        }
        starts = {kind: np.load(directory / _starts_file(unit, kind)) for kind in marks}
        has_marks = {kind: _has_marks(marks[kind], starts[kind]) for kind in marks}
        is_marked = np.any(list(has_marks.values()), axis=0)
        spans = [np.empty((0, 3), np.int64)]
        for rows, texts in read_chosen(self.work.result(unit.key), is_marked):
            found = []
            for kind, find in _SPANS.items():
                if kind in marks and (own := has_marks[kind][rows]).any():
                    data, offsets = from_arrow(texts.filter(own))
                    marked = find(data, offsets, _of_texts(marks[kind], starts[kind], rows[own]))
                    found.append(_in_documents(marked, offsets, rows[own]))
            spans.append(_union(found))
            reached = int(rows[-1]) + 1
            tell(unit.size_bytes * reached // len(is_marked), 0, f"document {reached:,} of those that passed")
        with self.work.writing(self.key(unit)) as (directory, _):
            write_array(directory / _SPANS_FILE, np.concatenate(spans))


def find_cuts(
    units: Sequence[Unit],
    survivors: Survivors,
    decisions: Decisions,
    work: WorkDirectory,
    kinds: Sequence[Passage],
    workers: int,
    meter: Meter,
) -> tuple[list[Spans], NDArray[np.int64]]:
    """What to cut of each unit, and how many bytes of each survivor that is."""
    starts = survivors.unit_starts
    kept = [decisions.kept[starts[unit.index] : starts[unit.index + 1]] for unit in units]
    base = hash_of([[unit.key for unit in units], np.packbits(decisions.kept).tobytes().hex(), list(kinds)])
    hasher = WindowHasher(work, hash_of([base, "sharing"]))
    if "windows" in kinds:
        _once(work, hasher.sharing, lambda directory: _choose(units, kept, work, directory))
        _run(units, hasher, partial(WindowHasher, work, hasher.sharing), workers, meter, HASHING)
    finder = CutFinder(work, hash_of([base, "marks"]))
    _once(work, finder.marks, lambda directory: _mark(units, kept, kinds, hasher, directory))
    _run(units, finder, partial(CutFinder, work, finder.marks), workers, meter, FINDING)
    spans = [np.load(work.result(finder.key(unit)) / _SPANS_FILE) for unit in units]
    cut_bytes = np.zeros(len(survivors), np.int64)
    for unit, some in zip(units, spans, strict=True):
        np.add.at(cut_bytes, some[:, 0] + starts[unit.index], some[:, 2] - some[:, 1])
    return spans, cut_bytes


def _once(work: WorkDirectory, key: str, make: Callable[[Path], None]) -> None:
    if work.facts(key) is None:
        with work.writing(key) as (directory, _):
            make(directory)


def _choose(units: Sequence[Unit], kept: Sequence[Marks], work: WorkDirectory, directory: Path) -> None:
    """Write which texts of each unit have an anchor that stands elsewhere, too."""
    anchors, marks = _files(units, directory, "anchors"), _files(units, directory, "marks")
    starts = [
        write_chosen(work.result(unit.key), "windows", own, path)
        for unit, own, path in zip(units, kept, anchors, strict=True)
    ]
    mark_files(anchors, marks, directory, also_first=True)
    for unit, begins, path in zip(units, starts, marks, strict=True):
        write_array(directory / _chosen_file(unit), _has_marks(np.fromfile(path, np.bool_), begins))
    for path in (*anchors, *marks):
        path.unlink()


def _mark(
    units: Sequence[Unit], kept: Sequence[Marks], kinds: Sequence[Passage], hasher: WindowHasher, directory: Path
) -> None:
    """Write the marks of each unit's passages, and where each text's begin among them."""
    for kind in kinds:
        hashes, starts = _files(units, directory, "hashes"), []
        for unit, own, path in zip(units, kept, hashes, strict=True):
            if kind == "windows":
                source = hasher.work.result(hasher.key(unit))
                path.hardlink_to(source / kind)
                starts.append(passage_starts(source, kind))
            else:
                starts.append(write_chosen(hasher.work.result(unit.key), kind, own, path))
        mark_files(hashes, _files(units, directory, kind), directory)
        for unit, begins, path in zip(units, starts, hashes, strict=True):
            write_array(directory / _starts_file(unit, kind), begins)
            path.unlink()


def _run(
    units: Sequence[Unit],
    task: WindowHasher | CutFinder,
    make: Callable[[], Callable[[Unit, Tell], None]],
    workers: int,
    meter: Meter,
    phase: str,
) -> None:
    unfinished = [unit for unit in units if task.work.facts(task.key(unit)) is None]
    run_tasks(unfinished, make, workers, meter.units(phase, unfinished), lambda unit: unit.size_bytes)


def _files(units: Sequence[Unit], directory: Path, kind: str) -> list[Path]:
    return [directory / _file(unit, kind) for unit in units]


def _file(unit: Unit, kind: str) -> str:
    return f"{unit.index:05d}.{kind}"


def _chosen_file(unit: Unit) -> str:
    return _file(unit, "npy")


def _starts_file(unit: Unit, kind: str) -> str:
    return _file(unit, f"{kind}.npy")


def _has_marks(marks: Marks, starts: Offsets) -> Marks:
    """Whether each text has a mark; those of text k stand from `starts[k]` to before `starts[k + 1]`."""
    sums = np.concatenate([[0], np.cumsum(marks)])
    counts: NDArray[np.int64] = np.diff(sums[starts])
    return counts > 0


def _of_texts(marks: Marks, starts: Offsets, rows: NDArray[np.int64]) -> Marks:
    """The marks of some texts, one text after another."""
    return np.concatenate([marks[starts[row] : starts[row + 1]] for row in rows.tolist()])


def _union(parts: Sequence[Spans]) -> Spans:
    """The spans of all kinds in order, those that touch made one."""
    spans = np.concatenate(parts)
    spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
    joined: list[list[int]] = []
    for text, start, stop in spans.tolist():
        if joined and joined[-1][0] == text and start <= joined[-1][2]:
            joined[-1][2] = max(stop, joined[-1][2])
        else:
            joined.append([text, start, stop])
    return np.array(joined, np.int64).reshape(-1, 3)


def _in_documents(spans: Spans, offsets: Offsets, rows: NDArray[np.int64]) -> Spans:
    """Spans of a batch as spans of the unit's documents: bytes are counted from the beginning of each."""
    begins = offsets[spans[:, 0]]
    return np.column_stack([rows[spans[:, 0]], spans[:, 1] - begins, spans[:, 2] - begins])
