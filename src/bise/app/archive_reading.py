"""Reading files that somebody brings: a zip file or JSON, of ours or of others, conversation by conversation.

Nothing is unpacked onto the disk, so names in a zip file lead nowhere. Sizes are bounded before memory is: those of the file,
of everything in it unpacked, and of each conversation. Every fault of a file is an `InputError`.
"""

import codecs
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

from bise.errors import InputError

MAX_FILE_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 2 << 30
MAX_CONVERSATION_CHARS = 16 << 20
MAX_CONVERSATIONS = 50_000
_MAX_DIRECTORY_BYTES = 32 << 20  # of a zip file: some 300,000 names
_PIECE_BYTES = 64 << 10
_BETWEEN = re.compile(r"[ \t\r\n,\[\]]*")  # what stands between conversations: a list of them, or one a line
_END_OF_ZIP, _END_OF_ZIP64 = b"PK\x05\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Found:
    """A JSON object in a file, and which share of the file has been read, 0 to 1."""

    record: dict[str, Any]
    share: float


def read_file(file: BinaryIO) -> Iterator[Found]:
    """Give the JSON objects of a file, which can be conversations, in order.

    Raises:
        InputError: the file is none of ours or ChatGPT's, is damaged, or is too large in some way.
    """
    size = file.seek(0, 2)
    file.seek(0)
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    objects = _read_zip(file, size) if is_zip else (Found(each, file.tell() / size) for each in _read_json(file))
    for number, found in enumerate(objects, 1):
        if number > MAX_CONVERSATIONS:
            raise _too_large(f"The file holds more than {MAX_CONVERSATIONS} conversations. Split it.")
        yield found


def _read_zip(file: BinaryIO, size: int) -> Iterator[Found]:
    _check_directory(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if _may_hold_conversations(each.filename)]
            if not members:
                raise _unreadable(
                    "The zip file holds no conversations, neither of Bise nor of ChatGPT. Choose another file."
                )
            total, unpacked = sum(each.file_size for each in members), 0
            if total > MAX_UNPACKED_BYTES:
                raise _too_large(f"Unpacked, the file is larger than {MAX_UNPACKED_BYTES >> 20} MiB. Split it.")
            for member in members:
                with archive.open(member) as stream:
                    # A member ends where its entry says: what is longer is an error of its checksum.
                    for each in _read_json(stream):
                        yield Found(each, (unpacked + stream.tell()) / total)
                unpacked += member.file_size
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise _unreadable(f"The zip file is damaged, or of a kind that cannot be read here ({error}).") from None


def _too_large(message: str) -> InputError:
    return InputError(message, code="file_too_large")


def _unreadable(message: str) -> InputError:
    return InputError(message, code="file_unreadable")


def _may_hold_conversations(name: str) -> bool:
    directory, _, base = name.rpartition("/")
    return base.endswith(".json") and (base.startswith("conversations") or directory.split("/")[-1] == "conversations")


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a zip file whose list of contents is too large to be read at once."""
    start = max(0, size - 65_557)  # the end's record, with the longest comment that it can have
    file.seek(start)
    tail = file.read()
    file.seek(0)
    place = tail.rfind(_END_OF_ZIP)
    directory_bytes = int.from_bytes(tail[place + 12 : place + 16], "little") if place >= 0 else 0
    if _END_OF_ZIP64 in tail or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise _unreadable("The zip file holds too many files. Unpack it, and choose its conversations.json instead.")


def _read_json(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Give the objects of a list, or of a sequence, without reading it whole.

    What was read is walked through by its index, and cut only where more is read: at least as much as is left then. So
    a file costs time in proportion to its length, whatever is in it.
    """
    decode, text, here, ended = codecs.getincrementaldecoder("utf-8-sig")(), "", 0, False
    while True:
        here = _BETWEEN.match(text, here).end()  # type: ignore[union-attr]
        found = _decode(text, here, ended)
        if found is not None:
            record, here = found
            yield record
            continue
        if ended:
            return
        num_left = len(text) - here
        if num_left > MAX_CONVERSATION_CHARS:
            raise _too_large(
                f"A conversation in the file is longer than {MAX_CONVERSATION_CHARS >> 20} million characters."
            )
        try:
            piece = stream.read(max(_PIECE_BYTES, num_left))
            text, here, ended = text[here:] + decode.decode(piece, final=not piece), 0, not piece
        except UnicodeDecodeError:
            raise _unreadable("The file is not text in UTF-8. Choose one that Bise or ChatGPT exported.") from None


def _decode(text: str, here: int, ended: bool) -> tuple[dict[str, Any], int] | None:
    """The object that begins at a place, and the place of its end; None: there is no whole one yet."""
    if here == len(text):
        return None
    if text[here] != "{":
        raise _unreadable("The file is no list of conversations in JSON. Choose one that Bise or ChatGPT exported.")
    try:
        record, end = _DECODER.raw_decode(text, here)
    except RecursionError:
        raise _unreadable("The file is nested too deeply to be a list of conversations.") from None
    except json.JSONDecodeError as error:
        if ended or not _is_cut(error, text):
            raise _unreadable(f"The file is damaged: in a conversation, {_in_words(error, here)}.") from None
        return None
    except ValueError as error:
        raise _unreadable(f"The file is damaged: {error}.") from None
    return record, end


def _is_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether more text may mend it; a value that is cut in two is told of at its beginning."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(text) - 16


def _in_words(error: json.JSONDecodeError, start: int) -> str:
    return f"character {error.pos - start + 1}: {error.msg[0].lower()}{error.msg[1:]}"


def _integer(digits: str) -> int:
    if len(digits) > 18:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {digits[:20]}")
    return number


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_number)
