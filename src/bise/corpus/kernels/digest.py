"""128-bit digests of texts that are equal but for case, white space and the composition of letters."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import CODE_POINTS, SPACE
from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, combine, decode, mix

_SEEDS = (np.uint64(0x13198A2E03707344), np.uint64(0xA4093822299F31D0))
_ODD = np.uint64(0xE7037ED1A0B428DB)


@kernel
def digest_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    folds: NDArray[np.uint32],
    expansions: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    digests: Hashes,
    unordered: NDArray[np.bool_],
) -> None:
    """Fill digests [n, 2], and which texts hold combining marks that are out of their canonical order."""
    for document in range(offsets.size - 1):
        i, stop = offsets[document], offsets[document + 1]
        first, second = _SEEDS
        length, last_class = 0, 0
        gap, disorder = False, False
        while i < stop:
            code, width = decode(data, i, stop)
            i += width
            if kinds[code] & SPACE:
                gap = length > 0
                last_class = 0
                continue
            if gap:
                first, second = _step(first, second, 32)
                gap = False
            folded = np.int64(folds[code])
            place, count = 0, 1
            if folded >= CODE_POINTS:
                place = folded - CODE_POINTS
                count = np.int64(expansions[place])
            for k in range(count):
                letter = folded if place == 0 else np.int64(expansions[place + 1 + k])
                if letter >= 0x300:
                    rank = np.int64(classes[letter])
                    disorder |= 0 < rank < last_class
                    last_class = rank
                else:
                    last_class = 0
                first, second = _step(first, second, letter)
            length += 1
        digests[document, 0], digests[document, 1] = mix(first), mix(second ^ first)
        unordered[document] = disorder


@device
def _step(first: np.uint64, second: np.uint64, letter: int) -> tuple[np.uint64, np.uint64]:
    """Take one more character into both halves."""
    value = np.uint64(letter)
    second = (second ^ (value + _ODD)) * _ODD
    return combine(first, value), second ^ (second >> np.uint64(29))
