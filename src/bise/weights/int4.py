"""Four-bit weights: the scale of each group is searched, and two values share a byte.

A group's largest weight seldom makes the best scale: clipping it a little can serve the other 31 better. llama.cpp's
Q4_0 maps the largest weight to -8 and stops there. Here that scale is the first candidate of a few, the best of them is
then moved to the least-squares scale of its rounded values, and what has the smallest squared error stays. So no group
is worse than in Q4_0, whose size it shares.

What rounding does to a product depends on what the weights meet. Where the second moments of a group's 32 inputs are known,
its values are moved one at a time to where the expected squared error of the product is least, so that errors of inputs
that go together cancel; GPTQ (arXiv 2210.17323) does so along a whole row, which needs moments of all pairs of columns.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError

_LOWEST, _HIGHEST = -8, 7
_CANDIDATES = (1.0, 1.1, 0.92, 0.84, 0.76)  # times the scale of Q4_0
_REFINEMENTS = 2  # least-squares steps from the best candidate
_GROUPS_AT_ONCE = 4096  # half a megabyte of float32: it stays in a core's own cache

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


def round_to_int4(groups: Floats, moments: Floats | None = None) -> tuple[NDArray[np.int8], Halves]:
    """Round groups to values -8..7 and one scale each, [N, size] and [N]; `values * scale` is the weight.

    Args:
        groups: [N, size], row by row of a matrix.
        moments: of what meets the groups of a row, [groups of a row, size, size], with positive diagonals.

    Raises:
        InputError: a weight is too large for a float16 scale.
    """
    from bise.weights.rounding import round_groups  # numba takes half a second to load, and most readers do not round

    groups = np.ascontiguousarray(groups, np.float32)
    values, scales = np.empty(groups.shape, np.int8), np.empty(len(groups), np.float16)
    for part, searched in _chosen_scales(groups, are_searched=True):
        round_groups(groups[part], searched.astype(np.float32), values[part])
        scales[part] = searched
        if moments is not None:
            scales[part] = _descend(groups[part], moments, part.start % len(moments), searched, values[part])
    return values, scales


def pack_int4(groups: Floats, are_searched: bool, packed: NDArray[np.uint8], scales: Halves) -> NDArray[np.float64]:
    """Round in one pass to the stored form: fills `packed`, [N, size / 2] as `pack_nibbles` does, and `scales`.

    Without a search, the scales are those of Q4_0.

    Returns:
        Sums of squares: of what rounding changed, and of the weights.
    """
    from bise.weights.rounding import pack_groups

    sums, values = np.zeros(2), np.empty(groups.shape[1], np.uint8)
    for part, chosen in _chosen_scales(groups, are_searched):
        scales[part] = chosen
        pack_groups(groups[part], chosen.astype(np.float32), values, packed[part], sums)
    return sums


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


def _chosen_scales(groups: Floats, are_searched: bool) -> Iterator[tuple[slice, Halves]]:
    """The scales of some groups at a time."""
    from bise.weights.rounding import extremes

    for start in range(0, len(groups), _GROUPS_AT_ONCE):
        part = slice(start, start + _GROUPS_AT_ONCE)
        largest = np.empty(len(groups[part]), np.float32)
        extremes(groups[part], largest)
        with np.errstate(over="ignore", invalid="ignore"):  # a candidate may be infinite; it then loses
            exact: Floats = largest / np.float32(_LOWEST)
            scales: Halves = exact.astype(np.float16)
            if not np.isfinite(scales).all():
                raise InputError(
                    f"A weight of {np.abs(largest).max():g} is too large for 4 bits. Keep the model in 16 bits."
                )
            if are_searched:
                _search(groups[part], exact, scales)
        yield part, scales


def _search(groups: Floats, exact: Floats, best: Halves) -> None:
    """Replace each group's scale by the best found; `exact` is Q4_0's before it became float16."""
    smallest = _errors(groups, best)
    for factor in _CANDIDATES[1:]:
        _keep_better(groups, (exact * np.float32(factor)).astype(np.float16), best, smallest)
    for _ in range(_REFINEMENTS):
        _keep_better(groups, _least_squares(groups, best), best, smallest)


def _descend(groups: Floats, moments: Floats, first: int, scales: Halves, values: NDArray[np.int8]) -> Halves:
    """Better values at these scales, then the scales that serve those best, then better values at them."""
    from bise.weights.rounding import descend, moment_fits

    slopes = np.empty(groups.shape[1], np.float32)
    descend(groups, moments, first, scales.astype(np.float32), values, slopes)
    products, squares = np.empty(len(groups), np.float32), np.empty(len(groups), np.float32)
    moment_fits(groups, moments, first, values, products, squares)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        fitted = (products / squares).astype(np.float16)
    fitted = np.where(np.isfinite(fitted), fitted, scales)
    descend(groups, moments, first, fitted.astype(np.float32), values, slopes)
    return fitted


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
