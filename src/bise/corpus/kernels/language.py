"""A naive Bayes model of byte n-grams, found by an automaton (langid.py: Lui and Baldwin 2012), over a batch."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bise.corpus.characters import COMPOSING, LOWER, UPPER
from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Longs, decode

LANES = 16
_SIGN = np.uint32(0x8000)
_HALF_TO_SINGLE = np.float32(2.0**112)  # between the biases of the exponents of 16 and 32-bit numbers


@intrinsic
def _as_float(_context: Any, bits: Any) -> Any:
    """The 32-bit number that has these bits."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@kernel
def find_awkward(
    data: Bytes, starts: Longs, stops: Longs, forms: NDArray[np.uint8], awkward: NDArray[np.bool_]
) -> None:
    """Mark texts that must be changed first: all upper case, or not surely in composed normal form."""
    for document in range(starts.size):
        i, stop, seen = starts[document], stops[document], 0
        while i < stop:
            code, width = decode(data, i, stop)
            seen |= forms[code]
            i += width
        awkward[document] = seen & COMPOSING != 0 or (seen & UPPER != 0 and seen & LOWER == 0)


@kernel
def score_batch(
    data: Bytes,
    starts: Longs,
    stops: Longs,
    first_row: int,
    moves: NDArray[np.uint32],
    first_states: Longs,
    features: NDArray[np.int32],
    weights: NDArray[np.uint16],
    factors: NDArray[np.float32],
    scratch: tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int32], Longs],
    scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Add to the score of each label [n, labels and padding] what is found, and fill how many different features were found [n].

    A move holds the row of the next state above and the state's place among those that share the row below, so that
    one load leads from byte to byte, and as many texts as there are lanes are walked side by side, so that the waits
    for the main memory overlap. `weights` are the bits of 16-bit numbers [features, labels and padding]; `factors[k]` is what they count for when a
    feature was found k times. `scratch` is the moves made [lanes, bytes], the number of times each feature was found
    [features + 1] and the order [bytes + 1], and a row [lanes]. All counts are zero but the last one, which stands for
    states without a feature and is 1, so that these are never counted as found.
    """
    walked, counts, seen, rows = scratch
    for first in range(0, starts.size, rows.size):
        num_lanes = min(rows.size, starts.size - first)
        _walk(data, starts[first : first + num_lanes], stops[first : first + num_lanes], first_row, moves, rows, walked)
        for lane in range(num_lanes):
            num_found = 0
            for k in range(stops[first + lane] - starts[first + lane]):
                move = np.int64(walked[lane, k])
                feature = features[first_states[move >> 16] + (move & 0xFFFF)]  # -1 is the last one
                seen[num_found] = feature
                num_found += counts[feature] == 0
                counts[feature] += 1
            found[first + lane] = num_found
            for k in range(num_found):
                feature = seen[k]
                _add(scores[first + lane], weights[feature], factors[counts[feature]])
                counts[feature] = 0


@device
def _walk(
    data: Bytes, starts: Longs, stops: Longs, first_row: int, moves: NDArray[np.uint32], rows: Longs, walked: Any
) -> None:
    """Fill the moves that each text makes."""
    longest = 0
    for lane in range(starts.size):
        rows[lane] = first_row
        longest = max(longest, stops[lane] - starts[lane])
    for step in range(longest):
        for lane in range(starts.size):
            if step < stops[lane] - starts[lane]:
                move = moves[(rows[lane] << 8) + np.int64(data[starts[lane] + step])]
                rows[lane] = np.int64(move) >> 16
                walked[lane, step] = move


@device
def _add(scores: NDArray[np.float32], weights: NDArray[np.uint16], factor: np.float32) -> None:
    """scores += factor * weights."""
    for label in range(scores.size):
        half = np.uint32(weights[label])
        bits = np.uint32((half & _SIGN) << np.uint32(16)) | np.uint32((half & np.uint32(0x7FFF)) << np.uint32(13))
        scores[label] += factor * (_as_float(bits) * _HALF_TO_SINGLE)
