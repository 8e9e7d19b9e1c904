"""Paragraphs and windows of words that stand in several documents: their hashes, and where to cut them out."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import CLOSER, SPACE, TERMINAL
from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, decode, decode_before, mix
from bise.corpus.kernels.words import base_power, find_words, hash_words

_NEWLINE, _ELLIPSIS = 0x0A, 0x2026


@kernel
def paragraph_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    min_words: int,
    scratch: tuple[Bytes, Hashes],
    hashes: Hashes,
    unit_offsets: Longs,
) -> None:
    """Fill a hash for each whole paragraph, a line of at least `min_words` words, and where each text's begin [n + 1]."""
    folded, prefix = scratch
    total = 0
    for document in range(offsets.size - 1):
        unit_offsets[document] = total
        start, stop = offsets[document], offsets[document + 1]
        while start < stop:
            end = line_stop(data, start, stop)
            count = hash_words(data, start, end, kinds, letters, folded, prefix, 0)
            if count >= min_words and is_whole(data, offsets[document], start, end, stop, kinds):
                hashes[total] = mix(prefix[count] ^ np.uint64(count))
                total += 1
            start = next_line(data, end, stop)
    unit_offsets[offsets.size - 1] = total


@kernel
def cut_paragraphs(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    min_words: int,
    scratch: tuple[Bytes, Hashes],
    marks: NDArray[np.bool_],
    spans: Longs,
) -> int:
    """Fill spans (text, first byte, last byte) of the marked lines, each with the newlines after it; returns how many."""
    folded, prefix = scratch
    unit, num_spans = 0, 0
    for document in range(offsets.size - 1):
        start, stop = offsets[document], offsets[document + 1]
        while start < stop:
            end = line_stop(data, start, stop)
            next_start = next_line(data, end, stop)
            count = hash_words(data, start, end, kinds, letters, folded, prefix, 0)
            if count >= min_words and is_whole(data, offsets[document], start, end, stop, kinds):
                if marks[unit]:
                    num_spans = _add_span(spans, num_spans, document, start, next_start)
                unit += 1
            start = next_start
    return num_spans


@kernel
def window_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    width: int,
    scratch: tuple[Bytes, Hashes],
    hashes: Hashes,
    unit_offsets: Longs,
) -> None:
    """Fill a hash for every `width` words in a row, and where each text's begin [n + 1]."""
    folded, prefix = scratch
    power = base_power(width)
    total = 0
    for document in range(offsets.size - 1):
        unit_offsets[document] = total
        count = hash_words(data, offsets[document], offsets[document + 1], kinds, letters, folded, prefix, 0)
        for k in range(count - width + 1):
            hashes[total] = mix(prefix[k + width] - prefix[k] * power)
            total += 1
    unit_offsets[offsets.size - 1] = total


@kernel
def cut_windows(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    width: int,
    bounds: Longs,
    marks: NDArray[np.bool_],
    spans: Longs,
) -> int:
    """Fill spans (text, first byte, last byte) of sentences whose words all lie in marked windows; returns how many."""
    unit, num_spans = 0, 0
    for document in range(offsets.size - 1):
        start, stop = offsets[document], offsets[document + 1]
        count = find_words(data, start, stop, kinds, letters, bounds)
        num_windows = max(count - width + 1, 0)
        word, covered_until, window = 0, 0, 0  # words before `covered_until` lie in a marked window
        while start < stop:
            end = _sentence_stop(data, start, stop, kinds)
            num_words, all_covered = 0, True
            while word < count and bounds[word, 0] < end:
                while window < num_windows and window <= word:
                    if marks[unit + window]:
                        covered_until = window + width
                    window += 1
                all_covered &= word < covered_until
                num_words += 1
                word += 1
            if num_words and all_covered:
                num_spans = _add_span(spans, num_spans, document, start, end)
            start = end
        unit += num_windows
    return num_spans


@kernel
def copy_rest(data: Bytes, offsets: Longs, spans: Longs, rest: NDArray[np.uint8], rest_offsets: Longs) -> None:
    """Copy what lies outside of the spans, which are in order."""
    total, k = 0, 0
    for document in range(offsets.size - 1):
        rest_offsets[document] = total
        i = offsets[document]
        while i < offsets[document + 1]:
            if k < spans.shape[0] and spans[k, 0] == document and spans[k, 1] == i:
                i = spans[k, 2]
                k += 1
                continue
            rest[total] = data[i]
            total += 1
            i += 1
    rest_offsets[offsets.size - 1] = total


@device
def _add_span(spans: Longs, count: int, document: int, start: int, stop: int) -> int:
    """Append a span, or lengthen the last one where they touch; returns how many there are."""
    if count and spans[count - 1, 0] == document and spans[count - 1, 2] == start:
        spans[count - 1, 2] = stop
        return count
    spans[count, 0], spans[count, 1], spans[count, 2] = document, start, stop
    return count + 1


@device
def is_whole(data: Bytes, text_start: int, start: int, end: int, stop: int, kinds: NDArray[np.uint16]) -> bool:
    """Whether a line begins and ends where sentences do, and is no part of a text broken to fit a column."""
    begins = (
        start - 1 <= text_start or data[start - 2] == _NEWLINE or _ends_sentence(data, text_start, start - 1, kinds)
    )
    ends = end + 1 >= stop or data[end + 1] == _NEWLINE or _ends_sentence(data, start, end, kinds)
    return begins and ends


@device
def _ends_sentence(data: Bytes, start: int, end: int, kinds: NDArray[np.uint16]) -> bool:
    """Whether a full stop or its kin stands before byte `end`, but for closing marks and white space."""
    while end > start:
        code = decode_before(data, start, end)
        if kinds[code] & TERMINAL or code == _ELLIPSIS:
            return True
        if not kinds[code] & (CLOSER | SPACE):
            return False
        end -= 1
        while end > start and (data[end] & 0xC0) == 0x80:
            end -= 1
    return False


@device
def line_stop(data: Bytes, start: int, stop: int) -> int:
    """The byte of the newline that ends a line, or the end of the text."""
    while start < stop and data[start] != _NEWLINE:
        start += 1
    return start


@device
def next_line(data: Bytes, end: int, stop: int) -> int:
    """The byte after the newlines that follow a line."""
    while end < stop and data[end] == _NEWLINE:
        end += 1
    return end


@device
def _sentence_stop(data: Bytes, start: int, stop: int, kinds: NDArray[np.uint16]) -> int:
    """The byte after a sentence, the closing marks and the white space that follow it; a newline ends one as well."""
    ended, i = False, start
    while i < stop:
        code, width = decode(data, i, stop)
        kind = np.int64(kinds[code])
        if code == _NEWLINE or (ended and kind & SPACE):
            while i < stop:
                code, width = decode(data, i, stop)
                if not kinds[code] & SPACE:
                    break
                i += width
            return i
        if kind & TERMINAL or code == _ELLIPSIS:
            ended = True
        elif not kind & CLOSER:
            ended = False
        i += width
    return stop
