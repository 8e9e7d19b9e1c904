"""Words as they are compared between documents: without case, diacritics, punctuation and the values of numbers.

A text is first folded: its letters in UTF-8, in words with spaces after each. Then eight bytes of a word are hashed
at once. Two passes of a few cycles a byte are twice as fast as one whose hash must wait for each letter.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import IDEOGRAPH
from bise.corpus.kernels.blocks import BLOCK, fold_letters, space_bits
from bise.corpus.kernels.compile import device, inlined
from bise.corpus.kernels.text import (
    Bytes,
    Hashes,
    Longs,
    combine,
    decode,
    load_word,
    mix,
    put_character,
    trailing_zeros,
)

BASE = np.uint64(0xA0761D6478BD642F)
FOLDED_PER_BYTE, FOLDED_MORE = 2, 80  # room that folding takes: for each byte of the text, and once
_FIRST_IDEOGRAPH = 0x3041
_SPACE, _DIGIT = 32, 48
_MASK_BITS = 64
_ONES, _BLOCK_END = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1 << BLOCK)
_START = np.uint64(0x452821E638D01377)


@device
def hash_words(
    data: Bytes,
    start: int,
    stop: int,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    folded: Bytes,
    prefix: Hashes,
    count: int,
) -> int:
    """Append the words of a text to `count` that are there; `prefix[k]` is the hash of the first k. Returns the sum."""
    size = _fold(data, start, stop, kinds, letters, folded)
    if count == 0:
        prefix[0] = 0
    begin, is_open, last = 0, False, prefix[count]
    for i in range(0, size, _MASK_BITS):
        spaces = space_bits(folded, i)
        if size - i < _MASK_BITS:
            spaces |= _ONES << np.uint64(size - i)
        after_space = (spaces << np.uint64(1)) | np.uint64(not is_open)
        starts, ends = after_space & ~spaces, spaces & ~after_space
        if not is_open:
            begin = i + trailing_zeros(starts)
            starts &= starts - np.uint64(1)
        while ends:
            word = _hash_word(folded, begin, i + trailing_zeros(ends))
            ends &= ends - np.uint64(1)
            begin = i + trailing_zeros(starts)
            starts &= starts - np.uint64(1)
            last = last * BASE + word
            count += 1
            prefix[count] = last
        is_open = spaces >> np.uint64(_MASK_BITS - 1) == 0
    return count


@inlined
def _hash_word(folded: Bytes, begin: int, end: int) -> np.uint64:
    """The hash of a word; the first sixteen bytes are taken without a branch."""
    length = end - begin
    first = load_word(folded, begin) & (_ONES >> np.uint64(64 - 8 * min(length, 8)))
    second = load_word(folded, begin + 8) & (_ONES >> np.uint64(min(64 - 8 * min(length - 8, 8), 63)))
    state = combine(combine(_START, first), second if length > 8 else np.uint64(0))
    for k in range(begin + 16, end, 8):
        state = combine(state, load_word(folded, k) & (_ONES >> np.uint64(64 - 8 * min(end - k, 8))))
    return mix(state)


@device
def _fold(
    data: Bytes, start: int, stop: int, kinds: NDArray[np.uint16], letters: NDArray[np.uint32], folded: Bytes
) -> int:
    """Write each word and spaces after it; returns the bytes written."""
    size, before, i = 0, np.int64(_SPACE), start
    while i < stop:
        if data.size - i >= BLOCK:
            wrong = fold_letters(data, np.int64(i), folded, size, before)
            num_right = min(trailing_zeros(wrong | _BLOCK_END), np.int64(stop - i))
            if num_right:
                size += num_right
                i += num_right
                before = np.int64(folded[size - 1])
                continue
        code, width = np.int64(data[i]), 1
        if code >= 0x80:
            code, width = decode(data, i, stop)
        i += width
        letter = np.int64(letters[code])
        if letter < 0x80:
            if letter == 0:
                continue
            folded[size] = letter
            size += letter > _DIGIT or letter != before  # of spaces and of digits only the first in a row
            before = letter
            continue
        is_alone = code >= _FIRST_IDEOGRAPH and kinds[code] & IDEOGRAPH != 0
        if is_alone and before != _SPACE:
            folded[size] = _SPACE
            size += 1
        size = put_character(folded, size, letter)
        before = letter
        if is_alone:
            folded[size] = _SPACE
            size += 1
            before = np.int64(_SPACE)
    if before != _SPACE:
        folded[size] = _SPACE
        size += 1
    return size


@device
def find_words(
    data: Bytes, start: int, stop: int, kinds: NDArray[np.uint16], letters: NDArray[np.uint32], bounds: Longs
) -> int:
    """Count the words that `hash_words` finds; `bounds[k]` are the first byte and the end of word k [.., 2]."""
    count, is_open, i = 0, False, start
    while i < stop:
        code, width = decode(data, i, stop)
        letter = np.int64(letters[code])
        is_alone = code >= _FIRST_IDEOGRAPH and kinds[code] & IDEOGRAPH != 0
        if letter == _SPACE or is_alone:
            is_open = False
        if letter != _SPACE and letter != 0:
            if not is_open:
                bounds[count, 0] = i
                count += 1
            bounds[count - 1, 1] = i + width
            is_open = not is_alone
        i += width
    return count


@device
def base_power(exponent: int) -> np.uint64:
    """BASE ** exponent."""
    power, square = np.uint64(1), BASE
    while exponent > 0:
        if exponent & 1:
            power *= square
        square *= square
        exponent >>= 1
    return power
