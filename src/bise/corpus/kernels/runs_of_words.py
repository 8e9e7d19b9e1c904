"""What the index over a corpus counts as a word: a run of letters and digits, or any other visible character alone.

The rule is written down by ranges of code points instead of being taken from Python's tables, which differ between its
versions: an index must sort the same on the machine that reads it as on the one that made it.
"""

from bise.corpus.kernels.compile import inlined, kernel
from bise.corpus.kernels.text import Bytes, Longs, decode

BETWEEN, LETTER, ALONE = 0, 1, 2  # kinds of characters
BORDER = 0  # the byte that stands after each document, and nowhere else; a word of its own


@inlined
def kind_of(code: int) -> int:
    """What a character is to words."""
    if code < 0x80:
        if 97 <= code <= 122 or 65 <= code <= 90 or 48 <= code <= 57:
            return LETTER
        return BETWEEN if code <= 32 or code == 127 else ALONE
    if code < 0x2000:
        if code >= 0xC0:
            return ALONE if code in (0xD7, 0xF7) else LETTER
        if code in (0xAA, 0xB5, 0xBA):  # ª µ º
            return LETTER
        return BETWEEN if code <= 0xA0 or code == 0xAD else ALONE
    if code < 0x2070:  # general punctuation
        return BETWEEN if code <= 0x200F or 0x2028 <= code <= 0x202F or code >= 0x205F else ALONE
    if code < 0x3000:
        return LETTER if code < 0x20A0 or 0x2C00 <= code < 0x2E00 else ALONE
    if code == 0x3000 or 0xFE00 <= code <= 0xFE0F or code == 0xFEFF:
        return BETWEEN
    return LETTER if 0xA000 <= code < 0xF900 or 0xFB00 <= code < 0xFE00 else ALONE  # Hangul stands in words


@inlined
def word_from(data: Bytes, i: int, stop: int) -> tuple[int, int]:
    """Where the first word from byte `i` on begins and ends; both are `stop` when there is none."""
    while i < stop:
        code, width = decode(data, i, stop)
        if code == BORDER:
            return i, i + 1
        kind = kind_of(code)
        if kind == ALONE:
            return i, i + width
        if kind == LETTER:
            begin = i
            while i < stop:
                code, width = decode(data, i, stop)
                if kind_of(code) != LETTER:
                    break
                i += width
            return begin, i
        i += width
    return stop, stop


@kernel
def count_words(data: Bytes) -> int:
    """How many words a text has, borders among them."""
    count, i = 0, 0
    while True:
        begin, i = word_from(data, i, data.size)
        if begin == data.size:
            return count
        count += 1


@kernel
def find_words(data: Bytes, bounds: Longs) -> None:
    """The first byte and the end of each word [count_words, 2]."""
    i = 0
    for k in range(bounds.shape[0]):
        begin, i = word_from(data, i, data.size)
        bounds[k, 0], bounds[k, 1] = begin, i
