"""Signatures of sets of word shingles, and the shingles themselves (Broder 1997; Leskovec et al., Mining of Massive
Datasets, chapter 3).

Signatures are made by fast similarity sketching (Dahlgaard, Knudsen and Thorup, arXiv 1704.04370): a hash sends each
shingle to one of the slots, and each slot keeps the least. Slots that stay empty are filled in further rounds with other
hashes. As with MinHash a slot is equal in two texts with the probability of their Jaccard similarity, at one hash for
most shingles instead of one a slot.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, combine, mix
from bise.corpus.kernels.words import base_power, hash_words

SHINGLE_WORDS = 5
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_EMPTY = np.uint32(0xFFFFFFFF)


@kernel
def sign_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    scratch: tuple[Bytes, Hashes],
    rounds: NDArray[np.int16],
    signatures: NDArray[np.uint32],
) -> None:
    """Fill signatures [n, slots]; a text without words has the largest value everywhere. `rounds` has room for a slot each."""
    folded, prefix = scratch
    for document in range(offsets.size - 1):
        count = hash_words(data, offsets[document], offsets[document + 1], kinds, letters, folded, prefix, 0)
        sign(prefix, count, rounds, signatures[document])


@device
def sign(prefix: Hashes, count: int, rounds: NDArray[np.int16], signature: NDArray[np.uint32]) -> None:
    """Fill the signature of a text of `count` words."""
    signature[:] = _EMPTY
    if count == 0:
        return
    width = min(count, SHINGLE_WORDS)
    power = base_power(width)
    num_slots = np.uint64(signature.size)
    for k in range(count - width + 1):
        shingle = _shingle(prefix, k, width, power)
        slot = ((shingle >> _HALF) * num_slots) >> _HALF
        signature[slot] = min(signature[slot], np.uint32(min(shingle & _LOW, _LOW - np.uint64(1))))
    num_empty = 0
    for slot in range(signature.size):
        is_empty = signature[slot] == _EMPTY
        rounds[slot] = -1 if is_empty else 0
        num_empty += is_empty
    current = 1
    while num_empty:
        num_empty -= _fill_empty(prefix, count - width + 1, (width, power), current, rounds, signature)
        current += 1


@device
def _fill_empty(
    prefix: Hashes,
    num_shingles: int,
    shape: tuple[int, np.uint64],
    current: int,
    rounds: NDArray[np.int16],
    signature: NDArray[np.uint32],
) -> int:
    """One further round: a slot per shingle, or from the round on that has the number of slots one slot for all."""
    width, power = shape
    num_slots, num_filled = np.uint64(signature.size), 0
    for k in range(num_shingles):
        value = mix(combine(_shingle(prefix, k, width, power), np.uint64(current)))
        slot = np.int64(((value >> _HALF) * num_slots) >> _HALF)
        if current >= signature.size:
            slot = current - signature.size
        number = np.uint32(min(value & _LOW, _LOW - np.uint64(1)))
        if rounds[slot] == -1:
            rounds[slot], signature[slot] = current, number
            num_filled += 1
        elif rounds[slot] == current:
            signature[slot] = min(signature[slot], number)
    return num_filled


@kernel
def shingle_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    scratch: tuple[Bytes, Hashes],
    shingles: Hashes,
    shingle_offsets: Longs,
) -> None:
    """Fill the shingles of each text, in order, and where each text's begin [n + 1]."""
    folded, prefix = scratch
    total = 0
    for document in range(offsets.size - 1):
        shingle_offsets[document] = total
        count = hash_words(data, offsets[document], offsets[document + 1], kinds, letters, folded, prefix, 0)
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
            has_words |= signatures[document, q] != _EMPTY
        if not has_words:
            keys[document] = 0
            continue
        for band in range(keys.shape[1]):
            state = np.uint64(band + 1)
            for q in range(band * rows, (band + 1) * rows):
                state = combine(state, np.uint64(signatures[document, q]))
            keys[document, band] = max(mix(state), np.uint64(1))
