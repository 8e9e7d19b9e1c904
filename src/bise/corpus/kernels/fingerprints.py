"""What documents are compared by, of all of a text's words at once: signature, paragraphs and anchors of windows.

Anchors are the parts of windows that are kept for comparing (winnowing: Schleimer, Wilkerson and Aiken, SIGMOD 2003): of
the parts of half a window's words that lie in a window, the one with the least hash. Windows with equal words have equal
anchors, so a text whose anchors stand nowhere else shares no window, and one word in fourteen is an anchor.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.minhash import sign
from bise.corpus.kernels.repeats import is_whole, line_stop, next_line
from bise.corpus.kernels.text import Bytes, Hashes, Longs, mix
from bise.corpus.kernels.words import base_power, hash_words


@kernel
def fingerprint_batch(
    data: Bytes,
    offsets: Longs,
    kinds: NDArray[np.uint16],
    letters: NDArray[np.uint32],
    min_words: int,
    width: int,
    scratch: tuple[Bytes, Hashes, Hashes],
    rounds: NDArray[np.int16],
    signatures: NDArray[np.uint32],
    passages: tuple[Hashes, Hashes],
    passage_offsets: tuple[Longs, Longs],
) -> None:
    """Fill signatures, paragraphs of at least `min_words` and anchors of windows of `width` words; 0 leaves them out.

    Signatures are left out when there is no room for them. `passage_offsets` are where each text's passages begin [n + 1].
    """
    folded, prefix, values = scratch
    paragraphs, anchors = passages
    num_paragraphs, num_anchors = 0, 0
    for document in range(offsets.size - 1):
        passage_offsets[0][document], passage_offsets[1][document] = num_paragraphs, num_anchors
        first, start, stop, count = offsets[document], offsets[document], offsets[document + 1], 0
        while start < stop:
            end = line_stop(data, start, stop)
            before = count
            count = hash_words(data, start, end, kinds, letters, folded, prefix, count)
            if 0 < min_words <= count - before and is_whole(data, first, start, end, stop, kinds):
                line = prefix[count] - prefix[before] * base_power(count - before)
                paragraphs[num_paragraphs] = mix(line ^ np.uint64(count - before))
                num_paragraphs += 1
            start = next_line(data, end, stop)
        if signatures.size:
            sign(prefix, count, rounds, signatures[document])
        if 0 < width <= count:
            num_anchors = _add_anchors(prefix, count, width, values, anchors, num_anchors)
    passage_offsets[0][offsets.size - 1], passage_offsets[1][offsets.size - 1] = num_paragraphs, num_anchors


@device
def _add_anchors(prefix: Hashes, count: int, width: int, values: Hashes, anchors: Hashes, num_anchors: int) -> int:
    """Append the anchors of a text; returns how many there are."""
    part = (width + 1) // 2
    in_window, power = width - part + 1, base_power(part)
    for k in range(count - part + 1):
        values[k] = mix(prefix[k + part] - prefix[k] * power)
    least, last = 0, -1
    for k in range(count - part + 1):
        if k - least >= in_window:
            least += 1
            for j in range(least + 1, k + 1):
                if values[j] <= values[least]:
                    least = j
        elif values[k] <= values[least]:
            least = k
        if k >= in_window - 1 and least != last:
            anchors[num_anchors] = values[least]
            num_anchors += 1
            last = least
    return num_anchors
