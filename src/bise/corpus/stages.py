"""What becomes of each document by itself: a batch goes in; its statistics, decisions and good texts come out.

`examine` is a plain function of its batch: no files, no memory of other batches. `UnitExaminer` applies it to one work
unit after another and keeps the results for the steps that compare documents.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bise.corpus.document import Document
from bise.corpus.duplicates import text_digests
from bise.corpus.pool import Tell
from bise.corpus.readers import Reading, read_part
from bise.corpus.recipe import CurateRecipe
from bise.corpus.rules import judge
from bise.corpus.statistics import NAMES, measure
from bise.corpus.tables import ALONE, TEXTS, metadata_column
from bise.corpus.texts import pack
from bise.corpus.units import Unit
from bise.corpus.work import WorkDirectory

_BATCH_BYTES = 8 << 20  # of UTF-8 text examined at once
_BAD_SHOWN = 20  # of a unit, in the manifest; the count is of all
SEEN_FILE, TEXTS_FILE, DIGESTS_FILE = "seen.parquet", "texts.parquet", "digests.npy"


@dataclass
class Batch:
    """Some documents of one source, and where each came from."""

    documents: list[Document] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # below sources.root
    lines: list[int] = field(default_factory=list)  # from 1
    size_bytes: int = 0  # UTF-8, of the texts

    def add(self, document: Document, file: str, line: int) -> None:
        """Take in one document."""
        self.documents.append(document)
        self.files.append(file)
        self.lines.append(line)
        self.size_bytes += len(document.text.encode("utf-8"))


@dataclass(frozen=True)
class Examined:
    """A batch with what was decided."""

    seen: pa.Table  # every document, in the schema ALONE
    texts: pa.Table  # those that passed, in the schema TEXTS
    digests: NDArray[np.uint64]  # [passed, 2], equal for texts that differ only in case and white space


@dataclass
class Clock:
    """Processor seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.process_time)

    def lap(self, step: str) -> None:
        """Count the time since the last lap for a step."""
        now = time.process_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


def examine(batch: Batch, recipe: CurateRecipe, clock: Clock) -> Examined:
    """Measure and judge every document of a batch."""
    documents = batch.documents
    langs = [document.lang for document in documents]
    statistics = measure(*pack([document.text for document in documents]), langs)
    clock.lap("statistics")
    decisions = judge(statistics, langs, recipe.rules)
    drops = [decisions.drop(index) for index in range(len(documents))]
    clock.lap("rules")
    passed = [document for document, drop in zip(documents, drops, strict=True) if drop is None]
    digests = text_digests(*pack([document.text for document in passed]))
    clock.lap("fingerprints")
    seen = {
        "id": [document.id for document in documents],
        "source": [document.source for document in documents],
        "file": batch.files,
        "line": batch.lines,
        "lang": langs,
        "confidence": [None] * len(documents),
        "bytes": [len(document.text.encode("utf-8")) for document in documents],
        **{name: statistics.column(name) for name in NAMES},
        "reason": [drop.reason if drop else "" for drop in drops],
        "value": [drop.value if drop else None for drop in drops],
        "threshold": [drop.threshold if drop else None for drop in drops],
        "details": ["{}"] * len(documents),
        "beginning": [document.text[: recipe.output.beginnings] for document in documents],
    }
    examined = Examined(
        pa.table(seen, schema=ALONE),
        pa.table(_text_columns(passed), schema=TEXTS),
        digests,
    )
    clock.lap("tables")
    return examined


def _text_columns(documents: list[Document]) -> dict[str, list[str]]:
    return {
        "id": [document.id for document in documents],
        "text": [document.text for document in documents],
        "source": [document.source for document in documents],
        "licence": [document.licence for document in documents],
        "lang": [document.lang for document in documents],
        "metadata": metadata_column(document.metadata for document in documents),
    }


@dataclass(frozen=True)
class UnitExaminer:
    """Does the work of one unit; made once in each worker."""

    recipe: CurateRecipe
    work: WorkDirectory

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Examine a unit and keep the result under its key."""
        clock, reading, digests, num_bytes = Clock(), Reading(), [np.empty((0, 2), np.uint64)], 0
        with (
            self.work.writing(unit.key) as (directory, facts),
            pq.ParquetWriter(directory / SEEN_FILE, ALONE, compression="zstd") as seen,
            pq.ParquetWriter(directory / TEXTS_FILE, TEXTS, compression="zstd") as texts,
        ):
            for batch in self._batches(unit, reading, tell):
                clock.lap("reading")
                examined = examine(batch, self.recipe, clock)
                seen.write_table(examined.seen)
                texts.write_table(examined.texts)
                digests.append(examined.digests)
                num_bytes += batch.size_bytes
                clock.lap("writing")
            clock.lap("reading")
            np.save(directory / DIGESTS_FILE, np.concatenate(digests))
            facts["records"] = reading.num_records
            facts["bad"] = reading.num_bad
            facts["bad_examples"] = [str(bad) for bad in reading.bad_records[:_BAD_SHOWN]]
            facts["cut_short"] = reading.cut_short
            facts["passed_over"] = dict(reading.passed_over)
            facts["bytes"] = num_bytes
            facts["seconds"] = dict(clock.seconds)

    def _batches(self, unit: Unit, reading: Reading, tell: Tell) -> Iterator[Batch]:
        batch, stored = Batch(), Counter[str]()
        reading.progress = lambda num_bytes: stored.update(read=num_bytes)
        for file in unit.files:
            part = None if file.part is None else range(*file.part)
            for document in read_part(file.path, file.name, unit.source, reading, part):
                batch.add(document, file.name, reading.number)
                if batch.size_bytes >= _BATCH_BYTES:
                    yield batch
                    tell(stored["read"], f"{file.name}, line {batch.lines[-1]:,}")
                    batch = Batch()
        if batch.documents:
            yield batch
