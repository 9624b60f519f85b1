"""
How small a change a run could tell, before it: the power of its arrivals for each promise.

Pure functions of the block and of how long its phases take. A promise that no run of this profile can decide is refused
(`never`); one that it cannot decide for every outcome is marked (`decides` false) and says what to change.
"""

from __future__ import annotations

import math
from typing import Any

from chaoslib_ext import stats
from chaoslib_ext.block import Block, Rpo
from chaoslib_ext.clock import format_duration
from chaoslib_ext.judging.rpo import LEAST_AT_RISK
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.schedule import Schedule
from chaoslib_ext.slo import Slo

SLACK_S = {"baseline": 5.0}  # how much longer than planned a window may turn out to be
MOST_SLACK_S = 60.0  # of those that wait for an effect, a heal or a replacement; generous, because a refusal must be right
POISSON_GAP = 4.6  # in mean gaps: ln 100, so that 99 % of the gaps are shorter

Json = dict[str, Any]


def of_samples(slo: Slo, target: float, samples: int, window_s: float) -> Json:
    """
    What `samples` tell: `detectable_loss` below the target (see `stats.detectable_loss`; a ratio, rounded up), None when no loss at all.

    For an SLO on latency also `ranks`: its percentile, the target's, lies between these two of the sorted samples; None when they are too few.
    """
    loss = stats.detectable_loss(samples, target)
    told: Json = {"rate_per_s": round(samples / window_s, 3) if window_s > 0 else None}
    told["detectable_loss"] = None if loss is None else math.ceil(loss * 1e6) / 1e6
    told["max_latency_ms"] = slo.sli.max_latency_ms
    ranks = stats.rank_interval(samples, target) if slo.sli.max_latency_ms is not None else None
    return {**told, "ranks": None if ranks is None else list(ranks)}


def never_sampled(schedule: Schedule, share: float, window: str, begin_s: float, end_s: float) -> bool:
    """Whether not one sample can fall into a window, however much longer than planned it turns out to be."""
    return schedule.count_between(max(0.0, begin_s), end_s + SLACK_S.get(window, MOST_SLACK_S)) * share <= 0.0


def refused(objectives: list[Json]) -> list[Json]:
    """Why a run would not begin: promises that could never be anything but inconclusive. `{activity, reason, text}` for each."""
    return [
        {
            "activity": None,
            "reason": "PREFLIGHT_FAILED",
            "text": f"{one['slo']}, {one['window']}: no arrival of the load profile falls into this window, so that it could never be decided; "
            f"{one['change']}, or remove the promise",
        }
        for one in objectives
        if one.get("never")
    ]


def gap(profile: LoadProfile, rate: float) -> float:
    """Seconds between two samples, which no bracket is narrower than; of Poisson arrivals 99 % of the gaps are shorter."""
    return (POISSON_GAP if profile.arrivals == "poisson" else 1.0) / rate


# lost writes -----------------------------------------------------------------------------------------------------


def of_writes(block: Block, begin_s: float, end_s: float, most_end_s: float | None) -> Json | None:
    """
    What an RPO can be told of: `writes` that are planned at least, `at_risk` in the last second before the fault, `resolution_s` between two.

    Times are seconds from the first arrival: when the method begins, and when the load ends, at least and at most (None: nobody knows).
    """
    rpo, profile = block.rpo, block.load
    if rpo is None or profile is None or profile.locustfile is not None:
        return None
    told: Json = {"ledger": rpo.ledger, "objective_s": rpo.objective_s, "max_writes": rpo.max_writes}
    schedule, share = profile.schedule(0), _writes_per_arrival(profile, rpo.ledger)
    told["writes"] = math.floor(schedule.count_between(0.0, end_s) * share + 1e-9)
    told["at_risk"] = math.floor(schedule.count_between(max(0.0, begin_s - 1.0), begin_s) * share + 1e-9)
    rate = schedule.rate_at(begin_s) * share
    told["rate_per_s"], told["resolution_s"] = round(rate, 3), round(1 / rate, 6) if rate else None
    most = None if most_end_s is None else math.ceil(schedule.count_between(0.0, most_end_s) * share)
    change = _rpo_change(rpo, rate, share, told["at_risk"], most)
    return {**told, "decides": not change, "change": change}


def _writes_per_arrival(profile: LoadProfile, ledger: str) -> float:
    weights = sum(journey.weight for journey in profile.journeys) or 1.0
    return sum(journey.weight * sum(step.write == ledger for step in journey.steps) for journey in profile.journeys) / weights


def _rpo_change(rpo: Rpo, rate: float, share: float, at_risk: int, most: int | None) -> str:
    """What to change so that the RPO can be decided; empty when it can."""
    if not rate:
        return "nothing is written when the fault begins; add stages that do"
    if at_risk < LEAST_AT_RISK:
        more = math.ceil(LEAST_AT_RISK / share) + 1
        return f"{at_risk} writes in the last second before the fault, {LEAST_AT_RISK} must be at risk; make it {more} arrivals/s"
    if rpo.max_writes is not None and most is not None and rpo.max_writes >= most:
        return f"{most} writes are sent at most, so that more than {rpo.max_writes} are never lost; promise fewer, or write more"
    if rpo.objective_s is not None and 0 < rpo.objective_s < 1 / rate:
        return f"one write in {1 / rate:.3g} s cannot resolve {format_duration(rpo.objective_s)}; raise the rate of the writes"
    return ""


# recovery after the removal --------------------------------------------------------------------------------------


def of_removal(block: Block, rates: dict[str, float]) -> Json | None:
    """The same for the recovery after the removal; `rates` are samples per second by SLO, once the last fault was taken back."""
    objective_s, profile = block.recovery_after_removal_s, block.load
    if objective_s is None or profile is None or profile.locustfile is not None or not rates:
        return None
    slowest = min(rates.values())
    told: Json = {"objective_s": objective_s, "resolution_s": round(gap(profile, slowest), 6) if slowest else None, "rate_per_s": round(slowest, 3)}
    change = stretch_change(block, rates, objective_s)
    if not change and block.windows.recovery_s < objective_s + block.windows.stable_s:
        change = f"it is watched for {format_duration(block.windows.recovery_s)}, shorter than the objective + windows.stable; lengthen windows.recovery"
    return {**told, "decides": not change, "change": change}


def stretch_change(block: Block, rates: dict[str, float], objective_s: float) -> str:
    """What to change so that a recovery can be measured finely enough, and its stable stretch can prove it; empty when nothing."""
    stable_s = block.windows.stable_s
    for name, rate in rates.items():
        needed = stats.enough(block.slo(name).target) or 0
        if not rate:
            return f"nothing in the profile is counted by {name}"
        if block.load is not None and gap(block.load, rate) >= objective_s:
            return f"{name}: one arrival in {gap(block.load, rate):.3g} s cannot resolve {format_duration(objective_s)}; raise the rate"
        if rate * stable_s < needed:
            longer = format_duration(math.ceil(needed / rate))
            return f"{name}: {math.floor(rate * stable_s)} arrivals in windows.stable, {needed} are needed; make it {longer} or raise the rate"
    return ""
