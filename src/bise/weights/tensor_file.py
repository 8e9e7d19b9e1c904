"""Safetensors files: the header read with every number checked, and files written in parts that can be gone on with.

The header is JSON that a stranger may have written, so every number is checked against the size of the file before
anything is allocated. Data is mapped, not read: opening a model costs no memory.
"""

import json
import math
import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.runs import write_atomically
from bise.weights.tensors import DTYPES, PlainTensor, Region

_MAX_HEADER_BYTES = 64 << 20  # a model of a thousand layers needs less than 2 MB
_SYNC_BYTES = 1 << 30  # written between two notes of how far a file is
_PROGRESS_SUFFIX = ".progress"

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""Tensors in the order of the file: name -> (safetensors type, shape)."""


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in the data part of a safetensors file."""

    dtype: str  # a key of DTYPES
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the data
    end: int


def read_safetensors(path: Path) -> dict[str, PlainTensor]:
    """Map a safetensors file and read its header: the tensors by name.

    Raises:
        InputError: the file is missing or damaged, or holds a type that Bise does not read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < 8:
                raise _damaged(path, f"it has {size} bytes")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise InputError(f"{path.parent} has no {path.name}. Pull or train the model again.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error}.") from None
    header_size = int.from_bytes(data[:8], "little")
    if header_size > min(size - 8, _MAX_HEADER_BYTES):
        raise _damaged(path, f"it has {size} bytes and claims a header of {header_size}")
    header = _parse_header(path, data[8 : 8 + header_size])
    entries = {name: _parse_entry(path, name, entry) for name, entry in header.items() if name != "__metadata__"}
    _check_layout(path, entries, size - 8 - header_size)
    base = 8 + header_size
    return {
        name: PlainTensor(Region(data, base + entry.start, base + entry.end), entry.dtype, entry.shape)
        for name, entry in entries.items()
    }


def write_tensors(path: Path, tensors: dict[str, tuple[str, NDArray[Any]]]) -> None:
    """Write name -> (safetensors type, array) as a safetensors file, absent or whole."""
    layout = {name: (dtype, array.shape) for name, (dtype, array) in tensors.items()}
    write_parts(path, layout, (array for _, array in tensors.values()))


def finished_tensors(path: Path, layout: Layout) -> int:
    """How many tensors of an unfinished file are on the disk; 0 when there is none, or one of another layout."""
    temporary, header = _temporary(path), header_bytes(layout)
    try:
        note = json.loads(temporary.with_name(temporary.name + _PROGRESS_SUFFIX).read_text(encoding="utf-8"))
        with temporary.open("rb") as file:
            same = file.read(len(header)) == header
    except (FileNotFoundError, ValueError):
        return 0
    return note["tensors"] if same and temporary.stat().st_size >= len(header) + note["bytes"] else 0


def write_parts(
    path: Path, layout: Layout, parts: Iterable[NDArray[Any]], first: int = 0, sync_bytes: int = _SYNC_BYTES
) -> None:
    """Write tensors from parts that are their bytes in this order; the file is absent or whole.

    The safetensors library cannot write bfloat16 from NumPy; the format is a JSON header and the bytes in order.

    Args:
        path: the new file; until it is whole, it has the suffix `.part`, with a note of how far it is beside it.
        layout: what the file holds.
        parts: never with bytes of two tensors; they begin with tensor `first`.
        first: tensors that an earlier call has written, as `finished_tensors` says.
        sync_bytes: written at most before what is written is made safe, so that another call can go on from there.
    """
    header, sizes = header_bytes(layout), tensor_sizes(layout)
    temporary = _temporary(path)
    note = temporary.with_name(temporary.name + _PROGRESS_SUFFIX)
    position, done = sum(sizes[:first]), first
    with temporary.open("r+b" if first else "wb") as file:
        if not first:
            file.write(header)
        file.truncate(len(header) + position)
        file.seek(len(header) + position)
        synced, left = position, 0
        for part in parts:
            if not part.size:
                continue
            while not left:  # tensors without a value have no part
                left, done = sizes[done], done + 1
            count = file.write(np.ascontiguousarray(part).data.cast("B"))
            left, position = left - count, position + count
            assert left >= 0, "a part holds bytes of two tensors"
            if not left and position - synced >= sync_bytes:
                file.flush()
                os.fsync(file.fileno())
                write_atomically(note, json.dumps({"tensors": done, "bytes": position}))
                synced = position
        assert position == sum(sizes), f"{position} bytes of {sum(sizes)}"
    note.unlink(missing_ok=True)
    temporary.replace(path)


def tensor_sizes(layout: Layout) -> list[int]:
    """Bytes of each tensor."""
    return [math.prod(shape) * DTYPES[dtype].itemsize for dtype, shape in layout.values()]


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def header_bytes(layout: Layout) -> bytes:
    """What stands before the data of a safetensors file."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}  # the only one that transformers loads
    position = 0
    for (name, (dtype, shape)), size in zip(layout.items(), tensor_sizes(layout), strict=True):
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": (position, position + size)}
        position += size
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data begins at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    def table_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise _damaged(path, "its header names a tensor twice")
        return table

    try:
        header = json.loads(text, object_pairs_hook=table_of)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, an absurd number, or nested without end
        raise _damaged(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _damaged(path, f"its header is a {type(header).__name__}, not a table")
    return header


def _parse_entry(path: Path, name: str, entry: Any) -> TensorEntry:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise _damaged(path, f"the entry of {name!r} in its header is incomplete")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{path}: {name!r} is stored as {dtype!r}, but Bise reads only {', '.join(DTYPES)}.")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _damaged(path, f"{name!r} has shape {shape!r} and offsets {offsets!r}")
    if math.prod(shape) * DTYPES[dtype].itemsize != offsets[1] - offsets[0]:
        raise _damaged(path, f"{name!r} of shape {shape} ({dtype}) does not fill bytes {offsets[0]} to {offsets[1]}")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _check_layout(path: Path, entries: dict[str, TensorEntry], data_size: int) -> None:
    """The format allows no holes and no overlaps; this also finds a file that was cut short."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            raise _damaged(path, f"{name!r} begins at byte {entry.start} of the data, not at {position}")
        position = entry.end
    if position != data_size:
        raise _damaged(path, f"its header describes {position} bytes of data and the file holds {data_size}")


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged: {reason}. Pull, copy or train the model again.")
