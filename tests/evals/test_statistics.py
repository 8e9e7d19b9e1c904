"""Tests and intervals keep what they promise: exact on small cases, honest on simulated ones."""

import itertools
import math

import numpy as np
import pytest

from bise.evals.statistics import (
    estimate,
    half_width,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_difference,
    ratio,
    sign_flip,
    standard_error,
)

RNG = np.random.default_rng(0)


def test_mcnemar_is_the_count_of_all_coins() -> None:
    for only_first, only_second in itertools.product(range(6), repeat=2):
        num = only_first + only_second
        far = abs(only_first - only_second)
        tosses = itertools.product((-1, 1), repeat=num)
        expected = np.mean([abs(sum(toss)) >= far for toss in tosses])
        first = np.array([True] * only_first + [False] * only_second + [True, False])
        second = np.array([False] * only_first + [True] * only_second + [True, False])
        assert mcnemar(first, second) == pytest.approx(expected)
        assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_many_items_meets_the_normal_approximation() -> None:
    first, second = np.zeros(20_000, bool), np.zeros(20_000, bool)
    first[:4_900], second[4_900:10_000] = True, True
    z = (200 - 1) / math.sqrt(10_000)  # with the correction for continuity
    assert mcnemar(first, second) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_flipped_signs_are_mcnemar_on_right_and_wrong() -> None:
    for num in (10, 400):
        first, second = RNG.random(num) < 0.5, RNG.random(num) < 0.6
        found = sign_flip(second.astype(float) - first.astype(float))
        assert found == pytest.approx(mcnemar(first, second), abs=0.0 if num == 10 else 0.02)


def test_flipped_signs_by_chance_meet_all_signs() -> None:
    differences = RNG.normal(0.3, 1, 15)  # one too many to be tried in full
    signs = np.array(list(itertools.product((-1, 1), repeat=15)))
    exact = (np.abs(signs @ np.abs(differences)) >= abs(differences.sum()) - 1e-9).mean()
    assert sign_flip(differences) == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("test", [sign_flip, lambda d: mcnemar(d > 0, d < 0)])
def test_nothing_is_found_where_nothing_is_more_often_than_promised(test) -> None:
    found = [test(np.sign(RNG.normal(0, 1, 60))) < 0.05 for _ in range(500)]
    assert np.mean(found) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


def test_intervals_cover_the_truth_as_often_as_promised() -> None:
    covered = []
    for _ in range(250):
        weights = RNG.integers(50, 500, 60).astype(float)
        bits_a = weights * RNG.normal(1.2, 0.3, 60)
        bits_b = bits_a + weights * RNG.normal(0.05, 0.1, 60)
        found = paired_difference(bits_a, bits_b, weights)
        covered.append(found.low <= 0.05 <= found.high)
    assert 0.91 < np.mean(covered) < 0.985


def test_the_bootstrap_meets_the_formula_for_means() -> None:
    values = RNG.normal(5, 2, 300)
    found = ratio(values, np.ones(300))
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(standard_error(values), rel=0.05)
    assert (found.high - found.low) / 2 == pytest.approx(half_width(standard_error(values)), rel=0.05)
    assert found.num_items == 300


def test_order_does_not_matter_and_the_seed_repeats() -> None:
    values, weights = RNG.random(200), RNG.random(200) + 0.5
    order = RNG.permutation(200)
    assert ratio(values, weights) == ratio(values[order], weights[order])
    assert ratio(values, weights) == ratio(values, weights)
    assert ratio(values, weights, seed=1) != ratio(values, weights)
    assert sign_flip(values - 0.5) == sign_flip((values - 0.5)[order])


def test_a_ratio_of_columns_is_one_statistic() -> None:
    english = RNG.gamma(20, 5, 250)
    other = 1.3 * english * RNG.normal(1, 0.1, 250)
    found = estimate(np.stack([other, english], axis=1), lambda sums: sums[:, 0] / sums[:, 1])
    assert found.low < 1.3 < found.high
    assert found.value == pytest.approx(other.sum() / english.sum())


def test_holm_takes_the_smallest_first_and_never_turns_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    p_values = RNG.random(20).tolist()
    adjusted = holm(p_values)
    assert sorted(range(20), key=p_values.__getitem__) == sorted(range(20), key=lambda n: (adjusted[n], p_values[n]))


def test_holm_keeps_the_errors_of_a_whole_family_in_bounds() -> None:
    families = [min(holm(RNG.random(12).tolist())) < 0.05 for _ in range(2_000)]
    assert np.mean(families) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2_000)


def test_the_detectable_effect_is_found_four_times_in_five() -> None:
    error = 0.1
    effect = minimum_detectable_effect(error)
    found = RNG.normal(effect, error, 20_000) > half_width(error)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_half_the_width_at_even_odds() -> None:
    half = np.array([1.0, 0.0] * 50)
    assert half_width(standard_error(half)) == pytest.approx(0.098, abs=0.001)
