"""Write what a run leaves: shards of kept documents, one a unit, and one row for every document seen."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bise.corpus.fingerprints import DOCUMENTS_FOLDER
from bise.corpus.passed import open_writer, read_kept, read_passed
from bise.corpus.pool import Tell
from bise.corpus.repeats import Spans, cut
from bise.corpus.stages import SEEN_FILE
from bise.corpus.tables import ALONE, AMONG, DOCUMENTS, PACKING, SEEN, to_arrow
from bise.corpus.texts import from_arrow
from bise.corpus.units import Unit, hash_of
from bise.corpus.work import WorkDirectory, write_array

SHARD_FILE, STATISTICS_FILE = "shard.parquet", "statistics.parquet"
STATISTICS_FOLDER = "statistics"
_NOTHING = {"twin": "", "copies": 0, "cut_bytes": 0}  # what those have that no later step saw


@dataclass(frozen=True)
class UnitWriter:
    """Writes the shard of one unit; made once in each worker."""

    work: WorkDirectory
    decisions: str  # key of the decisions among documents

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Write a unit's kept documents, each as often as was decided, and its rows of the statistics."""
        source, key = self.work.result(unit.key), self.key(unit)
        among = read_kept(self.work.result(self.decisions) / _decision_file(unit.index))
        spans = np.load(self.work.result(self.decisions) / _cuts_file(unit.index))
        with self.work.writing(key) as (directory, facts):
            with pq.ParquetWriter(directory / SHARD_FILE, DOCUMENTS, **PACKING) as shard:
                for start, texts in read_passed(source):
                    copies = among.column("copies").slice(start, texts.num_rows).to_numpy()
                    shard.write_table(_documents(_cut(texts, spans, start), copies))
                    if start:
                        tell(unit.size_bytes * start // among.num_rows, 0, f"document {start:,} of those that passed")
            pq.write_table(merge(read_kept(source / SEEN_FILE), among), directory / STATISTICS_FILE, **PACKING)
            facts["documents"] = int(np.sum(among.column("copies").to_numpy()))

    def key(self, unit: Unit) -> str:
        """What the result is kept under."""
        return hash_of([unit.key, self.decisions])


def write_decisions(tables: Iterable[pa.Table], spans: Sequence[Spans], directory: Path) -> None:
    """Keep what was decided among documents, and what to cut of each, one file a unit."""
    for index, (table, cuts) in enumerate(zip(tables, spans, strict=True)):
        with open_writer(directory / _decision_file(index), AMONG) as file:
            file.write_table(table)
        write_array(directory / _cuts_file(index), cuts)


def place_outputs(units: Sequence[Unit], writer: UnitWriter, directory: Path) -> None:
    """Move every unit's files to where the run's readers look for them; a unit without kept documents has no shard."""
    for folder in (DOCUMENTS_FOLDER, STATISTICS_FOLDER):
        (directory / folder).mkdir()
    for unit in units:
        result = writer.work.result(writer.key(unit))
        facts = writer.work.facts(writer.key(unit))
        assert facts is not None
        name = f"{unit.index:05d}-{unit.source.name}.parquet"
        if facts["documents"]:
            (result / SHARD_FILE).rename(directory / DOCUMENTS_FOLDER / name)
        (result / STATISTICS_FILE).rename(directory / STATISTICS_FOLDER / name)


def merge(seen: pa.Table, among: pa.Table) -> pa.Table:
    """One row for every document seen: what its unit said, and for those that passed, what was decided after it."""
    passed = np.flatnonzero(seen.column("reason").to_numpy(zero_copy_only=False) == "")
    assert len(passed) == among.num_rows
    rows = np.full(seen.num_rows, -1, np.int64)
    rows[passed] = np.arange(len(passed))
    later = among.take(pa.array(rows, mask=rows < 0))
    columns: dict[str, Any] = {name: seen.column(name) for name in ALONE.names}
    for field in AMONG:
        column = later.column(field.name)
        if field.name in ALONE.names:  # the reason that dropped it alone, else the one among others
            column = pc.if_else(pa.array(rows < 0), columns[field.name], column)
        columns[field.name] = column.fill_null(_NOTHING[field.name]) if field.name in _NOTHING else column
    columns["bytes"] = pc.subtract(columns["bytes"], columns["cut_bytes"])
    return pa.table(columns, schema=SEEN)


def _cut(texts: pa.Table, spans: Spans, start: int) -> pa.Table:
    """The texts of a batch, whose first document has the number `start`, without what is to be cut of them."""
    own = spans[(spans[:, 0] >= start) & (spans[:, 0] < start + texts.num_rows)]
    if not len(own):
        return texts
    data, offsets = from_arrow(texts.column("text"))
    rows = own[:, 0] - start
    begins = offsets[rows]
    rest, rest_offsets = cut(data, offsets, np.column_stack([rows, own[:, 1] + begins, own[:, 2] + begins]))
    return texts.set_column(texts.schema.get_field_index("text"), "text", to_arrow(rest, rest_offsets))


def _documents(texts: pa.Table, copies: NDArray[np.int64]) -> pa.Table:
    """The rows of a shard, each with the hash of its text."""
    written = texts if (copies == 1).all() else texts.take(np.repeat(np.arange(texts.num_rows), copies))
    data, offsets = from_arrow(written.column("text"))
    hashes = [hashlib.sha256(data[start:stop].data).hexdigest() for start, stop in itertools.pairwise(offsets.tolist())]
    return written.append_column("sha256", pa.array(hashes, pa.string()))


def _cuts_file(index: int) -> str:
    return f"{index:05d}.cuts.npy"


def _decision_file(index: int) -> str:
    return f"{index:05d}.arrow"
