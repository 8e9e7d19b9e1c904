"""Examine work units one after another, and keep each result for the steps that compare documents."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bise.corpus.duplicates import BANDS
from bise.corpus.examine import Batch, Clock, Steps, examine
from bise.corpus.passages import PassageWriter
from bise.corpus.passed import TEXTS_FILE, open_writer
from bise.corpus.pool import Tell
from bise.corpus.readers import Reading, read_part
from bise.corpus.tables import ALONE, TEXTS
from bise.corpus.units import Unit
from bise.corpus.work import WorkDirectory, write_array

_BATCH_BYTES = 8 << 20  # of UTF-8 text examined at once
_BAD_SHOWN = 20  # of a unit, in the manifest; the count is of all
SEEN_FILE = "seen.arrow"
DIGESTS_FILE, BANDS_FILE = "digests.npy", "bands.npy"


@dataclass(frozen=True)
class UnitExaminer:
    """Does the work of one unit; made once in each worker."""

    steps: Steps
    work: WorkDirectory

    def __call__(self, unit: Unit, tell: Tell) -> None:
        """Examine a unit and keep the result under its key."""
        clock, reading, num_bytes = Clock(), Reading(), 0
        digests, bands = [np.empty((0, 2), np.uint64)], [np.empty((0, BANDS), np.uint64)]
        with (
            self.work.writing(unit.key) as (directory, facts),
            open_writer(directory / SEEN_FILE, ALONE) as seen,
            open_writer(directory / TEXTS_FILE, TEXTS) as texts,
            PassageWriter(directory, self.steps.recipe.duplicates.cut_kinds) as passages,
        ):
            for batch in self._batches(unit, reading, tell):
                clock.lap("reading")
                examined = examine(batch, self.steps, clock)
                seen.write_table(examined.seen)
                texts.write_table(examined.texts)
                passages.write(examined.passages)
                digests.append(examined.digests)
                bands.append(examined.bands)
                num_bytes += batch.size_bytes
                clock.lap("writing")
            clock.lap("reading")
            write_array(directory / DIGESTS_FILE, np.concatenate(digests))
            write_array(directory / BANDS_FILE, np.concatenate(bands))
            facts["records"] = reading.num_records
            facts["bad"] = reading.num_bad
            facts["bad_examples"] = [str(bad) for bad in reading.bad_records[:_BAD_SHOWN]]
            facts["cut_short"] = reading.cut_short
            facts["passed_over"] = dict(reading.passed_over)
            facts["bytes"] = num_bytes
            facts["seconds"] = dict(clock.seconds)

    def _batches(self, unit: Unit, reading: Reading, tell: Tell) -> Iterator[Batch]:
        batch, counted = Batch(), Counter[str]()
        reading.progress = lambda num_bytes: counted.update(stored=num_bytes)
        for file in unit.files:
            part = None if file.part is None else range(*file.part)
            for document in read_part(file.path, file.name, unit.source, reading, part):
                batch.add(document, file.name, reading.number)
                if batch.size_bytes >= _BATCH_BYTES:
                    yield batch
                    counted.update(text=batch.size_bytes)
                    tell(counted["stored"], counted["text"], f"{file.name}, line {batch.lines[-1]:,}")
                    batch = Batch()
        if batch.documents:
            yield batch
            counted.update(text=batch.size_bytes)
            tell(counted["stored"], counted["text"], f"{batch.files[-1]}, line {batch.lines[-1]:,}")
