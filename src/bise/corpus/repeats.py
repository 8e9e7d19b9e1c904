"""Parts that several documents share: whole paragraphs (CCNet, arXiv 1911.00359) and windows of 50 words (as in Lee et
al., arXiv 2107.06499, who cut 50 tokens), found by hash, marked but for the first time they stand, and cut out.

For a corpus: hash every batch, lay the hashes one after another in the order of the documents, mark the repeats among
all of them, and cut each batch with its part of the marks. Of windows there are as many as words, so that first only
their anchors are compared (`kernels/fingerprints.py`), which tell the few documents whose windows need a look. Words are
compared without case, accents, punctuation and the values of numbers. Texts stay valid and readable: a paragraph goes as
a whole, and of a shared window only the sentences that lie in it entirely.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bise.corpus import characters
from bise.corpus.duplicates import NUM_HASHES, longest, word_scratch
from bise.corpus.texts import Data, Offsets, read_only

MIN_PARAGRAPH_WORDS = 10  # shorter lines, such as headings and exclamations, may be the same in many documents
WINDOW_WORDS = 50
_MARKED_AT_ONCE = 1 << 24  # hashes that are compared together, at 16 bytes each
_BUCKET_SIZE = 1 << 13  # hashes that fit the processor's cache with the table over them

Hashes = NDArray[np.uint64]
Marks = NDArray[np.bool_]
Spans = NDArray[np.int64]  # text, first byte and byte after the last, both in the batch's data [spans, 3]
Passage = Literal["paragraphs", "windows"]


@dataclass(frozen=True)
class Fingerprints:
    """What the texts of a batch are compared by."""

    signatures: NDArray[np.uint32]  # as `duplicates.signatures` makes them; [0, NUM_HASHES] where not wanted
    passages: dict[Passage, tuple[Hashes, Offsets]]  # hashes of paragraphs, anchors of windows; where each text's begin


def fingerprint(
    data: Data,
    offsets: Offsets,
    *,
    near: bool,
    paragraphs: bool,
    windows: bool,
    min_words: int = MIN_PARAGRAPH_WORDS,
    width: int = WINDOW_WORDS,
) -> Fingerprints:
    """Make everything that is wanted from one pass over the words."""
    from bise.corpus.kernels.fingerprints import fingerprint_batch

    result = np.empty((len(offsets) - 1 if near else 0, NUM_HASHES), np.uint32)
    room = len(data) // 2 + len(offsets)
    hashes = np.empty(room if paragraphs else 0, np.uint64), np.empty(room if windows else 0, np.uint64)
    starts = np.empty_like(offsets), np.empty_like(offsets)
    folded, prefix = word_scratch(offsets)
    fingerprint_batch(
        read_only(data),
        read_only(offsets),
        *_tables(),
        min_words if paragraphs else 0,
        width if windows else 0,
        (folded, prefix, np.empty_like(prefix)),
        np.empty(NUM_HASHES, np.int16),
        result,
        hashes,
        starts,
    )
    kinds: tuple[Passage, Passage] = ("paragraphs", "windows")
    parts = {kind: (own[: begins[-1]].copy(), begins) for kind, own, begins in zip(kinds, hashes, starts, strict=True)}
    return Fingerprints(result, parts)


def paragraph_hashes(data: Data, offsets: Offsets, min_words: int = MIN_PARAGRAPH_WORDS) -> tuple[Hashes, Offsets]:
    """A hash for each paragraph of at least `min_words` words, and where each text's begin [n + 1].

    A paragraph is a line that begins and ends where sentences do, or beside an empty line.
    """
    from bise.corpus.kernels.repeats import paragraph_batch

    return _hashes(paragraph_batch, data, offsets, min_words)


def window_hashes(data: Data, offsets: Offsets, width: int = WINDOW_WORDS) -> tuple[Hashes, Offsets]:
    """A hash for every `width` words in a row, and where each text's begin [n + 1]."""
    from bise.corpus.kernels.repeats import window_batch

    return _hashes(window_batch, data, offsets, width)


def mark_repeats(hashes: Hashes, marked_at_once: int = _MARKED_AT_ONCE, *, also_first: bool = False) -> Marks:
    """Which hashes stand further left already, and maybe also where they stand first.

    Memory is bounded by what is marked at once, but for the marks.
    """
    from bise.corpus.kernels.later import count_buckets, mark_later

    hashes = read_only(hashes)
    marks = np.zeros(len(hashes), np.bool_)
    num_parts = 1
    while len(hashes) > num_parts * marked_at_once:
        num_parts *= 2
    num_buckets = 1 << (len(hashes) // num_parts // _BUCKET_SIZE).bit_length()
    for part in range(num_parts):
        counts = np.zeros(num_buckets, np.int64)
        count_buckets(hashes, part, num_parts - 1, counts)
        starts = np.cumsum(counts) - counts
        values, places = np.empty(counts.sum(), np.uint64), np.empty(counts.sum(), np.int64)
        slots = np.empty(1 << (2 * int(counts.max())).bit_length(), np.int32)
        mark_later(hashes, part, num_parts - 1, starts, starts.copy(), values, places, slots, also_first, marks)
    return marks


def paragraph_spans(data: Data, offsets: Offsets, marks: Marks, min_words: int = MIN_PARAGRAPH_WORDS) -> Spans:
    """Where the marked paragraphs stand; `marks` as `paragraph_hashes` counts them."""
    from bise.corpus.kernels.repeats import cut_paragraphs

    return _spans(cut_paragraphs, data, offsets, marks, min_words, word_scratch(offsets))


def window_spans(data: Data, offsets: Offsets, marks: Marks, width: int = WINDOW_WORDS) -> Spans:
    """Where sentences stand that lie in marked windows entirely; `marks` as `window_hashes` counts them."""
    from bise.corpus.kernels.repeats import cut_windows

    return _spans(cut_windows, data, offsets, marks, width, np.empty((longest(offsets) + 1, 2), np.int64))


def cut(data: Data, offsets: Offsets, spans: Spans) -> tuple[Data, Offsets]:
    """The texts without the spans, as a batch."""
    from bise.corpus.kernels.repeats import copy_rest

    rest = np.empty(len(data) - int((spans[:, 2] - spans[:, 1]).sum()), np.uint8)
    rest_offsets = np.empty_like(offsets)
    copy_rest(read_only(data), read_only(offsets), spans, rest, rest_offsets)
    return rest[: rest_offsets[-1]], rest_offsets


def _hashes(kernel: Callable[..., None], data: Data, offsets: Offsets, size: int) -> tuple[Hashes, Offsets]:
    hashes = np.empty(len(data) // 2 + len(offsets), np.uint64)
    starts = np.empty(len(offsets), np.int64)
    kernel(read_only(data), read_only(offsets), *_tables(), size, word_scratch(offsets), hashes, starts)
    return hashes[: starts[-1]].copy(), starts


def _spans(kernel: Callable[..., int], data: Data, offsets: Offsets, marks: Marks, size: int, scratch: Any) -> Spans:
    # A sentence needs a marked window to be cut, and a window may cover many: at most one span a word of the text.
    spans = np.empty((len(data) // 2 + len(offsets) if marks.any() else 0, 3), np.int64)
    if not len(spans):
        return spans
    count = kernel(read_only(data), read_only(offsets), *_tables(), size, scratch, read_only(marks), spans)
    return spans[:count].copy()


def _tables() -> tuple[NDArray[Any], NDArray[Any]]:
    return characters.kinds(), characters.letters()
