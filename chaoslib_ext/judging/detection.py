"""
Detection: whether the promised alert fired in time, from polls of the alert and the bracket of the effect.

The alert began to fire between the last poll that was sent while it did not fire and the first answer that says so. Like a
recovery, a detection is a bracket: met when its end, and missed when its begin, lies on that side of the objective.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.judging.case import Case
from chaoslib_ext.judging.windows import Fault, Span
from chaoslib_ext.result import INCONCLUSIVE, MET, MISSED, Finding, rounded

BLIND_NS = 5 * NS  # a longer gap between two answers may hide an alert that came and went; chosen by feel
Poll = dict[str, Any]


def judge_detection(case: Case) -> tuple[Finding, dict[str, Any]] | None:
    """The finding on the alert that must fire, and its figures. None when nothing is promised, or a control injected nothing."""
    promised = case.block.detection
    if promised is None:
        return None
    told: dict[str, Any] = {"id": "detection", "kind": "detection", "target": promised.within_s, "source": "prometheus"}
    figures: dict[str, Any] = {"alert": promised.alert, "within_s": promised.within_s, "lo_s": None, "hi_s": None, "starts_at": None, "source": "prometheus"}
    start = min((fault for fault in case.faults if fault.effect is not None), key=lambda fault: fault.effect or (0, 0), default=None)
    if start is None or start.effect is None:
        if case.control != "none":
            return None
        finding = Finding(**told, outcome=INCONCLUSIVE, reasons=("EFFECT_UNPROVEN",), evidence=("no effect was proven that could be detected",))
        return finding, {**figures, "state": "undecided"}
    polls = [event for event in case.run.of_kind("reading") if event.get("name") == "alert" and event.get("alert") == promised.alert and _is_poll(event)]
    answered = sorted((poll for poll in polls if poll.get("ok") is True), key=lambda poll: poll["t_ns"])
    outcome, reason, bracket, evidence = _judged(case, answered, polls, start.effect, round(promised.within_s * NS))
    if bracket is not None:
        told |= {"lo": round(bracket[0], 6), "hi": rounded(bracket[1], 6)}
        figures |= {"lo_s": told["lo"], "hi_s": told["hi"]}
    figures |= {"state": {MET: "fired", MISSED: "missed"}.get(outcome, "undecided"), "starts_at": _starts_at(case, promised.alert, start.effect)}
    told |= {"n": len(answered), "outcome": outcome, "reasons": (reason,) if reason else (), "evidence": (evidence, *_short(start, promised.within_s, outcome))}
    return (case.held_against(told, f"effect:{start.name}") if outcome == MISSED else Finding(**told)), figures


def _judged(case: Case, answered: list[Poll], polls: list[Poll], effect: Span, within_ns: int) -> tuple[str, str, tuple[float, float | None] | None, str]:
    """Outcome, reason, bracket in seconds and words."""
    before = [poll for poll in answered if poll["t_ns"] <= effect[0]]
    after = [poll for poll in answered if poll["t_ns"] > effect[0]]
    if not before or not after:
        return INCONCLUSIVE, _why_blind(polls), None, "the alert was not read before and after the effect"
    if before[-1]["state"] == "firing":
        return INCONCLUSIVE, "ALERT_ALREADY_FIRING", None, "the alert was firing before the effect, so it says nothing about it"
    at = next((number for number, poll in enumerate(after) if poll["state"] == "firing"), None)
    watched = [before[-1], *(after if at is None else after[: at + 1])]
    calm = watched[-1] if at is None else watched[-2]
    lo_s = max(0, calm["sent_ns"] - effect[1]) / NS
    gap_ns = max(b["t_ns"] - a["sent_ns"] for a, b in pairwise(watched))
    if at is None:
        seen_until_ns = after[-1]["sent_ns"]
        told = f"it did not fire up to {lo_s:.3f} s after the effect"
        if gap_ns > BLIND_NS:
            return INCONCLUSIVE, "SOURCE_UNREACHABLE", (lo_s, None), f"{told}, but was not read for {gap_ns / NS:.1f} s meanwhile"
        if seen_until_ns < effect[1] + within_ns:
            reason = "DETECTION_NOT_OBSERVED" if case.complete else case.reason or "EVIDENCE_INCOMPLETE"
            return INCONCLUSIVE, _why_blind(polls, reason, after[-1]["t_ns"]), (lo_s, None), f"{told}, and was not watched longer"
        return MISSED, "DETECTION_MISSED", (lo_s, None), told
    hi_s = max(lo_s, (after[at]["t_ns"] - effect[0]) / NS)
    told = f"it fired within [{lo_s:.3f} s, {hi_s:.3f} s] of the effect"
    if hi_s * NS <= within_ns:
        return MET, "", (lo_s, hi_s), told
    if lo_s * NS > within_ns:
        if gap_ns > BLIND_NS:
            return INCONCLUSIVE, "SOURCE_UNREACHABLE", (lo_s, hi_s), f"{told}, but was not read for {gap_ns / NS:.1f} s before"
        return MISSED, "DETECTION_MISSED", (lo_s, hi_s), told
    return INCONCLUSIVE, "DETECTION_STRADDLES", (lo_s, hi_s), told


def _why_blind(polls: list[Poll], otherwise: str = "NO_DATA", since_ns: int = 0) -> str:
    """SOURCE_UNREACHABLE where polls failed, else another reason."""
    return "SOURCE_UNREACHABLE" if any(poll.get("ok") is not True and poll["t_ns"] >= since_ns for poll in polls) else otherwise


def _is_poll(event: Poll) -> bool:
    return isinstance(event.get("sent_ns"), int) and (event.get("ok") is not True or isinstance(event.get("state"), str))


def _starts_at(case: Case, alert: str, effect: Span) -> str | None:
    """Since when Prometheus says that the alert's condition was true, at its first firing after the effect."""
    fired = [event for event in case.run.of_kind("alert") if event.get("name") == alert and event.get("state") == "firing" and event["t_ns"] > effect[0]]
    return str(fired[0]["starts_at"]) if fired and fired[0].get("starts_at") else None


def _short(start: Fault, within_s: float, outcome: str) -> tuple[str, ...]:
    """What a reader of a missed detection must know."""
    if outcome == MET or start.held_s is None or start.held_s >= within_s:
        return ()
    return (f"the fault was held for {start.held_s:.1f} s, so the alert had only that long to notice",)
