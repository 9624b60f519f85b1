"""The loss that a plan says to be tellable is told: against exact integers, and by the verdict's own judge over generated counts."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import stats
from chaoslib_ext.block import Block, Objective
from chaoslib_ext.judging.case import case_of
from chaoslib_ext.judging.objectives import judge_objective
from chaoslib_ext.result import MISSED, Finding
from chaoslib_ext.rundir import Run
from chaoslib_ext.runner import power
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import Outcome, Rows

DRAWS = 4000
FINE = 10**7
CASES = [(3000, "0.99"), (3000, "0.98"), (1000, "0.95"), (6000, "0.999"), (500, "0.5"), (299, "0.99"), (59, "0.95")]


# the same in exact integers ------------------------------------------------------------------------------------------


def fewer(count: int, total: int, chance: Fraction) -> Fraction:
    """P(B < count), B binomial(total, chance)."""
    a, b = chance.numerator, chance.denominator
    return Fraction(sum(math.comb(total, k) * a**k * (b - a) ** (total - k) for k in range(count)), b**total)


def least_bad(total: int, target: Fraction) -> int | None:
    """The fewest bad ones that chance brings in at most 2.5 % of all windows, counted up from none."""
    a, b = (1 - target).numerator, (1 - target).denominator
    below, limit = 0, Fraction(975, 1000) * b**total
    for count in range(total + 1):
        if below > limit:
            return count
        below += math.comb(total, count) * a**count * (b - a) ** (total - count)
    return None


@pytest.mark.parametrize(("total", "target"), [*CASES, (4, "0.5"), (5, "0.5"), (6, "0.5"), (1, "0.95"), (20, "0.99")])
def test_the_loss_is_the_smallest_that_four_of_five_windows_show(total: int, target: str) -> None:
    bad = least_bad(total, Fraction(target))
    assert stats.least_bad(total, float(target)) == bad
    loss = stats.detectable_loss(total, float(target))
    if bad is None:
        assert loss is None
        return
    assert loss is not None
    allowed = 1 - Fraction(target)
    at, below = (allowed + Fraction(max(0, round(loss * FINE) + step), FINE) for step in (1, -2))
    assert fewer(bad, total, at) <= Fraction(1, 5), "at the stated loss it is told"
    assert below <= allowed or fewer(bad, total, below) > Fraction(1, 5), "at a smaller one it is not"


@pytest.mark.parametrize(("total", "share"), [(200, "0.95"), (100, "0.5"), (500, "0.99"), (72, "0.95"), (71, "0.95"), (20, "0.9"), (1, "0.5"), (0, "0.5")])
def test_the_ranks_hold_the_percentile_and_no_narrower_ones_do(total: int, share: str) -> None:
    found, chance, tail = stats.rank_interval(total, float(share)), Fraction(share), Fraction(25, 1000)
    if found is None:
        assert not total or fewer(total, total, chance) < 1 - tail or fewer(1, total, chance) > tail
        return
    i, j = found
    assert fewer(i, total, chance) <= tail < fewer(i + 1, total, chance)
    assert 1 - fewer(j, total, chance) <= tail < 1 - fewer(j - 1, total, chance)


def test_ranks_are_the_published_ones() -> None:
    assert stats.rank_interval(100, 0.5) == (40, 61)  # tables of the confidence interval of a median


def test_a_target_of_100_tells_a_loss_by_one_bad_sample() -> None:
    assert stats.least_bad(100, 1.0) == 1
    assert stats.detectable_loss(100, 1.0) == pytest.approx(1 - 0.2 ** (1 / 100))


# the verdict's own judge over generated counts -------------------------------------------------------------------------


def slo_of(target: float, limit_ms: float | None) -> Slo:
    return Slo("kept", "shop", "", Sli("kept", None, "journey", limit_ms), target, 86400.0, "slo.yaml#0")


@cache
def judged(slo: Slo, total: int, bad: int) -> Finding:
    """What the verdict says of a fault window with so many samples, those bad that failed or, of an SLO on latency, that were slow."""
    rows, limit_ms = Rows(), slo.sli.max_latency_ms
    for k in range(total):
        broken = k < bad
        rows.intended_us.append(k)
        rows.late_us.append(0)
        rows.latency_us.append(round(limit_ms * 1000) + broken if limit_ms is not None else 1000)
        rows.endpoint.append(0)
        rows.outcome.append(Outcome.STATUS if broken and limit_ms is None else Outcome.OK)
    events = [{"kind": "effect", "fault": "f", "proof": "seen", "lo_ns": 0, "hi_ns": 0, "t_ns": 0, "uids": ["u"]}]
    plan = {"resolved": [{"activity": "f", "kind": "held", "targets": [{"uid": "u"}], "duration_s": 1.0}]}
    header = {"end": {"how": "completed"}}
    block, meta = Block(slos=[slo], objectives=[Objective(slo.name, "fault")]), {"model": "open", "stop_ns": total * 1000, "start_ns": None}
    run = Run(Path("run"), header, block, plan, events, rows, meta=meta, endpoints=[{"index": 0, "name": "j", "class": "journey"}])
    return judge_objective(case_of(run), block.objectives[0], None)


def told_share(slo: Slo, total: int, loss: float, seed: int) -> tuple[float, float]:
    """The share of windows in which the loss is told from none, and in which the verdict misses the objective."""
    chance, log = 1 - slo.target + loss, math.lgamma
    weights = (math.exp(log(total + 1) - log(k + 1) - log(total - k + 1) + k * math.log(chance) + (total - k) * math.log1p(-chance)) for k in range(total + 1))
    edges, rng = list(accumulate(weights)), random.Random(seed)
    drawn = Counter(min(total, bisect_left(edges, rng.random())) for _ in range(DRAWS))
    findings = {bad: judged(slo, total, bad) for bad in drawn}
    told = {bad for bad, one in findings.items() if one.hi is not None and one.hi < slo.target}
    missed = {bad for bad, one in findings.items() if one.outcome == MISSED}
    assert told <= missed, "what is told from none is missed, too"
    return sum(drawn[bad] for bad in told) / DRAWS, sum(drawn[bad] for bad in missed) / DRAWS


@pytest.mark.parametrize("limit_ms", [None, 200.0], ids=["availability", "latency"])
@pytest.mark.parametrize(("total", "target"), [*CASES[:3], CASES[5]])
def test_a_loss_of_the_stated_size_is_told_from_none_and_half_of_it_is_not(total: int, target: str, limit_ms: float | None) -> None:
    slo = slo_of(float(target), limit_ms)
    loss = power.of_samples(slo, slo.target, total, 60.0)["detectable_loss"]
    chance = 3 * math.sqrt(0.8 * 0.2 / DRAWS)  # of so many draws, three standard deviations; the exact test above has none
    told, missed = told_share(slo, total, loss, seed=1)
    assert told >= stats.POWER - chance and missed >= told
    assert told_share(slo, total, loss / 2, seed=2)[0] < 0.5
    assert told_share(slo, total, 0.0, seed=3)[0] <= (1 - stats.LEVEL) / 2 + chance


def test_the_latency_of_an_slo_gives_ranks_and_its_absence_none() -> None:
    seen: dict[str, Any] = power.of_samples(slo_of(0.95, 200.0), 0.95, 200, 4.0)
    assert (seen["ranks"], seen["rate_per_s"], seen["max_latency_ms"]) == ([184, 197], 50.0, 200.0)
    assert power.of_samples(slo_of(0.95, None), 0.95, 200, 4.0)["ranks"] is None
