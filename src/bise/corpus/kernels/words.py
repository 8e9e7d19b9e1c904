"""Words as they are compared between documents: without case, diacritics, punctuation and the values of numbers."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import IDEOGRAPH
from bise.corpus.kernels.compile import device
from bise.corpus.kernels.text import Bytes, Hashes, Longs, combine, decode, mix

BASE = np.uint64(0xA0761D6478BD642F)
_FIRST_IDEOGRAPH = 0x3041
_SPACE, _DIGIT = 32, 48
_EMPTY = np.uint64(0x452821E638D01377)


@device
def hash_words(
    data: Bytes,
    start: int,
    stop: int,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    prefix: Hashes,
    bounds: Longs,
) -> int:
    """Count the words of a text; `prefix[k]` is the hash of the first k, `bounds[k]` are the bytes of word k."""
    count, i = 0, start
    state, begin, end = _EMPTY, start, start
    is_open, in_number = False, False
    prefix[0] = 0
    while i <= stop:
        width, letter, alone = 1, _SPACE, False
        if i < stop:
            code, width = decode(data, i, stop)
            letter = np.int64(letters[code])
            alone = code >= _FIRST_IDEOGRAPH and kinds[code] & IDEOGRAPH != 0
        if is_open and (letter == _SPACE or alone):
            prefix[count + 1] = prefix[count] * BASE + mix(state)
            bounds[count, 0], bounds[count, 1] = begin, end
            count += 1
            state, is_open, in_number = _EMPTY, False, False
        if letter == _SPACE or letter == 0:
            i += width
            continue
        if not is_open:
            begin, is_open = i, True
        if letter != _DIGIT or not in_number:
            state = combine(state, np.uint64(letter))
        in_number = letter == _DIGIT
        i += width
        end = i
        if alone:
            prefix[count + 1] = prefix[count] * BASE + mix(state)
            bounds[count, 0], bounds[count, 1] = begin, end
            count += 1
            state, is_open, in_number = _EMPTY, False, False
    return count


@device
def base_power(exponent: int) -> np.uint64:
    """BASE ** exponent."""
    power = np.uint64(1)
    for _ in range(exponent):
        power *= BASE
    return power
