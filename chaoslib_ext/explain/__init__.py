"""
From a verdict down to the rows: which window, which samples, which formula, which file.

Counts are made again from the rows here, and compared with the sealed finding; nothing is judged. Times in the
answer are seconds, or nanoseconds and microseconds from the run's zero where the name says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext import rundir, stats
from chaoslib_ext.clock import NS
from chaoslib_ext.errors import NoData, UsageError
from chaoslib_ext.explain.recovery import recovery
from chaoslib_ext.explain.rows import Evidence, row_at
from chaoslib_ext.explain.steps import next_steps
from chaoslib_ext.formats.file_problems import nearest
from chaoslib_ext.judging.case import Case, case_of, target_of
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.reading import read_result
from chaoslib_ext.slo import Slo
from chaoslib_ext.timeline import LATE_US, UNKNOWN, Outcome

Json = dict[str, Any]
PROMISES = ("slo", "rto", "recovery_after_removal", "budget", "hypothesis")
WINDOWS = {
    "warmup": "the phase warm-up",
    "baseline": "the phase baseline",
    "fault": "from the first moment a fault may have been in effect to the last that one may not have been gone",
    "recovered": "from the first recovered arrival after the last removal to the last arrival",
    "whole": "from the start of the baseline to the last arrival",
}
_SOURCES = {
    "effect": ["events.jsonl (kind effect)", "plan.json (resolved)"],
    "held": ["events.jsonl (kinds effect, reading, removed)", "undo.wal (UNDO_TRY)"],
    "removed": ["events.jsonl (kind removed)"],
    "gate": ["events.jsonl (kind activity, where gate)"],
    "actions": ["events.jsonl (kind activity, type action)"],
    "probes": ["events.jsonl (kind activity, type probe)"],
    "managed": ["events.jsonl (kind activity, managed)"],
    "hypothesis": ["events.jsonl (kind activity, where recheck)"],
    "sources": ["events.jsonl (kind reading, name sli)", "load/w0 (rows)", "run.json (block)"],
    "clock": ["run.json (clock)"],
    "evidence": ["SEALED", "load/w0/meta.json", "load/w0/seconds.bin"],
    "load child": ["run.json (children)", "load/w0/meta.json"],
    "method child": ["run.json (children)"],
    "prober": ["run.json (children)"],
    "promises": ["run.json (block)"],
    "faults": ["plan.json (resolved)"],
}


def explain(folder: Path, wanted: str | None = None) -> Json:
    """
    `{run, verdict, reasons[{code, sentence, next_step}], problems, findings[…]}` of a judged run directory.

    Without `wanted` the findings are those that decided the verdict (for a PASS: all promises). Raises UsageError
    when the directory was never judged, or holds no such finding.
    """
    result = read_result(folder)
    run = rundir.read(folder)
    evidence = Evidence(case_of(run), folder)
    chosen = _chosen(result, wanted)
    reasons = [
        {"code": code, "sentence": REASONS[code].sentence, "next_step": REASONS[code].next_step} for code in result.get("reasons", []) if code in REASONS
    ]
    findings = [_finding(evidence, result, finding) for finding in chosen]
    told = {"run": result.get("run"), "title": result.get("title"), "verdict": result.get("verdict"), "directory": str(folder)}
    return {**told, "reasons": reasons, "problems": list(run.problems), "findings": findings, "others": _others(result, chosen)}


def _chosen(result: Json, wanted: str | None) -> list[Json]:
    findings = list(result.get("findings") or [])
    if wanted is not None:
        found = [one for one in findings if one.get("id") == wanted]
        if not found:
            names = [str(one.get("id")) for one in findings]
            near = nearest(wanted, names)
            raise UsageError(f"no finding is called {wanted!r}; {f'did you mean {near!r}?' if near else 'there are: ' + ', '.join(names)}")
        return found
    codes = set(result.get("reasons") or [])
    deciding = [one for one in findings if one.get("outcome") != "met" and codes & set(one.get("reasons") or [])]
    return deciding or [one for one in findings if one.get("kind") in PROMISES]


def _others(result: Json, chosen: list[Json]) -> list[str]:
    return [str(one.get("id")) for one in result.get("findings") or [] if one not in chosen]


def _finding(evidence: Evidence, result: Json, finding: Json) -> Json:
    told: Json = {key: finding.get(key) for key in ("id", "kind", "outcome", "slo", "window", "target", "reasons", "evidence")}
    name, _, about = str(finding.get("id")).partition(":")
    teller = _TELLERS.get(name)
    span = _span(result, evidence.case, str(finding.get("window") or ("whole" if name == "budget" else "")))
    more = teller(evidence, finding, span) if teller is not None else {}
    sources = more.pop("sources", _SOURCES.get(name, []))
    if name in ("effect", "held", "removed"):
        more["events"] = _events_of(evidence.case, about, {"effect": ("effect",), "held": ("reading",), "removed": ("removed",)}[name])
    more["window_means"] = WINDOWS.get(str(finding.get("window") or "whole"), "")
    return {**told, **more, "sources": sources, "next": next_steps(evidence.case, {**told, **more})}


def _events_of(case: Case, fault: str, kinds: tuple[str, ...]) -> list[int]:
    """The numbers (seq) of the events about one fault, the first 20."""
    return [event["seq"] for event in case.run.events if event.get("fault") == fault and event["kind"] in kinds][:20]


def _span(result: Json, case: Case, window: str) -> Span | None:
    """The window as it was judged."""
    said = (result.get("windows") or {}).get(window)
    return (int(said[0]), int(said[1])) if said else case.windows.get(window)


# ratios ----------------------------------------------------------------------------------------------------------


def _ratio(evidence: Evidence, finding: Json, span: Span | None) -> Json:
    """An SLO in a window: the samples counted again, the first and last bad one, and the formula with its numbers."""
    slo = evidence.case.slo(str(finding.get("slo") or str(finding.get("id")).partition(":")[2]))
    if slo is None or span is None:
        return {"counts": None, "formula": "the window did not happen, or run.json does not hold the SLO"}
    if slo.sli.source != "locust":
        return {"counts": None, "formula": f"measured by {slo.sli.source}, not from the rows", "sources": [slo.source, "run.json (block)"]}
    target = finding.get("target")
    if target is None:
        objective = next((one for one in evidence.case.block.objectives if one.slo == slo.name and one.window == finding.get("window")), None)
        target = slo.target if objective is None or finding.get("kind") != "slo" else target_of(objective, slo)
    told = {**_counted(evidence, slo, span), "target": target, "needed": _needed(slo, float(target))}
    counts = told["counts"]
    known = counts["good"] + counts["bad"]
    share = f"{counts['good']} / ({counts['good']} + {counts['bad']}) = {counts['good'] / known * 100:.9g}%" if known else "no known sample"
    met = bool(known) and stats.meets(counts["good"], known, float(target))
    told["formula"] = f"good / (good + bad) = {share}, promised >= {float(target) * 100:.6g}%: {'met' if met else 'not met' if known else 'nothing to decide'}"
    told["detectable_loss"] = stats.detectable_loss(known, float(target)) if known else None
    told["agrees"] = None if finding.get("n") is None else finding["n"] == known and finding.get("bad") == counts["bad"]
    return told


def _needed(slo: Slo, target: float) -> int | None:
    needed = stats.samples_needed(target)
    return None if needed is None else max(needed, slo.min_samples or 0)


def _counted(evidence: Evidence, slo: Slo, span: Span) -> Json:
    """The samples of an SLO in a window, from the rows themselves."""
    chosen = [i for i in evidence.chosen(slo) if span[0] <= evidence.case.run.rows.intended_us[i] * 1000 < span[1]]
    states = {i: _state(evidence, i, slo.sli.max_latency_ms) for i in chosen}
    bad = [i for i in chosen if states[i] not in ("good", *_UNKNOWN_WORDS)]
    unknown = sum(states[i] in _UNKNOWN_WORDS for i in chosen)
    by = Counter(word for word in states.values() if word != "good")
    counts = {"total": len(chosen), "good": len(chosen) - len(bad) - unknown, "bad": len(bad), "unknown": unknown}
    told: Json = {"window_ns": list(span), "select": _select(evidence, slo), "counts": counts, "not_good_by": dict(sorted(by.items()))}
    told["first_bad"], told["last_bad"] = (row_at(evidence, bad[at]) if bad else None for at in (0, -1))
    return {**told, "sources": [*evidence.row_files(), "load/w0/meta.json (endpoints)", slo.source, "events.jsonl (kinds phase, effect, removed)"]}


_UNKNOWN_WORDS = ("LATE", *(outcome.name for outcome in UNKNOWN))


def _state(evidence: Evidence, i: int, limit_ms: float | None) -> str:
    """`good`, or why a row is not: its outcome, TOO_SLOW, or LATE (sent late by the generator's own fault)."""
    rows = evidence.case.run.rows
    outcome = Outcome(rows.outcome[i])
    if outcome in UNKNOWN:
        return outcome.name
    if rows.late_us[i] > LATE_US:
        return "LATE"
    if outcome is not Outcome.OK:
        return outcome.name
    return "good" if limit_ms is None or rows.latency_us[i] <= round(limit_ms * 1000) else "TOO_SLOW"


def _select(evidence: Evidence, slo: Slo) -> Json:
    limit = None if slo.sli.max_latency_ms is None else round(slo.sli.max_latency_ms * 1000)
    return {"class": slo.sli.select_class, "name": slo.sli.select_name, "endpoints": evidence.endpoints(slo), "max_latency_us": limit}


def _budget(evidence: Evidence, finding: Json, span: Span | None) -> Json:
    """What was spent of the error budget: bad samples over what the period allows at the baseline's rate."""
    slo, baseline = evidence.case.slo(str(finding.get("slo"))), evidence.case.windows.get("baseline")
    if slo is None or span is None or baseline is None:
        return {"counts": None, "formula": "nothing was measured to compute it from"}
    told, calm = _counted(evidence, slo, span), _counted(evidence, slo, baseline)["counts"]["total"]
    rate = calm * NS / max(1, baseline[1] - baseline[0])
    try:
        spent = stats.budget_spent(told["counts"]["bad"], slo.target, rate, slo.period_s)
    except NoData as error:
        return {**told, "formula": str(error)}
    shape = f"bad / ((1 - target) * rate * period) = {told['counts']['bad']} / ({1 - slo.target:.6g} * {rate:.6g}/s * {slo.period_s:.6g} s) = {spent:.6%}"
    return {**told, "rate_per_s": round(rate, 6), "formula": f"{shape}, allowed {float(finding.get('target') or 0.0):.6%}"}


def _delivered(evidence: Evidence, span: Span | None) -> Json:
    """How many arrivals of a window were due, and how many were sent in time."""
    schedule = evidence.case.schedule()
    if schedule is None or span is None:
        return {"formula": "no schedule can be read from load/w0/meta.json"}
    due = schedule[0].count_between(span[0] / 1e9 - schedule[1], span[1] / 1e9 - schedule[1])
    journeys = evidence.case.journeys().count(-(-span[0] // 1000), -(-span[1] // 1000))
    counts = {"due": due, "in_time": journeys.known, "late_or_not_sent": journeys.unknown}
    told = f"sent in time / due = {journeys.known} / {due}" + (f" = {journeys.known / due:.4%}, at least 95% needed" if due else "")
    return {"window_ns": list(span), "counts": counts, "formula": told, "sources": [*evidence.row_files(), "load/w0/meta.json (profile, seed)"]}


_TELLERS: dict[str, Callable[[Evidence, Json, Span | None], Json]] = {
    "slo": _ratio,
    "baseline": _ratio,
    "budget": _budget,
    "load": lambda evidence, _, span: _delivered(evidence, span),
    "rto": lambda evidence, finding, _: recovery(evidence, finding),
    "recovery_after_removal": lambda evidence, finding, _: recovery(evidence, finding),
}
