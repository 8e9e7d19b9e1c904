"""Words of a text as they are searched for: without case, accents and ligatures, the same for both databases.

Each database has ideas of its own about what a word is. So texts are folded here, and the databases only compare. Chinese,
Japanese and Thai are written without spaces: there, and of emoji, each character is a word, and a run of them is looked
for as it stands.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_FOLDED_BYTES = 500_000  # of one message: PostgreSQL holds no more than a megabyte of words in one value
_MAX_WORD_CHARS = 64

# Marks that no letter takes in (vowel signs of Indic scripts, points of Hebrew and Arabic) belong to the word around them.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # CJK
    "\u2600-\u27bf\U0001f000-\U0001faff"  # emoji
)
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}])|(?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])+")
_SEPARATORS = re.compile(r"[\x00-\x2f:-@\[-`{-\x7f\s]+")
# Letters that Unicode does not take apart, as people type them who have no key for them.
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ŋ": "n"})


@dataclass(frozen=True)
class Word:
    """One word: as it is compared, and where it stands in the composed text."""

    folded: str
    start: int
    end: int
    unspaced: bool


def compose(text: str) -> str:
    """Write a text with as few characters as mean the same, so that a letter and its accent are one."""
    return unicodedata.normalize("NFC", text)


def words_of(composed: str) -> Iterator[Word]:
    """Find the words of a composed text, in order."""
    for found in _WORD.finditer(composed):
        folded = fold_word(found[0])
        if folded:
            yield Word(folded, found.start(), found.end(), found["unspaced"] is not None)


def fold(text: str) -> str:
    """The words of a text between single spaces: what is kept for the search, at most `MAX_FOLDED_BYTES`."""
    composed = compose(text[:MAX_FOLDED_BYTES])  # a character has at least one byte
    folded = " ".join(word for found in _WORD.finditer(composed) if (word := fold_word(found[0])))
    data = folded.encode()
    return folded if len(data) <= MAX_FOLDED_BYTES else data[:MAX_FOLDED_BYTES].decode(errors="ignore")


def phrases_of(query: str) -> tuple[tuple[str, ...], ...]:
    """What somebody looks for: words, and runs of words that must stand together; the last may be a word's beginning."""
    phrases: list[list[str]] = []
    end = -1
    for word in words_of(compose(query)):
        if word.unspaced and word.start == end:
            phrases[-1].append(word.folded)
        else:
            phrases.append([word.folded])
        end = word.end if word.unspaced else -1
    return tuple(map(tuple, phrases))


@lru_cache(maxsize=1 << 15)
def fold_word(word: str) -> str:
    """Take case, accents and ligatures from one word."""
    if word.isascii():
        return word.lower()[:_MAX_WORD_CHARS]
    apart = unicodedata.normalize("NFKD", word.casefold())
    bare = "".join(char for char in apart if not unicodedata.combining(char)).casefold().translate(_LETTERS)
    return _SEPARATORS.sub("", bare)[:_MAX_WORD_CHARS]
