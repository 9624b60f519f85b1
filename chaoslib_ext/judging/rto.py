"""
The recovery objectives: RTO, recovery after removal, and where the *recovered* window begins.

RTO is the system's own recovery, while the fault was in force; what recovered only once we had taken the fault
back did not show an RTO. Times inside are microseconds from the run's zero, in results seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.judging.case import Case, count_in, too_unknown, unknown_reason, why_no_window
from chaoslib_ext.judging.damage import Damage, damage
from chaoslib_ext.judging.soundness import delivered
from chaoslib_ext.judging.windows import Fault, Span
from chaoslib_ext.recovery import Question, Recovery, recover
from chaoslib_ext.result import INCONCLUSIVE, MET, MISSED, Finding, rounded
from chaoslib_ext.slo import Slo

US = 1000  # nanoseconds
COMPLETELY_OBSERVED = 0.95  # of windows.recovery


@dataclass(frozen=True, slots=True)
class Bracket:
    """
    The recovery of several SLOs together, which is that of the last one; seconds from the clock's start.

    `hi_s` None: not within the observation. `at_us` is the recovered arrival, `end_us` the end of its stretch.
    """

    lo_s: float
    hi_s: float | None
    at_us: int | None
    end_us: int | None
    last: str | None
    n: int
    parts: dict[str, Recovery]

    @property
    def too_few(self) -> bool:
        """Whether some SLO could not be decided for want of arrivals only."""
        return any(part.too_few for part in self.parts.values()) or self.n == 0


def together(case: Case, slos: list[Slo], start: Span, relapse_before_ns: int) -> Bracket:
    """When all `slos` had recovered, on a clock that started somewhere in `start`."""
    from_us, until_us = start[0] // US, case.until_ns // US
    parts, counts = {}, {}
    widened = 0
    for slo in slos:
        known = case.samples(slo).known(from_us, until_us)
        counts[slo.name] = len(known.at_us)
        question = Question(slo.target, round(case.block.windows.stable_s * 1e6), from_us, until_us, relapse_before_us=relapse_before_ns // US)
        parts[slo.name] = recover(known, question)
        if case.closed and known.at_us:  # a user waits for an answer, then thinks: for so long nobody looked
            longest = max(end - at for at, end in zip(known.at_us, known.end_us, strict=True))
            widened = max(widened, longest + max((after - at for at, after in pairwise(known.at_us)), default=0))
    last = max(parts, key=lambda name: (parts[name].at_us is None, parts[name].hi_us or 0, parts[name].lo_us), default=None)
    lo_us = max((part.lo_us for part in parts.values()), default=from_us)
    lo_s = max(0, (lo_us - widened) * US - start[1]) / NS
    if not parts or any(part.at_us is None for part in parts.values()):
        return Bracket(lo_s, None, None, None, last, counts.get(last or "", 0), parts)
    at_us = max(part.at_us or 0 for part in parts.values())
    hi_us = max(part.hi_us or 0 for part in parts.values()) + widened
    return Bracket(lo_s, max(lo_s, (hi_us * US - start[0]) / NS), at_us, at_us + round(case.block.windows.stable_s * 1e6), last, counts[last or ""], parts)


def own_until_ns(case: Case, start: Fault) -> int | None:
    """Until when a recovery was the system's own: the first taking back of any held fault after the clock's start; None: always."""
    if start.effect is None:
        return None
    ends = [fault.until_ns for fault in case.faults if fault.effect is not None and fault.until_ns is not None and fault.until_ns > start.effect[0]]
    return min(ends, default=None)


def relapse_before_ns(case: Case, start: Fault) -> int:
    """Until when a failing window is a relapse: while the fault is in force; after an instant one until the next fault."""
    if start.held:
        return case.until_ns if start.until_ns is None else start.until_ns
    effect = start.effect or (0, 0)
    later = [fault.effect[0] for fault in case.faults if fault.effect is not None and fault is not start and fault.effect[0] > effect[1]]
    return min([*later, case.until_ns])


def judge_rto(case: Case) -> tuple[Finding, dict[str, Any]] | None:
    """The finding on the recovery time objective, and the figures beside it. None when nothing is promised, or nothing can start its clock."""
    rto = case.block.rto
    if rto is None:
        return None
    effective = [fault for fault in case.faults if fault.effect is not None]
    named = [fault for fault in effective if fault.name == rto.from_] if rto.from_ else effective
    slos = [slo for slo in case.block.slos if slo.name in rto.slos]
    if not named and case.control != "none":
        return None  # a control that injects nothing has no clock to start
    start = min(named, key=lambda fault: fault.effect or (0, 0), default=None)
    if start is None or start.effect is None or len(slos) < len(set(rto.slos)) or not slos:
        reason = "EFFECT_UNPROVEN" if start is None else "EVIDENCE_INCOMPLETE"
        why = "no effect was proven that could start the clock" if start is None else "run.json lacks an SLO that it names"
        finding = Finding("rto", "rto", INCONCLUSIVE, (reason,), (why,), target=rto.objective_s)
        return finding, _figures(case, None, rto.objective_s, rto.slos, rto.from_, "undecided", None)
    bracket = together(case, slos, start.effect, relapse_before_ns(case, start))
    verdict = _Verdict.of(case, bracket, start, rto.objective_s)
    figures = _figures(case, bracket, rto.objective_s, rto.slos, start.name, verdict.mode, start)
    told = {"id": "rto", "kind": "rto", "target": rto.objective_s, "lo": round(bracket.lo_s, 6), "hi": rounded(bracket.hi_s, 6), "n": bracket.n}
    told |= {"outcome": verdict.outcome, "reasons": (verdict.reason,) if verdict.reason else (), "evidence": (verdict.evidence,)}
    return _measured(case, told, slos, _span(case, start.effect[0], bracket), f"effect:{start.name}"), figures


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: str
    reason: str
    mode: str
    evidence: str

    @classmethod
    def of(cls, case: Case, bracket: Bracket, start: Fault, objective_s: float) -> _Verdict:
        own_ns = own_until_ns(case, start)
        effect_ns = (start.effect or (0, 0))[1]
        held_long_enough = own_ns is None or (own_ns - effect_ns) / NS >= objective_s
        if bracket.hi_s is None:
            return cls._unseen(bracket, objective_s, held_long_enough)
        own = own_ns is None or (bracket.end_us or 0) * US <= own_ns
        absorbed = all(part.impact_us is None for part in bracket.parts.values())
        mode = "after-removal" if not own else "absorbed" if absorbed else "self-healed"
        text = f"recovered within [{bracket.lo_s:.3f} s, {bracket.hi_s:.3f} s]" + ("" if own else ", but not before the fault was taken back")
        if bracket.lo_s > objective_s and (own or held_long_enough):
            return cls(MISSED, "RTO_MISSED", mode, text)
        if not own and (not held_long_enough or bracket.hi_s <= objective_s):
            return cls(INCONCLUSIVE, "HELD_SHORTER_THAN_RTO", mode, text)
        if own and bracket.hi_s <= objective_s:
            return cls(MET, "", mode, text)
        return cls(INCONCLUSIVE, "RTO_STRADDLES", mode, text)

    @classmethod
    def _unseen(cls, bracket: Bracket, objective_s: float, held_long_enough: bool) -> _Verdict:
        text = f"not recovered within the observation, and certainly not before {bracket.lo_s:.3f} s"
        if bracket.n == 0:
            return cls(INCONCLUSIVE, "NO_DATA", "undecided", "no request was measured after the effect")
        if bracket.lo_s > objective_s:
            if held_long_enough:
                return cls(MISSED, "RTO_MISSED", "not-recovered", text)
            return cls(INCONCLUSIVE, "HELD_SHORTER_THAN_RTO", "not-recovered", text)
        if bracket.too_few:
            return cls(INCONCLUSIVE, "TOO_FEW_SAMPLES", "undecided", "the stable stretch holds fewer arrivals than the target needs")
        return cls(INCONCLUSIVE, "RECOVERY_NOT_OBSERVED", "undecided", text)


def _span(case: Case, from_ns: int, bracket: Bracket) -> Span:
    """What was looked at: up to the end of the stretch, or of the observation."""
    return from_ns, case.until_ns if bracket.end_us is None else bracket.end_us * US


def _measured(case: Case, told: dict[str, Any], slos: list[Slo], span: Span, *proofs: str) -> Finding:
    """The finding, unless the generator did not measure the span well enough, or the measurement, or one of `proofs`, is not sound."""
    lacking = delivered(case, "recovery", span)
    if lacking is not None and lacking.reasons:
        return Finding(**{**told, "outcome": INCONCLUSIVE, "reasons": lacking.reasons, "evidence": (*told["evidence"], *lacking.evidence)})
    if any(too_unknown(count_in(case.samples(slo), span)) for slo in slos):
        return Finding(**{**told, "outcome": INCONCLUSIVE, "reasons": (unknown_reason(case, span),)})
    return case.held_against(told, *proofs) if told["outcome"] == MISSED else Finding(**told)


def _figures(case: Case, bracket: Bracket | None, objective_s: float, slos: list[str], from_: str | None, mode: str, start: Fault | None) -> dict[str, Any]:
    """The `rto` part of the result."""
    figures: dict[str, Any] = {"objective_s": objective_s, "lo_s": 0.0, "hi_s": None, "from": from_, "slos": list(slos), "mode": mode, "observed_s": 0.0}
    figures |= {"held_s": None, "false_dawns": 0, "last_slo": None, "terms": None, "impact_s": None, "lost_s": 0.0, "depth": 0.0}
    if bracket is None or start is None or start.effect is None:
        return figures
    effect = start.effect
    parts = list(bracket.parts.values())
    impacts = [part.impact_us for part in parts if part.impact_us is not None]
    last = bracket.parts[bracket.last or ""]
    span = (effect[0], _span(case, effect[0], bracket)[1] if bracket.at_us is None else bracket.at_us * US)
    suffered = _damage(case, slos, span)
    return figures | {
        "lo_s": round(bracket.lo_s, 6),
        "hi_s": rounded(bracket.hi_s, 6),
        "observed_s": round(max(0, case.until_ns - effect[0]) / NS, 6),
        "held_s": rounded(start.held_s, 6),
        "false_dawns": max(part.false_dawns for part in parts),
        "last_slo": bracket.last,
        "terms": {
            "effect_ms": round((effect[1] - effect[0]) / 1e6, 3),
            "arrival_gap_ms": last.gap_us / 1000,
            "lateness_ms": last.lateness_us / 1000,
            "response_ms": last.response_us / 1000,
            "clock_ms": 0.0,  # one host: every process reads the same monotonic clock
        },
        "impact_s": round(max(0, min(impacts) * US - effect[0]) / NS, 6) if impacts else None,
        "lost_s": round(suffered.lost_s, 6),
        "depth": round(suffered.depth, 9),
    }


def _damage(case: Case, names: list[str], span: Span) -> Damage:
    """The worst that any of the SLOs suffered in a span, against its own baseline."""
    found = [Damage(0.0, 0.0)]
    for slo in (slo for slo in case.block.slos if slo.name in names):
        calm = count_in(case.samples(slo), case.windows["baseline"]) if "baseline" in case.windows else None
        usual = calm.good / calm.known if calm is not None and calm.known else 1.0
        found.append(damage(case.samples(slo), span[0] // US, span[1] // US, usual))
    return Damage(max(one.depth for one in found), max(one.lost_s for one in found))


def last_removed(case: Case) -> Span | None:
    """The bracket of the last fault's being gone; None while one that was in effect was not seen to be gone."""
    effective = [fault for fault in case.faults if fault.effect is not None]
    removed = [fault.removed for fault in effective if fault.removed is not None]
    return max(removed, key=lambda span: span[1]) if removed and len(removed) == len(effective) else None


def judge_recovery_after_removal(case: Case) -> tuple[Finding, dict[str, Any]] | None:
    """The finding on recovery once the last fault was taken back. None when nothing is promised, or a control injected nothing."""
    objective_s = case.block.recovery_after_removal_s
    if objective_s is None:
        return None
    told: dict[str, Any] = {"id": "recovery_after_removal", "kind": "recovery_after_removal", "target": objective_s}
    removed, slos = last_removed(case), recovery_slos(case)
    effective = any(fault.effect is not None for fault in case.faults)
    if not effective and case.control != "none":
        return None
    if removed is None or not slos:
        reason = "NO_OBJECTIVE" if removed else why_no_window(case, "recovered")
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(reason,)), {"objective_s": objective_s, "lo_s": 0.0, "hi_s": None}
    bracket = together(case, slos, removed, removed[0])
    told |= {"lo": round(bracket.lo_s, 6), "hi": rounded(bracket.hi_s, 6), "n": bracket.n}
    outcome, reason = _after_removal(bracket, objective_s)
    seen = f"recovered within [{bracket.lo_s:.3f} s, {bracket.hi_s:.3f} s]" if bracket.hi_s is not None else f"not before {bracket.lo_s:.3f} s"
    told |= {"reasons": (reason,) if reason else (), "evidence": (f"after removal: {seen}",), "outcome": outcome}
    figures = {"objective_s": objective_s, "lo_s": told["lo"], "hi_s": told["hi"]}
    return _measured(case, told, slos, _span(case, removed[0], bracket)), figures


def _after_removal(bracket: Bracket, objective_s: float) -> tuple[str, str]:
    if bracket.lo_s > objective_s:
        return MISSED, "RECOVERY_AFTER_REMOVAL_MISSED"
    if bracket.hi_s is None:
        return INCONCLUSIVE, "NO_DATA" if bracket.n == 0 else "TOO_FEW_SAMPLES" if bracket.too_few else "RECOVERY_NOT_OBSERVED"
    return (MET, "") if bracket.hi_s <= objective_s else (INCONCLUSIVE, "RTO_STRADDLES")


def recovery_slos(case: Case) -> list[Slo]:
    """The SLOs that recovery is asked of: those of the RTO, else all that something is promised of."""
    if case.block.rto is not None:
        return [slo for slo in case.block.slos if slo.name in (case.block.rto.slos if case.block.rto else [])]
    return [slo for slo in case.used_slos() if slo.sli.source == "locust"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """The *recovered* window. `settled`: it begins at a recovery; else it is the last stable stretch of a full observation without one."""

    span: Span
    settled: bool


def recovered_window(case: Case) -> Recovered | None:
    """
    From the first recovered arrival after the last removal to the last arrival; None when there is no such time.

    A service that did not recover although the file's whole recovery time was observed is judged by its last
    `stable` stretch, which can miss an objective but never meet one.
    """
    removed = last_removed(case)
    if removed is None:
        method = case.phases.get("method")
        injected = any(fault.effect is not None for fault in case.faults)
        if case.control == "none" or injected or method is None or case.until_ns <= method[1]:
            return None
        return Recovered((method[1], case.until_ns), True)
    names = {one.slo for one in case.block.objectives if one.window == "recovered"} | {slo.name for slo in recovery_slos(case)}
    slos = [slo for slo in case.block.slos if slo.name in names and slo.sli.source == "locust"]  # a recovery is found in requests only
    if not slos:
        return Recovered((removed[1], case.until_ns), True) if case.until_ns > removed[1] else None
    bracket = together(case, slos, (removed[1], removed[1]), removed[1])
    if bracket.at_us is not None:
        return Recovered((bracket.at_us * US, case.until_ns), True)
    windows = case.block.windows
    if case.until_ns - removed[1] < COMPLETELY_OBSERVED * windows.recovery_s * NS or not case.complete:
        return None
    return Recovered((max(removed[1], case.until_ns - round(windows.stable_s * NS)), case.until_ns), False)
