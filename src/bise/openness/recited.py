"""How much of many texts stands word for word in a corpus: evaluation data that was seen, answers that are recited."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bise.corpus.index import CorpusIndex
from bise.errors import InputError, NotFoundError
from bise.openness.trace import Span, TraceSettings, trace


@dataclass(frozen=True)
class Record:
    """One line of a file."""

    line: int
    num_words: int
    share: float  # of its words in spans, 0..1
    longest: int  # words of its longest span
    spans: tuple[Span, ...]


def read_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of each line of a JSON lines file with its number: every string in it, however deep.

    Raises:
        NotFoundError: there is no such file.
        InputError: a line is not JSON.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file at {path}. Give JSON lines, such as evaluation data.")
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, "\n".join(_strings(json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise InputError(f"{path}, line {number}, is not JSON: {error}.") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def look_up(index: CorpusIndex, path: Path, settings: TraceSettings) -> Iterator[Record]:
    """Trace the texts of each line of a file. Raises what `read_texts` does."""
    for line, text in read_texts(path):
        found = trace(index, text, settings)
        longest = max((span.stop - span.first for span in found.spans), default=0)
        yield Record(line, found.num_words, found.share, longest, found.spans)
