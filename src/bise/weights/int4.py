"""Four-bit weights: the scale of each group is searched, and two values share a byte.

A group's largest weight seldom makes the best scale: clipping it a little can serve the other 31 better. llama.cpp's
Q4_0 maps the largest weight to -8 and stops there. Here that scale is the first candidate of a few, the best of them is
then moved to the least-squares scale of its rounded values, and what has the smallest squared error stays. So no group
is worse than in Q4_0, whose size it shares.
"""

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError

_LOWEST, _HIGHEST = -8, 7
_CANDIDATES = (1.0, 1.1, 0.92, 0.84, 0.76)  # times the scale of Q4_0
_REFINEMENTS = 2  # least-squares steps from the best candidate
_GROUPS_AT_ONCE = 4096  # half a megabyte of float32: it stays in a core's own cache

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


def round_to_int4(groups: Floats) -> tuple[NDArray[np.int8], Halves]:
    """Round groups [N, size] to values -8..7 and one scale each, [N, size] and [N]; `values * scale` is the weight.

    Raises:
        InputError: a weight is too large for a float16 scale.
    """
    from bise.weights.rounding import round_groups  # numba takes half a second to load, and most readers do not round

    groups = np.ascontiguousarray(groups, np.float32)
    values = np.empty(groups.shape, np.int8)
    scales = np.empty(len(groups), np.float16)
    for start in range(0, len(groups), _GROUPS_AT_ONCE):
        part = slice(start, start + _GROUPS_AT_ONCE)
        scales[part] = _search(groups[part])
        round_groups(groups[part], scales[part].astype(np.float32), values[part])
    return values, scales


def pack_nibbles(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """[rows, columns] of -8..7 -> [rows, columns / 2]; column 2j is the low half of byte j, as value + 8."""
    unsigned = (values + np.int8(8)).view(np.uint8)
    return unsigned[:, 0::2] | unsigned[:, 1::2] << np.uint8(4)


def unpack_nibbles(packed: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Undo `pack_nibbles`."""
    spread = packed.astype("<u2")
    spread |= spread << 4
    spread &= 0x0F0F
    values = spread.view(np.int8)
    values -= 8
    return values


def _search(groups: Floats) -> Halves:
    """The best scale found for each group."""
    from bise.weights.rounding import extremes

    largest = np.empty(len(groups), np.float32)
    extremes(groups, largest)
    with np.errstate(over="ignore", invalid="ignore"):  # a candidate may be infinite; it then loses
        exact = largest / _LOWEST
        best = exact.astype(np.float16)
        if not np.isfinite(best).all():
            raise InputError(
                f"A weight of {np.abs(groups).max():g} is too large for 4 bits. Keep the model in 16 bits."
            )
        smallest = _errors(groups, best)
        for factor in _CANDIDATES[1:]:
            _keep_better(groups, (exact * np.float32(factor)).astype(np.float16), best, smallest)
        for _ in range(_REFINEMENTS):
            _keep_better(groups, _least_squares(groups, best), best, smallest)
    return best


def _keep_better(groups: Floats, scales: Halves, best: Halves, smallest: Floats) -> None:
    """Take over the scales whose squared error is smaller; an infinite scale never is."""
    errors = _errors(groups, scales)
    np.copyto(best, scales, where=errors < smallest)
    np.fmin(errors, smallest, out=smallest)


def _errors(groups: Floats, scales: Halves) -> Floats:
    """Each group's squared error at these scales."""
    from bise.weights.rounding import squared_errors

    errors = np.empty(len(groups), np.float32)
    squared_errors(groups, scales.astype(np.float32), errors)
    return errors


def _least_squares(groups: Floats, rounded_at: Halves) -> Halves:
    """The scale that serves the values rounded at these ones best."""
    from bise.weights.rounding import fits

    products, squares = np.empty(len(groups), np.float32), np.empty(len(groups), np.float32)
    fits(groups, rounded_at.astype(np.float32), products, squares)
    scales: Halves = (products / np.where(squares == 0, 1, squares)).astype(np.float16)
    return scales
