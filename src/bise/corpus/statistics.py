"""What is measured of every document: a matrix with one row a text and one column a name below.

Every published rule is a bound on one of these columns (`rules.py`), so that thresholds can be tried again on a stored
matrix without the text. "Token" is a word or a run of one punctuation mark, as `kernels/scan.py` defines it; a line
ends at "\\n"; shares run from 0 to 1. Gopher is arXiv 2112.11446, C4 arXiv 1910.10683, FineWeb arXiv 2406.17557.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bise.corpus import characters
from bise.corpus.stop_words import STOP_WORDS
from bise.corpus.texts import Data, Offsets, pack, read_only

Unit = Literal["count", "characters", "share", "per token"]


@dataclass(frozen=True)
class Statistic:
    """One column of the matrix."""

    name: str
    unit: Unit
    paper: str
    meaning: str


STATISTICS: tuple[Statistic, ...] = (
    Statistic("characters", "count", "", "characters of the text"),
    Statistic("tokens", "count", "", "words and runs of punctuation"),
    Statistic("words", "count", "Gopher", "tokens that are not punctuation"),
    Statistic("mean_word_length", "characters", "Gopher", "characters a word"),
    Statistic("alpha_words", "share", "Gopher", "tokens with a letter"),
    Statistic("hashes_per_word", "per token", "Gopher", "'#'"),
    Statistic("ellipses_per_word", "per token", "Gopher", "'...' and '…'"),
    Statistic("stop_words", "count", "Gopher", "different stop words of the language; NaN where none are known"),
    Statistic("lines", "count", "", "lines, as Python's str.splitlines counts them"),
    Statistic("bullet_lines", "share", "Gopher", "lines that begin with '•' or '-'"),
    Statistic("ellipsis_lines", "share", "Gopher", "lines that end in an ellipsis"),
    Statistic("markup_per_word", "per token", "", "{}[]<>|`*_=\\, a graded form of C4's curly bracket"),
    Statistic("duplicate_lines", "share", "Gopher", "lines that stood before in the text"),
    Statistic("duplicate_line_characters", "share", "Gopher", "characters in them"),
    Statistic("duplicate_paragraphs", "share", "Gopher", "paragraphs that stood before in the text"),
    Statistic("duplicate_paragraph_characters", "share", "Gopher", "characters in them"),
    *(Statistic(f"top_{n}_gram", "share", "Gopher", f"characters in the most frequent {n} tokens") for n in (2, 3, 4)),
    *(
        Statistic(f"duplicate_{n}_grams", "share", "Gopher", f"characters in {n} tokens that stood before in the text")
        for n in range(5, 11)
    ),
    Statistic(
        "sentences", "count", "C4", "sentences on lines that C4 keeps: three words, none of the four marks below"
    ),
    Statistic("curly_bracket_lines", "count", "C4", "lines with '{'"),
    Statistic("early_curly_bracket_lines", "count", "C4", "of them, those above the first line with 'lorem ipsum'"),
    Statistic("lorem_ipsum_lines", "count", "C4", "lines with 'lorem ipsum'"),
    Statistic("javascript_lines", "count", "C4", "lines with 'javascript'"),
    Statistic("policy_lines", "count", "C4", "lines with 'terms of use', 'privacy policy', 'use cookies' and the like"),
    Statistic("wordless_lines", "count", "C4", "lines of one or two words, or with one of over 1,000 characters"),
    Statistic("punctuated_lines", "share", "FineWeb", "lines, not blank, that end as a sentence does"),
    Statistic("short_lines", "share", "FineWeb", "lines, not blank, of at most 30 characters"),
    Statistic("repeated_line_characters", "share", "FineWeb", "characters, but newlines, in lines that stood before"),
    Statistic("newlines_per_word", "per token", "FineWeb", "newlines"),
)
NAMES: tuple[str, ...] = tuple(statistic.name for statistic in STATISTICS)
COLUMN = {name: index for index, name in enumerate(NAMES)}
_STOP_SLOTS = 256


@dataclass(frozen=True)
class Statistics:
    """The statistics of a batch, or of a whole run."""

    matrix: NDArray[np.float64]  # [documents, len(STATISTICS)]

    def __len__(self) -> int:
        return len(self.matrix)

    def column(self, name: str) -> NDArray[np.float64]:
        """One statistic of all documents."""
        return self.matrix[:, COLUMN[name]]


def measure(data: Data, offsets: Offsets, langs: Sequence[str] | None = None) -> Statistics:
    """Measure every text of a batch.

    Args:
        data: UTF-8 bytes of all texts.
        offsets: where each begins, and the end of the last [n + 1].
        langs: ISO 639-1 code of each text, which chooses its stop words; English when absent.
    """
    from bise.corpus.kernels.measure import measure_batch
    from bise.corpus.kernels.scan import make_scratch

    num_texts = len(offsets) - 1
    matrix = np.zeros((num_texts, len(STATISTICS)))
    known = {lang: index for index, lang in enumerate(STOP_WORDS)}
    rows = np.full(num_texts, known["en"]) if langs is None else np.array([known.get(lang, -1) for lang in langs], int)
    hashes, bits = _stop_table()
    scratch = make_scratch(int(np.diff(offsets).max(initial=0)))
    measure_batch(read_only(data), read_only(offsets), rows, characters.kinds(), hashes, bits, scratch, matrix)
    matrix[rows < 0, COLUMN["stop_words"]] = np.nan
    return Statistics(matrix)


@cache
def _stop_table() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hash and bit of every stop word: an open hash table a language [languages + 1, slots], the last one empty."""
    from bise.corpus.kernels.hashing import hash_texts

    hashes = np.zeros((len(STOP_WORDS) + 1, _STOP_SLOTS), np.uint64)
    bits = np.zeros_like(hashes)
    for row, words in enumerate(STOP_WORDS.values()):
        data, offsets = pack(words)
        keys = np.empty(len(words), np.uint64)
        hash_texts(read_only(data), read_only(offsets), keys)
        for index, key in enumerate(keys):
            slot = int(key) % _STOP_SLOTS
            while bits[row, slot]:
                slot = (slot + 1) % _STOP_SLOTS
            hashes[row, slot], bits[row, slot] = key, 1 << index
    return hashes, bits
