"""
Whether the measurement can be believed: clock, evidence, generator, baseline. A FAIL needs all of them, as a PASS does.

Each check returns findings; what is inconclusive here is put into `Case.against`.
"""

from __future__ import annotations

from chaoslib_ext import stats
from chaoslib_ext.judging.case import MOST_UNKNOWN, Case, count_in, too_unknown, unique, unknown_reason
from chaoslib_ext.judging.sourced import REMOTE, sourced
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.judging.writecounts import miscounted_writes
from chaoslib_ext.result import INCONCLUSIVE, MET, Finding
from chaoslib_ext.slo import Slo

MOST_DRIFT_MS = 250.0


def obligation(name: str, lacking: tuple[str, ...] | str, *evidence: str, kind: str = "obligation", window: str | None = None) -> Finding:
    """One thing that a verdict needs: met when nothing is lacking, else inconclusive with these codes."""
    reasons = (lacking,) if isinstance(lacking, str) and lacking else tuple(lacking)
    return Finding(name, kind, INCONCLUSIVE if reasons else MET, unique(reasons), evidence, window=window)


def soundness(case: Case) -> list[Finding]:
    """All findings on the measurement itself; fills `case.against`."""
    whole = [_clock(case), *_load(case)]
    whole.append(_evidence(case, [code for finding in whole for code in finding.reasons]))
    if case.control != "known-bad":  # its target may be bad from the start: that is what it is for
        whole += _baseline(case)
        whole += _gate(case)
    for finding in whole:
        case.against.setdefault("", []).extend(finding.reasons)
    windows = [finding for name in ("baseline", "fault", "whole") if name in case.windows for finding in [delivered(case, name, case.windows[name])] if finding]
    for finding in windows:
        case.against.setdefault(finding.window or "", []).extend(finding.reasons)
    return whole + windows


def _clock(case: Case) -> Finding:
    clock = case.run.header.get("clock") or {}
    drift, booted, boot_end = clock.get("drift_ms_end"), clock.get("boot_id"), clock.get("boot_id_end")
    if not isinstance(drift, int | float):
        return obligation("clock", "CLOCK_UNSOUND", "run.json: the drift of wall time against monotonic time was not measured at the end")
    if boot_end not in (None, booted):
        return obligation("clock", "CLOCK_UNSOUND", f"the machine was started anew in between (boot {booted}, then {boot_end})")
    told = f"wall time moved {drift:g} ms against monotonic time, {MOST_DRIFT_MS:g} ms are allowed"
    return obligation("clock", "CLOCK_UNSOUND" if abs(drift) > MOST_DRIFT_MS else "", told)


def _evidence(case: Case, known: list[str]) -> Finding:
    """Everything was read whole and counts the same; what follows from a load child that died is told once, as that."""
    problems = list(case.run.problems)
    if "WORKER_LOST" in known:
        problems = [problem for problem in problems if not problem.startswith(("load/", "writes/acks-"))]
    else:
        problems += _miscounted(case)
    return obligation("evidence", "EVIDENCE_INCOMPLETE" if problems else "", *(problems or ["every file matches the seal and every count agrees"]))


def _miscounted(case: Case) -> list[str]:
    """Where rows, summaries, schedule and the load child's own totals disagree."""
    meta, rows = case.run.meta, len(case.run.rows)
    if meta is None:
        return []
    pairs = [("rows", meta.get("rows"), rows), ("outcomes", sum((meta.get("outcomes") or {}).values()), rows)]
    if not case.closed:
        arrivals = len(case.journeys())
        pairs.append(("scheduled", meta.get("scheduled"), arrivals))
        pairs.append(("released + not released", (meta.get("released") or 0) + (meta.get("not_released") or 0), arrivals))
        pairs.append(("scheduled in the one-second summaries", sum(second.scheduled for second in case.run.seconds), arrivals))
    found = [f"load/w0: {name} should be {count}, got {said}" for name, said, count in pairs if said != count]
    odd = [one.second for one in case.run.seconds if one.scheduled != one.released + one.not_released]
    if odd:
        found.append(f"load/w0: released and not released do not add up to scheduled in {len(odd)} seconds, first in second {odd[0]}")
    schedule = case.schedule()
    if schedule is None and not case.closed and meta.get("start_ns") is not None:
        found.append("load/w0/meta.json: its profile makes no schedule")
    if schedule is not None and meta.get("stop_ns") is not None:
        due = schedule[0].count_between(0.0, (meta["stop_ns"] - meta["start_ns"] + 0.5) / 1e9)  # to the stop instant itself, in whole nanoseconds
        if len(case.journeys()) != due:
            found.append(f"load/w0: the profile schedules {due} arrivals, got {len(case.journeys())}")
    return found + miscounted_writes(case)


def _load(case: Case) -> list[Finding]:
    """The load child lived to its end. None when the experiment has no load."""
    if case.run.header.get("load") is None and case.run.meta is None and case.block.load is None:
        return []
    code = (case.run.header.get("children") or {}).get("load")
    ended = case.run.meta is not None and case.run.meta.get("stop_ns") is not None
    if code in (0, None) and ended:
        return [obligation("load child", "", "it ended after its last row")]
    if not case.complete and case.reason in ("PREFLIGHT_FAILED", "LOCK_HELD"):
        return [obligation("load child", "", "it was never started")]
    return [obligation("load child", "WORKER_LOST", f"it ended with {code}" + ("" if ended else " and never wrote its last totals"))]


def delivered(case: Case, name: str, span: Span) -> Finding | None:
    """At least 95 % of the arrivals intended in a window were sent in time. None without an open-model load."""
    schedule = case.schedule()
    if schedule is None or (case.run.meta or {}).get("stop_ns") is None:
        return None
    begin_s = schedule[1]
    due = schedule[0].count_between(span[0] / 1e9 - begin_s, span[1] / 1e9 - begin_s)
    journeys = count_in(case.journeys(), span)
    in_time = journeys.known
    reason = ""
    if due and due - in_time > MOST_UNKNOWN * due:
        lost = (case.run.meta or {}).get("rows") != len(case.run.rows)  # sent perhaps, but the record of it is gone
        reason = unknown_reason(case, span) if too_unknown(journeys) else "EVIDENCE_INCOMPLETE" if lost else "LOAD_NOT_DELIVERED"
    return obligation(f"load:{name}", reason, f"{in_time} of {due} arrivals were sent in time", window=name)


def _baseline(case: Case) -> list[Finding]:
    """Every SLO in use met its published target in the baseline, with enough samples."""
    return [_healthy(case, slo) for slo in case.used_slos()]


def _healthy(case: Case, slo: Slo) -> Finding:
    name, span = f"baseline:{slo.name}", case.windows.get("baseline")
    if slo.sli.source == REMOTE and span is not None:
        return _healthy_by_source(case, slo, span, name)
    if span is None or not len(case.samples(slo)):
        return obligation(name, "NO_DATA", "no sample in the baseline", window="baseline")
    count = count_in(case.samples(slo), span)
    needed = needed_for(slo, slo.target)
    told = f"{count.good} of {count.known} good, {slo.target:.6g} promised; {count.unknown} unknown"
    if not count.total:
        return obligation(name, "NO_DATA", "no sample in the baseline", window="baseline")
    if too_unknown(count):
        return obligation(name, unknown_reason(case, span), told, window="baseline")
    if needed is None or count.known < needed:
        return obligation(name, "TOO_FEW_SAMPLES", f"{told}; {needed or 'no number of'} samples decide", window="baseline")
    return obligation(name, "" if stats.meets(count.good, count.known, slo.target) else "BASELINE_UNHEALTHY", told, window="baseline")


def _healthy_by_source(case: Case, slo: Slo, span: Span, name: str) -> Finding:
    """The same for an SLO that is read from counters."""
    seen, needed = sourced(case, slo, span), needed_for(slo, slo.target)
    told = (f"{seen.inside.good} of {seen.inside.known} good, {slo.target:.6g} promised", *seen.evidence)
    if seen.reason or needed is None or seen.inside.known < needed:
        return obligation(name, seen.reason or "TOO_FEW_SAMPLES", *told, window="baseline")
    met = seen.met(slo.target, "baseline")
    return obligation(name, ("SOURCE_INCOMPLETE" if seen.partial else "") if met else "BASELINE_UNHEALTHY", *told, window="baseline")


def needed_for(slo: Slo, target: float) -> int | None:
    """How many samples decide a target: the rule's number, or more where the SLO file asks for more."""
    needed = stats.samples_needed(target)
    return None if needed is None else max(needed, slo.min_samples or 0)


def _gate(case: Case) -> list[Finding]:
    """The steady-state hypothesis held before the method. None when the file has none."""
    seen = [event for event in case.run.of_kind("activity") if event.get("where") == "gate" and event.get("state") == "ended"]
    if not seen:
        return []
    errored = [str(event.get("name")) for event in seen if event.get("status") != "succeeded"]
    out = [str(event.get("name")) for event in seen if event.get("tolerance_met") is False]
    if errored:
        return [obligation("gate", "PROBE_ERRORED", f"could not measure: {', '.join(errored)}")]
    told = f"out of tolerance: {', '.join(out)}" if out else "the hypothesis held before the method"
    return [obligation("gate", "GATE_OUT_OF_TOLERANCE" if out else "", told)]
