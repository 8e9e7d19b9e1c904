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

LANES = 8
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
    scratch: tuple[NDArray[np.int32], NDArray[np.int32], Longs],
    scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Add to the score of each label [n, labels] what is found, and fill how many different features were found [n].

    A move holds the row of the next state above and the state's place among those that share the row below, so that
    one load leads from byte to byte, and LANES texts are walked side by side, so that the waits for the main memory
    overlap. `weights` are the bits of 16-bit numbers [features, labels]; `scratch` is the number of times and the order
    in which features were found [LANES, features], the first all zero, and a row [LANES].
    """
    counts, seen, rows = scratch
    for first in range(0, starts.size, LANES):
        num_lanes = min(LANES, starts.size - first)
        longest = 0
        for lane in range(num_lanes):
            rows[lane], found[first + lane] = first_row, 0
            longest = max(longest, stops[first + lane] - starts[first + lane])
        for step in range(longest):
            for lane in range(num_lanes):
                i = starts[first + lane] + step
                if i < stops[first + lane]:
                    move = np.int64(moves[(rows[lane] << 8) + np.int64(data[i])])
                    rows[lane] = move >> 16
                    feature = features[first_states[move >> 16] + (move & 0xFFFF)]
                    if feature >= 0:
                        if counts[lane, feature] == 0:
                            seen[lane, found[first + lane]] = feature
                            found[first + lane] += 1
                        counts[lane, feature] += 1
        for lane in range(num_lanes):
            for k in range(found[first + lane]):
                feature = seen[lane, k]
                weight = np.float32(np.log1p(np.float32(counts[lane, feature])))
                _add(scores[first + lane], weights[feature], weight)
                counts[lane, feature] = 0


@device
def _add(scores: NDArray[np.float32], weights: NDArray[np.uint16], factor: np.float32) -> None:
    """scores += factor * weights."""
    for label in range(scores.size):
        half = np.uint32(weights[label])
        bits = np.uint32((half & _SIGN) << np.uint32(16)) | np.uint32((half & np.uint32(0x7FFF)) << np.uint32(13))
        scores[label] += factor * (_as_float(bits) * _HALF_TO_SINGLE)
