"""Web archives: WARC as crawlers write it (responses with pages) and WET (text drawn from pages).

After damage, reading goes on at the next record that can be recognised, and what lies between is counted as bad.
ISO 28500; https://iipc.github.io/warc-specifications/
"""

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bise.corpus.formats.http import read_response
from bise.corpus.formats.packed import DAMAGE, Progress, open_packed
from bise.corpus.formats.record import MAX_RECORD_BYTES, BadRecord, Found, PassedOver, RawRecord

_CHUNK_BYTES = 1 << 18
_MAX_HEADER_BYTES = 1 << 16
_MIN_HEADER_BYTES = 16  # no header that means anything is shorter
_GZIP_MAGIC = b"\x1f\x8b\x08"
_VERSION = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_PAGES = ("text/html", "application/xhtml+xml")
_NO_DOCUMENTS = ("warcinfo", "request", "metadata", "revisit", "continuation")


class _DamageError(Exception):
    """The archive cannot be read on as it was; the message says why."""


class _EndOfArchiveError(_DamageError):
    """The archive ends in the middle of a record."""


def read_archive(
    path: Path, name: str, text_field: str, progress: Progress | None = None, limit: int = MAX_RECORD_BYTES
) -> Iterator[Found]:
    """Pages as bytes and texts as text in the field `text_field`, with `id`, `url`, `crawled` and `charset` where known."""
    window = _Window(_chunks(path, progress))
    number = 0
    while True:
        try:
            if not window.find_record():
                return
            number += 1
            yield _read_record(window, name, number, text_field, limit)
        except _EndOfArchiveError as error:
            yield BadRecord(name, "record", number or 1, str(error), num_lost=None)
            return
        except _DamageError as error:
            number += number == 0
            yield BadRecord(name, "record", number, str(error))
            if not window.find_next():
                return


def _read_record(window: "_Window", name: str, number: int, text_field: str, limit: int) -> Found:
    headers = _headers(window.take_header())
    length = headers.get("content-length", "")
    if not length.isascii() or not length.isdigit() or len(length) > 15:
        raise _DamageError(f"the record's Content-Length is {length[:40]!r}")
    if int(length) > limit:
        window.skip(int(length))
        return BadRecord(name, "record", number, f"longer than {limit:,} bytes")
    block = window.take(int(length))
    if not window.at_boundary():
        window.put_back(block)
        raise _DamageError(f"the record does not end after the {int(length):,} bytes that its header states")
    return _document(headers, block, name, number, text_field)


def _headers(header: bytes) -> dict[str, str]:
    """Named fields, names in lower case; a line that begins with a space continues the one before."""
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", header).decode("utf-8", errors="replace")
    pairs = (line.partition(":") for line in unfolded.splitlines()[1:])
    return {key.strip().lower(): value.strip() for key, separator, value in pairs if separator}


def _document(headers: dict[str, str], block: bytes, name: str, number: int, text_field: str) -> Found:
    if reason := _without_document(headers):
        return PassedOver(reason)
    status, content_type = 200, headers.get("content-type", "")
    try:
        if headers["warc-type"] == "response":
            status, content_type, block = read_response(block, MAX_RECORD_BYTES)
        media_type, _, parameters = content_type.partition(";")
        is_page = media_type.strip().lower() in _PAGES
        if status != 200:
            return PassedOver("response with a status other than 200")
        if not is_page and media_type.strip().lower() != "text/plain":
            return PassedOver("neither a page nor plain text")
        text = block if is_page else block.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return BadRecord(name, "record", number, f"not UTF-8 at byte {error.start:,}")
    except ValueError as error:
        return BadRecord(name, "record", number, str(error))
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", parameters, re.IGNORECASE)
    fields = {
        "id": headers.get("warc-record-id", "").strip("<>"),
        "url": headers.get("warc-target-uri", "").strip("<>"),
        "crawled": headers.get("warc-date", ""),
        "charset": charset[1] if charset else "",
        text_field: text,
    }
    return RawRecord(name, number, fields)


def _without_document(headers: dict[str, str]) -> str:
    """Why a record holds neither a page nor a text, or "" when it may."""
    kind = headers.get("warc-type", "")
    if kind not in ("response", "resource", "conversion"):
        return f"archive record of type {kind}" if kind in _NO_DOCUMENTS else "archive record of another type"
    if kind == "response" and not headers.get("content-type", "").startswith("application/http"):
        return "response that is not HTTP"
    return ""


class _Window:
    """The part of an archive that is held in memory."""

    def __init__(self, chunks: Iterator[bytes | _DamageError]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    def _more(self) -> bool:
        """Hold one more chunk; what was held before damage is lost."""
        chunk = next(self._chunks, b"")
        if isinstance(chunk, _DamageError):
            self._held.clear()
            raise chunk
        self._held += chunk
        return bool(chunk)

    def find_record(self) -> bool:
        """Pass the empty lines between records; False at the end of the archive."""
        while True:
            del self._held[: len(self._held) - len(self._held.lstrip(b"\r\n"))]
            if len(self._held) >= _MIN_HEADER_BYTES or not self._more():
                break
        if self._held and not _VERSION.match(self._held):
            raise _DamageError(f"no WARC header, but {bytes(self._held[:20])!r}")
        return bool(self._held)

    def find_next(self) -> bool:
        """After damage: drop everything before the next recognisable record; False when there is none."""
        while True:
            if found := _VERSION.search(self._held):
                del self._held[: found.start()]
                return True
            del self._held[:-_MIN_HEADER_BYTES]
            try:
                if not self._more():
                    return False
            except _DamageError:  # of one and the same gap
                continue

    def take_header(self) -> bytes:
        """Everything up to the empty line that ends a record's header."""
        while not (end := _HEADER_END.search(self._held)):
            if len(self._held) > _MAX_HEADER_BYTES:
                del self._held[:_MIN_HEADER_BYTES]  # or the search for the next record would find this one
                raise _DamageError(f"a record's header is longer than {_MAX_HEADER_BYTES:,} bytes")
            if not self._more():
                raise _EndOfArchiveError("the archive ends within a header")
        header = bytes(self._held[: end.start()])
        del self._held[: end.end()]
        return header

    def take(self, size: int) -> bytes:
        """The next bytes."""
        while len(self._held) < size:
            if not self._more():
                raise _EndOfArchiveError(
                    f"the archive ends {size - len(self._held):,} bytes before its last record does"
                )
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def put_back(self, taken: bytes) -> None:
        """Undo `take`."""
        self._held[:0] = taken

    def skip(self, size: int) -> None:
        """Pass bytes without holding them."""
        while size > len(self._held):
            size -= len(self._held)
            self._held.clear()
            if not self._more():
                raise _EndOfArchiveError(f"the archive ends {size:,} bytes before its last record does")
        del self._held[:size]

    def at_boundary(self) -> bool:
        """Whether an empty line, or the end, comes next."""
        while len(self._held) < 4 and self._more():
            pass
        return not self._held or self._held.startswith((b"\r\n\r\n", b"\n\n"))


def _chunks(path: Path, progress: Progress | None) -> Iterator[bytes | _DamageError]:
    """Plain bytes in order, with damage where it was met."""
    if path.suffix.lower() == ".gz":
        yield from _gzip_chunks(path, progress)
        return
    told = 0
    try:
        with open_packed(path) as (plain, stored):
            while chunk := plain.read(_CHUNK_BYTES):
                yield chunk
                if progress and (position := stored.tell()) > told:
                    progress(position - told)
                    told = position
    except DAMAGE as error:
        yield _EndOfArchiveError(f"could not be read to its end: {error or 'damaged'}")


def _gzip_chunks(path: Path, progress: Progress | None) -> Iterator[bytes | _DamageError]:
    """Crawlers pack each record as a gzip member of its own, so the next member is a place to go on after damage."""
    with path.open("rb") as stored:
        unpacker, packed = zlib.decompressobj(wbits=31), b""
        is_begun = False
        while packed or (packed := _read_stored(stored.read(_CHUNK_BYTES), progress)):
            try:
                plain = unpacker.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                yield _DamageError(f"a gzip member is damaged: {error}")
                unpacker, is_begun = zlib.decompressobj(wbits=31), False
                packed = _next_member(packed[1:], stored.read)
                continue
            is_begun = True
            yield from (plain,) if plain else ()
            packed = unpacker.unconsumed_tail
            if unpacker.eof:
                packed = unpacker.unused_data.lstrip(b"\0")
                unpacker, is_begun = zlib.decompressobj(wbits=31), False
        if is_begun:
            if rest := unpacker.flush():  # an empty chunk would mean the end
                yield rest
            if not unpacker.eof:
                yield _EndOfArchiveError("the archive ends within a gzip member: it was cut short")


def _read_stored(chunk: bytes, progress: Progress | None) -> bytes:
    if progress and chunk:
        progress(len(chunk))
    return chunk


def _next_member(packed: bytes, read: Callable[[int], bytes]) -> bytes:
    """The stored bytes from the next mark of a gzip member on."""
    while (start := packed.find(_GZIP_MAGIC)) < 0:
        more = read(_CHUNK_BYTES)
        if not more:
            return b""
        packed = packed[-2:] + more
    return packed[start:]
