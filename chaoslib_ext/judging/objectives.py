"""
The promises that are ratios: an SLO in a window, and the share of an error budget that a run may spend.

Arrivals are a census, so the point is judged; confidence bounds are printed beside it.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext import stats
from chaoslib_ext.block import Objective
from chaoslib_ext.clock import NS
from chaoslib_ext.errors import NoData
from chaoslib_ext.judging.beside import judge_sources
from chaoslib_ext.judging.case import Case, count_in, target_of, too_unknown, unknown_reason, why_no_window
from chaoslib_ext.judging.rto import Recovered
from chaoslib_ext.judging.soundness import needed_for
from chaoslib_ext.judging.sourced import REMOTE, sourced
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.result import INCONCLUSIVE, MET, MISSED, Finding
from chaoslib_ext.samples import Count
from chaoslib_ext.slo import Slo


def judge_objectives(case: Case, objective: Objective, recovered: Recovered | None) -> list[Finding]:
    """The finding on one SLO in one window, and on what its second source says, where it has one."""
    beside = judge_sources(case, objective, _span(case, objective, recovered))
    return [judge_objective(case, objective, recovered), *([] if beside is None else [beside])]


def _span(case: Case, objective: Objective, recovered: Recovered | None) -> Span | None:
    """The window of an objective; None when it did not happen."""
    return (recovered.span if recovered else None) if objective.window == "recovered" else case.windows.get(objective.window)


def judge_objective(case: Case, objective: Objective, recovered: Recovered | None) -> Finding:
    """The finding on one SLO in one window."""
    told: dict[str, Any] = {"id": f"slo:{objective.slo}:{objective.window}", "kind": "slo", "slo": objective.slo, "window": objective.window}
    slo = case.slo(objective.slo)
    if slo is None:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("EVIDENCE_INCOMPLETE",), evidence=("run.json does not hold this SLO",))
    target = target_of(objective, slo)
    told["target"] = target
    settled = objective.window != "recovered" or (recovered is not None and recovered.settled)
    span = _span(case, objective, recovered)
    if span is None:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(why_no_window(case, objective.window),), evidence=("the window did not happen",))
    if slo.sli.source == REMOTE:
        return _from_source(case, told, slo, target, span, settled)
    count = count_in(case.samples(slo), span)
    told |= {"n": count.known, "bad": count.bad, "evidence": (f"{count.good} of {count.known} good, {count.unknown} unknown",)}
    if count.known:
        told["lo"], told["hi"] = stats.confidence_bounds(count.good, count.known)
    reason = _undecided(case, slo, target, count, span)
    if reason:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(reason,))
    return _decided(case, told, target, count, span, settled)


def _from_source(case: Case, told: dict[str, Any], slo: Slo, target: float, span: Span, settled: bool) -> Finding:
    """The finding on an SLO that is read from counters: what they cannot say is inconclusive, never zero."""
    window, seen = str(told["window"]), sourced(case, slo, span)
    count = seen.inside
    told |= {"source": REMOTE, "n": count.known, "bad": count.bad, "evidence": (f"{count.good} of {count.known} good", *seen.evidence)}
    if count.known:
        told["lo"], told["hi"] = stats.confidence_bounds(count.good, count.known)
    needed = needed_for(slo, target)
    reason = seen.reason or ("TOO_FEW_SAMPLES" if needed is None or count.known < needed else "")
    met = None if reason else seen.met(target, window)
    if met is None or (met and seen.partial):
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(reason or ("SOURCE_INCOMPLETE" if met else "SOURCE_TOO_COARSE"),))
    if met:
        return Finding(**told, outcome=MET) if settled else Finding(**told, outcome=INCONCLUSIVE, reasons=("RECOVERY_NOT_OBSERVED",))
    if window == "baseline":
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("BASELINE_UNHEALTHY",))
    if not case.complete and _could_still_be_met(case, window, target, count, span):
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(case.reason or "EVIDENCE_INCOMPLETE",))
    return case.held_against({**told, "outcome": MISSED, "reasons": ("SLO_MISSED",)}, window)


def _undecided(case: Case, slo: Slo, target: float, count: Count, span: Span) -> str:
    """Why the samples of a window decide nothing, or an empty string."""
    if not count.total:
        return "NO_DATA"
    if too_unknown(count):
        return unknown_reason(case, span)
    needed = needed_for(slo, target)
    if needed is None:  # 100 %: no number of good samples proves it, one bad one disproves it
        return "" if count.bad else "TOO_FEW_SAMPLES"
    return "TOO_FEW_SAMPLES" if count.known < needed else ""


def _decided(case: Case, told: dict[str, Any], target: float, count: Count, span: Span, settled: bool) -> Finding:
    """Met or missed, as far as the run may say so."""
    window = told["window"]
    if stats.meets(count.good, count.known, target):
        if not settled:
            return Finding(**told, outcome=INCONCLUSIVE, reasons=("RECOVERY_NOT_OBSERVED",))
        if case.closed:
            return Finding(**told, outcome=INCONCLUSIVE, reasons=("CLOSED_MODEL",))
        return Finding(**told, outcome=MET)
    if window == "baseline":
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("BASELINE_UNHEALTHY",))
    if not case.complete and _could_still_be_met(case, window, target, count, span):
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(case.reason or "EVIDENCE_INCOMPLETE",))
    return case.held_against({**told, "outcome": MISSED, "reasons": ("SLO_MISSED",)}, window)


def _could_still_be_met(case: Case, window: str, target: float, count: Count, span: Span) -> bool:
    """Whether a run that was cut short would have met the target, had everything after the cut been good."""
    windows = case.block.windows
    rest_s = sum((fault.planned_s or 0.0) - (fault.held_s or 0.0) for fault in case.faults)
    if window == "whole":
        rest_s += windows.baseline_s + windows.recovery_s
    rest = int(max(0.0, rest_s) * count.total * NS / max(1, span[1] - span[0])) + 1
    return stats.meets(count.good + rest, count.known + rest, target)


def judge_budget(case: Case) -> tuple[Finding, dict[str, Any]] | None:
    """The finding on the error budget, and its figures; all in shares of the budget of the SLO's period. None when nothing is promised."""
    budget = case.block.budget
    if budget is None:
        return None
    told: dict[str, Any] = {"id": "budget", "kind": "budget", "slo": budget.slo, "window": "whole", "target": budget.max_spend}
    cost = case.run.plan.get("cost") or {}
    price = cost.get("price") if cost.get("slo") == budget.slo else None
    figures: dict[str, Any] = {"slo": budget.slo, "price": price, "spent": None, "allowed": budget.max_spend, "burn": None}
    slo, whole, baseline = case.slo(budget.slo), case.windows.get("whole"), case.windows.get("baseline")
    if slo is None or whole is None or baseline is None:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("NO_DATA",)), figures
    count, calm = count_in(case.samples(slo), whole), count_in(case.samples(slo), baseline)
    try:
        spent = stats.budget_spent(count.bad, slo.target, calm.total * NS / max(1, baseline[1] - baseline[0]), slo.period_s)
        burn = stats.burn_rate(count.bad, count.known, slo.target)
    except NoData as error:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("NO_DATA",), evidence=(str(error),)), figures
    figures |= {"spent": round(spent, 9), "burn": round(burn, 6)}
    told |= {"n": count.known, "bad": count.bad, "lo": spent, "hi": spent, "evidence": (f"{spent:.4%} of the budget spent, {budget.max_spend:.4%} allowed",)}
    if too_unknown(count):
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(unknown_reason(case, whole),)), figures
    if spent > budget.max_spend:
        return case.held_against({**told, "reasons": ("BUDGET_OVERSPENT",)}, "whole"), figures
    if case.closed:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("CLOSED_MODEL",)), figures
    return Finding(**told, outcome=MET), figures
