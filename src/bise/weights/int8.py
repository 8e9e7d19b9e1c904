"""Eight-bit weights: the scale of each group of 32 is its largest weight over 127, rounded up to float16.

Rounded up, the largest weight never needs more than 127 steps, and every weight is off by at most half a step.
"""

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError

_LARGEST = 127  # -128 is left out, so that the range is symmetric


def round_to_int8(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Round groups [N, size] to values -127..127 and one scale each, [N, size] and [N].

    Raises:
        InputError: a weight is too large for a float16 scale.
    """
    exact = np.abs(groups).max(axis=1).astype(np.float64) / _LARGEST  # in float32 a subnormal would vanish
    if exact.size and exact.max() > np.finfo(np.float16).max:
        raise InputError(f"A weight of {np.abs(groups).max():g} is too large for 8 bits. Keep the model in 16 bits.")
    scales = exact.astype(np.float16)
    scales = np.where(scales < exact, np.nextafter(scales, np.float16(np.inf)), scales)
    steps = np.where(scales == 0, 1, scales).astype(np.float32)  # a group of zeros has scale 0
    return np.rint(groups / steps[:, None]).astype(np.int8), scales
