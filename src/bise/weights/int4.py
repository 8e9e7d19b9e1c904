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
    values = np.empty(groups.shape, np.int8)
    scales = np.empty(len(groups), np.float16)
    for start in range(0, len(groups), _GROUPS_AT_ONCE):
        part = slice(start, start + _GROUPS_AT_ONCE)
        columns = np.ascontiguousarray(groups[part].T)  # a group is a column, so that sums run along vectors
        scales[part] = _search(columns)
        values[part] = _round(columns, scales[part])[0].T
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


def _search(columns: Floats) -> Halves:
    """The best scale found for each column."""
    with np.errstate(over="ignore", invalid="ignore"):  # a candidate may be infinite; it then loses
        exact = _extremes(columns) / _LOWEST
        best = exact.astype(np.float16)
        if not np.isfinite(best).all():
            raise InputError(
                f"A weight of {np.abs(columns).max():g} is too large for 4 bits. Keep the model in 16 bits."
            )
        smallest = _round(columns, best)[1]
        for factor in _CANDIDATES[1:]:
            _keep_better(columns, (exact * np.float32(factor)).astype(np.float16), best, smallest)
        for _ in range(_REFINEMENTS):
            _keep_better(columns, _least_squares(columns, best), best, smallest)
    return best


def _extremes(columns: Floats) -> Floats:
    """The weight of largest magnitude in each column, the first of equals."""
    highest, lowest = columns.max(axis=0), columns.min(axis=0)
    extremes = np.where(highest > -lowest, highest, lowest)
    ties = np.flatnonzero(highest == -lowest)
    extremes[ties] = columns[np.abs(columns[:, ties]).argmax(axis=0), ties]
    return extremes


def _keep_better(columns: Floats, scales: Halves, best: Halves, smallest: Floats) -> None:
    """Take over the scales whose squared error is smaller; an infinite scale never is."""
    errors = _round(columns, scales)[1]
    np.copyto(best, scales, where=errors < smallest)
    np.fmin(errors, smallest, out=smallest)


def _round(columns: Floats, scales: Halves) -> tuple[Floats, Floats]:
    """The nearest values at these scales, and each column's squared error; a scale of zero makes zeros."""
    steps = scales.astype(np.float32)
    zero = steps == 0
    values = columns * np.where(zero, 0, 1 / np.where(zero, 1, steps))
    np.rint(values, out=values)
    np.clip(values, _LOWEST, _HIGHEST, out=values)
    differences = values * steps
    differences -= columns
    return values, np.einsum("gn,gn->n", differences, differences)


def _least_squares(columns: Floats, rounded_at: Halves) -> Halves:
    """The scale that serves the values rounded at these ones best."""
    values = _round(columns, rounded_at)[0]
    products = np.einsum("gn,gn->n", values, columns)
    squares = np.einsum("gn,gn->n", values, values)
    scales: Halves = (products / np.where(squares == 0, 1, squares)).astype(np.float16)
    return scales
