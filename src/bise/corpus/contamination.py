"""Decontamination: passages of evaluation data that stand word for word in the corpus, shown with where they come from.

A model that has read the questions is not measured by them. As in GPT-3 (arXiv 2005.14165, appendix C) a passage is 13
words in a row, case and punctuation apart; a question with fewer words is looked for as a whole, unless it is so short
that everybody writes it. Sequences of figures or single letters do not count.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bise.corpus.formats.lines import read_lines
from bise.corpus.formats.record import BadRecord
from bise.corpus.kernels.text import Hashes, Longs
from bise.corpus.texts import Data, Offsets, pack
from bise.corpus.words import Beginnings, GramTable, Words, grams, split_words
from bise.errors import InputError, NotFoundError

GRAM_WORDS = 13
MIN_WORDS = 8  # of a field that is looked for as a whole
_BATCH_BYTES = 8 << 20
_WRITTEN_WORD = re.compile(r"[^\W\d_]{2,}|[\u3041-\u9fff]")


@dataclass(frozen=True)
class Item:
    """One text of the evaluation data."""

    file: str
    record: int  # line, from 1
    field: str  # such as "question" or "choices[2]"


@dataclass(frozen=True)
class Match:
    """A passage of a text that is also in the evaluation data."""

    text: int  # place in the batch
    start: int  # byte in the batch's data
    stop: int
    num_words: int
    item: Item  # the first item that has the passage's beginning


@dataclass(frozen=True)
class _Grams:
    """Sequences of one length in words."""

    length: int
    table: GramTable
    items: Longs  # item of each sequence [sequences]


@dataclass(frozen=True)
class Contamination:
    """Evaluation data as a table of hashed word sequences; 64-bit hashes, so a false match is out of the question."""

    items: tuple[tuple[str, int, str], ...]  # file, record and field of each text that is looked for
    num_short: int  # texts of fewer than MIN_WORDS words, which are not looked for
    beginnings: Beginnings  # of every sequence of the tables, in as many words as the shortest has
    tables: tuple[_Grams, ...]

    @classmethod
    def build(
        cls,
        files: Sequence[Path],
        root: Path = Path(),
        *,
        gram_words: int = GRAM_WORDS,
        min_words: int = MIN_WORDS,
        fields: Sequence[str] = (),
    ) -> "Contamination":
        """Read evaluation data: JSON lines, plain or packed.

        Args:
            files: in the order in which items are named when several share a passage.
            root: what names of files are relative to.
            gram_words: words in a row that make a match.
            min_words: texts shorter than `gram_words` are looked for as a whole if they have this many.
            fields: names of the fields to look at; none means every text anywhere in a record.

        Raises:
            InputError: a line is not a JSON object, a file is damaged, or nothing is long enough to look for.
            NotFoundError: a file is absent.
        """
        if not 1 <= min_words <= gram_words:
            raise InputError(
                f"{min_words} words at least and {gram_words} in a row do not fit: 1 <= at least <= in a row."
            )
        items: list[tuple[str, int, str]] = []
        found: dict[int, list[tuple[Hashes, Longs]]] = {}
        beginnings: list[Hashes] = []
        num_short = 0
        for batch in _batches(files, root, fields):
            words = split_words(*_pack([text for _, text in batch]))
            counts = words.counts()
            num_short += int((counts < min_words).sum())
            number = np.cumsum(counts >= min_words) - 1 + len(items)  # of each text that is long enough
            for length in np.unique(np.minimum(counts[counts >= min_words], gram_words)).tolist():
                whole = np.flatnonzero(counts == length) if length < gram_words else np.flatnonzero(counts >= length)
                starts, owners = _starts(words, whole, length)
                hashes = grams(words, starts, length)
                beginnings.append(np.unique(grams(words, starts, min_words)))
                found.setdefault(length, []).append((hashes, number[owners]))
            items += [batch[text][0] for text in np.flatnonzero(counts >= min_words).tolist()]
        if not found:
            names = ", ".join(str(path) for path in files)
            raise InputError(f"No text of {names} has at least {min_words} words. Name the fields that hold its texts.")
        return cls(
            tuple(items),
            num_short,
            Beginnings.build(np.unique(np.concatenate(beginnings)), min_words),
            tuple(_table(length, parts) for length, parts in sorted(found.items())),
        )

    def find(self, data: Data, offsets: Offsets, words: Words | None = None) -> list[Match]:
        """Every passage of a batch that is also in the evaluation data, in order; those that overlap are one.

        Args:
            data: UTF-8 of the texts, one after another.
            offsets: where each begins [texts + 1].
            words: of the same batch, if they were split already.
        """
        words = words or split_words(data, offsets)
        hits: list[tuple[int, int, int]] = []  # first word, word after the last, item
        begun, num_left = self.beginnings.find(words)
        for part in self.tables:
            starts = begun[num_left >= part.length]
            places = part.table.places(grams(words, starts, part.length))
            starts, items = starts[places >= 0], part.items[places[places >= 0]]
            hits += zip(starts.tolist(), (starts + part.length).tolist(), items.tolist(), strict=True)
        texts = np.searchsorted(words.firsts, [start for start, _, _ in sorted(hits)], side="right") - 1
        merged: list[tuple[int, int, int, int]] = []
        for text, (start, stop, item) in zip(texts.tolist(), sorted(hits), strict=True):
            if merged and merged[-1][0] == text and start < merged[-1][2]:
                merged[-1] = (text, merged[-1][1], max(stop, merged[-1][2]), merged[-1][3])
            else:
                merged.append((text, start, stop, item))
        matches = [
            Match(text, int(words.starts[start]), int(words.stops[stop - 1]), stop - start, Item(*self.items[item]))
            for text, start, stop, item in merged
        ]
        return [match for match in matches if _says_something(match, data)]


def _says_something(match: Match, data: Data) -> bool:
    """Whether half of a passage are words: anybody may count to twenty, or list the letters of the alphabet."""
    passage = data[match.start : match.stop].tobytes().decode("utf-8", "replace")
    return len(set(_WRITTEN_WORD.findall(passage.lower()))) * 2 >= min(match.num_words, MIN_WORDS)


def _starts(words: Words, texts: Longs, length: int) -> tuple[Longs, Longs]:
    """Every word of some texts at which `length` words begin, and the text of each."""
    counts = words.counts()[texts] - length + 1
    owners = np.repeat(texts, counts)
    within = np.arange(owners.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return words.firsts[owners] + within, owners


def _table(length: int, parts: Sequence[tuple[Hashes, Longs]]) -> _Grams:
    hashes, first = np.unique(np.concatenate([part for part, _ in parts]), return_index=True)
    return _Grams(length, GramTable.build(hashes), np.concatenate([owners for _, owners in parts])[first])


def _batches(
    files: Sequence[Path], root: Path, fields: Sequence[str]
) -> Iterator[list[tuple[tuple[str, int, str], str]]]:
    batch: list[tuple[tuple[str, int, str], str]] = []
    size = 0
    for path in files:
        if not path.is_file():
            raise NotFoundError(f"There is no evaluation data at {path}. Correct the path, or leave it out.")
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        for found in read_lines(path, name):
            if isinstance(found, BadRecord):
                raise InputError(f"{found}. Mend the evaluation data: what is not read cannot be looked for.")
            for field, text in _texts(found.fields, fields):  # type: ignore[union-attr]
                batch.append(((name, found.number, field), text))  # type: ignore[union-attr]
                size += len(text)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _texts(record: Any, fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every text of a record with the way to it."""
    for key, value in record.items():
        if not fields or key in fields:
            if isinstance(value, str):
                yield key, value
            else:
                yield from _texts_within(key, value)


def _texts_within(way: str, value: Any) -> Iterator[tuple[str, str]]:
    stack: list[tuple[str, Any]] = [(way, value)]  # a record may be nested deeper than Python's calls
    while stack:
        way, value = stack.pop()
        if isinstance(value, str):
            yield way, value
        elif isinstance(value, dict):
            stack += [(f"{way}.{key}", entry) for key, entry in reversed(value.items())]
        elif isinstance(value, list):
            stack += [(f"{way}[{index}]", entry) for index, entry in reversed(list(enumerate(value)))]


def _pack(texts: list[str]) -> tuple[Data, Offsets]:
    """Texts as a batch; what JSON can spell and UTF-8 cannot, half of a surrogate pair, becomes a question mark."""
    try:
        return pack(texts)
    except UnicodeEncodeError:
        return pack([text.encode("utf-8", "replace").decode() for text in texts])
