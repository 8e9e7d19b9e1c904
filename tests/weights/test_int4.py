"""Four bits: what is packed is what is unpacked, and no group is worse than llama.cpp's Q4_0 would make it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bise.errors import InputError
from bise.weights.int4 import pack_int4, pack_nibbles, round_to_int4, unpack_nibbles

groups_of_32 = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.just(32)),
    elements=st.one_of(st.floats(-2, 2, width=32), st.floats(-4e5, 4e5, width=32), st.sampled_from([-1.0, 0.0, 1.0])),
)


def q4_0(groups: np.ndarray) -> np.ndarray:
    """What llama.cpp makes of groups: the weight of largest magnitude (the first of equals) becomes -8."""
    extremes = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    scales = extremes / np.float32(-8)
    with np.errstate(over="ignore", invalid="ignore"):  # of a scale so small that float16 makes it zero
        inverses = np.divide(1, scales, out=np.zeros_like(scales), where=scales.astype(np.float16) != 0)
    values = np.clip(np.trunc(groups * inverses + np.float32(8.5)), 0, 15) - 8
    return values * scales.astype(np.float16).astype(np.float32)


def squared_errors(groups: np.ndarray, rounded: np.ndarray) -> np.ndarray:
    return ((groups.astype(np.float64) - rounded) ** 2).sum(axis=1)


@settings(deadline=None)
@given(groups_of_32)
@example(np.array([[1.0, -1.0] + [0.9] * 30, [-1.0, 1.0] + [0.9] * 30], np.float32))
@example(np.full((1, 32), 1e-8, np.float32))
def test_no_group_is_worse_than_q4_0(groups: np.ndarray) -> None:
    values, scales = round_to_int4(groups)
    assert values.min() >= -8
    assert values.max() <= 7
    ours = squared_errors(groups, values * scales.astype(np.float32)[:, None])
    theirs = squared_errors(groups, q4_0(groups))
    assert (ours <= theirs * (1 + 1e-4) + 1e-30).all()  # the search sums in float32


def test_bell_shaped_weights_lose_a_twentieth_less_than_in_q4_0() -> None:
    groups = np.random.default_rng(0).standard_normal((20_000, 32)).astype(np.float32)
    values, scales = round_to_int4(groups)
    ours = squared_errors(groups, values * scales.astype(np.float32)[:, None]).sum()
    theirs = squared_errors(groups, q4_0(groups)).sum()
    assert np.sqrt(ours / theirs) < 0.95


def test_a_group_is_rounded_alike_whatever_its_neighbours() -> None:
    groups = np.random.default_rng(1).standard_normal((9000, 32)).astype(np.float32)
    values, scales = round_to_int4(groups)
    part_values, part_scales = round_to_int4(groups[4000:4100])
    np.testing.assert_array_equal(part_values, values[4000:4100])
    np.testing.assert_array_equal(part_scales, scales[4000:4100])


def expected_errors(groups: np.ndarray, rounded: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Of each group, the mean squared error of its product with what meets it."""
    differences = (groups - rounded).reshape(-1, len(moments), 32)
    return np.einsum("rgi,gij,rgj->rg", differences, moments, differences)


def correlated(random: np.random.Generator, num_groups: int) -> np.ndarray:
    """Second moments of inputs of which some go together."""
    inputs = random.standard_normal((500, num_groups, 32)) + 2 * random.standard_normal((500, num_groups, 1))
    return np.einsum("tgi,tgj->gij", inputs, inputs).astype(np.float32) / 500


def test_known_inputs_make_the_product_more_exact() -> None:
    random = np.random.default_rng(2)
    groups, moments = random.standard_normal((300 * 6, 32)).astype(np.float32), correlated(random, 6)
    found = {}
    for name, known in (("searched", None), ("known", moments)):
        values, scales = round_to_int4(groups, known)
        assert values.min() >= -8
        assert values.max() <= 7
        found[name] = expected_errors(groups, values * scales.astype(np.float32)[:, None], moments)
    assert found["known"].sum() < 0.5 * found["searched"].sum()
    assert (found["known"] <= found["searched"] * 1.01).mean() > 0.999  # the new scale is rounded to float16


def test_inputs_that_do_not_go_together_change_little() -> None:
    groups = np.random.default_rng(3).standard_normal((2000, 32)).astype(np.float32)
    values, scales = round_to_int4(groups)
    known_values, known_scales = round_to_int4(groups, np.eye(32, dtype=np.float32)[None])
    ours = squared_errors(groups, known_values * known_scales.astype(np.float32)[:, None]).sum()
    assert ours <= squared_errors(groups, values * scales.astype(np.float32)[:, None]).sum() * (1 + 1e-4)


def test_each_group_of_a_row_has_its_own_inputs_wherever_a_part_begins() -> None:
    random = np.random.default_rng(4)
    groups, moments = random.standard_normal((1500 * 6, 32)).astype(np.float32), correlated(random, 6)
    groups[::7] = 0
    values, scales = round_to_int4(groups, moments)
    part_values, part_scales = round_to_int4(groups[6 * 800 : 6 * 900], moments)
    np.testing.assert_array_equal(part_values, values[6 * 800 : 6 * 900])
    np.testing.assert_array_equal(part_scales, scales[6 * 800 : 6 * 900])
    assert not values[::7].any()


@pytest.mark.parametrize("are_searched", [True, False])
def test_the_stored_form_made_at_once_is_that_of_the_values(are_searched: bool) -> None:
    groups = np.random.default_rng(5).standard_normal((9000, 32)).astype(np.float32)
    packed, scales = np.empty((9000, 16), np.uint8), np.empty(9000, np.float16)
    sums = pack_int4(groups, are_searched, packed, scales)
    rounded = unpack_nibbles(packed) * scales.astype(np.float32)[:, None]
    np.testing.assert_allclose(sums, [squared_errors(groups, rounded).sum(), (groups**2).sum()], rtol=1e-4)
    if are_searched:
        values, expected = round_to_int4(groups)
        np.testing.assert_array_equal(unpack_nibbles(packed), values)
        np.testing.assert_array_equal(scales, expected)
    else:
        theirs = squared_errors(groups, q4_0(groups))
        np.testing.assert_allclose(squared_errors(groups, rounded), theirs, rtol=0.05)
        assert np.mean(np.isclose(rounded, q4_0(groups), atol=1e-6)) > 0.99  # all but what lies between two values


def test_a_weight_beyond_the_scales_is_refused() -> None:
    with pytest.raises(InputError, match="too large for 4 bits"):
        round_to_int4(np.full((1, 32), 1e6, np.float32))


@given(arrays.arrays(np.int8, st.tuples(st.integers(0, 4), st.sampled_from([2, 32, 96])), elements=st.integers(-8, 7)))
def test_what_is_packed_is_unpacked(values: np.ndarray) -> None:
    packed = pack_nibbles(values)
    assert packed.shape == (len(values), values.shape[1] // 2)
    np.testing.assert_array_equal(packed & 15, values[:, 0::2] + 8)
    np.testing.assert_array_equal(unpack_nibbles(packed), values)
