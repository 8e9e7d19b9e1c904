"""Try a stranger's tokenizer in a process of its own, before anything is built on it: `examine(path)`.

It is loaded there and cuts texts that are hard for regular expressions: long runs of each sign, and of the words in the
vocabulary's own expressions. One that damage or malice makes slow, large or deadly is refused.
"""

import json
import re
import string
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bise.errors import BiseError, InputError
from bise.gguf import is_gguf, open_gguf
from bise.tokenizer.bounded import BoundedProcess, Refused, answer_requests
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.exchange import TEKKEN_KEY

_MAX_MEMORY_BYTES = 3 << 29
_LIMIT_S = 120.0
_RUN = 600  # characters: a run that is cut in time linear or quadratic in its length takes no millisecond
_SIGNS = string.printable + "éß中あア한مหи́👩‍\u00a0\u2028\ufffd"
_MAX_WORDS = 200
_EXPRESSIONS = ("pattern", "Regex", "String")


def examine(path: Path, vocab_size: int) -> None:
    """Load the tokenizer of a model's directory or file, and try it.

    Args:
        path: of the model.
        vocab_size: tokens that its weights know; a tokenizer may have fewer, since models fill theirs up.

    Raises:
        InputError: it is missing, damaged, of a kind that Bise does not read, another model's, or takes too much time or
            memory.
    """
    process = BoundedProcess("bise.tokenizer.examine", None)
    try:
        problem = process.ask([str(path), vocab_size], _LIMIT_S)
    except Refused as reason:
        raise InputError(
            f"The tokenizer of {path} was refused: on trial it {reason}. Fetch it again from a source that you trust."
        ) from None
    if problem:
        raise InputError(problem)


def _prepare(_: None) -> Callable[[tuple[str, int]], str]:
    return _problem


def _problem(request: tuple[str, int]) -> str:
    """What is wrong with a tokenizer, or nothing."""
    path, vocab_size = request
    try:
        with tempfile.TemporaryDirectory() as directory:
            file = _tokenizer_of(Path(path), Path(directory))
            tokenizer = ChatTokenizer.load(file)
            if tokenizer.vocab_size > vocab_size:
                return (
                    f"The tokenizer of {path} has {tokenizer.vocab_size:,} tokens, but the weights know only "
                    f"{vocab_size:,}: they do not belong together. Put the tokenizer of this very model beside the weights."
                )
            for text in _hard_texts(tokenizer.path):
                tokenizer.encode(text)
    except BiseError as error:
        return str(error)
    return ""


def _tokenizer_of(path: Path, directory: Path) -> Path:
    """What the store will read: of a GGUF file the tekken file that it carries, if there is one."""
    files = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
    if len(files) != 1 or (path / "config.json").is_file() or not is_gguf(files[0]):
        return path
    tekken = open_gguf(files[0])[0].metadata.get(TEKKEN_KEY)
    if not isinstance(tekken, str):
        return files[0]
    (directory / "tekken.json").write_text(tekken, encoding="utf-8")
    return directory


def _hard_texts(path: Path) -> Iterator[str]:
    expressions = list(_expressions(json.loads(path.read_bytes()))) if path.suffix == ".json" else []
    signs = dict.fromkeys(_SIGNS + "".join(expressions)[:10_000])
    words = dict.fromkeys(word for text in expressions for word in re.findall(r"\w{2,}", text[:10_000]))
    for piece in [*signs, *list(words)[:_MAX_WORDS]]:
        yield piece * (_RUN // len(piece) + 1) + "\0"


def _expressions(value: Any) -> Iterator[str]:
    """Every expression in a tokenizer.json or tekken.json."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        if key in _EXPRESSIONS and isinstance(entry, str):
            yield entry
        elif key not in ("vocab", "merges", "added_tokens") and isinstance(entry, dict | list):
            yield from _expressions(entry)


if __name__ == "__main__":
    answer_requests(_prepare, (MemoryError,), _MAX_MEMORY_BYTES)
