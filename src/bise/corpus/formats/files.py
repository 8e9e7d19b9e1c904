"""Files that hold one document each: plain text, Markdown and web pages, packed or not."""

from pathlib import Path

from bise.corpus.formats.packed import DAMAGE, open_packed
from bise.corpus.formats.record import MAX_RECORD_BYTES, BadRecord, RawRecord


def read_file(
    path: Path, name: str, text_field: str, *, is_html: bool, limit: int = MAX_RECORD_BYTES
) -> RawRecord | BadRecord:
    """One file as one record; web pages stay bytes, because they say themselves how they are encoded."""
    try:
        with open_packed(path) as (plain, _):
            data = plain.read(limit + 1)
    except DAMAGE as error:
        return BadRecord(name, "file", 1, f"could not be read to its end: {error or 'damaged'}")
    if len(data) > limit:
        return BadRecord(name, "file", 1, f"longer than {limit:,} bytes")
    if is_html:
        return RawRecord(name, 1, {text_field: data})
    try:
        return RawRecord(name, 1, {text_field: data.decode("utf-8-sig")})
    except UnicodeDecodeError as error:
        return BadRecord(name, "file", 1, f"not UTF-8 at byte {error.start:,}")
