"""
The arithmetic behind a finding against exact fractions, written a second time: by loops over the rows, without a float in between.

CHAOSX_CASES sets how many cases each law is tried with.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from chaoslib_ext import stats
from chaoslib_ext.block import Block, Budget, Objective
from chaoslib_ext.judging.case import case_of
from chaoslib_ext.judging.objectives import judge_budget, judge_objective
from chaoslib_ext.rundir import Run
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import Outcome, Rows

CASES = int(os.environ.get("CHAOSX_CASES", "2000"))
TARGETS = ["0.5", "0.6", "0.7", "0.75", "0.8", "0.9", "0.95", "0.97"]
MS = 1_000_000
DAY_S = 86_400


@dataclass(frozen=True)
class Drawn:
    """One run's rows, its windows in ns, and what is promised; the target is the decimal as it is written."""

    rows: list[tuple[int, int, int, Outcome]]
    spans: dict[str, tuple[int, int]]
    target: str
    limit_ms: float | None
    max_spend: str


def drawn(times: int) -> Iterator[Drawn]:
    """Runs with few enough samples that a target is often met exactly, or missed by one."""
    for seed in range(times):
        rng = random.Random(f"exact {seed}")
        share, unknown = rng.choice([0.0, 0.02, 0.1, 0.3, 0.5]), rng.choice([0.0, 0.0, 0.02, 0.08])
        rows, at_us = [], 0
        for _ in range(rng.randrange(0, 160)):
            at_us += rng.choice([0, 1, 999, 1000, 1001, 10_000])
            outcome = rng.choice(list(Outcome)) if rng.random() < share else Outcome.OK
            late_us = rng.choice([50_000, 50_001]) if rng.random() < unknown else rng.randrange(0, 900)
            rows.append((at_us, late_us, rng.choice([1000, 249_999, 250_000, 250_001, 400_000]), outcome))
        cut_ns = [rng.randrange(0, at_us + 2) * 1000 + rng.choice([0, 0, 1, 999]) for _ in range(3)]
        a, b, c = sorted(cut_ns)
        spans = {"baseline": (a, b), "fault": (b, c), "whole": (a, max(c, b))}
        yield Drawn(rows, spans, rng.choice(TARGETS), rng.choice([None, 250.0]), rng.choice(["0.0001", "0.001", "0.01"]))


def counted(one: Drawn, span: tuple[int, int]) -> tuple[int, int, int]:
    """Good, bad and unknown ones of a window, one by one."""
    good = bad = unknown = 0
    for at_us, late_us, took_us, outcome in one.rows:
        if Fraction(at_us) < Fraction(span[0], 1000) or Fraction(at_us) >= Fraction(span[1], 1000):
            continue
        if outcome in (Outcome.NOT_SENT, Outcome.GENERATOR) or late_us > 50_000:
            unknown += 1
        elif outcome == Outcome.OK and (one.limit_ms is None or Fraction(took_us, 1000) <= Fraction(one.limit_ms)):
            good += 1
        else:
            bad += 1
    return good, bad, unknown


def fewest(target: Fraction) -> int:
    """The smallest n for which n good ones exclude a lower ratio at 95 %: target**n <= 1/20."""
    n, left = 1, target
    while left > Fraction(1, 20):
        n, left = n + 1, left * target
    return n


FEWEST = {target: fewest(Fraction(target)) for target in TARGETS}


def run_of(one: Drawn) -> Run:
    """The drawn rows as a run that was read."""
    slo = Slo("s", "shop", "s", Sli("s", None, "journey", one.limit_ms), float(one.target), 30.0 * DAY_S, "drawn")
    block = Block(slos=[slo], objectives=[Objective("s", "fault")], budget=Budget("s", float(one.max_spend)))
    rows = Rows()
    order = list(range(len(one.rows)))
    random.Random(len(order)).shuffle(order)  # rows are written by completion
    for i in order:
        at_us, late_us, took_us, outcome = one.rows[i]
        rows.append(at_us, late_us, took_us, 0, int(outcome))
    return Run(
        Path("nowhere"), {"id": "drawn", "end": {"how": "completed"}}, block, rows=rows, meta={}, endpoints=[{"index": 0, "class": "journey", "name": "x"}]
    )


def test_what_is_said_of_a_window_is_what_exact_fractions_say() -> None:
    seen: set[str] = set()
    for one in drawn(CASES):
        case = case_of(run_of(one))
        case.windows.update(one.spans)
        finding = judge_objective(case, case.block.objectives[0], None)
        good, bad, unknown = counted(one, one.spans["fault"])
        total = good + bad + unknown
        want = "missed" if good + bad and Fraction(good, good + bad) < Fraction(one.target) else "met"
        if total == 0 or Fraction(unknown, total) > Fraction(1, 20) or good + bad < FEWEST[one.target]:
            want = "inconclusive"
        assert (finding.outcome, finding.n or 0, finding.bad or 0) == (want, good + bad, bad), one
        seen.add(want + ("=" if want == "met" and Fraction(good, good + bad) == Fraction(one.target) else ""))
    assert seen == {"met", "met=", "missed", "inconclusive"} or CASES < 500


def test_the_budget_spent_and_the_burn_are_what_exact_fractions_say() -> None:
    for one in drawn(CASES):
        case = case_of(run_of(one))
        case.windows.update(one.spans)
        judged = judge_budget(case)
        assert judged is not None
        finding, figures = judged
        good, bad, unknown = counted(one, one.spans["whole"])
        a, b = one.spans["baseline"]
        calm, allowed = sum(counted(one, (a, b))), 1 - Fraction(one.target)
        if calm == 0 or good + bad == 0:
            assert (finding.outcome, figures["spent"]) == ("inconclusive", None), one
            continue
        budget = allowed * Fraction(calm * 10**9, b - a) * 30 * DAY_S  # bad ones that a whole period at the baseline's rate may have
        spent = bad / budget
        assert abs(Fraction(figures["spent"]) - spent) <= Fraction(1, 10**9), one
        assert abs(Fraction(figures["burn"]) - Fraction(bad, good + bad) / allowed) <= Fraction(1, 10**6), one
        too_unknown = Fraction(unknown, good + bad + unknown) > Fraction(1, 20)
        assert finding.outcome == ("inconclusive" if too_unknown else "missed" if spent > Fraction(one.max_spend) else "met"), one


@pytest.mark.parametrize("target", ["0", "0.5", "0.9", "0.95", "0.99", "0.999", "0.9999", "0.99999", "0.123", "0.6666667", "1"])
def test_a_target_is_the_decimal_that_was_written_however_it_is_compared(target: str) -> None:
    meant, rng = Fraction(target), random.Random(target)
    assert stats.exact(float(target)) == meant
    assert stats.enough(float(target)) == (None if meant == 1 else -(-1 // (1 - meant)))
    for _ in range(CASES // 10):
        total = rng.choice([1, 2, 3, 10, 20, 100, 1000, 10_000, rng.randrange(1, 10**6)])
        edge = math.floor(meant * total)
        good = min(total, max(0, edge + rng.choice([-1, 0, 0, 1, 1])))
        assert stats.meets(good, total, float(target)) == (good * meant.denominator >= meant.numerator * total), (good, total)
        if meant < 1:
            assert abs(Fraction(stats.burn_rate(total - good, total, float(target))) - Fraction(total - good, total) / (1 - meant)) < Fraction(1, 10**6)
            ratio = Fraction(total - good, total)
            pages, page = ratio > Fraction("14.4") * (1 - meant), stats.page_after_s(float(target), total and float(ratio))
            if abs(ratio - Fraction("14.4") * (1 - meant)) > Fraction(1, 10**9):
                assert (page is not None) == pages
            assert page is None or abs(Fraction(page) - Fraction("14.4") * (1 - meant) * 3600 / ratio) < Fraction(1, 1000)


def test_the_fewest_samples_are_those_of_exact_powers() -> None:
    for target in [*TARGETS, "0.99", "0.995"]:
        assert stats.samples_needed(float(target)) == fewest(Fraction(target))


def test_a_percentile_is_the_value_at_the_exact_rank() -> None:
    rng = random.Random("percentiles")
    for _ in range(CASES):
        values = sorted(rng.randrange(0, 50) for _ in range(rng.choice([1, 2, 3, 10, 20, 100, rng.randrange(1, 300)])))
        share = rng.choice(["0.01", "0.07", "0.1", "0.5", "0.55", "0.9", "0.95", "0.99", "0.999", "1"])
        least = next(value for value in values if sum(one <= value for one in values) * Decimal(1) >= Decimal(share) * len(values))
        assert stats.percentile(values, float(share)) == least, (values, share)
