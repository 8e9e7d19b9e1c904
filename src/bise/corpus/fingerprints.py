"""Fingerprints of documents: made once of each batch, and kept of a run's, so that a later run finds what it repeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bise.corpus.duplicates import BANDS
from bise.errors import InputError
from bise.runs import read_manifest

FINGERPRINTS_FILE = "fingerprints.parquet"
DOCUMENTS_FOLDER = "documents"
_SCHEME = {b"bise.fingerprints": b"2"}  # in the file: others of another number cannot be compared
_WIDTHS = {"digest": 2, "bands": BANDS}  # numbers of 64 bits


@dataclass(frozen=True)
class Known:
    """Documents of earlier runs, M in all."""

    ids: tuple[str, ...]
    digests: NDArray[np.uint64]  # [M, 2]
    bands: NDArray[np.uint64]  # [M, BANDS]
    starts: NDArray[np.int64]  # [runs + 1], where each run's documents begin
    directories: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """The texts of some documents, by ascending number."""
        found: list[str] = []
        for run, directory in enumerate(self.directories):
            wanted = rows[(rows >= self.starts[run]) & (rows < self.starts[run + 1])]
            ids = [self.ids[row] for row in wanted.tolist()]
            documents = ds.dataset(directory / DOCUMENTS_FOLDER)
            table = documents.to_table(columns=["id", "text"], filter=pc.field("id").isin(ids))
            texts = dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))
            found += [texts[name] for name in ids]
        return found


def write_fingerprints(
    ids: pa.ChunkedArray, digests: NDArray[np.uint64], bands: NDArray[np.uint64], path: Path
) -> None:
    """Keep the fingerprints of some documents; without bands, only exact copies of them can be found."""
    columns = {"id": ids.combine_chunks(), "digest": _packed(digests)}
    if len(bands):
        columns["bands"] = _packed(bands)
    pq.write_table(pa.table(columns).replace_schema_metadata(_SCHEME), path, compression="zstd")


def read_known(directories: Sequence[Path], *, near: bool) -> Known:
    """The documents of some finished runs.

    Raises:
        NotFoundError: one is not there or not finished.
        InputError: one keeps no fingerprints, or none for near copies where those are wanted.
    """
    tables = []
    for directory in directories:
        read_manifest(directory)
        path = directory / FINGERPRINTS_FILE
        columns = ["id", "digest", *(["bands"] if near else [])]
        if lacking := _lacking(path, columns):
            raise InputError(
                f"{directory} keeps no {lacking}, so nothing can be compared with it. Curate it again with "
                "output.fingerprints = true and duplicates.near = true."
            )
        with pq.ParquetFile(path) as file:
            tables.append(file.read(columns=columns))
    return Known(
        ids=tuple(name for table in tables for name in table.column("id").to_pylist()),
        digests=np.concatenate([np.empty((0, 2), np.uint64), *(_unpacked(table, "digest") for table in tables)]),
        bands=np.concatenate(
            [np.empty((0, BANDS), np.uint64), *(_unpacked(table, "bands") for table in tables if near)]
        ),
        starts=np.cumsum([0, *(table.num_rows for table in tables)]),
        directories=tuple(directories),
    )


def _lacking(path: Path, columns: Sequence[str]) -> str:
    """What a file of fingerprints does not hold, in words; "" if nothing is amiss."""
    if not path.exists():
        return "fingerprints of its documents"
    schema = pq.read_schema(path)
    if not set(columns) <= set(schema.names):
        return "fingerprints of near copies"
    is_comparable = _SCHEME.items() <= (schema.metadata or {}).items()
    return "" if is_comparable else "fingerprints as this version of Bise makes them"


def _packed(numbers: NDArray[np.uint64]) -> pa.Array:
    width = 8 * numbers.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(numbers))
    return pa.Array.from_buffers(pa.binary(width), len(numbers), [None, buffer])


def _unpacked(table: pa.Table, name: str) -> NDArray[np.uint64]:
    column = table.column(name).combine_chunks()
    start = column.offset * _WIDTHS[name]
    numbers = np.frombuffer(column.buffers()[1], np.uint64)[start : start + len(column) * _WIDTHS[name]]
    return numbers.reshape(-1, _WIDTHS[name])
