"""What scores are worth: intervals, tests and corrections over the items that a task is made of.

Every score here is a ratio of sums over items: right answers over questions, bits over bytes. Items are what is drawn
anew in the bootstrap (Efron 1979), both models' values together where two are compared, so that hard items do not count
as differences. Results depend on the items and the seed, not on their order.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA = 0.05  # errors of the first kind that are accepted; intervals cover 1 - ALPHA
NUM_DRAWS = 10_000
_MOST_COUNTS = 2_000_000  # of items times draws at once: 16 MB in float64
_MOST_EXACT = 14  # differences that are not zero, up to which all signs are tried
# Standard normal quantiles at 1 - ALPHA/2 and at a power of 80 %.
_Z_ALPHA, _Z_POWER = 1.959964, 0.841621


@dataclass(frozen=True)
class Estimate:
    """A figure and what the choice of items leaves open."""

    value: float
    low: float  # 95 % interval
    high: float
    standard_error: float
    num_items: int


def ratio(values_N: Floats, weights_N: Floats, seed: int = 0) -> Estimate:
    """The sum of values over the sum of weights, such as bits per byte, or a mean where every weight is 1."""
    return estimate(np.stack([values_N, weights_N], axis=1), lambda sums: sums[:, 0] / sums[:, 1], seed)


def paired_difference(first_N: Floats, second_N: Floats, weights_N: Floats, seed: int = 0) -> Estimate:
    """The second model's ratio minus the first's, over items that both have answered."""
    return ratio(second_N - first_N, weights_N, seed)


def estimate(rows_NK: Floats, statistic: Callable[[Floats], Floats], seed: int = 0) -> Estimate:
    """Any smooth function of column sums, with the percentile bootstrap's interval over rows.

    `statistic` takes sums [draws, K] and returns a figure for each draw.
    """
    assert len(rows_NK), "an estimate needs items"
    ordered = rows_NK[np.lexsort(rows_NK.T)]
    value = float(statistic(ordered.sum(axis=0)[None])[0])
    drawn = statistic(np.concatenate(list(_resampled_sums(ordered, seed))))
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(value, float(low), float(high), float(drawn.std(ddof=1)), len(ordered))


def _resampled_sums(rows_NK: Floats, seed: int) -> Iterator[Floats]:
    """Column sums of rows drawn with replacement, [NUM_DRAWS, K], some draws at a time."""
    generator, num = np.random.default_rng(seed), len(rows_NK)
    step = max(1, _MOST_COUNTS // num)
    for start in range(0, NUM_DRAWS, step):
        drawn = generator.integers(0, num, (min(step, NUM_DRAWS - start), num), np.int32)
        yield np.stack([column[drawn].sum(axis=1) for column in np.ascontiguousarray(rows_NK.T)], axis=1)


def mcnemar(first_N: NDArray[np.bool_], second_N: NDArray[np.bool_]) -> float:
    """The exact two-sided p-value that two models are right equally often, from items on which one alone is right.

    McNemar 1947, in the binomial form: under the null each such item is a fair coin.
    """
    only_first, only_second = int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())
    num, fewer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (num - k) // (k + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**num))


def sign_flip(differences_N: Floats, seed: int = 0) -> float:
    """The two-sided p-value that differences between two models are as likely up as down (Fisher's randomisation test).

    Exact for a few differences; else from NUM_DRAWS random choices of signs, and then never below one in that many. On
    right and wrong answers it is McNemar's test.
    """
    sizes, counts = np.unique(np.abs(differences_N[differences_N != 0]), return_counts=True)
    num = int(counts.sum())
    if num == 0:
        return 1.0
    observed = abs(float(differences_N.sum())) * (1 - 1e-9)  # sums in another order differ in their last bits
    if num <= _MOST_EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**num)[:, None] >> np.arange(num)) & 1)
        return float(np.mean(np.abs(signs @ np.repeat(sizes, counts)) >= observed))
    generator = np.random.default_rng(seed)
    step = max(1, _MOST_COUNTS // len(sizes))
    extreme = 0
    for start in range(0, NUM_DRAWS, step):
        heads = generator.binomial(counts, 0.5, (min(step, NUM_DRAWS - start), len(sizes)))
        extreme += int((np.abs((2 * heads - counts) @ sizes) >= observed).sum())
    return (1 + extreme) / (1 + NUM_DRAWS)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given: compare each with ALPHA."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def standard_error(values_N: Floats) -> float:
    """Of a mean; not a number for a single item."""
    return float(values_N.std(ddof=1)) / math.sqrt(len(values_N)) if len(values_N) > 1 else math.nan


def half_width(error: float) -> float:
    """How far a 95 % interval reaches to either side: what a single score can be told from."""
    return _Z_ALPHA * error


def minimum_detectable_effect(error: float) -> float:
    """The smallest true difference that a test at 5 % finds four times in five, from the difference's standard error."""
    return (_Z_ALPHA + _Z_POWER) * error
