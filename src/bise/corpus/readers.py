"""Read documents: raw sources in every format, and the corpus that a finished run wrote.

Each format has a reader of records in `formats/`; here records become documents by the fields that the source names.
What cannot be a document is counted and remembered with its place, never skipped in silence.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bise.corpus.clean import clean
from bise.corpus.document import Document
from bise.corpus.formats.archive import read_archive
from bise.corpus.formats.files import read_file
from bise.corpus.formats.lines import read_lines
from bise.corpus.formats.packed import Progress, kind_of
from bise.corpus.formats.parquet import num_row_groups, read_row_groups
from bise.corpus.formats.record import BadRecord, Found, PassedOver, RawRecord
from bise.corpus.html import extract
from bise.corpus.recipe import Format, Source, SourceFile
from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, read_manifest

_BAD_KEPT = 1000  # the count is of all
_BATCH_ROWS = 1024
_COLUMNS = ["id", "text", "source", "licence", "lang", "metadata"]
_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".txt", ".text", ".md", ".markdown"), "text"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".warc", ".wet"), "warc"),
}


@dataclass
class Reading:
    """What was met while reading: grows as documents are taken from `read_source` or `read_part`."""

    num_records: int = 0  # good, bad and passed over
    num_bad: int = 0
    bad_records: list[BadRecord] = field(default_factory=list)  # the first `_BAD_KEPT`
    cut_short: list[str] = field(default_factory=list)  # files whose rest is lost: nobody knows how much that is
    passed_over: Counter[str] = field(default_factory=Counter)  # sound records without a document, by reason
    ids: set[str] = field(default_factory=set)  # of every document that `read_source` gave: an id names one document
    number: int = 0  # line, row or record of the latest document
    progress: Progress | None = None  # called with the stored bytes read since the call before

    def add_bad(self, bad: BadRecord) -> None:
        """Count a bad record, or all those that it stands for."""
        num_lost = 1 if bad.num_lost is None else bad.num_lost
        self.num_records += num_lost
        self.num_bad += num_lost
        if bad.num_lost is None:
            self.cut_short.append(bad.file)
        if len(self.bad_records) < _BAD_KEPT:
            self.bad_records.append(bad)


def find_files(source: Source, root: Path) -> list[tuple[Path, SourceFile]]:
    """The files of a source, in order; a glob gives its matches sorted by path.

    Raises:
        NotFoundError: a file is absent, or a glob matches nothing.
    """
    found: list[tuple[Path, SourceFile]] = []
    for file in source.files:
        paths = sorted(path for path in root.glob(file.path) if path.is_file()) if file.is_glob else [root / file.path]
        if not paths or not all(path.is_file() for path in paths):
            if file.is_glob:
                raise NotFoundError(
                    f"No file of the source {source.name} matches {root / file.path}. Take the pattern out of the "
                    "recipe, or give the directory that holds the files with --set sources.root=DIR."
                )
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


def split_file(path: Path, source: Source) -> list[range | None]:
    """The parts in which a file can be read independently, in order: row groups of Parquet, else the file whole."""
    if format_of(path, source) == "parquet" and (num_groups := num_row_groups(path)):
        return [range(group, group + 1) for group in range(num_groups)]
    return [None]


def read_source(source: Source, root: Path, reading: Reading) -> Iterator[Document]:
    """Documents of a source in file and record order; one whose id was seen before is bad."""
    for path, _ in find_files(source, root):
        name = path.relative_to(root).as_posix()
        for document in read_part(path, name, source, reading):
            if document.id in reading.ids:
                kind = _KINDS[format_of(path, source)]
                reading.num_records -= 1
                reading.add_bad(BadRecord(name, kind, reading.number, f"the id {document.id!r} was seen before"))
                continue
            reading.ids.add(document.id)
            yield document


def read_part(path: Path, name: str, source: Source, reading: Reading, part: range | None = None) -> Iterator[Document]:
    """Documents of one file, or of one part as `split_file` gives it; memory holds one record or a few.

    Args:
        path: where the file lies.
        name: what the file is called in ids and messages: its path below the root of the sources.
        source: names the format and the fields.
        reading: counts what was met; its `number` is that of the document just given.
        part: row groups of a Parquet file; None reads the file whole.
    """
    kind = _KINDS[format_of(path, source)]
    for found in _records(path, name, source, part, reading.progress):
        result = _interpret(found, source, kind) if isinstance(found, RawRecord) else found
        if isinstance(result, BadRecord):
            reading.add_bad(result)
            continue
        reading.num_records += 1
        if isinstance(result, PassedOver):
            reading.passed_over[result.reason] += 1
            continue
        reading.number = found.number if isinstance(found, RawRecord) else 0
        yield result


_KINDS: Mapping[Format, str] = {"jsonl": "line", "parquet": "row", "text": "file", "html": "file", "warc": "record"}


def format_of(path: Path, source: Source) -> Format:
    """The format that the source states, or that the file's name does.

    Raises:
        InputError: neither says.
    """
    if source.format != "auto":
        return source.format
    if not (found := _FORMATS.get(kind_of(path))):
        raise InputError(
            f"The name of {path} does not say its format. Set format of the source {source.name} to one of "
            f"{', '.join(_KINDS)}, or give names that end in one of {', '.join(_FORMATS)}, .gz, .xz or .zst after it."
        )
    return found


def _records(path: Path, name: str, source: Source, part: range | None, progress: Progress | None) -> Iterator[Found]:
    kind = format_of(path, source)
    if kind == "jsonl":
        yield from read_lines(path, name, progress)
    elif kind == "warc":
        yield from read_archive(path, name, source.text_field, progress)
    else:
        if kind == "parquet":
            yield from read_row_groups(path, name, part)
        else:
            yield read_file(path, name, source.text_field, is_html=kind == "html")
        if progress:
            progress(path.stat().st_size // (num_row_groups(path) or 1 if part is not None else 1))


def _interpret(record: RawRecord, source: Source, kind: str) -> Document | BadRecord | PassedOver:
    try:
        return _document(record, source) or PassedOver("page without a main text")
    except ValueError as error:
        return BadRecord(record.file, kind, record.number, str(error))


def _document(record: RawRecord, source: Source) -> Document | None:
    """The document of a record; None for a page without a main text.

    Raises:
        ValueError: why there cannot be one.
    """
    fields = dict(record.fields)
    text = _text(fields, source)
    if source.text_is_html or isinstance(text, bytes):
        page = extract(text, source.html, charset=str(fields.pop("charset", "")))
        if page is None:
            return None
        text, fields = page.text, {"title": page.title, "date": page.date} | {k: v for k, v in fields.items() if v}
    lang = fields.get(source.lang_field) or source.lang
    if not isinstance(lang, str):
        raise ValueError(f"the field {source.lang_field!r} is {lang!r}, not text")
    document_id = fields.get(source.id_field) or _place(record, source)
    if not isinstance(document_id, str | int):
        raise ValueError(f"the id is {document_id!r}, not text")
    metadata = _metadata(fields, source)
    assert isinstance(text, str)
    document = Document(str(document_id), clean(text, source.clean), source.name, source.licence, lang, metadata)
    _check_encodable(document)
    return document


def _place(record: RawRecord, source: Source) -> str:
    """An id for a record that has none: where it stands, the same at every reading."""
    return f"{source.name}/{record.file}#{record.number}"


def _metadata(fields: Mapping[str, Any], source: Source) -> dict[str, str]:
    used = {source.id_field, source.text_field, source.lang_field, source.url_field, "source"}
    metadata = {key: value for key, value in fields.items() if key not in used and isinstance(value, str) and value}
    url = fields.get(source.url_field)
    return metadata | {"url": url} if isinstance(url, str) and url else metadata


def _text(fields: Mapping[str, Any], source: Source) -> str | bytes:
    text = fields.get(source.text_field)
    if text is None and "messages" in fields:
        raise ValueError("a conversation, not a text; conversations belong to a tuning recipe")
    if not isinstance(text, str | bytes):
        raise ValueError(f"no text in the field {source.text_field!r}; fields: {', '.join(fields) or 'none'}")
    return text


def _check_encodable(document: Document) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file can hold."""
    try:
        "".join((document.id, document.lang, *document.metadata, *document.metadata.values())).encode()
        if not document.text.isascii():
            document.text.encode()
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


def read_paths(paths: Sequence[Path], reading: Reading, *, text_field: str = "text") -> Iterator[str]:
    """Texts of files, of all files below directories whose names say a known format, and of finished curation runs.

    Raises:
        NotFoundError: a path is absent, or a directory holds nothing that can be read.
        InputError: a file's name does not say its format, or a run is damaged.
    """
    for path in paths:
        if (path / MANIFEST).is_file():
            yield from (document.text for document in read_curated(path))
            continue
        files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if kind_of(file) in _FORMATS]
        if not files:
            raise NotFoundError(f"There is nothing to read at {path}. Give files, or directories of them.")
        source = Source("files", files=(SourceFile("files"),), text_field=text_field)
        for file in files:
            yield from (document.text for document in read_part(file, file.as_posix(), source, reading))
