"""
The arithmetic of promises: exact ratios, sample sizes, confidence bounds, burn rates.

A target is written in decimals (0.95), which a float only approximates; comparisons therefore use the
fraction that was meant, never the float: `19/20 >= 0.95` must not hang on a rounding error.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

from chaoslib_ext.errors import NoData

LEVEL = 0.95  # of every interval that is printed
POWER = 0.8  # how often a change of the stated size must be told; the customary one
FAST_PAGE = 14.4  # 2 % of a 30-day budget in one hour; The Site Reliability Workbook, ch. 5
_DENOMINATOR = 10_000_000  # targets are written with at most seven decimals


def exact(ratio: float) -> Fraction:
    """The fraction that a decimal like 0.999 was meant to be. Raises ValueError outside [0, 1]."""
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"got {ratio!r}, expected a ratio from 0 to 1")
    return Fraction(ratio).limit_denominator(_DENOMINATOR)


def meets(good: int, total: int, target: float) -> bool:
    """Whether `good` of `total` is at least `target`, exactly. Raises NoData when `total` is 0."""
    if total <= 0:
        raise NoData("no sample to compare with a target")
    return Fraction(good, total) >= exact(target)


def samples_needed(target: float) -> int | None:
    """
    How many samples without a failure exclude, at 95 %, a true ratio below `target`; None when no number does.

    The smallest n with target**n <= 0.05: 299, 598, 2,995 for 99, 99.5, 99.9 %.
    """
    ratio = exact(target)
    if ratio == 1:
        return None
    return 1 if ratio == 0 else max(1, math.ceil(math.log(0.05) / math.log(float(ratio))))


def enough(target: float) -> int | None:
    """The smallest number of arrivals of which one may be bad: ceil(1 / (1 - target)); None at 1.0."""
    ratio = exact(target)
    return None if ratio == 1 else math.ceil(1 / (1 - ratio))


def confidence_bounds(good: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """
    The Clopper-Pearson interval of a ratio. Printed only, never judged. Raises NoData when `total` is 0.

    Source: Clopper and Pearson, Biometrika 26 (1934), 404-413.
    """
    if total <= 0:
        raise NoData("no sample to bound")
    tail = (1.0 - level) / 2.0
    low = 0.0 if good == 0 else _beta_quantile(tail, good, total - good + 1)
    high = 1.0 if good == total else _beta_quantile(1.0 - tail, good + 1, total - good)
    return low, high


def least_bad(total: int, target: float) -> int | None:
    """
    The fewest bad ones of `total` whose confidence bounds lie below `target` altogether; None when all of them being bad does not suffice.

    The bounds are those of `confidence_bounds`: at a service that is exactly at its target, chance alone brings so many in
    at most 2.5 % of all windows.
    """
    allowed = float(1 - exact(target))
    found = bisect_left(range(total + 2), True, key=lambda bad: _at_least(bad, total, allowed) < (1.0 - LEVEL) / 2.0)
    return found if 0 < found <= total else None


def detectable_loss(total: int, target: float) -> float | None:
    """
    The smallest drop of the ratio below `target` that `total` samples tell from none, as a ratio; None when they tell none.

    Told: the 95 % bounds of `confidence_bounds` lie below the target. Assumed: without the loss the service is exactly at its
    target. At a drop of this size that happens in `POWER` of all windows, at a smaller one less often. An objective judges the
    point, which is what became of these very arrivals; this is how far that speaks for arrivals that were never sent.

    Source: the exact binomial test; the tail of the binomial is the regularised incomplete beta function (Clopper and Pearson, 1934).
    """
    bad = least_bad(total, target)
    if bad is None:
        return None
    return max(0.0, _beta_quantile(POWER, bad, total - bad + 1) - float(1 - exact(target)))


def rank_interval(total: int, share: float) -> tuple[int, int] | None:
    """
    The ranks i < j, from 1, of the sorted samples between which the percentile of all possible samples lies, at 95 %; None when there are too few.

    At most 2.5 % are left out on each side: P(B < i) and P(B >= j) with B binomial(total, share).
    Source: Conover, Practical Nonparametric Statistics, 3rd ed., 3.2, "Confidence interval for a quantile".
    """
    tail, ratio = (1.0 - LEVEL) / 2.0, float(exact(share))
    i = bisect_left(range(total + 2), True, key=lambda rank: _at_least(rank, total, ratio) < 1.0 - tail) - 1
    j = bisect_left(range(total + 2), True, key=lambda rank: _at_least(rank, total, ratio) <= tail)
    return (i, j) if i >= 1 and j <= total else None


def _at_least(count: int, total: int, chance: float) -> float:
    """P(B >= count), B binomial(total, chance)."""
    if not 0 < count <= total:
        return float(count <= 0)
    return 1.0 if chance >= 1.0 else _beta_cdf(chance, count, total - count + 1)


def _beta_quantile(probability: float, a: int, b: int) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):  # halves the interval to below the resolution of a float near 1
        middle = (low + high) / 2.0
        if _beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _beta_cdf(x: float, a: int, b: int) -> float:
    """The regularised incomplete beta function. Source: Numerical Recipes, 3rd ed., 6.4."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1.0 - front * _beta_fraction(1.0 - x, b, a) / b


def _beta_fraction(x: float, a: int, b: int) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 100_000):
        step = 1.0
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1.0 / _away_from_zero(1.0 + term * d, tiny)
            c = _away_from_zero(1.0 + term / c, tiny)
            step = c * d
            value *= step
        if abs(step - 1.0) < 1e-14:
            return value
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value


def burn_rate(bad: int, total: int, target: float) -> float:
    """
    How many times faster than allowed the error budget is being spent; at 1.0 it lasts exactly the SLO's period.

    Infinite at a target of 1.0 with a bad sample. Raises NoData when `total` is 0.
    Source: The Site Reliability Workbook, ch. 5, "Alerting on SLOs".
    """
    if total <= 0:
        raise NoData("no sample to burn a budget with")
    allowed = 1 - exact(target)
    if allowed == 0:
        return math.inf if bad else 0.0
    return float(Fraction(bad, total) / allowed)


def budget_spent(bad: int, target: float, rate: float, period_s: float) -> float:
    """
    The share of a period's error budget that `bad` samples spent, at a mean rate of `rate` samples per second.

    Raises NoData when that budget is nothing: no traffic, or a target of 1.0.
    """
    budget = float(1 - exact(target)) * rate * period_s
    if budget <= 0.0:
        raise NoData("there is no error budget to spend")
    return bad / budget


def page_after_s(target: float, error_ratio: float) -> float | None:
    """
    Seconds of `error_ratio`, after a healthy hour, until the fast page (14.4 x, 1 h and 5 min) fires; None when never.

    Source: The Site Reliability Workbook, ch. 5, table of recommended parameters.
    """
    threshold = FAST_PAGE * float(1 - exact(target))
    return None if error_ratio <= threshold else threshold * 3600.0 / error_ratio


def percentile(ordered: Sequence[int], share: float) -> int:
    """The nearest-rank percentile of sorted values. Raises NoData when there are none."""
    if not ordered:
        raise NoData("no value to rank")
    return ordered[max(0, math.ceil(exact(share) * len(ordered)) - 1)]
