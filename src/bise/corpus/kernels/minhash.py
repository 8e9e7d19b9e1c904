"""MinHash signatures of word shingles, and the shingles themselves (Broder 1997; Leskovec et al., Mining of Massive
Datasets, chapter 3)."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, combine, mix
from bise.corpus.kernels.words import base_power, hash_words

SHINGLE_WORDS = 5
_HALF = np.uint64(32)


@kernel
def sign_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    factors: NDArray[np.uint32],
    terms: NDArray[np.uint32],
    prefix: Hashes,
    bounds: Longs,
    signatures: NDArray[np.uint32],
) -> None:
    """Fill signatures [n, hashes]; a text without words has the largest value everywhere."""
    for document in range(offsets.size - 1):
        count = hash_words(data, offsets[document], offsets[document + 1], kinds, letters, prefix, bounds)
        width = min(count, SHINGLE_WORDS)
        power = base_power(width)
        minima = signatures[document]
        minima[:] = np.uint32(0xFFFFFFFF)
        num_shingles = count - width + 1 if count else 0
        for k in range(0, num_shingles, 4):
            # Four at once, so that each hash function is loaded once for them; the last is repeated where fewer are left.
            a = np.uint32(_shingle(prefix, k, width, power) >> _HALF)
            b = np.uint32(_shingle(prefix, min(k + 1, num_shingles - 1), width, power) >> _HALF)
            c = np.uint32(_shingle(prefix, min(k + 2, num_shingles - 1), width, power) >> _HALF)
            d = np.uint32(_shingle(prefix, min(k + 3, num_shingles - 1), width, power) >> _HALF)
            for q in range(minima.size):
                factor, term = factors[q], terms[q]
                first = min(np.uint32(np.uint32(factor * a) + term), np.uint32(np.uint32(factor * b) + term))
                second = min(np.uint32(np.uint32(factor * c) + term), np.uint32(np.uint32(factor * d) + term))
                minima[q] = min(minima[q], first, second)


@kernel
def shingle_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    prefix: Hashes,
    bounds: Longs,
    shingles: Hashes,
    shingle_offsets: Longs,
) -> None:
    """Fill the shingles of each text, in order, and where each text's begin [n + 1]."""
    total = 0
    for document in range(offsets.size - 1):
        shingle_offsets[document] = total
        count = hash_words(data, offsets[document], offsets[document + 1], kinds, letters, prefix, bounds)
        width = min(count, SHINGLE_WORDS)
        power = base_power(width)
        for k in range(count - width + 1 if count else 0):
            shingles[total] = _shingle(prefix, k, width, power)
            total += 1
    shingle_offsets[offsets.size - 1] = total


@device
def _shingle(prefix: Hashes, k: int, width: int, power: np.uint64) -> np.uint64:
    """The hash of `width` words from word `k`; the width counts, so that short texts differ from parts of long ones."""
    return mix((prefix[k + width] - prefix[k] * power) ^ np.uint64(width))


@kernel
def band_batch(signatures: NDArray[np.uint32], rows: int, keys: Hashes) -> None:
    """Fill a key for each band of `rows` hashes [n, bands]; 0 for texts without words, which resemble nothing."""
    for document in range(keys.shape[0]):
        has_words = False
        for q in range(signatures.shape[1]):
            has_words |= signatures[document, q] != np.uint32(0xFFFFFFFF)
        if not has_words:
            keys[document] = 0
            continue
        for band in range(keys.shape[1]):
            state = np.uint64(band + 1)
            for q in range(band * rows, (band + 1) * rows):
                state = combine(state, np.uint64(signatures[document, q]))
            keys[document, band] = max(mix(state), np.uint64(1))
