"""
The verdict of a run: a pure function of its directory.

PASS is a proof with obligations, not the absence of failure. What is missing makes the run INCONCLUSIVE, with a
reason; what is held against the system needs a sound measurement and, where a fault is its cause, a proven effect.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext import ledger
from chaoslib_ext.judging.case import Case, case_of, unique
from chaoslib_ext.judging.detection import judge_detection
from chaoslib_ext.judging.objectives import judge_budget, judge_objectives
from chaoslib_ext.judging.obligations import obligations
from chaoslib_ext.judging.rpo import judge_rpo
from chaoslib_ext.judging.rto import judge_recovery_after_removal, judge_rto, recovered_window
from chaoslib_ext.judging.soundness import delivered, obligation, soundness
from chaoslib_ext.reasons import EXIT_CODES, OUTRANKING, REASONS, worst
from chaoslib_ext.result import INCONCLUSIVE, MISSED, Finding, Result
from chaoslib_ext.rundir import Run

_DIRTY = ("UNDO_FAILED", "UNDO_CONFLICT", "ROLLBACK_FAILED", "LEDGER_CORRUPT")


def judge(run: Run) -> Result:
    """What a run is judged to be. Same directory, same result; never raises for damaged evidence."""
    case = case_of(run)
    sound = soundness(case)
    owed = obligations(case)
    _effects(case, owed)
    promised, figures = _promises(case)
    findings = [*promised, *sound, *owed]
    if case.control == "known-bad" and case.complete and not any(finding.reasons for finding in findings):
        findings.append(obligation("control", "KNOWN_BAD_NOT_SEEN", "a known-bad control met everything"))
    told = _reasons(case, findings, sound)
    verdict = worst([name for name, codes in told.items() if codes])
    ranked = [verdict, *[name for name in OUTRANKING if name != verdict]]
    return Result(
        run=str(run.header.get("id") or run.folder.name),
        title=str(run.header.get("title") or ""),
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        reasons=list(unique(code for name in ranked for code in told.get(name, ()))),
        findings=findings,
        rto=figures["rto"],
        recovery_after_removal=figures["recovery_after_removal"],
        faults=[fault.to_json() for fault in case.faults],
        load=_load(case),
        budget=figures["budget"],
        detection=figures["detection"],
        control=case.control,
        attempt=dict(run.header.get("attempt") or {"n": 1, "commit": None}),
        notices=_notices(case),
        windows=figures["windows"],
        clean=_clean(case),
        seal=run.seal,
        rpo=figures["rpo"],
    )


def _effects(case: Case, owed: list[Finding]) -> None:
    """Without a proven effect nothing in a fault's window is held against the system."""
    effects = [finding for finding in owed if finding.kind == "effect"]
    for finding in effects:
        case.against[finding.id] = list(finding.reasons)
    if effects and all(finding.reasons for finding in effects):
        case.against.setdefault("fault", []).extend(code for finding in effects for code in finding.reasons)


def _promises(case: Case) -> tuple[list[Finding], dict[str, Any]]:
    """The findings on what was promised, and the figures of the result."""
    recovered = recovered_window(case)
    lacking = delivered(case, "recovered", recovered.span) if recovered is not None else None
    if lacking is not None:
        case.against.setdefault("recovered", []).extend(lacking.reasons)
    found = [finding for objective in case.block.objectives for finding in judge_objectives(case, objective, recovered)]
    judged = {
        "detection": judge_detection(case),
        "rto": judge_rto(case),
        "recovery_after_removal": judge_recovery_after_removal(case),
        "budget": judge_budget(case),
        "rpo": judge_rpo(case),
    }
    found += [pair[0] for pair in judged.values() if pair is not None] + ([lacking] if lacking is not None else [])
    figures: dict[str, Any] = {name: None if pair is None else pair[1] for name, pair in judged.items()}
    spans = {**case.windows, **({"recovered": recovered.span} if recovered is not None and recovered.settled else {})}
    figures["windows"] = {name: list(spans[name]) if name in spans else None for name in ("warmup", "baseline", "fault", "recovered", "whole")}
    return found, figures


def _reasons(case: Case, findings: list[Finding], sound: list[Finding]) -> dict[str, tuple[str, ...]]:
    """
    The reason codes by the verdict that they speak for; a verdict without any is not given.

    What is missing from a run that was aborted, failed, or was never begun follows from that, and is told by the findings only.
    """
    told = {"DIRTY": _dirty(case), "FAIL": unique(code for finding in findings if finding.outcome == MISSED for code in finding.reasons)}
    told["ERROR"] = (_known(case.reason, "TOOL_FAILED"),) if case.how == "error" else ()
    told["ABORTED"] = (_known(case.reason, "STOP_RULE"),) if case.how == "aborted" else ()
    undecided = unique(code for finding in findings if finding.outcome == INCONCLUSIVE for code in finding.reasons)
    root = unique(code for finding in sound if finding.outcome == INCONCLUSIVE for code in finding.reasons)
    if told["ERROR"] or told["ABORTED"]:
        undecided = ()
    elif not case.complete:
        undecided = (case.reason,) if case.reason in REASONS else root or ("EVIDENCE_INCOMPLETE",)
    elif "GATE_OUT_OF_TOLERANCE" in root or ("PROBE_ERRORED" in root and not _began(case)):
        undecided = root
    return {**told, "INCONCLUSIVE": undecided}


def _began(case: Case) -> bool:
    return any(event.get("where") == "method" for event in case.run.of_kind("activity"))


def _known(code: str | None, otherwise: str) -> str:
    return code if code in REASONS else otherwise


def _dirty(case: Case) -> tuple[str, ...]:
    """Why something is not proven healed: the healer's word, the ledger itself, and the file's own rollbacks."""
    state = (case.run.header.get("clean") or {}).get("state")
    pending = ledger.pending(case.run.undo)
    found = ["LEDGER_CORRUPT"] if case.run.ledger_corrupt else []
    if any(entry.rec == "CONFLICT" for entry in pending):
        found.append("UNDO_CONFLICT")
    if any(entry.rec != "CONFLICT" for entry in pending):
        found.append("UNDO_FAILED")
    unproven = state is None and any(fault.held and fault.effect is not None for fault in case.faults) and not case.run.undo
    if (state == "dirty" and not found) or unproven:
        found.append(case.reason if case.reason in _DIRTY else "UNDO_FAILED")
    if _rollbacks_failed(case):
        found.append("ROLLBACK_FAILED")
    return unique(found)


def _rollbacks_failed(case: Case) -> bool:
    """Whether a rollback of the file failed, or began and never ended."""
    seen = [event for event in case.run.of_kind("activity") if event.get("where") == "rollback"]
    ended = {event.get("name") for event in seen if event.get("state") == "ended"}
    failed = any(event.get("state") == "ended" and event.get("status") != "succeeded" for event in seen)
    return failed or any(event.get("name") not in ended for event in seen)


def _load(case: Case) -> dict[str, Any] | None:
    meta = case.run.meta
    if meta is None and not len(case.run.rows):
        return None
    meta = meta or {}
    journeys = case.journeys().count(-(2**62), 2**62)
    model = str(meta.get("model") or "open")
    intended = journeys.total if case.closed else int(meta.get("scheduled") or journeys.total)
    told = {"intended": intended, "delivered": journeys.known, "unknown": journeys.unknown, "model": model}
    return {**told, "late_p99_ms": meta.get("late_p99_ms"), "journeys": journeys.total, "bad_journeys": journeys.bad}


def _notices(case: Case) -> list[str]:
    """What a reader must know that no finding says."""
    found = []
    if case.closed:
        found.append("closed-model load: its figures hide outages; recovery brackets are widened by the longest answer and the longest pause")
    if case.control != "none":
        found.append(f"a control ({case.control}): says something about the test, nothing about resilience")
    left = [event for event in case.run.of_kind("note") if event.get("ledger") and event.get("left") != 0]
    found += [f"test records remain in {event['ledger']}: {'how many is not known' if event.get('left') is None else event['left']}" for event in left]
    found += [f"stopped by the rule {event['rule']}: {event.get('detail')}" for event in case.run.of_kind("stop") if event.get("src") == "guard"]
    found += _vouched(case)
    accepted = [entry for entry in ledger.entries(case.run.undo) if entry.rec == "ACCEPTED"]
    found += [f"accepted by a person, not healed: {entry.fault} on {entry.target.name}" for entry in accepted]
    return found


def _vouched(case: Case) -> list[str]:
    """What a person has answered for: faults without a fuse in this run, and what was left of a fault of an earlier one."""
    found, unfused = [], [str(name) for name in case.run.header.get("no_fuse") or []]
    if unfused:
        found.append(f"run without fuses (--no-fuse): had this machine been lost, nothing in the target would have taken back {', '.join(unfused)}")
    permitted = case.run.header.get("approval") or {}
    if permitted:
        found.append(f"approved by {permitted['by']} until {permitted['until_utc']}" if permitted.get("by") else "confirmed with the plan's token")
        found += [f"within the approval, but not as approved: {line}" for line in permitted.get("drift") or []]
    for one in case.run.header.get("accepted") or []:
        what = f"{one.get('fault')} of run {one.get('run')}, on {', '.join(map(str, one.get('targets') or []))}"
        found.append(f"accepted by {one.get('by')} at {one.get('utc')}, not healed: {what}: {one.get('reason')}")
    return found


def _clean(case: Case) -> dict[str, Any]:
    clean = case.run.header.get("clean") or {}
    told = {"state": "dirty" if _dirty(case) else str(clean.get("state") or "unknown"), "proven_at_ns": clean.get("proven_at_ns")}
    return {**told, "pending": clean["pending"]} if clean.get("pending") else told
