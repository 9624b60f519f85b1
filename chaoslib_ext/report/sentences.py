"""
The sentence below the verdict: what was done, what clients saw, what it means. Every number is the result's.

Words that hide what was judged ("successful", "healthy", "OK") are not used, and no share stands without its count.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.ending import codes, not_begun, stop_event, untouched
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.findings import WINDOWS, ratio
from chaoslib_ext.report.words import Prose, at, bracket, clean, count, listed, number, percent, seconds, whole

Json = dict[str, Any]
MODES = {
    "absorbed": "absorbed: no objective was disturbed",
    "self-healed": "self-healed while the fault was in force",
    "after-removal": "recovered, and proven stable, only after the fault was taken back",
    "not-recovered": "not recovered while it was watched",
    "undecided": "could not be decided",
}


def sentence(facts: Facts) -> Prose:
    """One to three sentences for the verdict of a run."""
    tell = _TELLERS.get(facts.verdict, _inconclusive)
    told = " ".join(part for part in tell(facts) if part)
    return Prose(f"Control run ({facts.control}), not a test of resilience. {told}" if facts.control else told)


def _pass(facts: Facts) -> list[str]:
    impact = impact_of(facts)
    recovery = _recovered(facts.result.get("rto"))
    proven = "Every objective was met." if facts.control else "Every objective was met and every proof is in."
    return [_stop(f"{fault_clause(facts)}{impact or 'no client traffic was measured'}"), _stop(recovery), proven]


def _fail(facts: Facts) -> list[str]:
    missed = _worst_first(facts)
    first = missed[:1]
    said = [_stop(_missed(finding, facts.result)) for finding in first] or [_reasons(facts)]
    more = f"{count(len(missed) - 1, 'further objective')} {'was' if len(missed) == 2 else 'were'} missed." if len(missed) > 1 else ""
    return [*said, more, _stop(f"{fault_clause(facts)}{impact_of(facts)}" if impact_of(facts) else "")]


def _worst_first(facts: Facts) -> list[Json]:
    """The missed findings: lost data before slow recovery before the rest."""
    missed = [finding for finding in facts.result.get("findings") or [] if finding.get("outcome") == "missed"]
    return sorted(missed, key=lambda finding: (finding.get("kind") != "rpo", finding.get("kind") != "rto"))


def told_by_sentence(facts: Facts) -> frozenset[str]:
    """The reason codes that the sentence tells with numbers of the run, so that the general words of a code would only repeat it."""
    if facts.verdict == "ABORTED":
        return frozenset(codes(facts)[:1])
    return frozenset(str(code) for finding in _worst_first(facts)[:1] if facts.verdict == "FAIL" for code in finding.get("reasons") or [])


def _inconclusive(facts: Facts) -> list[str]:
    impact = impact_of(facts)
    if not_begun(facts):
        detail = clean((facts.header.get("end") or {}).get("detail") or "")
        return ["The run was not begun, and nothing was touched.", _reasons(facts), _stop(detail) if detail and not impact else ""]
    return ["No verdict.", _reasons(facts), _stop(f"In what was measured, {impact}" if impact else "No client traffic was measured")]


def _aborted(facts: Facts) -> list[str]:
    stop, impact = stop_event(facts), impact_of(facts)
    when = f" at {at(stop.get('t_ns', 0))}" if stop else ""
    until = _stop(f"Until then, {impact}" if impact else "")
    said = clean(stop.get("detail") or stop.get("text") or (facts.header.get("end") or {}).get("detail") or "").rstrip(".")
    if "STOPPED_BY_PERSON" in codes(facts):
        return [f"A person stopped the run{when}{f' ({said})' if said else ''}.", _taken_back(facts), until]
    if "STOPPED_BY_SIGNAL" in codes(facts):
        return [f"A signal stopped the run{when} ({clean(stop.get('rule') or said or 'unknown', 60)}).", _taken_back(facts), until]
    rule = f" “{clean(stop['rule'], 120)}”" if stop.get("rule") and stop.get("src", "guard") == "guard" else ""
    if rule:
        return [f"The stop rule{rule} ended the run{when}{f': {said}' if said else ''}.", _taken_back(facts), until]
    return [f"Stopped{when}: {_lower(_reasons(facts))[:-1]}{f' ({said})' if said else ''}.", _taken_back(facts), until]


def _taken_back(facts: Facts) -> str:
    if untouched(facts):
        return "Nothing had been injected."
    if "SUPERVISOR_DIED" in codes(facts):
        return ""  # its own words say so
    return "Every fault was taken back." if (facts.result.get("clean") or {}).get("state") == "clean" else ""


def _error(facts: Facts) -> list[str]:
    impact = impact_of(facts)
    return [_reasons(facts), "Nothing can be concluded about the system under test.", _stop(f"Until the tool failed, {impact}" if impact else "")]


def _dirty(facts: Facts) -> list[str]:
    impact = impact_of(facts)
    return [_reasons(facts), "Look at the target before anything else runs on it.", _stop(f"{fault_clause(facts)}{impact}" if impact else "")]


_TELLERS = {"PASS": _pass, "FAIL": _fail, "INCONCLUSIVE": _inconclusive, "ABORTED": _aborted, "ERROR": _error, "DIRTY": _dirty}


def impact_of(facts: Facts) -> str:
    """`312 of 4,100 checkout journeys failed over 81 s`; empty when nothing was measured."""
    load = facts.result.get("load") or {}
    total = whole(load.get("journeys"))
    if not total:
        return ""
    first, last = facts.window("warmup") or facts.window("whole"), facts.window("whole")
    over = f" over {seconds(last[1] - first[0])}" if first and last else ""
    bad, unknown = whole(load.get("bad_journeys")), whole(load.get("unknown"))
    lacking = f", {number(unknown)} are unknown" if unknown else ""
    return f"{number(bad) if bad else 'none'} of {number(total)} {_noun(facts)} failed{over}{lacking}"


def _noun(facts: Facts) -> str:
    if facts.arrival_kind == "step":
        return "requests"
    names = {point.name for point in facts.endpoints if point.kind == "journey"}
    return f"{clean(next(iter(names)), 60)} journeys" if len(names) == 1 else "journeys"


def fault_clause(facts: Facts) -> str:
    """`While “lose zone b” was in force for 40 s, `; empty when nothing was proven in effect."""
    proven = [fault for fault in facts.faults if fault.get("effect")]
    if not proven:
        return ""
    names = listed([f"“{clean(fault.get('name', ''), 80)}”" for fault in proven[:3]])
    more = f" and {count(len(proven) - 3, 'more fault')}" if len(proven) > 3 else ""
    held = [fault.get("held_s") for fault in proven]
    if len(proven) == 1 and proven[0].get("kind") == "held" and held[0] is not None:
        return f"With {names} in force for {seconds(held[0])}, "
    return f"With {names}{more} injected, "


def _recovered(rto: Json | None) -> str:
    if not rto:
        return ""
    mode, objective = rto.get("mode"), rto.get("objective_s")
    promised = f" (objective {seconds(objective)})" if objective is not None else ""
    if mode == "absorbed":
        return f"The fault was absorbed: no objective was disturbed{promised}"
    if mode == "self-healed" and rto.get("lo_s") is not None:
        return f"The system recovered by itself in {bracket(rto['lo_s'], rto.get('hi_s'))}{promised}"
    return f"Recovery: {MODES.get(str(mode), clean(mode, 40))}{promised}"


def _missed(finding: Json, result: Json) -> str:
    kind, lo, hi, target = finding.get("kind"), finding.get("lo"), finding.get("hi"), finding.get("target")
    if kind == "detection" and isinstance(target, int | float):
        return f"The alert {clean((result.get('detection') or {}).get('alert', ''), 120)} did not fire within {seconds(target)} of the fault's effect"
    if kind in ("rto", "recovery_after_removal") and lo is not None and isinstance(target, int | float):
        return _too_slow(str(kind), lo, hi, target, result.get("rto") or {})
    if kind == "rpo" and finding.get("bad"):
        return f"{number(whole(finding.get('bad')))} of {count(whole(finding.get('n')), 'acknowledged write')} were lost"
    share = ratio(finding)
    if kind == "slo" and share is not None and isinstance(target, int | float):
        window = WINDOWS.get(str(finding.get("window")), clean(finding.get("window", ""), 40))
        return (
            f"{clean(finding.get('slo', 'the SLO'), 120)} was {percent(share)} {window}, below its target of {percent(target, 3)}"
            f" ({number(whole(finding.get('bad')))} of {number(whole(finding.get('n')))} samples bad)"
        )
    codes = [code for code in finding.get("reasons") or [] if code in REASONS]
    return REASONS[codes[0]].sentence.rstrip(".") if codes else f"{clean(finding.get('id', 'an objective'), 120)} was missed"


def _too_slow(kind: str, lo_s: float, hi_s: float | None, target_s: float, rto: Json) -> str:
    what = "Recovery" if kind == "rto" else "Recovery after removal"
    if hi_s is None:
        return f"{what} was not seen in {seconds(lo_s)}; the objective is {seconds(target_s)}"
    if kind == "rto" and rto.get("mode") == "after-removal":
        if hi_s <= (rto.get("held_s") or 0.0):
            return (
                f"The system came back after {bracket(lo_s, hi_s)} (objective {seconds(target_s)}), and was not yet proven stable when the fault was taken back"
            )
        return f"The system did not recover by itself: it took {bracket(lo_s, hi_s)}, and only after the fault was taken back (objective {seconds(target_s)})"
    return f"{what} took {bracket(lo_s, hi_s)}; the objective of {seconds(target_s)} was missed by {bracket(max(0.0, lo_s - target_s), hi_s - target_s)}"


def _reasons(facts: Facts) -> str:
    codes = facts.result.get("reasons") or []
    said = [REASONS[code].sentence for code in codes[:2] if code in REASONS]
    rest = len(codes) - len(said)
    more = f" ({count(rest, 'more reason')} below.)" if said and rest > 0 else ""
    return (" ".join(said) or "The result gives no reason.") + more


def _stop(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
