"""The loops of rounding, over groups [N, size] of float32, compiled for this processor.

A group is one cache line or two, so each loop over groups runs at the speed of a core's own cache. A scale of zero makes
zeros.
"""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import summing_kernel

Floats = NDArray[np.float32]

_LOWEST, _HIGHEST = np.float32(-8), np.float32(7)
_ZERO, _ONE = np.float32(0), np.float32(1)


@summing_kernel
def extremes(groups: Floats, out: Floats) -> None:
    """The weight of largest magnitude in each group, the first of equals, [N]."""
    for group in range(groups.shape[0]):
        highest = lowest = groups[group, 0]
        for index in range(groups.shape[1]):
            highest = max(highest, groups[group, index])
            lowest = min(lowest, groups[group, index])
        out[group] = highest if highest > -lowest else lowest
        if highest == -lowest:
            for index in range(groups.shape[1]):
                if abs(groups[group, index]) == highest:
                    out[group] = groups[group, index]
                    break


@summing_kernel
def squared_errors(groups: Floats, scales: Floats, out: Floats) -> None:
    """The squared error of each group at its scale, [N]."""
    for group in range(groups.shape[0]):
        scale = scales[group]
        inverse = _ZERO if scale == _ZERO else _ONE / scale
        error = _ZERO
        for index in range(groups.shape[1]):
            weight = groups[group, index]
            value = min(max(np.rint(weight * inverse), _LOWEST), _HIGHEST)
            difference = value * scale - weight
            error += difference * difference
        out[group] = error


@summing_kernel
def fits(groups: Floats, scales: Floats, products: Floats, squares: Floats) -> None:
    """Sums over each group of value times weight, and of value squared, with values rounded at its scale, [N] each."""
    for group in range(groups.shape[0]):
        inverse = _ZERO if scales[group] == _ZERO else _ONE / scales[group]
        product = square = _ZERO
        for index in range(groups.shape[1]):
            weight = groups[group, index]
            value = min(max(np.rint(weight * inverse), _LOWEST), _HIGHEST)
            product += value * weight
            square += value * value
        products[group] = product
        squares[group] = square


@summing_kernel
def round_groups(groups: Floats, scales: Floats, out: NDArray[np.int8]) -> None:
    """The values of each group at its scale, -8..7, [N, size]."""
    for group in range(groups.shape[0]):
        inverse = _ZERO if scales[group] == _ZERO else _ONE / scales[group]
        for index in range(groups.shape[1]):
            out[group, index] = np.int8(min(max(np.rint(groups[group, index] * inverse), _LOWEST), _HIGHEST))


@summing_kernel
def sums_of_squares(groups: Floats, values: NDArray[np.int8], scales: Floats, out: NDArray[np.float64]) -> None:
    """Squares of what rounding changed, and of the weights, summed over all groups, [2]."""
    differences = weights = 0.0
    for group in range(groups.shape[0]):
        error = square = _ZERO
        for index in range(groups.shape[1]):
            weight = groups[group, index]
            difference = np.float32(values[group, index]) * scales[group] - weight
            error += difference * difference
            square += weight * weight
        differences += float(error)
        weights += float(square)
    out[0] = differences
    out[1] = weights
