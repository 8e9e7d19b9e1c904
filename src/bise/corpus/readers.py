"""Read documents: raw sources as JSON lines (plain, gz, xz, zst), and the corpus that a finished run wrote.

A line that cannot be a document is counted and remembered with its file and number, never skipped in silence.
"""

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from bise.corpus.clean import clean
from bise.corpus.document import Document
from bise.corpus.recipe import Source, SourceFile
from bise.errors import InputError, NotFoundError
from bise.runs import read_manifest

_FIELDS_READ = ("id", "source")
_BATCH_ROWS = 1024
_COLUMNS = ["id", "text", "source", "licence", "lang", "metadata"]


@dataclass(frozen=True)
class BadLine:
    """A line that is no document."""

    file: str
    line: int  # from 1
    why: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.why}"


@dataclass
class Reading:
    """What was met while reading: grows as documents are taken from `read_source`."""

    num_lines: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)  # of every document so far: an id names one document of a run
    progress: Callable[[int], None] | None = None  # called with the stored bytes read since the call before


def find_files(source: Source, root: Path) -> list[tuple[Path, SourceFile]]:
    """The files of a source, in order; a glob gives its matches sorted by path.

    Raises:
        NotFoundError: a file is absent, or a glob matches nothing.
    """
    found: list[tuple[Path, SourceFile]] = []
    for file in source.files:
        paths = sorted(root.glob(file.path)) if file.is_glob else [root / file.path]
        if not paths or not all(path.is_file() for path in paths):
            raise NotFoundError(_how_to_get(source, root / file.path))
        found += [(path, file) for path in paths]
    return found


def _how_to_get(source: Source, path: Path) -> str:
    origin = ""
    if source.repository:
        version = f" at commit {source.commit}" if source.commit else ""
        origin = f", or make it from {source.repository}{version}"
        origin += f" ({source.preparation})" if source.preparation else ""
    return (
        f"The source {source.name} is not at {path}. "
        f"Give the directory that holds the sources with --set sources.root=DIR{origin}."
    )


def read_source(source: Source, root: Path, reading: Reading) -> Iterator[Document]:
    """Documents of a source in file and line order; `reading` counts lines and keeps the bad ones."""
    for path, _ in find_files(source, root):
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(_read_lines(path, reading), start=1):
            if line.isspace():
                continue
            reading.num_lines += 1
            try:
                document = _parse(line, source, default_id=f"{source.name}/{name}#{number}")
                if document.id in reading.ids:
                    raise ValueError(f"the id {document.id!r} was seen before")
            except ValueError as error:
                reading.bad_lines.append(BadLine(name, number, str(error)))
                continue
            reading.ids.add(document.id)
            yield document


def _read_lines(path: Path, reading: Reading) -> Iterator[bytes]:
    told = 0
    try:
        with path.open("rb") as stored, _unpack(stored, path.suffix) as lines:
            for line in lines:
                yield line
                if reading.progress and (position := stored.tell()) > told:
                    reading.progress(position - told)
                    told = position
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path} could not be read to its end: {error}. Fetch or pack it again.") from None


def _unpack(stored: IO[bytes], suffix: str) -> IO[bytes]:
    """The plain bytes of a stored file, by the suffix of its name."""
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=stored))
    if suffix == ".xz":
        return io.BufferedReader(lzma.LZMAFile(stored))
    if suffix == ".zst":  # Arrow's reader, because it alone notices a file cut short
        return io.BufferedReader(pa.CompressedInputStream(stored, "zstd"))
    return stored


def _parse(line: bytes, source: Source, default_id: str) -> Document:
    """Make a document of one line.

    Raises:
        ValueError: why it cannot be one.
    """
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}, not an object")
    lang = record.get(source.lang_field) or source.lang
    if not isinstance(lang, str):
        raise ValueError(f"the field {source.lang_field!r} is {lang!r}, not text")
    document_id = record.get("id") or default_id
    if not isinstance(document_id, str | int):
        raise ValueError(f"the id is {document_id!r}, not text")
    used = {*_FIELDS_READ, source.text_field, source.lang_field}
    metadata = {key: value for key, value in record.items() if key not in used and isinstance(value, str) and value}
    document = Document(str(document_id), _text(record, source), source.name, source.licence, lang, metadata)
    _check_encodable(document)
    return document


def _text(record: dict[str, Any], source: Source) -> str:
    text = record.get(source.text_field)
    if text is None and "messages" in record:
        raise ValueError("a conversation, not a text; conversations belong to a tuning recipe")
    if not isinstance(text, str):
        raise ValueError(f"no text in the field {source.text_field!r}; fields: {', '.join(record) or 'none'}")
    return clean(text, source.clean)


def _check_encodable(document: Document) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file can hold."""
    try:
        "".join((document.id, document.text, document.lang, *document.metadata, *document.metadata.values())).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair, which is no character") from None


def read_curated(directory: Path) -> Iterator[Document]:
    """Documents of a finished curation run, in the order in which they were kept.

    Raises:
        NotFoundError: there is no finished run in the directory.
        InputError: the run is of another stage, or one of its files is damaged.
    """
    manifest = read_manifest(directory)
    if manifest.stage != "curate":
        raise InputError(f"{directory} holds a {manifest.stage} run. Give the directory of a curate run.")
    for path in sorted((directory / "documents").glob("*.parquet")):
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_ROWS, columns=_COLUMNS):
                for row in batch.to_pylist():
                    yield Document(**(row | {"metadata": json.loads(row["metadata"])}))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} is damaged: {error}. Curate again under another name.") from None
