"""128-bit digests of texts that are equal but for case, white space and the composition of letters.

A text is first folded, then hashed eight bytes at once, as in `words.py`.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import CODE_POINTS, SPACE
from bise.corpus.kernels.blocks import BLOCK, fold_case
from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import (
    Bytes,
    Hashes,
    Longs,
    combine,
    decode,
    load_bytes,
    mix,
    put_character,
    trailing_zeros,
)

FOLDED_PER_BYTE, FOLDED_MORE = 3, 64  # room that folding takes: for each byte of the text, and once
_SPACE = 32
_SEEDS = (np.uint64(0x13198A2E03707344), np.uint64(0xA4093822299F31D0))
_ODD = np.uint64(0xE7037ED1A0B428DB)
_BLOCK_END = np.uint64(1 << BLOCK)


@kernel
def digest_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    folds: NDArray[np.uint32],
    expansions: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    folded: Bytes,
    digests: Hashes,
    unordered: NDArray[np.bool_],
) -> None:
    """Fill digests [n, 2], and which texts hold combining marks that are out of their canonical order."""
    tables = kinds, folds, expansions, classes
    for document in range(offsets.size - 1):
        size, is_unordered = _fold(data, offsets[document], offsets[document + 1], tables, folded)
        first, second = _SEEDS
        for i in range(0, size, 8):
            word = load_bytes(folded, i, size)
            first = combine(first, word)
            second = (second ^ (word + _ODD)) * _ODD
            second ^= second >> np.uint64(29)
        digests[document, 0], digests[document, 1] = mix(first ^ np.uint64(size)), mix(second ^ first)
        unordered[document] = is_unordered


@device
def _fold(
    data: Bytes,
    start: int,
    stop: int,
    tables: tuple[NDArray[np.uint16], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint8]],
    folded: Bytes,
) -> tuple[int, bool]:
    """Write a text case folded, decomposed and with single spaces; bytes written, and whether marks are out of order."""
    kinds, folds, expansions, classes = tables
    size, i = 0, start
    before, last_class, is_unordered = np.int64(_SPACE), 0, False
    while i < stop:
        if data.size - i >= BLOCK:
            wrong = fold_case(data, np.int64(i), folded, size, before)
            num_right = min(trailing_zeros(wrong | _BLOCK_END), np.int64(stop - i))
            if num_right:
                size += num_right
                i += num_right
                before, last_class = np.int64(folded[size - 1]), 0
                continue
        code, width = decode(data, i, stop)
        i += width
        if kinds[code] & SPACE:
            folded[size] = _SPACE
            size += before != _SPACE
            before, last_class = np.int64(_SPACE), 0
            continue
        place, count, letter = 0, 1, np.int64(folds[code])
        if letter >= CODE_POINTS:
            place = letter - CODE_POINTS
            count = np.int64(expansions[place])
        for k in range(count):
            if place:
                letter = np.int64(expansions[place + 1 + k])
            rank = np.int64(classes[letter])
            is_unordered |= 0 < rank < last_class
            last_class = rank
            size = put_character(folded, size, letter)
        before = 0
    return size - (size > 0 and before == _SPACE), is_unordered
