"""What a text repeats of itself: lines, paragraphs and n-grams (Gopher, arXiv 2112.11446, table A1; FineWeb, 3.6).

Only an n-gram whose (n-1)-gram occurs twice can occur twice itself, so each length looks only at what the length
before left over; ordinary prose has little left after three words.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.characters import TERMINAL
from bise.corpus.kernels import columns
from bise.corpus.kernels.compile import device
from bise.corpus.kernels.scan import BASE, Scratch
from bise.corpus.kernels.text import Bytes, Hashes, Longs, decode_before, hash_bytes, insert, mix

SHORT_LINE_CHARACTERS = 30
_TOP = 4  # longest n-gram whose most frequent one counts
_LONGEST = 10  # longest n-gram whose repeats count


@device
def measure_lines(
    data: Bytes, num_lines: int, kinds: NDArray[np.uint16], scratch: Scratch, row: NDArray[np.float64]
) -> None:
    """Shares of repeated, punctuated and short lines.

    Gopher splits at runs of newlines, so that an empty part stands before a leading and after a trailing one.
    """
    mask = open_table(scratch, num_lines)
    line_bytes, line_characters = scratch.line_bytes, scratch.line_characters
    keys = scratch.keys
    parts, repeats, repeated, blank_repeated = 0, 0, 0, 0
    written, punctuated, short = 0, 0, 0
    for k in range(num_lines):
        begin, end = line_bytes[k, 0], line_bytes[k, 1]
        if begin == end and 0 < k < num_lines - 1:
            continue
        length = line_characters[k, 1] - line_characters[k, 0]
        _, known = insert(keys, mask, hash_bytes(data, begin, end))
        parts += 1
        if known:
            repeats += 1
            repeated += length
        if line_characters[k, 2]:
            written += 1
            punctuated += np.int64(kinds[decode_before(data, begin, end)]) & TERMINAL != 0
            short += length <= SHORT_LINE_CHARACTERS
        elif known:
            blank_repeated += length
    characters = row[columns.CHARACTERS]
    if characters == 0:
        return
    row[columns.DUPLICATE_LINES] = repeats / parts
    row[columns.DUPLICATE_LINE_CHARACTERS] = repeated / characters
    if written:
        row[columns.PUNCTUATED_LINES] = punctuated / written
        row[columns.SHORT_LINES] = short / written
        row[columns.REPEATED_LINE_CHARACTERS] = (repeated - blank_repeated) / (characters - (num_lines - 1))


@device
def measure_paragraphs(data: Bytes, num_lines: int, scratch: Scratch, row: NDArray[np.float64]) -> None:
    """Shares of repeated paragraphs: parts between empty lines, of the text without white space at its ends."""
    first_byte, last_byte, first_character, last_character = scratch.span
    if first_byte < 0:
        return
    mask = open_table(scratch, num_lines)
    line_bytes, line_characters = scratch.line_bytes, scratch.line_characters
    keys = scratch.keys
    paragraphs, repeats, repeated, k = 0, 0, 0, 0
    while k < num_lines:
        if line_bytes[k, 0] == line_bytes[k, 1] or line_bytes[k, 1] <= first_byte:
            k += 1
            continue
        begin = max(line_bytes[k, 0], first_byte)
        if begin >= last_byte:
            break
        character = max(line_characters[k, 0], first_character)
        while k + 1 < num_lines and line_bytes[k + 1, 0] < line_bytes[k + 1, 1]:
            k += 1
        end = min(line_bytes[k, 1], last_byte)
        length = min(line_characters[k, 1], last_character) - character
        _, known = insert(keys, mask, hash_bytes(data, begin, end))
        paragraphs += 1
        repeats += known
        repeated += length if known else 0
        k += 1
    row[columns.DUPLICATE_PARAGRAPHS] = repeats / paragraphs
    row[columns.DUPLICATE_PARAGRAPH_CHARACTERS] = repeated / row[columns.CHARACTERS]


@device
def measure_ngrams(num_tokens: int, scratch: Scratch, row: NDArray[np.float64]) -> None:
    """Shares of characters in the most frequent 2, 3 and 4-gram, and in repeated 5 to 10-grams.

    Gopher counts the most frequent n-gram with the spaces between its words, and takes the first of equals. Repeats
    are counted from the left; words of one are not counted for the next.
    """
    characters = row[columns.CHARACTERS]
    prefix, ends, counts, alive = scratch.prefix, scratch.ends, scratch.counts, scratch.alive
    slots, repeats = scratch.slots, scratch.repeats
    num_alive = max(num_tokens - 1, 0)
    for k in range(num_alive):
        alive[k] = k
        repeats[k] = 1
    power = BASE
    for n in range(2, _LONGEST + 1):
        if num_tokens < n:
            break
        power *= BASE
        num_candidates = _candidates(n, num_tokens, num_alive, alive, repeats)
        mask = open_table(scratch, num_candidates)
        table = scratch.keys, counts
        _count(n, power, prefix, alive[:num_candidates], slots, table, mask)
        if n <= _TOP:
            top = _most_frequent(n, ends, alive[:num_candidates], slots, counts)
            row[columns.TOP_2_GRAM + n - 2] = top / characters
        else:
            repeated = _repeated(n, ends, alive[:num_candidates], slots, counts)
            row[columns.DUPLICATE_5_GRAMS + n - _TOP - 1] = repeated / characters
        num_alive = _keep_alive(n, alive[:num_candidates], slots, counts, repeats)
        if num_alive == 0 and n >= _TOP:
            break


@device
def _candidates(n: int, num_tokens: int, num_alive: int, alive: Longs, repeats: NDArray[np.uint8]) -> int:
    """Leave in `alive` the tokens where both (n-1)-grams of an n-gram are repeated, and return how many."""
    count = 0
    for k in range(num_alive):
        a = alive[k]
        if a + n <= num_tokens and (n == 2 or repeats[a + 1] >= n - 1):
            alive[count] = a
            count += 1
    return count


@device
def _count(
    n: int,
    power: np.uint64,
    prefix: Hashes,
    alive: Longs,
    slots: Longs,
    table: tuple[Hashes, NDArray[np.int32]],
    mask: np.uint64,
) -> None:
    """Count the n-gram at each token, and note where in the table it stands."""
    keys, counts = table
    for k in range(alive.size):
        a = alive[k]
        gram = mix(prefix[a + n] - prefix[a] * power)
        slot, known = insert(keys, mask, gram)
        counts[slot] = counts[slot] + 1 if known else 1
        slots[a] = slot


@device
def _most_frequent(n: int, ends: Longs, alive: Longs, slots: Longs, counts: NDArray[np.int32]) -> int:
    """Characters of the most frequent n-gram with its spaces, times how often it occurs."""
    best, most = 0, 1
    for k in range(alive.size):
        a = alive[k]
        if counts[slots[a]] > most:
            best, most = a, np.int64(counts[slots[a]])
    return most * (ends[best + n] - ends[best] + n - 1)


@device
def _repeated(n: int, ends: Longs, alive: Longs, slots: Longs, counts: NDArray[np.int32]) -> int:
    """Characters in n-grams that stood further left already; a count turns negative once its n-gram was met."""
    total, free = 0, 0
    for k in range(alive.size):
        a = alive[k]
        slot = slots[a]
        if a < free or counts[slot] == 1:
            continue
        if counts[slot] < 0:
            total += ends[a + n] - ends[a]
            free = a + n
        else:
            counts[slot] = -counts[slot]
    return total


@device
def _keep_alive(n: int, alive: Longs, slots: Longs, counts: NDArray[np.int32], repeats: NDArray[np.uint8]) -> int:
    """Leave in `alive` the tokens whose n-gram occurs more than once, and return how many."""
    num_alive = 0
    for k in range(alive.size):
        a = alive[k]
        if counts[slots[a]] != 1:
            repeats[a] = n
            alive[num_alive] = a
            num_alive += 1
    return num_alive


@device
def open_table(scratch: Scratch, num_keys: int) -> np.uint64:
    """Empty the hash table; the mask of its first slots, at least twice as many as keys to come."""
    keys = scratch.keys
    slots = 64
    while slots < 2 * num_keys:
        slots *= 2
    for slot in range(slots):
        keys[slot] = 0
    return np.uint64(slots - 1)
