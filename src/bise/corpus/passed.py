"""What a unit keeps until its run ends: tables that are not packed, so that any part of them is at hand.

The most of it are the texts that passed alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TEXTS_FILE = "texts.arrow"


def open_writer(path: Path, schema: pa.Schema) -> Any:
    """A context that takes tables with `write_table`, one a batch."""
    return pa.ipc.new_file(path, schema)


def read_kept(path: Path) -> pa.Table:
    """A table as it was written; of the file only what is looked at is read."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def read_passed(directory: Path) -> Iterator[tuple[int, pa.Table]]:
    """The tables as they were written, each with the number of its first document; only what is looked at is read."""
    start = 0
    with pa.memory_map(str(directory / TEXTS_FILE)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            table = pa.Table.from_batches([reader.get_batch(index)])
            yield start, table
            start += table.num_rows


def read_chosen(directory: Path, is_chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], pa.ChunkedArray]]:
    """The texts of some documents, batch by batch, with their numbers."""
    for start, table in read_passed(directory):
        rows = np.flatnonzero(is_chosen[start : start + table.num_rows])
        if len(rows):
            texts = table.column("text")
            yield rows + start, texts if len(rows) == len(texts) else texts.take(rows)
