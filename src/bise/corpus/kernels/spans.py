"""Looking words up in a sorted corpus: how many words from each place of a text on stand somewhere in it, and where.

The index is read from a file, so no number in it is trusted: a place beyond the text counts as its end.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.runs_of_words import BORDER, word_from
from bise.corpus.kernels.text import Bytes, Longs

Starts = NDArray[np.uint32]


@device
def _compare(asked: Bytes, bounds: Longs, first: int, stop: int, data: Bytes, at: int) -> tuple[int, int]:
    """Words `first` to `stop` of what is asked against the text from byte `at` on.

    Returns:
        -1, 0 or 1 as what is asked sorts before, begins, or sorts after the text; and how many words agree.
    """
    for word in range(first, stop):
        begin, end = word_from(data, at, data.size)
        if begin >= data.size or data[begin] == BORDER:
            return 1, word - first
        a, size = bounds[word, 0], bounds[word, 1] - bounds[word, 0]
        for i in range(min(size, end - begin)):
            if asked[a + i] != data[begin + i]:
                return (-1 if asked[a + i] < data[begin + i] else 1), word - first
        if size != end - begin:
            return (-1 if size < end - begin else 1), word - first
        at = end
    return 0, stop - first


@kernel
def longest_matches(asked: Bytes, bounds: Longs, least: int, data: Bytes, starts: Starts, longest: Longs) -> None:
    """Raise each `longest[k]` to the number of words from word k on that stand together somewhere in the text.

    Runs of fewer than `least` words may stay unseen. Every longer one holds, at a multiple of `stride`, a run of
    `least - stride + 1` words, so most words need not be looked up when most of these shorter runs stand nowhere.
    """
    num_words, stride = bounds.shape[0], (least + 1) // 2
    gram = least - stride + 1
    for middle in range(0, num_words, stride):
        stop = middle + gram
        if stop > num_words or (least > 1 and _longest(asked, bounds, middle, stop, data, starts) < gram):
            continue
        for first in range(max(middle - stride + 1, 0), middle + 1):
            longest[first] = max(longest[first], _longest(asked, bounds, first, num_words, data, starts))


@device
def _longest(asked: Bytes, bounds: Longs, first: int, stop: int, data: Bytes, starts: Starts) -> int:
    """How many words from `first` on, up to `stop`, stand together somewhere in the text."""
    low, high, best = np.int64(0), np.int64(starts.size), np.int64(0)
    while low < high:
        middle = (low + high) // 2
        order, agreeing = _compare(asked, bounds, first, stop, data, np.int64(starts[middle]))
        best = max(best, agreeing)
        if order == 0:
            break
        if order > 0:
            low = middle + 1
        else:
            high = middle
    return best


@kernel
def find_range(asked: Bytes, bounds: Longs, first: int, stop: int, data: Bytes, starts: Starts, found: Longs) -> None:
    """Which of `starts` are followed by words `first` to `stop`: `found` becomes the first of them and their end."""
    for side in range(2):
        low, high = np.int64(0), np.int64(starts.size)
        while low < high:
            middle = (low + high) // 2
            order, _ = _compare(asked, bounds, first, stop, data, np.int64(starts[middle]))
            if order > 0 or (side == 1 and order == 0):
                low = middle + 1
            else:
                high = middle
        found[side] = low


@kernel
def end_of_words(data: Bytes, at: int, num_words: int) -> int:
    """The byte after so many words from byte `at` on."""
    end = at
    for _ in range(num_words):
        begin, stop = word_from(data, end, data.size)
        if begin >= data.size or data[begin] == BORDER:
            break
        end = stop
    return end
