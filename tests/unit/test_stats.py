"""The arithmetic of promises, against exact fractions and published figures."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext import stats
from chaoslib_ext.errors import NoData

TARGETS = ["0.5", "0.9", "0.95", "0.99", "0.995", "0.999", "0.9999"]


@given(st.integers(0, 100_000), st.integers(1, 100_000), st.sampled_from(TARGETS))
def test_a_ratio_is_compared_as_the_decimal_that_was_written(good: int, more: int, target: str) -> None:
    total = good + more
    assert stats.meets(good, total, float(target)) == (good * Fraction(target).denominator >= total * Fraction(target).numerator)


@pytest.mark.parametrize(("good", "total", "target"), [(19, 20, 0.95), (999, 1000, 0.999), (9999, 10000, 0.9999), (999, 1000, 99.9 / 100), (7, 10, 0.7)])
def test_exactly_at_the_target_is_met_and_one_less_is_not(good: int, total: int, target: float) -> None:
    assert stats.meets(good, total, target) and not stats.meets(good - 1, total, target)


@pytest.mark.parametrize(("target", "needed"), [(0.5, 5), (0.95, 59), (0.99, 299), (0.995, 598), (0.999, 2995), (0.9999, 29956), (1.0, None), (0.0, 1)])
def test_the_samples_needed_are_the_published_ones(target: float, needed: int | None) -> None:
    assert stats.samples_needed(target) == needed


@given(st.floats(0.01, 0.9999))
def test_the_samples_needed_are_the_fewest_that_exclude_a_lower_ratio(target: float) -> None:
    needed = stats.samples_needed(target)
    ratio = float(stats.exact(target))
    assert needed is not None and ratio**needed <= 0.05 * (1 + 1e-9)
    assert needed == 1 or ratio ** (needed - 1) > 0.05 * (1 - 1e-9)


@pytest.mark.parametrize(
    ("target", "needed"), [(0.5, 2), (0.8, 5), (0.9, 10), (0.95, 20), (0.99, 100), (0.999, 1000), (99.9 / 100, 1000), (0.97, 34), (0.0, 1), (1.0, None)]
)
def test_enough_arrivals_allow_one_bad_one(target: float, needed: int | None) -> None:
    assert stats.enough(target) == needed
    if needed is not None and needed > 1:
        assert stats.meets(needed - 1, needed, target) and not stats.meets(needed - 2, needed - 1, target)


@pytest.mark.parametrize(
    ("good", "total", "low", "high"),
    [  # R: binom.test(good, total)$conf.int
        (9, 10, 0.5549839, 0.9974714),
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (50, 100, 0.3983211, 0.6016789),
        (2995, 2995, 0.9987691, 1.0),
    ],
)
def test_confidence_bounds_are_those_of_clopper_and_pearson(good: int, total: int, low: float, high: float) -> None:
    assert stats.confidence_bounds(good, total) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(0, 400), st.integers(0, 400))
def test_confidence_bounds_hold_the_ratio_and_mirror_each_other(good: int, bad: int) -> None:
    if good + bad == 0:
        return
    low, high = stats.confidence_bounds(good, good + bad)
    assert 0.0 <= low <= good / (good + bad) <= high <= 1.0
    mirrored = stats.confidence_bounds(bad, good + bad)
    assert (1.0 - high, 1.0 - low) == pytest.approx(mirrored, abs=1e-9)


def test_a_burn_rate_of_one_lasts_exactly_the_period() -> None:
    assert stats.burn_rate(1, 1000, 0.999) == 1.0
    assert stats.burn_rate(144, 10_000, 0.999) == pytest.approx(14.4)
    assert stats.burn_rate(1, 10, 1.0) == math.inf and stats.burn_rate(0, 10, 1.0) == 0.0


def test_the_budget_spent_is_a_share_of_the_whole_periods() -> None:
    period_s = 30 * 86400.0
    assert stats.budget_spent(2592, 0.999, 100.0, period_s) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("target", "share", "seconds"),
    [(0.999, 1.0, 52), (0.999, 0.5, 104), (0.999, 0.1, 518), (0.99, 1.0, 518), (0.9999, 1.0, 5), (0.99, 0.1, None), (0.995, 0.05, None)],
)
def test_when_on_call_is_paged_is_the_published_table(target: float, share: float, seconds: int | None) -> None:
    found = stats.page_after_s(target, share)
    assert (None if found is None else round(found)) == seconds


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values: list[int], share: float) -> None:
    ordered = sorted(values)
    found = stats.percentile(ordered, share)
    assert found in values and sum(value <= found for value in values) >= share * len(values) - 1e-9


@pytest.mark.parametrize(
    "empty",
    [
        lambda: stats.meets(0, 0, 0.9),
        lambda: stats.burn_rate(0, 0, 0.9),
        lambda: stats.confidence_bounds(0, 0),
        lambda: stats.percentile([], 0.5),
        lambda: stats.budget_spent(1, 1.0, 10.0, 60.0),
        lambda: stats.budget_spent(1, 0.9, 0.0, 60.0),
    ],
)
def test_nothing_measured_is_never_a_number(empty: object) -> None:
    with pytest.raises(NoData):
        empty()  # type: ignore[operator]


@pytest.mark.parametrize("ratio", [-0.1, 1.1, 99.9])
def test_a_ratio_outside_of_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="expected a ratio"):
        stats.exact(ratio)
