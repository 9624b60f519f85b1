"""
The recovery point objective: which acknowledged writes are gone, and how old the data is that is left.

Two promises, and both must hold. `max_writes` counts every lost write. `objective` is about those acknowledged before the fault:
how long before. A write acknowledged after the effect and lost is no matter of age, the system lied while it failed over;
without a `max_writes` that admits it, one is enough to miss. Without an authoritative read nothing is said, least of all "0 lost".
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from chaoslib_ext.block import Rpo
from chaoslib_ext.clock import NS
from chaoslib_ext.judging.case import Case, unique
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.result import INCONCLUSIVE, MET, MISSED, Finding, rounded
from chaoslib_ext.writelog import INFO, OK, Attempt, NodeRead, is_barrier
from chaoslib_ext.writes import US, Classes, RecoveryPoint, classify, missing, recovery_point

LEAST_AT_RISK = 5  # acknowledged in the last second before the effect; chosen by feel
NEAR_NS = NS
MOST_UNKNOWN = Fraction(20, 100)  # of the writes sent in the fault's window: more of them, and "none lost" says little
_UNKNOWN = dict.fromkeys(
    ("lost", "lost_after_fault", "recovered", "resurrected", "phantom", "duplicated", "never_seen", "acknowledged", "unknown", "lo_s", "hi_s",
     "first_lost_t_ns", "last_lost_t_ns", "loss_span_s", "kept_between", "nodes"), None,
)  # fmt: skip


def judge_rpo(case: Case) -> tuple[Finding, dict[str, Any]] | None:
    """The finding on lost writes, and its figures. None when nothing is promised."""
    rpo = case.block.rpo
    if rpo is None:
        return None
    told: dict[str, Any] = {"id": f"rpo:{rpo.ledger}", "kind": "rpo", "window": "fault", "target": rpo.objective_s}
    figures: dict[str, Any] = {"ledger": rpo.ledger, "objective_s": rpo.objective_s, "max_writes": rpo.max_writes, **_UNKNOWN}
    attempts = [one for one in case.run.attempts if one.ledger == rpo.ledger]
    trouble = _unread(case)
    if trouble:
        return _finding(told, figures | {"attempted": len(attempts)}, INCONCLUSIVE, ("READBACK_FAILED",), trouble)
    run = str(case.run.header.get("id"))
    others = [one for one in case.run.attempts if one.ledger != rpo.ledger]
    final = {id_: n for id_, n in _authorities(case)[0].counts.items() if id_ not in {one.id for one in others}}
    classes = classify(attempts, final, run)
    figures |= _counts(classes) | {"nodes": {node.node: missing(attempts, node.counts) if node.complete else None for node in case.run.reads}}
    effect = fault_instant(case)
    if effect is None:
        return _finding(told, figures, *_without_a_fault(case, classes))
    point = recovery_point(attempts, classes.lost, effect)
    figures |= _point(point)
    told |= {"lo": rounded(point.lo_s, 6), "hi": rounded(point.hi_s, 6), "n": classes.acknowledged, "bad": len(classes.lost)}
    missed = _missed(rpo, classes, point)
    if missed:
        against = _against(case)
        return _finding(told, figures, INCONCLUSIVE if against else MISSED, against or missed, *_told(classes, point))
    lacking = _undecided(case, rpo, attempts, classes, point, effect)
    return _finding(told, figures, INCONCLUSIVE if lacking else MET, lacking, *_told(classes, point))


def _finding(told: dict[str, Any], figures: dict[str, Any], outcome: str, reasons: tuple[str, ...], *evidence: str) -> tuple[Finding, dict[str, Any]]:
    return Finding(**told, outcome=outcome, reasons=reasons, evidence=evidence), {**figures, "outcome": outcome}


def _authorities(case: Case) -> list[NodeRead]:
    return [node for node in case.run.reads if node.complete and node.settled and node.authority]


def _unread(case: Case) -> str:
    """Why the final read is not to be believed, or an empty string."""
    believed = _authorities(case)
    if not case.run.reads:
        return "the writes were not read back"
    if not believed:
        return next((node.why for node in case.run.reads if node.why), "the read-back did not settle")
    run = str(case.run.header.get("id"))
    held = [{id_: n for id_, n in node.counts.items() if not is_barrier(id_, run)} for node in believed]
    if any(one != held[0] for one in held):
        return f"{', '.join(node.node for node in believed)} are both believed, and do not hold the same"
    if not all(any(is_barrier(id_, run) for id_ in node.counts) for node in believed):
        return "no barrier write was found in the read that was believed"
    stop_ns = (case.run.meta or {}).get("stop_ns")
    last_us = max([one.done_us or one.sent_us for one in case.run.attempts], default=0)
    if any(node.t_us < last_us or node.t_us * US < (stop_ns or 0) for node in believed):
        return "it was read before the writers had stopped"
    return ""


def fault_instant(case: Case) -> Span | None:
    """When data was put at risk: the bracket of the first effect; in a control that injects nothing, the begin of its method. None when never proven."""
    effects = [fault.effect for fault in case.faults if fault.effect is not None]
    if effects:
        return min(effects)
    begun = case.phases.get("method")
    return (begun[0], begun[0]) if case.control != "none" and begun else None


def _without_a_fault(case: Case, classes: Classes) -> tuple[str, tuple[str, ...], str]:
    """Nothing was put at risk, as far as anybody saw."""
    told = f"{len(classes.lost)} acknowledged writes are gone, but no fault was seen in effect"
    return INCONCLUSIVE, case.stands_against("fault") or ("EFFECT_UNPROVEN",), told


def _missed(rpo: Rpo, classes: Classes, point: RecoveryPoint) -> tuple[str, ...]:
    """What is proven against the system: too much lost, or records that nobody may have made."""
    most = rpo.max_writes if rpo.max_writes is not None else 0 if rpo.objective_s == 0 else None
    too_many = most is not None and len(classes.lost) > most
    too_old = rpo.objective_s is not None and point.lo_s > rpo.objective_s
    lied = most is None and point.after > 0
    codes = [("RPO_MISSED", too_many or too_old or lied), ("WRITES_RESURRECTED", bool(classes.resurrected)), ("WRITES_PHANTOM", bool(classes.phantom))]
    return tuple(code for code, found in codes if found)


def _against(case: Case) -> tuple[str, ...]:
    """
    Why none of it may be held against the system.

    A generator that was late in the fault's window is no excuse for a lost acknowledgement: only what stands against the whole
    run counts, and the proof of the effect that data is measured from.
    """
    first = min((fault for fault in case.faults if fault.effect is not None), key=lambda fault: fault.effect or (0, 0), default=None)
    return case.stands_against(*([f"effect:{first.name}"] if first else []))


def _undecided(case: Case, rpo: Rpo, attempts: list[Attempt], classes: Classes, point: RecoveryPoint, effect: Span) -> tuple[str, ...]:
    """Why nothing can be said although nothing is held against the system; empty when the promise is kept."""
    found = []
    straddles = rpo.objective_s is not None and point.hi_s > rpo.objective_s
    if straddles or (rpo.max_writes is None and point.around > 0) or (not classes.lost and _too_unknown(case, attempts, effect)):
        found.append("RPO_UNDECIDED")
    acked = sum(one.outcome == OK and effect[0] - NEAR_NS <= (one.done_us or 0) * US <= effect[0] for one in attempts)
    went_on = any(effect[0] <= one.sent_us * US <= effect[1] + NEAR_NS for one in attempts)
    if acked < LEAST_AT_RISK or not went_on:
        found.append("NO_WRITES_AT_RISK")
    return unique(found)


def _too_unknown(case: Case, attempts: list[Attempt], effect: Span) -> bool:
    """
    Whether more than a fifth of the writes sent in the fault's window ended unknown.

    Faults that are over in an instant have no such window: the outage they cause would be nearly all of it. For them it is
    everything after the effect.
    """
    a_ns, b_ns = case.windows.get("fault") or (effect[0], case.until_ns)
    if not any(fault.held for fault in case.faults if fault.effect is not None):
        b_ns = max(b_ns, case.until_ns)
    inside = [one for one in attempts if a_ns <= one.sent_us * US < b_ns]
    return sum(one.outcome == INFO for one in inside) > MOST_UNKNOWN * len(inside)


def _counts(classes: Classes) -> dict[str, Any]:
    many = {name: len(getattr(classes, name)) for name in ("lost", "recovered", "never_seen", "resurrected", "phantom", "duplicated")}
    return {**many, "acknowledged": classes.acknowledged, "attempted": classes.attempted, "unknown": classes.unknown}


def _point(point: RecoveryPoint) -> dict[str, Any]:
    return {
        "lost_after_fault": point.after,
        "lo_s": rounded(point.lo_s, 6),
        "hi_s": rounded(point.hi_s, 6),
        "first_lost_t_ns": point.first_ns,
        "last_lost_t_ns": point.last_ns,
        "loss_span_s": rounded(point.span_s, 6),
        "kept_between": point.kept_between,
    }


def _told(classes: Classes, point: RecoveryPoint) -> tuple[str, ...]:
    found = [f"{len(classes.lost)} of {classes.acknowledged} acknowledged writes are gone; {classes.unknown} writes ended unknown"]
    if classes.lost:
        found.append(f"acknowledged before the effect {point.before}, around it {point.around}, after it {point.after}")
    if point.kept_between:
        found.append(f"{point.kept_between} acknowledged in between are there: no clean point in time was recovered")
    if classes.resurrected:
        found.append(f"there although refused: {', '.join(classes.resurrected[:3])}")
    if classes.phantom:
        found.append(f"there although never sent: {', '.join(classes.phantom[:3])}")
    if classes.duplicated:
        found.append(f"{len(classes.duplicated)} are there more than once")
    return tuple(found)
