"""Words as they are compared between documents: without case, diacritics, punctuation and the values of numbers."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import IDEOGRAPH
from bise.corpus.kernels.compile import device
from bise.corpus.kernels.text import Bytes, Hashes, Longs, decode, mix

BASE = np.uint64(0xA0761D6478BD642F)
_FIRST_IDEOGRAPH = 0x3041
_SPACE, _DIGIT = 32, 48
_START = np.uint64(0x452821E638D01377)


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
    prefix[0] = 0
    while i < stop:
        code, width = decode(data, i, stop)
        letter = np.int64(letters[code])
        if letter <= _SPACE:
            i += width
            continue
        begin, end, state, before = i, i + width, _START, 0
        while True:
            if letter != 0:
                if letter != _DIGIT or before != _DIGIT:
                    state = (state + np.uint64(letter)) * BASE
                before = letter
                end = i + width
            i += width
            if code < 0x80:  # most of most texts, and none of it written without spaces
                while i < stop and data[i] < 0x80:
                    letter = np.int64(letters[data[i]])
                    if letter <= _SPACE:
                        break
                    if letter != _DIGIT or before != _DIGIT:
                        state = (state + np.uint64(letter)) * BASE
                    before = letter
                    i += 1
                end = i
            elif code >= _FIRST_IDEOGRAPH and kinds[code] & IDEOGRAPH:
                break
            if i >= stop:
                break
            code, width = decode(data, i, stop)
            letter = np.int64(letters[code])
            if letter == _SPACE or (code >= _FIRST_IDEOGRAPH and kinds[code] & IDEOGRAPH):
                break
        prefix[count + 1] = prefix[count] * BASE + mix(state)
        bounds[count, 0], bounds[count, 1] = begin, end
        count += 1
    return count


@device
def base_power(exponent: int) -> np.uint64:
    """BASE ** exponent."""
    power = np.uint64(1)
    for _ in range(exponent):
        power *= BASE
    return power
