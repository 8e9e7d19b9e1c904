"""Shares, weights and budgets come out as asked, whatever the sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.corpus.mix import rates
from bise.corpus.recipe import Mix

SIZES = {("a", "en"): 1000, ("b", "en"): 3000, ("a", "fr"): 500, ("c", "fr"): 500}
GROUPS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["en", "fr", "de"])), st.integers(1, 10**9), min_size=1
)


def written(sizes: dict[tuple[str, str], int], mix: Mix, part: int) -> dict[str, float]:
    """Bytes by source (part 0) or language (part 1)."""
    found: dict[str, float] = {}
    for group, rate in rates(sizes, mix).items():
        found[group[part]] = found.get(group[part], 0.0) + rate * sizes[group]
    return found


def test_shares_of_languages_hold_and_the_scarcest_is_used_up() -> None:
    assert written(SIZES, Mix(languages={"en": 3.0, "fr": 1.0}), 1) == pytest.approx({"en": 3000, "fr": 1000})
    assert written(SIZES, Mix(languages={"en": 1.0, "fr": 3.0}), 1) == pytest.approx({"en": 1000 / 3, "fr": 1000})


def test_a_language_without_a_share_is_left_out() -> None:
    assert written(SIZES, Mix(languages={"fr": 1.0}), 1) == pytest.approx({"en": 0.0, "fr": 1000})


def test_weights_are_relative_rates() -> None:
    found = rates(SIZES, Mix(weights={"a": 2.0, "c": 0.0}))
    assert found == pytest.approx({("a", "en"): 1.0, ("b", "en"): 0.5, ("a", "fr"): 1.0, ("c", "fr"): 0.0})


def test_a_budget_repeats_up_to_the_cap_and_no_further() -> None:
    assert written(SIZES, Mix(max_bytes=7500, max_repeats=2.0), 1) == pytest.approx({"en": 6000, "fr": 1500})
    found = written(SIZES, Mix(max_bytes=7000, max_repeats=2.0, languages={"en": 1.0, "fr": 1.0}), 1)
    assert found == pytest.approx({"en": 5000, "fr": 2000}), "what French cannot give, English does"


@given(
    sizes=GROUPS,
    budget=st.integers(1, 10**10),
    repeats=st.floats(0.5, 8.0),
    weight=st.one_of(st.just(0.0), st.floats(0.01, 5.0)),
)
def test_no_rate_is_beyond_the_cap_and_no_mix_beyond_the_budget(
    sizes: dict[tuple[str, str], int], budget: int, repeats: float, weight: float
) -> None:
    found = rates(sizes, Mix(weights={"a": weight}, max_bytes=budget, max_repeats=repeats))
    assert all(0 <= rate <= repeats for rate in found.values())
    given_bytes = sum(rate * sizes[group] for group, rate in found.items())
    possible = sum(size * repeats for group, size in sizes.items() if weight or group[0] != "a")
    assert given_bytes <= budget * (1 + 1e-9)
    assert given_bytes == pytest.approx(min(budget, possible))


@given(sizes=GROUPS)
def test_without_a_wish_everything_is_written_once(sizes: dict[tuple[str, str], int]) -> None:
    assert rates(sizes, Mix()) == pytest.approx(dict.fromkeys(sizes, 1.0))
