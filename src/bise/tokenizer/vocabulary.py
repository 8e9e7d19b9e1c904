"""A tekken file read fast, and encoding by its ranks at the speed of tiktoken's own core.

mistral-common takes more than a second to load an official file of 131,072 entries, most of it JSON and checks. Here the
file is read and checked once, and what encoding needs is kept in a compact form in the cache, named by the file's hash.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken

from bise.config import cache_home
from bise.errors import InputError

_CACHED_FROM = 1 << 20  # bytes of a file below which reading it anew is as fast
_MAGIC = b"bise tekken 1\n"
_MAX_FILE_BYTES = 64 << 20  # the largest official file has 20 MB
_MAX_SPECIAL_TOKENS = 1 << 16
_MAX_TOKEN_BYTES = 0xFFFF
_ENTRY_KEYS = {"rank", "token_bytes", "token_str"}
# The matcher of an official pattern recurses over blanks and dies of some hundred thousand in a row.
_BLANKS = 1 << 16
_STEP = 1 << 12
_LONG_BLANKS = re.compile(rf"\s{{{_BLANKS}}}")
_MANY_SAMPLES = re.compile(rf"\s{{{_BLANKS // _STEP - 1}}}")


@dataclass(frozen=True)
class TekkenHeader:
    """What a tekken file says beside its vocabulary."""

    version: str
    pattern: str
    special_tokens: list[str] | None  # in order of their ids, which are the first; None: the file does not list them
    num_special_tokens: int  # with unnamed ones
    model_settings: dict[str, Any] | None  # of v15


@dataclass(frozen=True)
class TekkenFile:
    """A tekken file as it is used."""

    header: TekkenHeader
    tokens: list[bytes]  # in order of rank; ids are ranks after the special tokens


class BytePairs:
    """Text to ids by merging the neighbours of lowest rank; tiktoken's core does the work."""

    def __init__(self, tokens: list[bytes], first_id: int, pattern: str) -> None:
        # Only the order of ranks matters, so they can be the ids themselves.
        ranks = dict(zip(tokens, range(first_id, first_id + len(tokens)), strict=True))
        try:
            self._encoding = tiktoken.Encoding("tekken", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        except BaseException as error:
            _tell_panic(error, 0)
            raise

    def encode(self, text: str) -> list[int]:
        """Ids of a text; half a surrogate pair counts as U+FFFD.

        Raises:
            InputError: the vocabulary's expression cannot cut this text.
        """
        try:
            if len(text) < _BLANKS or not _MANY_SAMPLES.search(text[::_STEP]):
                return self._encoding.encode_ordinary(text)
            borders = [0, *(match.end() for match in _LONG_BLANKS.finditer(text)), len(text)]
            parts = (self._encoding.encode_ordinary(text[start:end]) for start, end in pairwise(borders))
            return [token for part in parts for token in part]
        except BaseException as error:  # in place: a context manager takes as long as encoding a word
            _tell_panic(error, len(text))
            raise


def _tell_panic(error: BaseException, num_characters: int) -> None:
    """Raise a panic of the library's, which is no Exception and would end a server, as an error of the file's."""
    if type(error).__name__ == "PanicException":
        raise InputError(
            f"The tokenizer's expression cannot cut this text of {num_characters:,} characters: {str(error)[-80:]}. Use a "
            "shorter text, or a model from a source that you trust."
        ) from None


def check_size(path: Path) -> None:
    """Refuse, with a ValueError, a file that is larger than any tekken file."""
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, more than any such file needs")


def read_tekken(path: Path, sha256: str) -> TekkenFile:
    """Read a tekken file, from the cache when its hash is there.

    Raises:
        OSError: it cannot be read.
        ValueError, KeyError, TypeError: it is no tekken file, or a damaged one.
    """
    if path.stat().st_size < _CACHED_FROM:
        return parse_tekken(path.read_bytes())
    cached = cache_home() / "tokenizers" / f"{sha256}.ranks"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: made again below
        return unpack_tekken(cached.read_bytes())
    file = parse_tekken(path.read_bytes())
    with contextlib.suppress(OSError):  # a cache that cannot be written makes the next start slower, no more
        cached.parent.mkdir(parents=True, exist_ok=True)
        temporary = cached.with_suffix(f".{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}.part")
        temporary.write_bytes(pack_tekken(file))
        temporary.replace(cached)
    return file


def parse_tekken(content: bytes) -> TekkenFile:
    """Read and check the JSON of a tekken file."""
    table = json.loads(content)
    config, special = table["config"], table.get("special_tokens")
    num_special, vocab_size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
    num_tokens = vocab_size - num_special
    if not 256 <= num_tokens <= len(table["vocab"]) or not 0 <= num_special <= _MAX_SPECIAL_TOKENS:
        raise ValueError(f"{vocab_size} entries with {num_special} special tokens, but {len(table['vocab'])} in vocab")
    names = None if special is None else [_special_name(entry, rank) for rank, entry in enumerate(special)]
    if names is not None and not len(set(names)) == len(names) <= num_special:
        raise ValueError(f"{len(names)} special tokens, {len(set(names))} different, {num_special} promised")
    tokens = [_token(entry, rank) for rank, entry in enumerate(table["vocab"][:num_tokens])]
    if tokens[:256] != [bytes([byte]) for byte in range(256)] or len(set(tokens)) != len(tokens):
        raise ValueError("the vocabulary does not begin with the single bytes, or has an entry twice")
    header = TekkenHeader(
        str(config["version"]), str(config["pattern"]), names, num_special, table.get("model_settings_builder")
    )
    return TekkenFile(header, tokens)


def pack_tekken(file: TekkenFile) -> bytes:
    """The compact form: a hash, a JSON header, the lengths of the tokens, the tokens."""
    header = json.dumps(asdict(file.header)).encode()
    lengths = np.array([len(token) for token in file.tokens], "<u2")
    body = len(header).to_bytes(4, "little") + len(lengths).to_bytes(4, "little")
    body += header + lengths.tobytes() + b"".join(file.tokens)
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpack_tekken(content: bytes) -> TekkenFile:
    """Undo `pack_tekken`; ValueError for anything else."""
    magic, digest, body = content[: len(_MAGIC)], content[len(_MAGIC) :][:32], content[len(_MAGIC) + 32 :]
    if magic != _MAGIC or hashlib.sha256(body).digest() != digest:
        raise ValueError("not written by pack_tekken")
    header_bytes, count = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    start = 8 + header_bytes
    lengths = np.frombuffer(body, "<u2", count, start).tolist()
    ends = accumulate(lengths, initial=start + 2 * count)
    header = TekkenHeader(**json.loads(body[8:start]))
    return TekkenFile(header, [body[first:last] for first, last in pairwise(ends)])


def _token(entry: dict[str, Any], rank: int) -> bytes:
    if entry["rank"] != rank or entry.keys() != _ENTRY_KEYS:
        raise ValueError(f"entry {rank} of vocab is {str(entry)[:80]}")
    try:
        token = base64.b64decode(entry["token_bytes"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"entry {rank} of vocab: {error}") from None
    if not 0 < len(token) <= _MAX_TOKEN_BYTES:
        raise ValueError(f"entry {rank} of vocab has {len(token)} bytes")
    return token


def _special_name(entry: dict[str, Any], rank: int) -> str:
    if entry["rank"] != rank or not isinstance(entry["token_str"], str):
        raise ValueError(f"special token {rank} is {str(entry)[:80]}")
    return str(entry["token_str"])
