"""A text's places in the order of the words that follow them: what an index is looked up by."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.runs_of_words import count_words, find_words
from bise.corpus.kernels.suffixes import (
    DIGIT_BITS,
    first_bytes,
    number_words,
    pack_words,
    rank_places,
    sort_by_keys,
    sort_equal_beginnings,
    sort_groups,
    starts_of,
)
from bise.corpus.texts import Data

_FIRST_SLOTS = 1 << 20


def word_bounds(data: Data) -> NDArray[np.int64]:
    """The first byte and the end of each word of a text [n, 2]."""
    bounds = np.empty((count_words(data), 2), np.int64)
    find_words(data, bounds)
    return bounds


def sorted_starts(data: Data) -> NDArray[np.uint32]:
    """The first bytes of all words, sorted by that word and those after it.

    Args:
        data: at most 2^32 bytes of documents, the byte BORDER after each.
    """
    bounds = word_bounds(data)
    numbers, num_different = _numbered(data, bounds)
    keys, bits = np.empty(len(numbers), np.int64), num_different.bit_length()
    width = pack_words(numbers, bits, keys)
    places = np.arange(len(numbers), dtype=np.int32)
    room = np.empty_like(keys)
    sort_by_keys(keys, places, room, np.empty_like(places), bits * width, np.empty(1 << DIGIT_BITS, np.int64))
    ranks, groups, left = numbers, np.empty_like(numbers), np.empty_like(numbers)  # numbers are in the keys now
    num_groups = rank_places(places, keys, ranks, groups)
    scratch = keys.view(np.uint64)
    while num_groups:
        num_groups = sort_groups(places, ranks, groups, num_groups, width, left, scratch)
        groups, left, width = left, groups, 2 * width
    starts = np.empty(len(places), np.uint32)
    return starts[: starts_of(data, bounds, places, starts)].copy()


def _numbered(data: Data, bounds: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
    """The words as numbers in the order of their bytes, and how many different ones there are."""
    numbers, num_slots, count = np.empty(len(bounds), np.int32), _FIRST_SLOTS, -1
    while count < 0:
        slots, firsts = np.zeros(num_slots, np.uint64), np.empty(num_slots // 2, np.int32)
        count = number_words(data, bounds, slots, firsts, numbers)
        num_slots *= 4
    firsts, keys = firsts[:count], np.empty(count, np.uint64)
    first_bytes(data, bounds, firsts, keys)
    order = np.argsort(keys).astype(np.int32)
    sort_equal_beginnings(data, bounds, firsts, keys, order)
    ranks = np.empty(count, np.int32)
    ranks[order] = np.arange(1, count + 1, dtype=np.int32)  # 0 is what comes after the end
    return ranks[numbers], count
