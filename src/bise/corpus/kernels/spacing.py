"""Lines with even spacing, in one pass over the bytes of a text."""

import numpy as np

from bise.corpus.kernels.compile import inlined, kernel
from bise.corpus.kernels.text import Bytes, load_word

_TAB, _NEWLINE, _SPACE, _DELETE = 9, 10, 32, 127
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)  # of each byte of a word


@inlined
def _begins_item(data: Bytes, i: int, stop: int) -> bool:
    """Whether a list item begins: "- ", "* ", "+ " or a number with "." or ")" and a space."""
    if data[i] == ord("-") or data[i] == ord("*") or data[i] == ord("+"):
        return i + 1 < stop and data[i + 1] == _SPACE
    k = i
    while k < stop and ord("0") <= data[k] <= ord("9"):
        k += 1
    return k > i and k + 1 < stop and (data[k] == ord(".") or data[k] == ord(")")) and data[k + 1] == _SPACE


@inlined
def _is_control(data: Bytes, i: int) -> bool:
    """Whether a control, a soft hyphen or a byte order mark begins at byte `i`."""
    byte = data[i]
    if byte < _SPACE:
        return byte != _TAB and byte != _NEWLINE
    if byte == 0xC2 and i + 1 < data.size:
        return data[i + 1] < 0xA0 or data[i + 1] == 0xAD
    if byte == 0xEF and i + 2 < data.size:
        return data[i + 1] == 0xBB and data[i + 2] == 0xBF
    return byte == _DELETE


@inlined
def _has_byte(word: np.uint64, byte: int) -> np.uint64:
    """Not zero if one of eight bytes is `byte`."""
    differences = word ^ (_ONES * np.uint64(byte))
    return (differences - _ONES) & ~differences & _HIGHS


@inlined
def _is_within_line(data: Bytes, i: int) -> bool:
    """Whether among eight bytes from `i` on no line ends, and nothing begins that `_is_control` might find."""
    if data.size - i < 8:
        return False
    word = load_word(data, np.int64(i))
    is_below_space = (word - _ONES * np.uint64(_SPACE)) & ~word & _HIGHS
    return is_below_space | _has_byte(word, _DELETE) | _has_byte(word, 0xC2) | _has_byte(word, 0xEF) == 0


@kernel
def even_lines(data: Bytes, out: Bytes) -> int:
    """Write lines without indents (but list items'), ends without spaces, at most one blank line in a row, none outside.

    `out` is as long as `data`. Returns the bytes written, or -1 if a control was met, which this does not cut.
    """
    count, i = 0, 0
    is_apart = False
    while i < data.size:
        begin = i
        while i < data.size and (data[i] == _SPACE or data[i] == _TAB):
            i += 1
        words = i
        while i < data.size and data[i] != _NEWLINE:
            if _is_within_line(data, i):
                i += 8
                continue
            if _is_control(data, i):
                return -1
            i += 1
        last = i
        while last > words and (data[last - 1] == _SPACE or data[last - 1] == _TAB):
            last -= 1
        if last == words:
            is_apart = True
        else:
            if count > 0:
                out[count] = _NEWLINE
                count += 1
                if is_apart:
                    out[count] = _NEWLINE
                    count += 1
            is_apart = False
            for k in range(begin if _begins_item(data, words, last) else words, last):
                out[count] = data[k]
                count += 1
        i += 1
    return count
