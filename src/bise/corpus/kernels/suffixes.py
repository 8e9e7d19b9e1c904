"""Sorting every place of a text by the words that follow it: a suffix array over words.

Words become numbers in the order of their bytes. Places are first sorted by as many numbers as fit into 62 bits, and places
that are still equal by doubling: what follows h words later is sorted by h words already (Larsson and Sadakane, Faster suffix
sorting, 2007).
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.runs_of_words import BORDER
from bise.corpus.kernels.text import Bytes, Hashes, Longs, hash_bytes

Numbers = NDArray[np.int32]
DIGIT_BITS = 11  # of a radix sort: 2048 buckets
_FEW = 24  # places that are sorted by insertion
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@kernel
def number_words(data: Bytes, bounds: Longs, slots: Hashes, firsts: Numbers, numbers: Numbers) -> int:
    """Number words in the order in which they first stand there, equal ones alike.

    Args:
        data: the text.
        bounds: of words [n, 2].
        slots: a hash table, 0 everywhere; its size is a power of two. The upper half of an entry is that of the hash.
        firsts: the first place of each different word [slots.size // 2].
        numbers: of each place [n].

    Returns:
        How many different words there are; -1 when the table is too small.
    """
    mask, count = np.uint64(slots.size - 1), 0
    for k in range(numbers.size):
        begin, end = bounds[k, 0], bounds[k, 1]
        key = hash_bytes(data, begin, end)
        slot, tag = key & mask, key & ~_LOW
        while slots[slot] != 0:
            if slots[slot] & ~_LOW == tag and _same(data, bounds, firsts[(slots[slot] & _LOW) - 1], begin, end):
                break
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            if count == firsts.size:
                return -1
            firsts[count] = k
            count += 1
            slots[slot] = tag | np.uint64(count)
        numbers[k] = (slots[slot] & _LOW) - 1
    return count


@device
def _same(data: Bytes, bounds: Longs, place: int, begin: int, end: int) -> bool:
    first = bounds[place, 0]
    i, size = 0, end - begin
    if bounds[place, 1] - first != size:
        return False
    while i < size and data[first + i] == data[begin + i]:
        i += 1
    return i == size


@kernel
def first_bytes(data: Bytes, bounds: Longs, places: Numbers, keys: Hashes) -> None:
    """The first eight bytes of each word, as numbers that sort as the bytes do; zeros after the end."""
    for k in range(places.size):
        begin, end = bounds[places[k], 0], bounds[places[k], 1]
        key = np.uint64(0)
        for i in range(8):
            key = (key << np.uint64(8)) | np.uint64(data[begin + i] if begin + i < end else 0)
        keys[k] = key


@kernel
def sort_equal_beginnings(data: Bytes, bounds: Longs, firsts: Numbers, keys: Hashes, order: Numbers) -> None:
    """Put words that share eight bytes in order: `order` sorts `firsts` by `keys`, afterwards by all bytes."""
    start = 0
    while start < order.size:
        stop = start + 1
        while stop < order.size and keys[order[stop]] == keys[order[start]]:
            stop += 1
        for root in range((stop - start) // 2 - 1, -1, -1):
            _sift_word(data, bounds, firsts, order, start, stop, root)
        for last in range(stop - 1, start, -1):
            order[start], order[last] = order[last], order[start]
            _sift_word(data, bounds, firsts, order, start, last, 0)
        start = stop


@device
def _sift_word(data: Bytes, bounds: Longs, firsts: Numbers, order: Numbers, start: int, stop: int, root: int) -> None:
    """One step of a heap sort over `order[start:stop]`."""
    size, moved = stop - start, order[start + root]
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and _word_before(
            data, bounds, firsts[order[start + child]], firsts[order[start + child + 1]]
        ):
            child += 1
        if not _word_before(data, bounds, firsts[moved], firsts[order[start + child]]):
            break
        order[start + root] = order[start + child]
        root = child
    order[start + root] = moved


@device
def _word_before(data: Bytes, bounds: Longs, one: int, other: int) -> bool:
    a, b = bounds[one, 0], bounds[other, 0]
    one_size, other_size = bounds[one, 1] - a, bounds[other, 1] - b
    for i in range(min(one_size, other_size)):
        if data[a + i] != data[b + i]:
            return data[a + i] < data[b + i]
    return one_size < other_size


@kernel
def pack_words(numbers: Numbers, bits: int, keys: NDArray[np.int64]) -> int:
    """The next words of each place in one number each; returns how many words that is."""
    width = 62 // bits
    mask = (np.int64(1) << np.int64(bits * width)) - 1
    key = np.int64(0)
    for k in range(numbers.size + width - 1):
        number = np.int64(numbers[k]) if k < numbers.size else np.int64(0)
        key = ((key << np.int64(bits)) | number) & mask
        if k >= width - 1:
            keys[k - width + 1] = key
    return width


@kernel
def sort_by_keys(
    keys: NDArray[np.int64],
    places: Numbers,
    other_keys: NDArray[np.int64],
    other_places: Numbers,
    num_bits: int,
    ends: Longs,
) -> None:
    """Sort places, and keys of at most `num_bits` with them, digit by digit from the lowest (radix sort).

    Args:
        keys: one a place [n]; sorted afterwards.
        places: what is sorted with them [n].
        other_keys: room for the keys [n].
        other_places: room for the places [n].
        num_bits: of the largest key.
        ends: room for the sizes of buckets, one for each value of a digit.
    """
    digit_bits = np.int64(DIGIT_BITS)
    num_pairs = (num_bits + 2 * DIGIT_BITS - 1) // (2 * DIGIT_BITS)  # after two passes all is where it was
    for pair in range(num_pairs):
        _scatter(keys, places, other_keys, other_places, 2 * pair * digit_bits, ends)
        _scatter(other_keys, other_places, keys, places, (2 * pair + 1) * digit_bits, ends)


@device
def _scatter(
    keys: NDArray[np.int64],
    places: Numbers,
    to_keys: NDArray[np.int64],
    to_places: Numbers,
    shift: int,
    ends: Longs,
) -> None:
    """Move everything into the order of one digit; equal ones stay in the order in which they are."""
    mask, low = np.int64((1 << DIGIT_BITS) - 1), np.int64(shift)
    for digit in range(ends.size):
        ends[digit] = 0
    for k in range(keys.size):
        ends[(keys[k] >> low) & mask] += 1
    total = 0
    for digit in range(ends.size):
        total, ends[digit] = total + ends[digit], total
    for k in range(keys.size):
        digit = (keys[k] >> low) & mask
        to_keys[ends[digit]], to_places[ends[digit]] = keys[k], places[k]
        ends[digit] += 1


@kernel
def rank_places(places: Numbers, keys: NDArray[np.int64], ranks: Numbers, groups: Numbers) -> int:
    """Rank places that are sorted by their keys, equal ones alike.

    Returns:
        How many groups of equal places there are; `groups` holds the first and the end of each, in turns.
    """
    count, start = 0, 0
    for k in range(1, places.size + 1):
        if k == places.size or keys[k] != keys[start]:
            count = _close_group(places, ranks, groups, count, start, k)
            start = k
    return count


@device
def _close_group(places: Numbers, ranks: Numbers, groups: Numbers, count: int, start: int, stop: int) -> int:
    for k in range(start, stop):
        ranks[places[k]] = start
    if stop - start > 1:
        groups[2 * count], groups[2 * count + 1] = start, stop
        count += 1
    return count


@kernel
def sort_groups(
    places: Numbers, ranks: Numbers, groups: Numbers, num_groups: int, width: int, left: Numbers, scratch: Hashes
) -> int:
    """Sort the places of each group by the rank of what follows `width` words later.

    Returns:
        How many groups are left, whose places agree in twice as many words; they are in `left`.
    """
    count = 0
    for group in range(num_groups):
        start, stop = np.int64(groups[2 * group]), np.int64(groups[2 * group + 1])
        size = stop - start
        for k in range(size):
            place = np.int64(places[start + k])
            key = np.uint64(ranks[place + width] + 1) if place + width < ranks.size else np.uint64(0)
            scratch[k] = (key << _HALF) | np.uint64(place)
        _sort(scratch, size)
        for k in range(size):
            places[start + k] = np.int32(scratch[k] & _LOW)
        first = np.int64(0)
        for k in range(1, size + 1):
            if k == size or scratch[k] >> _HALF != scratch[first] >> _HALF:
                count = _close_group(places, ranks, left, count, start + first, start + k)
                first = k
    return count


@device
def _sort(values: Hashes, size: int) -> None:
    """Sort the first `size` values: a few by insertion, more by a heap."""
    if size <= _FEW:
        for k in range(1, size):
            value, i = values[k], k
            while i > 0 and values[i - 1] > value:
                values[i] = values[i - 1]
                i -= 1
            values[i] = value
        return
    for root in range(size // 2 - 1, -1, -1):
        _sift(values, size, root)
    for last in range(size - 1, 0, -1):
        values[0], values[last] = values[last], values[0]
        _sift(values, last, 0)


@device
def _sift(values: Hashes, size: int, root: int) -> None:
    moved = values[root]
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and values[child] < values[child + 1]:
            child += 1
        if values[child] <= moved:
            break
        values[root] = values[child]
        root = child
    values[root] = moved


@kernel
def starts_of(data: Bytes, bounds: Longs, places: Numbers, starts: NDArray[np.uint32]) -> int:
    """The byte at which each place begins, in their order, without the borders of documents; returns how many."""
    count = 0
    for k in range(places.size):
        begin = bounds[places[k], 0]
        if data[begin] != BORDER:
            starts[count] = begin
            count += 1
    return count
