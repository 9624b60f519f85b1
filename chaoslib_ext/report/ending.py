"""How a run ended, where the verdict's word alone does not say it: not begun, stopped by whom, before or after the fault."""

from __future__ import annotations

from chaoslib_ext.report.facts import Facts, Json

NOT_BEGUN = frozenset({"LOCK_HELD", "EARLIER_RUN_DIRTY", "FUSE_MISSING", "PREFLIGHT_FAILED", "CAPS_EXCEEDED", "PROTECTED", "NOT_APPROVED", "BLACKOUT"})
_STOPS = {
    "STOPPED_BY_PERSON": "stopped by a person",
    "STOPPED_BY_SIGNAL": "stopped by a signal",
    "STOP_RULE": "stopped by a rule",
    "STOP_NO_DATA": "stopped by a rule",
    "LOCK_LOST": "stopped by a lost lock",
    "HEALER_LOST": "stopped by a lost healer",
    "SUPERVISOR_DIED": "cut off",
    "LEDGER_UNWRITABLE": "stopped by a full disk",
}


def codes(facts: Facts) -> list[str]:
    """The reason codes of the result."""
    return [str(code) for code in facts.result.get("reasons") or []]


def untouched(facts: Facts) -> bool:
    """Whether nothing was injected, as the healer said."""
    return (facts.result.get("clean") or {}).get("state") == "nothing-injected"


def not_begun(facts: Facts) -> bool:
    """Whether the run was refused before anything of it happened: a lock, a blackout, no approval, something that it needs is missing."""
    return facts.verdict == "INCONCLUSIVE" and untouched(facts) and bool(NOT_BEGUN & set(codes(facts)))


def ending(facts: Facts) -> str:
    """Two or three words beside the verdict; empty where the verdict says all."""
    if not_begun(facts):
        return "not begun"
    if facts.verdict == "ABORTED":
        return next((_STOPS[code] for code in codes(facts) if code in _STOPS), "stopped")
    if facts.verdict == "INCONCLUSIVE" and untouched(facts) and not facts.control:
        return "ended before the fault"
    if facts.verdict == "ERROR" and facts.header.get("ended_ns") is None:
        return "cut off"
    return ""


def stop_event(facts: Facts) -> Json:
    """The event that stopped the run: a rule's, a signal's, or a person's decision; empty where there is none."""
    wanted = "decision" if "STOPPED_BY_PERSON" in codes(facts) else "stop"
    return next((event for event in facts.events if event.get("kind") == wanted), {})
