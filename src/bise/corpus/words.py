"""The words of a batch of texts as hashes: made once, used by decontamination, word lists and the quality classifier.

A word is a run of letters, digits and marks in lower case; an ideograph or a symbol such as an emoji is one by itself.
Punctuation and spaces only part words, so that a passage is known again whatever was done to its commas and line ends.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import IDEOGRAPH, WORD, kinds
from bise.corpus.kernels.sequences import (
    ALONE,
    fill_filter,
    fill_table,
    find_beginnings,
    hash_grams,
    hash_words,
    look_up_all,
)
from bise.corpus.kernels.text import Hashes, Longs
from bise.corpus.texts import Data, Offsets, read_only

_MIN_SLOTS = 64
_BITS_PER_GRAM = 16


@dataclass(frozen=True)
class Words:
    """The words of some texts, one text after another."""

    hashes: Hashes  # [words]
    starts: Longs  # first byte of each, in the batch's data [words]
    stops: Longs  # byte after the last [words]
    firsts: Longs  # each text's first word, and the number of words [texts + 1]

    def counts(self) -> Longs:
        """Words of each text."""
        return np.diff(self.firsts)


def split_words(data: Data, offsets: Offsets) -> Words:
    """Hash every word of a batch of texts."""
    capacity = (
        int(data.size) // 2 + len(offsets) + 1
    )  # the shortest word is one byte and parted from the next by another
    hashes, starts, stops = np.empty(capacity, np.uint64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    firsts = np.empty(len(offsets), np.int64)
    count = hash_words(read_only(data), read_only(offsets), character_classes(), hashes, starts, stops, firsts)
    return Words(hashes[:count], starts[:count], stops[:count], firsts)


@cache
def character_classes() -> NDArray[np.uint32]:
    """For each code point: 0 if it parts words, else its lower case, with ALONE if it is a word by itself."""
    table = np.zeros(len(kinds()), np.uint32)
    for code in np.flatnonzero(kinds() & WORD):
        table[code] = ord(chr(code).lower()[0])
    table[(kinds() & IDEOGRAPH) != 0] |= np.uint32(ALONE)
    for code in (*range(0xA1, 0x3000), *range(0x1F000, 0x1FB00)):
        if unicodedata.category(chr(code)) == "So":
            table[code] = code | ALONE
    table[ord("_")] = 0
    table.flags.writeable = False
    return table


def grams(words: Words, starts: Longs, lengths: Longs | int) -> Hashes:
    """Hashes of the sequences of `lengths` words that begin at words `starts`."""
    hashes = np.empty(starts.size, np.uint64)
    lengths = np.broadcast_to(np.asarray(lengths, np.int64), starts.shape)
    hash_grams(read_only(words.hashes), read_only(starts), read_only(lengths), hashes)
    return hashes


@dataclass(frozen=True)
class GramTable:
    """Distinct hashes for quick look-up; `values` is 1 + the place in the array that the table was made of."""

    keys: Hashes
    values: NDArray[np.int32]
    bits: Hashes  # a Bloom filter of one function

    @classmethod
    def build(cls, hashes: Hashes) -> "GramTable":
        """Make the table of some distinct hashes."""
        slots = max(_MIN_SLOTS, 1 << (2 * hashes.size).bit_length())
        keys, values = np.zeros(slots, np.uint64), np.zeros(slots, np.int32)
        bits = np.zeros(max(_MIN_SLOTS, 1 << (_BITS_PER_GRAM * hashes.size // 64).bit_length()), np.uint64)
        fill_table(read_only(hashes), keys, values, bits)
        return cls(read_only(keys), read_only(values), read_only(bits))

    def places(self, hashes: Hashes) -> NDArray[np.int32]:
        """The place of each hash in the array that the table was made of, -1 where it is not in it."""
        places = np.empty(hashes.size, np.int32)
        look_up_all(read_only(hashes), self.keys, self.values, self.bits, places)
        return places


@dataclass(frozen=True)
class Beginnings:
    """How sequences of words begin, to pass over nearly every place where none of them stands."""

    length: int  # words of each
    bits: Hashes  # a Bloom filter of two functions

    @classmethod
    def build(cls, hashes: Hashes, length: int) -> "Beginnings":
        """Note the hashes of beginnings."""
        bits = np.zeros(max(_MIN_SLOTS, 1 << (_BITS_PER_GRAM * hashes.size // 64).bit_length()), np.uint64)
        fill_filter(read_only(hashes), bits)
        return cls(length, read_only(bits))

    def find(self, words: Words) -> tuple[Longs, Longs]:
        """Words at which one may stand, ascending, and how many words of their texts there are from each on."""
        found = np.empty(words.hashes.size + 1, np.int64)
        count = find_beginnings(read_only(words.hashes), read_only(words.firsts), self.length, self.bits, found)
        starts = found[:count]
        return starts, words.firsts[np.searchsorted(words.firsts, starts, side="right")] - starts
