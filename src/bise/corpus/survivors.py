"""The documents that passed every step alone, as columns over all of them, and what is decided between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bise.corpus.passed import read_kept, read_passed
from bise.corpus.stages import BANDS_FILE, DIGESTS_FILE, SEEN_FILE
from bise.corpus.tables import AMONG
from bise.corpus.units import Unit
from bise.corpus.work import WorkDirectory


@dataclass(frozen=True)
class Survivors:
    """The documents that passed alone, N in all, in reading order."""

    unit_starts: NDArray[np.int64]  # [units + 1], where each unit's documents begin
    ids: pa.ChunkedArray
    sources: pa.ChunkedArray
    langs: pa.ChunkedArray
    size_bytes: NDArray[np.int64]  # of the texts, UTF-8
    digests: NDArray[np.uint64]  # [N, 2]
    bands: NDArray[np.uint64]  # [N, BANDS]; empty when near copies may stay
    directories: tuple[Path, ...]  # where each unit's result lies

    def __len__(self) -> int:
        return len(self.size_bytes)

    def texts(self, rows: NDArray[np.int64]) -> Iterator[list[str]]:
        """The texts of some documents, by ascending number, a unit's row group at a time."""
        for unit, directory in enumerate(self.directories):
            start, stop = self.unit_starts[unit], self.unit_starts[unit + 1]
            wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
            if len(wanted):
                yield from _some_rows(directory, wanted)


class Decisions:
    """What was decided of each survivor; the first reason stands."""

    def __init__(self, num_documents: int) -> None:
        self.reasons: list[str] = [""]  # every reason given so far
        self.reason = np.zeros(num_documents, np.int32)  # index into reasons; 0 means kept
        self.value = np.full(num_documents, np.nan)
        self.threshold = np.full(num_documents, np.nan)
        self.twin = np.full(num_documents, -1, np.int64)  # a survivor's number
        self.similarity = np.full(num_documents, np.nan)
        self.cluster = np.full(num_documents, -1, np.int64)
        self.copies = np.ones(num_documents, np.int64)
        self.cut_bytes = np.zeros(num_documents, np.int64)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which documents no step has dropped."""
        return np.equal(self.reason, 0)

    def is_for(self, reason: str) -> NDArray[np.bool_]:
        """Which documents were dropped for a reason."""
        return np.equal(self.reason, self.reasons.index(reason) if reason in self.reasons else -1)

    def drop(self, rows: NDArray[np.int64], reason: str, value: Any, threshold: Any) -> None:
        """Drop documents that are still kept; value and threshold are one number or one a row."""
        assert self.kept[rows].all()
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.reason[rows] = self.reasons.index(reason)
        self.value[rows], self.threshold[rows] = value, threshold
        self.copies[rows] = 0

    def table(self, ids: pa.ChunkedArray, start: int, stop: int) -> pa.Table:
        """The decisions on some documents, in the schema AMONG."""
        part = slice(start, stop)
        twin = self.twin[part]
        columns = {
            "reason": np.array(self.reasons, dtype=object)[self.reason[part]],
            "value": _or_null(self.value[part]),
            "threshold": _or_null(self.threshold[part]),
            "twin": ids.take(pa.array(twin, mask=twin < 0)).fill_null(""),
            "similarity": _or_null(self.similarity[part]),
            "cluster": pa.array(self.cluster[part], mask=self.cluster[part] < 0),
            "cut_bytes": self.cut_bytes[part],
            "copies": self.copies[part],
        }
        return pa.table(columns, schema=AMONG)


def _or_null(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def read_survivors(units: Sequence[Unit], work: WorkDirectory) -> Survivors:
    """Gather what the units kept of each document that passed."""
    tables = [_passed(work.result(unit.key) / SEEN_FILE) for unit in units]
    together = pa.concat_tables(tables)
    directories = [work.result(unit.key) for unit in units]
    return Survivors(
        unit_starts=np.cumsum([0, *(table.num_rows for table in tables)]),
        ids=together.column("id"),
        sources=together.column("source"),
        langs=together.column("lang"),
        size_bytes=together.column("bytes").to_numpy(),
        digests=np.concatenate([np.load(directory / DIGESTS_FILE) for directory in directories]),
        bands=np.concatenate([np.load(directory / BANDS_FILE) for directory in directories]),
        directories=tuple(directories),
    )


def _passed(path: Path) -> pa.Table:
    table = read_kept(path).select(["id", "source", "lang", "bytes", "reason"])
    return table.filter(pc.equal(table.column("reason"), ""))


def _some_rows(directory: Path, rows: NDArray[np.int64]) -> Iterator[list[str]]:
    for start, table in read_passed(directory):
        wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + table.num_rows)] - start
        if len(wanted):
            yield table.column("text").take(wanted).to_pylist()
