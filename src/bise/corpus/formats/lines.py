"""JSON lines: one object a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bise.corpus.formats.packed import DAMAGE, Progress, open_packed
from bise.corpus.formats.record import MAX_RECORD_BYTES, BadRecord, Found, RawRecord
from bise.errors import InputError


def read_lines(
    path: Path, name: str, progress: Progress | None = None, limit: int = MAX_RECORD_BYTES
) -> Iterator[Found]:
    """Every line of a file as a record; a file that is cut short ends with a bad one."""
    number, told = 0, 0
    try:
        with open_packed(path) as (plain, stored):
            while line := plain.readline(limit + 1):
                number += 1
                if progress and (position := stored.tell()) > told:
                    progress(position - told)
                    told = position
                if len(line) > limit:
                    _skip_line(plain, line)
                    yield BadRecord(name, "line", number, f"longer than {limit:,} bytes")
                elif not line.isspace():
                    yield parse_line(line, name, number)
    except DAMAGE as error:
        why = f"could not be read to its end: {error or 'damaged'}. Fetch or pack it again"
        yield BadRecord(name, "line", number + 1, why, num_lost=None)


def _skip_line(plain: IO[bytes], begun: bytes) -> None:
    """Read to the end of a line that is too long to hold."""
    while begun and not begun.endswith(b"\n"):
        begun = plain.readline(1 << 20)


def parse_line(line: bytes, name: str, number: int) -> RawRecord | BadRecord:
    """A line as a record, or why it is none."""
    try:
        return RawRecord(name, number, parse_object(line))
    except ValueError as error:
        return BadRecord(name, "line", number, str(error))


def parse_object(line: bytes) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        ValueError: why it is none, in a few words.
    """
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError) as error:  # JSONDecodeError, and numbers of thousands of digits
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}, not an object")
    return record


def read_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, plain or packed, with their numbers from 1, without their ends.

    Raises:
        InputError: the file is absent, damaged, or not UTF-8.
    """
    number = 0
    try:
        with open_packed(path) as (plain, _):
            for number, line in enumerate(plain, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number:,} is not UTF-8. Save the file as UTF-8.") from None
    except DAMAGE as error:
        raise InputError(
            f"{path} could not be read: {error or 'damaged'}. Correct the path, or fetch the file again."
        ) from None
