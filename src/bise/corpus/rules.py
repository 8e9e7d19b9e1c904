"""Which documents to keep: a batch goes in, and for each document a drop with its reason, or none, comes out.

`measure` turns texts into a matrix of statistics; a rule is a bound on one column. So a threshold can be tried again
without reading any text, and every drop carries its number. `ExactDuplicates` compares documents with those before.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bise.corpus.document import Document
from bise.corpus.recipe import Rules

# The statistic each rule bounds, and the side it bounds, in the order in which reasons are given.
BOUNDS: tuple[tuple[str, str, Literal["min", "max"]], ...] = (
    ("min_words", "words", "min"),
    ("max_words", "words", "max"),
    ("min_mean_word_length", "mean_word_length", "min"),
    ("max_mean_word_length", "mean_word_length", "max"),
    ("min_alpha_words", "alpha_words", "min"),
    ("max_symbols_per_word", "symbols_per_word", "max"),
    ("max_markup_per_word", "markup_per_word", "max"),
    ("max_bullet_lines", "bullet_lines", "max"),
    ("max_ellipsis_lines", "ellipsis_lines", "max"),
    ("max_duplicate_line_characters", "duplicate_line_characters", "max"),
    ("min_punctuated_lines", "punctuated_lines", "min"),
    ("max_short_lines", "short_lines", "max"),
)
STATISTICS: tuple[str, ...] = tuple(dict.fromkeys(statistic for _, statistic, _ in BOUNDS))

SHORT_LINE_CHARACTERS = 30
_MARKUP = "{}[]<>|`*_=\\"
_LETTER = re.compile(r"[^\W\d_]")
_ELLIPSES = ("...", "…")
_BULLETS = ("- ", "* ", "+ ", "• ", "‣ ", "◦ ", "● ", "▪ ")
_SENTENCE_ENDS = (".", "!", "?", "…", ":", ";", '"', "'", "”", "“", "’", "»", "«", ")")


@dataclass(frozen=True)
class Drop:
    """Why a document is not kept: the recipe's key, the document's value, and the threshold it failed."""

    reason: str
    value: float
    threshold: float
    twin: str = ""  # id of the kept document that this one repeats


def judge(batch: Sequence[Document], rules: Rules) -> list[Drop | None]:
    """Decide each document by itself; the reason given is the first rule that fails, language before all others."""
    matrix = measure([document.text for document in batch])
    thresholds = np.array([getattr(rules, rule) for rule, _, _ in BOUNDS], dtype=np.float64)
    columns = matrix[:, [STATISTICS.index(statistic) for _, statistic, _ in BOUNDS]]
    is_minimum = np.array([side == "min" for _, _, side in BOUNDS])
    failed = np.where(is_minimum, columns < thresholds, columns > thresholds)
    drops: list[Drop | None] = []
    for row, document in enumerate(batch):
        if rules.languages and document.lang not in rules.languages:
            drops.append(Drop("languages", 0.0, 1.0))  # wanted languages it is in, and how many it must be in
        elif failed[row].any():
            first = int(failed[row].argmax())
            drops.append(Drop(BOUNDS[first][0], float(columns[row, first]), float(thresholds[first])))
        else:
            drops.append(None)
    return drops


def measure(texts: Sequence[str]) -> NDArray[np.float64]:
    """Statistics of each text: one row a text, one column a name in `STATISTICS`."""
    matrix = np.empty((len(texts), len(STATISTICS)), dtype=np.float64)
    for row, text in enumerate(texts):
        matrix[row] = [*_word_statistics(text), *_line_statistics(text)]
    return matrix


def _word_statistics(text: str) -> tuple[float, float, float, float, float]:
    """Words, mean length, share with a letter, symbols a word and markup a word."""
    words = text.split()
    if not words:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    characters = sum(map(len, words))
    alpha = sum(1 for word in words if word.isalpha() or _LETTER.search(word))
    symbols = max(text.count("#"), sum(text.count(ellipsis) for ellipsis in _ELLIPSES))
    markup = sum(map(text.count, _MARKUP))
    count = len(words)
    return count, characters / count, alpha / count, symbols / count, markup / count


def _line_statistics(text: str) -> tuple[float, float, float, float, float]:
    """Shares of bullet lines, ellipsis lines, characters in repeated lines, punctuated lines and short lines."""
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    if not lines:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    seen: set[str] = set()
    repeated = 0
    for line in lines:
        if line in seen:
            repeated += len(line)
        seen.add(line)
    count = len(lines)
    return (
        sum(line.startswith(_BULLETS) for line in lines) / count,
        sum(line.endswith(_ELLIPSES) for line in lines) / count,
        repeated / sum(map(len, lines)),
        sum(line.endswith(_SENTENCE_ENDS) for line in lines) / count,
        sum(len(line) <= SHORT_LINE_CHARACTERS for line in lines) / count,
    )


class ExactDuplicates:
    """Remembers the texts seen so far; the first in reading order is kept, later ones name it as their twin."""

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}
        self._copies: dict[bytes, int] = {}

    def judge(self, document: Document) -> Drop | None:
        """Drop a document whose text, apart from case and white space, was kept before."""
        digest = text_digest(document.text)
        twin = self._first.setdefault(digest, document.id)
        if twin == document.id:
            return None
        self._copies[digest] = self._copies.get(digest, 1) + 1
        return Drop("duplicate", float(self._copies[digest]), 1.0, twin)  # which copy it is, and how many are kept


def text_digest(text: str) -> bytes:
    """128-bit hash of a text in Unicode NFC, case folded, white space collapsed."""
    normalised = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return hashlib.blake2b(normalised.encode("utf-8"), digest_size=16).digest()
