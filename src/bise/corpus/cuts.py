"""Take out of texts the parts that earlier documents have, too: hashed unit by unit, marked among all, cut unit by unit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bise.corpus.partitions import mark_files
from bise.corpus.pool import Tell, run_tasks
from bise.corpus.progress import Meter
from bise.corpus.recipe import Duplicates
from bise.corpus.repeats import (
    Marks,
    Spans,
    paragraph_hashes,
    paragraph_spans,
    window_hashes,
    window_spans,
)
from bise.corpus.stages import TEXTS_FILE
from bise.corpus.survivors import Decisions, Survivors
from bise.corpus.texts import Array, Data, Offsets, from_arrow
from bise.corpus.units import Unit, hash_of
from bise.corpus.work import WorkDirectory, write_array

Groups = Iterator[tuple[NDArray[np.int64], Data, Offsets]]  # numbers of documents in their unit, and their texts

HASHING, FINDING = "Hashing passages", "Finding repeats"  # phases
_SPANS_FILE = "spans.npy"
_HASHES = {"paragraphs": paragraph_hashes, "windows": window_hashes}
_SPANS = {"paragraphs": paragraph_spans, "windows": window_spans}


@dataclass(frozen=True)
class CutFinder:
    """Hashes the parts of one unit's kept texts or, when the marks are there, finds what to cut."""

    work: WorkDirectory
    kept: str  # key of which documents are kept
    kinds: tuple[str, ...]  # "paragraphs", "windows"
    marks: str = ""  # key of the marks; "" to hash

    def key(self, unit: Unit) -> str:
        """What the result is kept under."""
        return hash_of([unit.key, self.kept, self.kinds, self.marks])

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Keep the hashes, or the spans [spans, 3] of document of the unit, first byte and byte after the last."""
        kept = np.load(self._kept_file(unit))

        def reach(row: int) -> None:
            tell(unit.size_bytes * (row + 1) // len(kept), 0, f"document {row:,} of those that passed")

        groups = _kept_texts(self.work.result(unit.key) / TEXTS_FILE, kept)
        if self.marks:
            self._find(unit, groups, reach)
        else:
            self._hash(unit, groups, reach)

    def _kept_file(self, unit: Unit) -> Path:
        return self.work.result(self.kept) / f"{unit.index:05d}.npy"

    def _hash(self, unit: Unit, groups: Groups, reach: Callable[[int], None]) -> None:
        counts: dict[str, list[Offsets]] = {kind: [np.empty(0, np.int64)] for kind in self.kinds}
        with self.work.writing(self.key(unit)) as (directory, _), ExitStack() as stack:
            files = {kind: stack.enter_context((directory / kind).open("wb")) for kind in self.kinds}
            for rows, data, offsets in groups:
                for kind in self.kinds:
                    hashes, starts = _HASHES[kind](data, offsets)
                    files[kind].write(hashes.data)
                    counts[kind].append(np.diff(starts))
                reach(int(rows[-1]))
            for kind in self.kinds:
                files[kind].flush()
                write_array(directory / f"{kind}.counts.npy", np.concatenate(counts[kind]))

    def _find(self, unit: Unit, groups: Groups, reach: Callable[[int], None]) -> None:
        hashed = self.work.result(CutFinder(self.work, self.kept, self.kinds).key(unit))
        starts = {kind: np.concatenate([[0], np.cumsum(np.load(hashed / f"{kind}.counts.npy"))]) for kind in self.kinds}
        first, spans = 0, [np.empty((0, 3), np.int64)]
        for rows, data, offsets in groups:
            bounds = {kind: starts[kind][first : first + len(rows) + 1] for kind in self.kinds}
            marks = {kind: self._marks(unit, kind, bounds[kind]) for kind in self.kinds}
            bounds = {kind: some - some[0] for kind, some in bounds.items()}
            is_marked = np.any([_has_marks(marks[kind], bounds[kind]) for kind in self.kinds], axis=0)
            if is_marked.any():  # texts without marks need not be split into words again
                own = {kind: _of_texts(marks[kind], bounds[kind], is_marked)[0] for kind in self.kinds}
                some, some_offsets = _of_texts(data, offsets, is_marked)
                spans.append(_in_documents(_union(some, some_offsets, own), some_offsets, rows[is_marked]))
            first += len(rows)
            reach(int(rows[-1]))
        with self.work.writing(self.key(unit)) as (directory, _):
            write_array(directory / _SPANS_FILE, np.concatenate(spans))

    def _marks(self, unit: Unit, kind: str, bounds: Offsets) -> Marks:
        """The marks of some texts in a row."""
        path = self.work.result(self.marks) / _marks_file(unit, kind)
        return np.fromfile(path, np.bool_, int(bounds[-1] - bounds[0]), offset=int(bounds[0]))


def find_cuts(
    units: Sequence[Unit],
    survivors: Survivors,
    decisions: Decisions,
    work: WorkDirectory,
    settings: Duplicates,
    workers: int,
    meter: Meter,
) -> tuple[list[Spans], NDArray[np.int64]]:
    """What to cut of each unit, and how many bytes of each survivor that is."""
    kinds = tuple(kind for kind, on in (("paragraphs", settings.paragraphs), ("windows", settings.windows)) if on)
    starts = survivors.unit_starts
    kept = hash_of([[unit.key for unit in units], np.packbits(decisions.kept).tobytes().hex()])
    with work.writing(kept) as (directory, _):
        for unit in units:
            write_array(
                directory / f"{unit.index:05d}.npy", decisions.kept[starts[unit.index] : starts[unit.index + 1]]
            )
    hasher = CutFinder(work, kept, kinds)
    _run(units, hasher, workers, meter)
    marks = hash_of([kept, kinds])
    if work.facts(marks) is None:
        with work.writing(marks) as (directory, _):
            for kind in kinds:
                hash_files = [work.result(hasher.key(unit)) / kind for unit in units]
                mark_files(hash_files, [directory / _marks_file(unit, kind) for unit in units], directory)
    finder = CutFinder(work, kept, kinds, marks)
    _run(units, finder, workers, meter)
    spans = [np.load(work.result(finder.key(unit)) / _SPANS_FILE) for unit in units]
    cut_bytes = np.zeros(len(survivors), np.int64)
    for unit, some in zip(units, spans, strict=True):
        np.add.at(cut_bytes, some[:, 0] + starts[unit.index], some[:, 2] - some[:, 1])
    return spans, cut_bytes


def _run(units: Sequence[Unit], finder: CutFinder, workers: int, meter: Meter) -> None:
    unfinished = [unit for unit in units if finder.work.facts(finder.key(unit)) is None]
    make = partial(CutFinder, finder.work, finder.kept, finder.kinds, finder.marks)
    advance = meter.units(FINDING if finder.marks else HASHING, unfinished)
    run_tasks(unfinished, make, workers, advance, lambda unit: unit.size_bytes)


def _marks_file(unit: Unit, kind: str) -> str:
    return f"{unit.index:05d}.{kind}"


def _kept_texts(path: Path, kept: NDArray[np.bool_]) -> Groups:
    """The kept texts of a file, row group by row group, with their numbers in the unit."""
    start = 0
    with pq.ParquetFile(path) as file:
        for index in range(file.num_row_groups):
            texts = file.read_row_group(index, columns=["text"]).column("text")
            rows = np.flatnonzero(kept[start : start + len(texts)])
            if len(rows):
                kept_texts = texts if len(rows) == len(texts) else texts.take(rows)
                yield rows + start, *from_arrow(kept_texts)
            start += len(texts)


def _has_marks(marks: Marks, bounds: Offsets) -> Marks:
    """Whether each text has a mark; those of text k stand from `bounds[k]` to before `bounds[k + 1]`."""
    sums = np.concatenate([[0], np.cumsum(marks[bounds[0] : bounds[-1]])])
    counts: NDArray[np.int64] = np.diff(sums[bounds - bounds[0]])
    return counts > 0


def _of_texts(values: Array, bounds: Offsets, is_wanted: Marks) -> tuple[Array, Offsets]:
    """What belongs to some texts, one after another, and where each text's begins."""
    parts = [values[bounds[text] : bounds[text + 1]] for text in np.flatnonzero(is_wanted)]
    sizes = np.diff(bounds)[is_wanted]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum(sizes)])


def _union(data: Data, offsets: Offsets, marks: dict[str, Marks]) -> Spans:
    """The spans of all kinds in order, those that touch made one."""
    spans = np.concatenate([_SPANS[kind](data, offsets, marked) for kind, marked in marks.items()])
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
