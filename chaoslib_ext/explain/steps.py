"""What to change so that the next run decides, with this run's own numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chaoslib_ext.clock import NS, format_duration
from chaoslib_ext.judging.case import Case
from chaoslib_ext.reasons import REASONS

Json = dict[str, Any]


def next_steps(case: Case, told: Json) -> list[str]:
    """One sentence for each reason of a finding that is not met; `told` is the finding as explained so far."""
    if told.get("outcome") == "met":
        return []
    codes = [code for code in told.get("reasons") or [] if code in REASONS]
    return [_STEPS[code](case, told) if code in _STEPS else REASONS[code].next_step for code in codes]


def _too_few(_case: Case, told: Json) -> str:
    counts, needed, span = told.get("counts"), told.get("needed"), told.get("window_ns")
    if counts is None or not needed or not span or not counts["total"]:
        short = [f"{name}: {one['known']} known arrivals after the clock's start" for name, one in (told.get("slos") or {}).items()]
        return "; ".join([*short, "lengthen windows.stable and windows.recovery, or raise the rate of the load profile"])
    seconds = (span[1] - span[0]) / NS
    known = counts["good"] + counts["bad"]
    rate = known / seconds if seconds else 0.0
    if not rate:
        return f"{needed} samples are needed, none is known: raise the rate of the load profile"
    longer, factor = format_duration(math.ceil(needed / rate)), needed / known
    return f"{known} samples in {seconds:.3g} s, {needed} are needed: make the window at least {longer}, or the rate at least {factor:.2g} times as high"


def _straddles(_case: Case, told: Json) -> str:
    lo, hi, objective = told.get("lo_s"), told.get("hi_s"), told.get("objective_s")
    if lo is None or hi is None or objective is None:
        return REASONS["RTO_STRADDLES"].next_step
    return (
        f"the objective of {objective:g} s lies in [{lo:.3f} s, {hi:.3f} s], which is {hi - lo:.3f} s wide: a rate of"
        f" {max(2, math.ceil((hi - lo) / max(1e-3, min(objective - lo, hi - objective))))} times this one could decide it"
    )


def _held_too_short(case: Case, told: Json) -> str:
    objective = told.get("objective_s") or (case.block.rto.objective_s if case.block.rto else 0.0)
    held = max((fault.held_s or 0.0 for fault in case.faults), default=0.0)
    needed = format_duration(math.ceil(objective + case.block.windows.stable_s))
    return f"the fault was held for {held:.3g} s; give it `duration: {needed}` (rto.objective + windows.stable), so that recovery is the system's own"


def _not_observed(case: Case, told: Json) -> str:
    objective = told.get("objective_s") or 0.0
    needed = format_duration(math.ceil(max(objective, case.block.windows.recovery_s) + case.block.windows.stable_s))
    return f"it was watched until T+{case.until_ns / NS:.1f} s; set windows.recovery to at least {needed}"


def _generator(case: Case, _told: Json) -> str:
    meta = case.run.meta or {}
    late, sent = meta.get("late_p99_ms"), meta.get("not_released")
    figures = f"the latest 1 % left more than {late} ms late, {sent} were not sent at all; " if late is not None else ""
    peak = max((second.scheduled for second in case.run.seconds), default=0)
    return f"{figures}lower the rate (it was {peak}/s at most), or run the load on a machine with nothing else to do"


def _unproven(case: Case, _told: Json) -> str:
    unseen = [fault.name for fault in case.faults if fault.effect is None]
    return f"never seen in effect: {', '.join(unseen) or 'a part of the targets'}; check that the platform enforces it, or give the action a longer timeout_s"


def _unhealthy(_case: Case, told: Json) -> str:
    counts = told.get("counts")
    if not counts:
        return REASONS["BASELINE_UNHEALTHY"].next_step
    why = ", ".join(f"{name} {count}" for name, count in (told.get("not_good_by") or {}).items())
    return f"{counts['bad']} of {counts['good'] + counts['bad']} were bad before anything was injected ({why}): mend that first, or lengthen windows.warmup"


_STEPS: dict[str, Callable[..., str]] = {
    "TOO_FEW_SAMPLES": _too_few,
    "RTO_STRADDLES": _straddles,
    "HELD_SHORTER_THAN_RTO": _held_too_short,
    "RECOVERY_NOT_OBSERVED": _not_observed,
    "GENERATOR_SATURATED": _generator,
    "LOAD_NOT_DELIVERED": _generator,
    "EFFECT_UNPROVEN": _unproven,
    "BASELINE_UNHEALTHY": _unhealthy,
}
