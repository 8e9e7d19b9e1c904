"""Packed files as streams of plain bytes: gz, xz, zst and plain, chosen by the suffix of the name."""

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

PACKED_SUFFIXES = frozenset({".gz", ".xz", ".zst"})
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)  # what reading a damaged file raises
Progress = Callable[[int], None]  # called with the stored bytes read since the call before


@contextmanager
def open_packed(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The plain bytes of a file, and the stored file below them, whose position tells how far reading is.

    Raises:
        One of DAMAGE, here or from any read: the file is cut short or not what its name says.
    """
    with path.open("rb") as stored, _unpack(stored, path.suffix) as plain:
        yield plain, stored


def _unpack(stored: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=stored))
    if suffix == ".xz":
        return io.BufferedReader(lzma.LZMAFile(stored))
    if suffix == ".zst":  # Arrow's reader, because it alone notices a file cut short
        return io.BufferedReader(pa.CompressedInputStream(stored, "zstd"))
    return stored


def kind_of(path: Path) -> str:
    """The suffix of a file's name under that of its packing, in lower case: ".jsonl" for "a.jsonl.gz"."""
    name = Path(path.name.lower())
    return (Path(name.stem) if name.suffix in PACKED_SUFFIXES else name).suffix
