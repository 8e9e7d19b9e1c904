"""One pass over a text: its tokens and lines, and every statistic that needs no memory of earlier ones.

A token is a run of word characters, in which an apostrophe or a full stop between two of them does not end it; an
ideograph; or a run of one other character. Lines are counted twice, as the published filters do: parts between "\\n"
(kept in the scratch for `repetition.py`), and Python's `str.splitlines`, judged here one by one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import ALPHA, BREAK, CLOSER, IDEOGRAPH, MARKUP, PHRASE, PLAIN, SPACE, TERMINAL, WORD
from bise.corpus.kernels import columns
from bise.corpus.kernels.compile import device
from bise.corpus.kernels.text import Bytes, Hashes, Longs, decode, hash_bytes, load_bytes

_HASH, _STOP, _ELLIPSIS, _BULLET, _HYPHEN, _BRACKET, _BRACE, _UNDERSCORE = (
    0x23,
    0x2E,
    0x2026,
    0x2022,
    0x2D,
    0x5B,
    0x7B,
    0x5F,
)
_NEWLINE, _RETURN, _APOSTROPHE, _RIGHT_QUOTE = 0x0A, 0x0D, 0x27, 0x2019
BASE = np.uint64(0xD1342543DE82EF95)
_MIN_LINE_WORDS = 3  # C4: a line of fewer is no sentence
_MAX_LINE_WORD = 1000  # characters; C4's code

# The state of the line in progress (as str.splitlines sees lines), in `Scratch.line`.
(
    _FIRST,
    _LAST_STOP,
    _WORDS,
    _WORD_START,
    _LONGEST,
    _GAP,
    _SENTENCES,
    _OPEN,
    _ENDED,
    _BRACES,
    _LOREM,
    _SCRIPT,
    _POLICY,
) = range(13)
_LINE_STATE = 13


class Scratch(NamedTuple):
    """Working memory for texts of at most `capacity` bytes, used again for each document."""

    prefix: Hashes  # hash of the first k tokens, as a polynomial in BASE [capacity + 1]
    ends: Longs  # characters in the first k tokens [capacity + 1]
    line_bytes: Longs  # first and last byte of each "\n" line [capacity + 2, 2]
    line_characters: Longs  # first and last character, likewise; [.., 2] is 1 if not blank [capacity + 2, 3]
    line: Longs  # the line in progress
    span: Longs  # first and last byte, first and last character that are not white space [4]
    keys: Hashes  # hash table: a power of two of slots, at least twice the tokens
    counts: NDArray[np.int32]
    slots: Longs  # where the n-gram that begins at each token stands in the table [capacity + 1]
    alive: Longs  # tokens at which an n-gram begins that occurs twice, ascending [capacity + 1]
    repeats: NDArray[np.uint8]  # length of the longest repeated n-gram found to begin at each token [capacity + 1]


def make_scratch(capacity: int) -> Scratch:
    """Scratch for texts of up to `capacity` bytes; only the pages that are used take memory."""
    slots = 64
    while slots < 2 * (capacity + 2):
        slots *= 2
    return Scratch(
        prefix=np.zeros(capacity + 1, np.uint64),
        ends=np.zeros(capacity + 1, np.int64),
        line_bytes=np.empty((capacity + 2, 2), np.int64),
        line_characters=np.empty((capacity + 2, 3), np.int64),
        line=np.zeros(_LINE_STATE, np.int64),
        span=np.zeros(4, np.int64),
        keys=np.empty(slots, np.uint64),
        counts=np.empty(slots, np.int32),
        slots=np.empty(capacity + 1, np.int64),
        alive=np.empty(capacity + 1, np.int64),
        repeats=np.empty(capacity + 1, np.uint8),
    )


@device
def scan(
    data: Bytes,
    start: int,
    stop: int,
    kinds: NDArray[np.uint16],
    stop_hashes: Hashes,
    stop_bits: Hashes,
    scratch: Scratch,
    row: NDArray[np.float64],
) -> tuple[int, int]:
    """Fill the scratch and a zeroed row from one text; returns its numbers of tokens and of "\\n" lines."""
    line, span, prefix, ends = scratch.line, scratch.span, scratch.prefix, scratch.ends
    line[:] = 0
    line[_GAP] = 1
    span[0] = -1
    i, characters, num_tokens, num_lines, newlines = start, 0, 0, 0, 0
    words, word_characters, alpha, hashes, ellipses, markup = 0, 0, 0, 0, 0, 0
    found_stops = np.uint64(0)
    stop_mask = np.uint64(stop_hashes.size - 1)
    line_start, line_start_character, split_start = start, 0, start
    skip_until = start  # a citation is not part of any sentence
    while i < stop:
        code, width = decode(data, i, stop)
        kind = np.int64(kinds[code])
        if kind & SPACE:
            if not line[_GAP]:
                line[_GAP] = 1
                line[_LONGEST] = max(line[_LONGEST], characters - line[_WORD_START])
            if line[_ENDED] and i >= skip_until:
                line[_SENTENCES] += 1
                line[_ENDED] = 0
                line[_OPEN] = 0
            characters += 1
            if code == _NEWLINE:
                newlines += 1
                _keep_line(scratch, num_lines, line_start, i, line_start_character, characters - 1)
                num_lines += 1
                line_start, line_start_character = i + 1, characters
            i += width
            if kind & BREAK and not (code == _RETURN and i < stop and data[i] == _NEWLINE):
                _close_line(data, split_start, line, row)
                split_start = i
            continue
        begin, first, run = i, characters, 0
        flags = kind
        if kind & WORD:
            while True:
                flags |= kind
                run += 1
                i += width
                if i >= stop or flags & IDEOGRAPH:
                    break
                code, width = decode(data, i, stop)
                kind = np.int64(kinds[code])
                if (code == _STOP or code == _APOSTROPHE or code == _RIGHT_QUOTE) and i + width < stop:
                    next_code, next_width = decode(data, i + width, stop)
                    next_kind = np.int64(kinds[next_code])
                    if next_kind & WORD and not next_kind & IDEOGRAPH:
                        run += 1
                        i += width
                        kind, width = next_kind, next_width
                        continue
                if not kind & WORD or kind & IDEOGRAPH:
                    break
            if flags & PHRASE:
                _find_phrases(data, begin, i, split_start, stop, line)
            if flags & MARKUP:
                for k in range(begin, i):
                    markup += data[k] == _UNDERSCORE
            if begin >= skip_until:
                line[_ENDED] = 0
                line[_OPEN] = 1
        else:
            same = code
            while code == same:
                run += 1
                i += width
                if i >= stop:
                    break
                code, width = decode(data, i, stop)
            if same == _HASH:
                hashes += run
            elif same == _ELLIPSIS:
                ellipses += run
            elif same == _STOP:
                ellipses += run // 3
            elif same == _BRACE:
                line[_BRACES] += run
            if flags & MARKUP:
                markup += run
            outside = i > skip_until
            if same == _BRACKET and outside:
                citation_stop = _citation_stop(data, i - 1, stop)
                if citation_stop >= 0:
                    skip_until, outside = citation_stop, run > 1
            if outside:
                if flags & TERMINAL or same == _ELLIPSIS:
                    line[_ENDED] = 1
                elif not flags & CLOSER:
                    line[_ENDED] = 0
                line[_OPEN] = 1
            if line[_FIRST] == 0 and (same == _BULLET or same == _HYPHEN):
                line[_FIRST] = _BULLET
        if line[_FIRST] == 0:
            line[_FIRST] = 1
        if line[_GAP]:
            line[_GAP] = 0
            line[_WORDS] += 1
            line[_WORD_START] = first
        if span[0] < 0:
            span[0], span[2] = begin, first
        token = hash_bytes(data, begin, i)
        prefix[num_tokens + 1] = prefix[num_tokens] * BASE + token
        ends[num_tokens + 1] = ends[num_tokens] + run
        num_tokens += 1
        alpha += flags & ALPHA != 0
        if flags & PLAIN:
            words += 1
            word_characters += run
        slot = token & stop_mask
        while stop_bits[slot]:
            if stop_hashes[slot] == token:
                found_stops |= stop_bits[slot]
                break
            slot = (slot + np.uint64(1)) & stop_mask
        characters += run
        line[_LAST_STOP] = i
        span[1], span[3] = i, characters
    _keep_line(scratch, num_lines, line_start, stop, line_start_character, characters)
    num_lines += 1
    if split_start < stop:
        if not line[_GAP]:
            line[_LONGEST] = max(line[_LONGEST], characters - line[_WORD_START])
        _close_line(data, split_start, line, row)
    row[columns.CHARACTERS] = characters
    row[columns.TOKENS] = num_tokens
    row[columns.WORDS] = words
    if words:
        row[columns.MEAN_WORD_LENGTH] = word_characters / words
    if num_tokens:
        row[columns.ALPHA_WORDS] = alpha / num_tokens
        row[columns.HASHES_PER_WORD] = hashes / num_tokens
        row[columns.ELLIPSES_PER_WORD] = ellipses / num_tokens
        row[columns.MARKUP_PER_WORD] = markup / num_tokens
        row[columns.NEWLINES_PER_WORD] = newlines / num_tokens
    while found_stops:
        row[columns.STOP_WORDS] += 1
        found_stops &= found_stops - np.uint64(1)
    if row[columns.LINES]:
        row[columns.BULLET_LINES] /= row[columns.LINES]
        row[columns.ELLIPSIS_LINES] /= row[columns.LINES]
    return num_tokens, num_lines


@device
def _keep_line(scratch: Scratch, index: int, begin: int, end: int, first: int, last: int) -> None:
    """Record a "\\n" line; it is not blank if a character of it lies in the span of those that are not white space."""
    scratch.line_bytes[index, 0], scratch.line_bytes[index, 1] = begin, end
    scratch.line_characters[index, 0], scratch.line_characters[index, 1] = first, last
    scratch.line_characters[index, 2] = scratch.span[0] >= 0 and scratch.span[1] > begin


@device
def _close_line(data: Bytes, start: int, line: Longs, row: NDArray[np.float64]) -> None:
    """Judge the line in progress as Gopher and C4 do, and begin the next one."""
    row[columns.LINES] += 1
    row[columns.BULLET_LINES] += line[_FIRST] == _BULLET
    row[columns.ELLIPSIS_LINES] += line[_FIRST] > 0 and _ends_in_ellipsis(data, start, line[_LAST_STOP])
    if line[_WORDS] < _MIN_LINE_WORDS or line[_LONGEST] > _MAX_LINE_WORD:
        row[columns.WORDLESS_LINES] += line[_WORDS] > 0
    elif line[_LOREM]:
        row[columns.LOREM_IPSUM_LINES] += 1
    elif line[_SCRIPT]:
        row[columns.JAVASCRIPT_LINES] += 1
    elif line[_BRACES]:
        row[columns.CURLY_BRACKET_LINES] += 1
        row[columns.EARLY_CURLY_BRACKET_LINES] += row[columns.LOREM_IPSUM_LINES] == 0
    elif line[_POLICY]:
        row[columns.POLICY_LINES] += 1
    else:
        row[columns.SENTENCES] += max(line[_SENTENCES] + line[_OPEN], 1)
    line[:] = 0
    line[_GAP] = 1


@device
def _ends_in_ellipsis(data: Bytes, start: int, end: int) -> bool:
    """Whether "..." or "…" stands before byte `end`."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == _STOP and b == _STOP and c == _STOP) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@device
def _citation_stop(data: Bytes, begin: int, stop: int) -> int:
    """The byte after a citation mark that begins at `begin`: "[12]", "[edit]" or "[citation needed]"; -1 if none does."""
    i = begin + 1
    while i < stop and 0x30 <= data[i] <= 0x39:
        i += 1
    if i < stop and data[i] == 0x5D:
        return i + 1
    if _matches(data, begin + 1, stop, b"edit]"):
        return begin + 6
    if _matches(data, begin + 1, stop, b"citation needed]"):
        return begin + 17
    return -1


@device
def _find_phrases(data: Bytes, begin: int, end: int, line_start: int, stop: int, line: Longs) -> None:
    """Note C4's phrases, in any case, of which the word from `begin` to `end` is the one with a rare letter."""
    length = end - begin
    if length >= 5:
        last = load_bytes(data, end - 5, end) | np.uint64(0x2020202020)
        if last == np.uint64(0x6D65726F6C):  # lorem
            line[_LOREM] |= _matches(data, end, stop, b" ipsum")
        elif last == np.uint64(0x736D726574):  # terms
            line[_POLICY] |= _matches(data, end, stop, b" of use")
        elif last == np.uint64(0x65696B6F6F) and length >= 6 and data[end - 6] | 0x20 == 0x63:  # cookie
            line[_POLICY] |= _matches(data, end, stop, b" policy")
        elif last == np.uint64(0x7963617669) and _matches(data, end - 7, stop, b"privacy policy"):
            line[_POLICY] |= length >= 7
    if length >= 7 and data[begin] | 0x20 == 0x63 and _matches(data, begin, stop, b"cookies"):
        before = begin - line_start
        line[_POLICY] |= before >= 4 and _matches(data, begin - 4, stop, b"use ")
        line[_POLICY] |= before >= 5 and _matches(data, begin - 5, stop, b"uses ")
        line[_POLICY] |= before >= 7 and _matches(data, begin - 7, stop, b"use of ")
    for k in range(begin, end - 9):
        if data[k] | 0x20 == 0x6A and _matches(data, k, stop, b"javascript"):
            line[_SCRIPT] = 1


@device
def _matches(data: Bytes, begin: int, stop: int, phrase: bytes) -> bool:
    """Whether a phrase of lower-case letters, spaces and "]" stands at byte `begin`, in any case."""
    if begin < 0 or stop - begin < len(phrase):
        return False
    for k in range(len(phrase)):
        byte = data[begin + k]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != phrase[k]:
            return False
    return True
