"""Words as hashes, and sequences of them looked up in tables: decontamination, word lists and the classifier share this.

Unlike the words of `words.py`, these keep diacritics and figures. A word is a run of letters, digits and marks in lower
case; an ideograph or a symbol is one by itself; punctuation and spaces part words and are not kept.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import inlined, kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, combine, decode, mix

ALONE = 1 << 31  # in a table of classes: the character is a word by itself
_SEED = np.uint64(0x9AE16A3B2F90404F)
_BASE = np.uint64(0xD1342543DE82EF95)
_HALF = np.uint64(32)


@kernel
def hash_words(
    data: Bytes, offsets: Longs, classes: NDArray[np.uint32], hashes: Hashes, starts: Longs, stops: Longs, firsts: Longs
) -> int:
    """Fill hash, first byte and end of each word, and `firsts` [n + 1] with each text's first word; the number of words.

    `classes` gives 0 for what parts words, else the lower-case character, with ALONE or without.
    """
    count = 0
    for document in range(offsets.size - 1):
        firsts[document] = count
        i, stop = offsets[document], offsets[document + 1]
        begin, state = np.int64(-1), _SEED
        while i < stop:
            code, width = np.int64(data[i]), 1
            if code >= 0x80:
                code, width = decode(data, i, stop)
            character = np.int64(classes[code])
            if 0 < character < ALONE:
                if begin < 0:
                    begin, state = i, _SEED
                state = combine(state, np.uint64(character))
            else:
                if begin >= 0:
                    hashes[count], starts[count], stops[count] = mix(state), begin, i
                    count += 1
                    begin = np.int64(-1)
                if character:
                    hashes[count], starts[count], stops[count] = mix(combine(_SEED, np.uint64(character))), i, i + width
                    count += 1
            i += width
        if begin >= 0:
            hashes[count], starts[count], stops[count] = mix(state), begin, stop
            count += 1
    firsts[offsets.size - 1] = count
    return count


@inlined
def _gram(hashes: Hashes, start: int, length: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(start, start + length):
        value = value * _BASE + hashes[k]
    return mix(value ^ np.uint64(length))


@kernel
def hash_grams(hashes: Hashes, starts: Longs, lengths: Longs, grams: Hashes) -> None:
    """Hash of the `lengths[k]` words from word `starts[k]` on."""
    for k in range(starts.size):
        grams[k] = _gram(hashes, starts[k], lengths[k])


@kernel
def fill_table(grams: Hashes, keys: Hashes, values: NDArray[np.int32], bits: Hashes) -> None:
    """Put distinct hashes into an empty table of a power of two of slots: value k + 1 for `grams[k]`, 0 where free."""
    mask = np.uint64(keys.size - 1)
    bit_mask = np.uint64(bits.size * 64 - 1)
    for k in range(grams.size):
        slot = grams[k] & mask
        while values[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        keys[slot] = grams[k]
        values[slot] = k + 1
        bit = (grams[k] >> np.uint64(20)) & bit_mask
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@inlined
def _look_up(gram: np.uint64, keys: Hashes, values: NDArray[np.int32], bits: Hashes) -> int:
    """The number of a hash in the table, or -1; the bits, which fit the processor's cache, answer nearly always."""
    bit = (gram >> np.uint64(20)) & np.uint64(bits.size * 64 - 1)
    if bits[bit >> np.uint64(6)] & (np.uint64(1) << (bit & np.uint64(63))) == np.uint64(0):
        return np.int64(-1)
    mask = np.uint64(keys.size - 1)
    slot = gram & mask
    while values[slot] != 0:
        if keys[slot] == gram:
            return np.int64(values[slot]) - 1
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@kernel
def look_up_all(
    grams: Hashes, keys: Hashes, values: NDArray[np.int32], bits: Hashes, places: NDArray[np.int32]
) -> None:
    """Fill the number of each hash in the table, -1 where it is not there."""
    for k in range(grams.size):
        places[k] = _look_up(grams[k], keys, values, bits)


@kernel
def fill_filter(grams: Hashes, bits: Hashes) -> None:
    """Note hashes in a Bloom filter of two bits in one of a power of two of words."""
    for k in range(grams.size):
        bits[(grams[k] >> _HALF) & np.uint64(bits.size - 1)] |= _filter_mask(grams[k])


@kernel
def find_beginnings(hashes: Hashes, firsts: Longs, length: int, bits: Hashes, found: Longs) -> int:
    """Every word at which `length` words begin that may be in the filter; how many there are.

    The hash rolls: its part for the word that leaves is taken away, that for the word that comes is added.
    """
    power = np.uint64(1)
    for _ in range(length):
        power = power * _BASE
    count = 0
    for document in range(firsts.size - 1):
        value = np.uint64(0)
        for k in range(firsts[document], firsts[document + 1]):
            value = value * _BASE + hashes[k]
            start = k - length + 1
            if start > firsts[document]:
                value -= hashes[start - 1] * power
            if start >= firsts[document]:
                gram = mix(value ^ np.uint64(length))
                mask = _filter_mask(gram)
                found[count] = start
                count += bits[(gram >> _HALF) & np.uint64(bits.size - 1)] & mask == mask
    return count


@inlined
def _filter_mask(gram: np.uint64) -> np.uint64:
    return (np.uint64(1) << (gram & np.uint64(63))) | (np.uint64(1) << ((gram >> np.uint64(6)) & np.uint64(63)))


@kernel
def find_phrases(
    hashes: Hashes,
    firsts: Longs,
    lists: Longs,
    keys: Hashes,
    values: NDArray[np.int32],
    bits: Hashes,
    begins: Longs,
    lengths: Longs,
    grams: Hashes,
    phrase_lists: Longs,
    found_words: Longs,
    found_phrases: NDArray[np.int32],
) -> int:
    """Every phrase met: the word it begins at, and which it is; the longest at each place, and none within another.

    The table knows the first words; phrases `begins[k]` to `begins[k + 1]` begin with word k, longest first. A phrase
    counts in texts whose entry of `lists` is its own, or when its own is 0.
    """
    count = 0
    for document in range(firsts.size - 1):
        k, end = firsts[document], firsts[document + 1]
        while k < end:
            first = _look_up(hashes[k], keys, values, bits)
            step = 1
            if first >= 0:
                for phrase in range(begins[first], begins[first + 1]):
                    if phrase_lists[phrase] != 0 and phrase_lists[phrase] != lists[document]:
                        continue
                    if k + lengths[phrase] <= end and _gram(hashes, k, lengths[phrase]) == grams[phrase]:
                        found_words[count] = k
                        found_phrases[count] = phrase
                        count += 1
                        step = lengths[phrase]
                        break
            k += step
    return count


@kernel
def score_texts(
    hashes: Hashes, firsts: Longs, weights: NDArray[np.float32], bias: float, scores: NDArray[np.float32]
) -> None:
    """Logit of each text: the bias, and the mean weight of its words and of its pairs of neighbours."""
    mask = np.uint64(weights.size - 1)
    for document in range(firsts.size - 1):
        total, number, before = 0.0, 0, np.uint64(0)
        for k in range(firsts[document], firsts[document + 1]):
            total += weights[hashes[k] & mask]
            number += 1
            if k > firsts[document]:
                total += weights[mix(before * _BASE + hashes[k]) & mask]
                number += 1
            before = hashes[k]
        scores[document] = bias + (total / number if number else 0.0)


@kernel
def train_epoch(
    hashes: Hashes,
    firsts: Longs,
    order: Longs,
    labels: NDArray[np.float32],
    class_weights: NDArray[np.float32],
    rates: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float64],
) -> float:
    """One pass of stochastic gradient descent on the logistic loss, texts in the order given; the mean loss.

    The gradient of a weight is divided by the square root of the text's features instead of their number, without which
    a long text would hardly move any.
    """
    mask = np.uint64(weights.size - 1)
    loss = 0.0
    for step in range(order.size):
        document = order[step]
        begin, end = firsts[document], firsts[document + 1]
        number = 2 * (end - begin) - 1
        if number < 1:
            continue
        total, before = 0.0, np.uint64(0)
        for k in range(begin, end):
            total += weights[hashes[k] & mask]
            if k > begin:
                total += weights[mix(before * _BASE + hashes[k]) & mask]
            before = hashes[k]
        logit = bias[0] + total / number
        positive = 1.0 / (1.0 + np.exp(-logit))
        label = labels[document]
        loss += class_weights[document] * (np.log1p(np.exp(-abs(logit))) + max(logit, 0.0) - label * logit)
        error = class_weights[document] * (label - positive)
        bias[0] += 0.1 * rates[step] * error
        change = np.float32(rates[step] * error / np.sqrt(float(number)))
        for k in range(begin, end):
            slot = hashes[k] & mask
            weights[slot] += change
            if k > begin:
                slot = mix(before * _BASE + hashes[k]) & mask
                weights[slot] += change
            before = hashes[k]
    return loss / max(1, order.size)
