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
    scratch: tuple[NDArray[np.int32], NDArray[np.int32]],
    scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Add to the score of each label [n, labels] what is found, and fill how many different features were found [n].

    A move holds the row of the next state above and the state's place among those that share the row below, so that
    one load leads from byte to byte. `weights` are the bits of 16-bit numbers [features, labels].
    """
    counts, seen = scratch
    for document in range(starts.size):
        num_seen, row = 0, np.int64(first_row)
        for i in range(starts[document], stops[document]):
            move = np.int64(moves[(row << 8) + np.int64(data[i])])
            row = move >> 16
            feature = features[first_states[row] + (move & 0xFFFF)]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[num_seen] = feature
                    num_seen += 1
                counts[feature] += 1
        found[document] = num_seen
        for k in range(num_seen):
            feature = seen[k]
            _add(scores[document], weights[feature], np.float32(np.log1p(np.float32(counts[feature]))))
            counts[feature] = 0


@device
def _add(scores: NDArray[np.float32], weights: NDArray[np.uint16], factor: np.float32) -> None:
    """scores += factor * weights."""
    for label in range(scores.size):
        half = np.uint32(weights[label])
        bits = np.uint32((half & _SIGN) << np.uint32(16)) | np.uint32((half & np.uint32(0x7FFF)) << np.uint32(13))
        scores[label] += factor * (_as_float(bits) * _HALF_TO_SINGLE)
