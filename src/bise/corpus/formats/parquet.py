"""Parquet: one row a record, read row group by row group; a damaged group costs its own rows and no others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bise.corpus.formats.record import MAX_RECORD_BYTES, BadRecord, Found, RawRecord

_BATCH_BYTES = 8 << 20  # uncompressed, decoded at once
_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)  # what damaged files have raised


def num_row_groups(path: Path) -> int | None:
    """How many row groups a file has, or None when it cannot be opened."""
    try:
        with pq.ParquetFile(path) as file:
            return int(file.num_row_groups)
    except _DAMAGE:
        return None


def row_group_bytes(path: Path) -> list[int]:
    """Stored bytes of each row group of a file that can be opened."""
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        return [sum(max(0, g.column(c).total_compressed_size) for c in range(g.num_columns)) for g in groups]


def read_row_groups(path: Path, name: str, groups: range | None, limit: int = MAX_RECORD_BYTES) -> Iterator[Found]:
    """The rows of some row groups, or of all; a column that is neither text nor a number is left out."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            columns = _readable(file.schema_arrow)
            sizes = [max(0, file.metadata.row_group(index).num_rows) for index in range(file.num_row_groups)]
            for group in range(len(sizes)) if groups is None else groups:
                yield from _read_group(file, name, group, 1 + sum(sizes[:group]), columns, limit)
    except _DAMAGE as error:
        yield BadRecord(name, "file", 1, f"not Parquet, or damaged: {_first_line(error)}", num_lost=None)


def _readable(schema: Any) -> list[str]:
    kinds = pa.types
    return [
        field.name
        for field in schema
        if kinds.is_string(field.type)
        or kinds.is_large_string(field.type)
        or kinds.is_binary(field.type)
        or kinds.is_integer(field.type)
        or (kinds.is_dictionary(field.type) and kinds.is_string(field.type.value_type))
    ]


def _read_group(file: Any, name: str, group: int, first_row: int, columns: list[str], limit: int) -> Iterator[Found]:
    metadata = file.metadata.row_group(group)
    rows = max(1, metadata.num_rows)
    batch_size = max(1, min(1024, _BATCH_BYTES * rows // max(1, metadata.total_byte_size)))
    done = 0
    try:
        for batch in file.iter_batches(batch_size, row_groups=[group], columns=columns):
            yield from _rows(batch, name, first_row + done, limit)
            done += batch.num_rows
    except _DAMAGE as error:
        why = f"row group {group} is damaged: {_first_line(error)}"
        yield BadRecord(name, "row", first_row + done, why, num_lost=max(1, metadata.num_rows - done))


def _rows(batch: Any, name: str, first_row: int, limit: int) -> Iterator[Found]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:  # one bad value spoils the batch: go row by row
        for index in range(batch.num_rows):
            try:
                yield RawRecord(name, first_row + index, batch.slice(index, 1).to_pylist()[0])
            except UnicodeDecodeError:
                yield BadRecord(name, "row", first_row + index, "not UTF-8")
        return
    for number, row in enumerate(rows, start=first_row):
        if any(isinstance(value, str | bytes) and len(value) > limit for value in row.values()):
            yield BadRecord(name, "row", number, f"longer than {limit:,} characters")
        else:
            yield RawRecord(name, number, row)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
