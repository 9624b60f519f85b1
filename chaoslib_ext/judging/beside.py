"""
Two sources of one SLO, side by side: the one that judges, and the one that is shown beside it.

The second decides nothing about the system. But where the two say different things, further apart than the SLO's tolerance and than what
the readings leave open, the measurement is in question: no PASS can rest on it. A miss of the one that judges stays a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaoslib_ext.block import Objective
from chaoslib_ext.judging.case import Case, count_in, target_of, too_unknown, unknown_reason
from chaoslib_ext.judging.soundness import needed_for
from chaoslib_ext.judging.sourced import EXACT, REMOTE, Sourced, sourced
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.result import INCONCLUSIVE, MET, Finding
from chaoslib_ext.samples import Count, samples_of
from chaoslib_ext.slo import Sli, Slo


@dataclass(frozen=True, slots=True)
class Said:
    """
    What one source says of a window: the share of good events is in `[lo, hi]`.

    `reason` says why it says nothing, else it is empty. `evidence` tells how old and how whole its readings are.
    """

    count: Count
    lo: float = 0.0
    hi: float = 1.0
    reason: str = ""
    evidence: tuple[str, ...] = ()


def judge_sources(case: Case, objective: Objective, span: Span | None) -> Finding | None:
    """The finding on what the second source of an SLO says beside the first. None where there is no second one, or the window did not happen."""
    slo = case.slo(objective.slo)
    if slo is None or slo.beside is None or span is None:
        return None
    judged, beside = (_said(case, slo, sli, span, objective) for sli in (slo.sli, slo.beside))
    told: dict[str, Any] = {"id": f"sources:{slo.name}:{objective.window}", "kind": "sources", "slo": slo.name, "window": objective.window}
    told |= {"target": slo.tolerance, "n": beside.count.known, "bad": beside.count.bad, "source": slo.beside.source}
    shown = (_shown(slo.sli.source, "which judges", judged), _shown(slo.beside.source, "beside it", beside), *beside.evidence)
    reason = beside.reason or judged.reason
    if reason:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=(reason,), evidence=(*shown, "so the two cannot be compared"))
    told |= {"lo": beside.lo, "hi": beside.hi}
    least, most = max(0.0, judged.lo - beside.hi, beside.lo - judged.hi), max(judged.hi - beside.lo, beside.hi - judged.lo)
    apart = f"apart by {least * 100:.2f} to {most * 100:.2f} percentage points, {slo.tolerance * 100:g} allowed"
    if least > slo.tolerance:
        return Finding(**told, outcome=INCONCLUSIVE, reasons=("SOURCES_DISAGREE",), evidence=(apart, *shown))
    return Finding(**told, outcome=MET, evidence=(apart, *shown))


def _said(case: Case, slo: Slo, sli: Sli, span: Span, objective: Objective) -> Said:
    found = _from_source(sourced(case, slo, span), objective.window) if sli.source == REMOTE else _from_load(case, sli, span)
    needed = needed_for(slo, target_of(objective, slo))
    if not found.reason and needed is not None and found.count.known < needed:
        return Said(found.count, reason="TOO_FEW_SAMPLES", evidence=found.evidence)
    return found


def _from_load(case: Case, sli: Sli, span: Span) -> Said:
    """What the requests of the load say: exact, but for those that are unknown."""
    count = count_in(samples_of(case.run.rows, case.order, case.run.endpoints, sli), span)
    if not count.known:
        return Said(count, reason="NO_DATA")
    if too_unknown(count):
        return Said(count, reason=unknown_reason(case, span))
    return Said(count, count.good / count.total, (count.good + count.unknown) / count.total)


def _from_source(seen: Sourced, window: str) -> Said:
    """What counters say: something between what is certainly inside the window and the most that may be."""
    inside, outer = seen.inside, seen.at_most
    if seen.reason or not inside.known:
        return Said(inside, reason=seen.reason or "NO_DATA", evidence=seen.evidence)
    if seen.partial or (outer is None and window in EXACT):
        return Said(inside, reason="SOURCE_INCOMPLETE" if seen.partial else "SOURCE_TOO_COARSE", evidence=seen.evidence)
    most_good, most_bad = max(inside.good, outer.good if outer else 0), max(inside.bad, outer.bad if outer else 0)
    lo, hi = (good / (good + bad) if good + bad else 1.0 for good, bad in ((inside.good, most_bad), (most_good, inside.bad)))
    return Said(inside, lo, hi, evidence=seen.evidence)


def _shown(source: str, what: str, said: Said) -> str:
    count = said.count
    if said.reason and not count.known:
        return f"{source}, {what}: nothing ({said.reason})"
    why = "the edges of the window" if source == REMOTE else "those that are unknown"
    between = f", between {said.lo * 100:.2f} and {said.hi * 100:.2f} % with {why}" if said.hi > said.lo and not said.reason else ""
    return f"{source}, {what}: {count.good} of {count.known} good, {count.good / count.known * 100:.2f} %{between}"
