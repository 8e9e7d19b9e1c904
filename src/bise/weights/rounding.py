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
_SWEEPS = 4


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
def descend(
    groups: Floats, moments: Floats, first: int, scales: Floats, values: NDArray[np.int8], slopes: Floats
) -> None:
    """Move one value of each group at a time to where (w - s q)' M (w - s q) is least, until none moves, [N, size].

    M, [G, size, size], are the second moments of what meets a row's groups, of which `first` meets the first here; their
    diagonals are positive. `slopes`, [size], is for a group's own M (w - s q).
    """
    for group in range(groups.shape[0]):
        scale, moment = scales[group], moments[(first + group) % moments.shape[0]]
        if scale == _ZERO:
            continue
        for index in range(groups.shape[1]):
            slope = _ZERO
            for other in range(groups.shape[1]):
                slope += moment[index, other] * (groups[group, other] - scale * np.float32(values[group, other]))
            slopes[index] = slope
        for _ in range(_SWEEPS):
            has_moved = False
            for index in range(groups.shape[1]):
                value = np.float32(values[group, index])
                best = min(max(np.rint(value + slopes[index] / (scale * moment[index, index])), _LOWEST), _HIGHEST)
                if best != value:
                    step = (best - value) * scale
                    for other in range(groups.shape[1]):
                        slopes[other] -= step * moment[index, other]
                    values[group, index] = np.int8(best)
                    has_moved = True
            if not has_moved:
                break


@summing_kernel
def moment_fits(
    groups: Floats, moments: Floats, first: int, values: NDArray[np.int8], products: Floats, squares: Floats
) -> None:
    """q' M w and q' M q of each group, [N] each; what M is: see `descend`."""
    for group in range(groups.shape[0]):
        moment = moments[(first + group) % moments.shape[0]]
        product = square = _ZERO
        for index in range(groups.shape[1]):
            value = np.float32(values[group, index])
            towards = along = _ZERO
            for other in range(groups.shape[1]):
                towards += moment[index, other] * groups[group, other]
                along += moment[index, other] * np.float32(values[group, other])
            product += value * towards
            square += value * along
        products[group] = product
        squares[group] = square


@summing_kernel
def pack_groups(
    groups: Floats, scales: Floats, values: NDArray[np.uint8], out: NDArray[np.uint8], sums: NDArray[np.float64]
) -> None:
    """Round at these scales to two values a byte, value + 8 of column 2j in the low half of byte j, [N, size / 2].

    Squares of what that changed, and of the weights, are added to `sums`, [2]; `values`, [size], is for a group's own.
    """
    differences = weights = 0.0
    for group in range(groups.shape[0]):
        scale = scales[group]
        inverse = _ZERO if scale == _ZERO else _ONE / scale
        error = square = _ZERO
        for index in range(groups.shape[1]):
            weight = groups[group, index]
            value = min(max(np.rint(weight * inverse), _LOWEST), _HIGHEST)
            difference = value * scale - weight
            error += difference * difference
            square += weight * weight
            values[index] = np.uint8(np.int32(value) + 8)
        for index in range(out.shape[1]):
            out[group, index] = values[2 * index] | values[2 * index + 1] << np.uint8(4)
        differences += float(error)
        weights += float(square)
    sums[0] += differences
    sums[1] += weights


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
