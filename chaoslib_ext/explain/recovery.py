"""The bracket of a recovery, from the effect and the rows that bound it."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.explain.rows import Evidence, row_at
from chaoslib_ext.judging import rto
from chaoslib_ext.judging.case import Case
from chaoslib_ext.judging.windows import Fault, Span
from chaoslib_ext.slo import Slo
from chaoslib_ext.stats import enough
from chaoslib_ext.timeline import LATE_US, UNKNOWN, Outcome

Json = dict[str, Any]


def recovery(evidence: Evidence, finding: Json) -> Json:
    """
    `{objective_s, clock_ns, slos, lo_s, hi_s, formula, agrees}`: the bracket computed again.

    For each SLO the row that proves that it had not recovered yet (`last_bad`), the recovered arrival, and the row whose
    answer proves it (`proof`), each with its file and number.
    """
    case = evidence.case
    start = _start(case, str(finding["id"]))
    slos = [slo for slo in rto.recovery_slos(case) if slo.sli.source == "locust"]
    if start is None or not slos:
        return {"formula": "no proven effect, or no removal, starts the clock", "sources": ["events.jsonl (kinds effect, removed)"]}
    span, relapse_ns, what = start
    bracket = rto.together(case, slos, span, relapse_ns)
    parts = {slo.name: _part(evidence, slo, bracket.parts[slo.name], span) for slo in slos}
    told: Json = {"objective_s": finding.get("target"), "clock_ns": list(span), "clock_starts": what, "slos": parts, "last_slo": bracket.last}
    told |= {
        "lo_s": round(bracket.lo_s, 6),
        "hi_s": None if bracket.hi_s is None else round(bracket.hi_s, 6),
        "formula": f"{_formula(span, parts, bracket)}; objective {finding.get('target')} s",
    }
    told["agrees"] = None if finding.get("lo") is None else (told["lo_s"], told["hi_s"]) == (finding.get("lo"), finding.get("hi"))
    own = _own(case) if finding["id"] == "rto" else None
    if own is not None:
        told["own_until_ns"] = own
    sources = [*evidence.row_files(), "events.jsonl (kinds effect, removed)", "undo.wal (UNDO_TRY)", *dict.fromkeys(slo.source for slo in slos)]
    return {**told, "sources": sources}


def _clock_fault(case: Case) -> Fault | None:
    block = case.block.rto
    effective = [fault for fault in case.faults if fault.effect is not None and (block is None or block.from_ in (None, fault.name))]
    return min(effective, key=lambda fault: fault.effect or (0, 0), default=None)


def _start(case: Case, id_: str) -> tuple[Span, int, str] | None:
    """What starts the clock: its bracket, until when a relapse counts, and in words."""
    if id_ == "rto":
        fault = _clock_fault(case)
        if fault is None or fault.effect is None:
            return None
        return fault.effect, rto.relapse_before_ns(case, fault), f"the effect of {fault.name!r}"
    removed = rto.last_removed(case)
    return None if removed is None else (removed, removed[0], "the removal of the last fault")


def _own(case: Case) -> int | None:
    fault = _clock_fault(case)
    return None if fault is None else rto.own_until_ns(case, fault)


def _part(evidence: Evidence, slo: Slo, part: Any, span: Span) -> Json:
    """One SLO: its rows after the clock's start that bound the recovery, and the two instants."""
    rows = evidence.case.run.rows
    from_us, until_us = span[0] // rto.US, evidence.case.until_ns // rto.US
    known = [i for i in evidence.chosen(slo) if from_us <= rows.intended_us[i] < until_us and _known(rows, i)]
    told: Json = {"target": slo.target, "enough": enough(slo.target), "known": len(known), "lo_us": part.lo_us, "hi_us": part.hi_us, "at_us": part.at_us}
    told["last_bad"] = next((row_at(evidence, i) for i in known if rows.intended_us[i] + rows.late_us[i] == part.lo_us and not _good(rows, i, slo)), None)
    ends = [i for i in known if part.hi_us is not None and rows.intended_us[i] + rows.latency_us[i] == part.hi_us and _good(rows, i, slo)]
    told["proof"] = row_at(evidence, ends[0]) if ends else None
    return told


def _known(rows: Any, i: int) -> bool:
    return rows.outcome[i] not in {int(one) for one in UNKNOWN} and rows.late_us[i] <= LATE_US


def _good(rows: Any, i: int, slo: Slo) -> bool:
    limit = slo.sli.max_latency_ms
    return rows.outcome[i] == int(Outcome.OK) and (limit is None or rows.latency_us[i] <= round(limit * 1000))


def _formula(span: Span, parts: dict[str, Json], bracket: rto.Bracket) -> str:
    lo_us = max(part["lo_us"] for part in parts.values())
    low = f"lo = max(0, last bad one sent {lo_us / 1e6:.6f} s - clock's latest start {span[1] / NS:.6f} s) = {bracket.lo_s:.6f} s"
    if bracket.hi_s is None:
        return f"{low}; hi: no stretch of good arrivals was seen to its end"
    hi_us = max(part["hi_us"] or 0 for part in parts.values())
    return f"{low}; hi = proof answered {hi_us / 1e6:.6f} s - clock's earliest start {span[0] / NS:.6f} s = {bracket.hi_s:.6f} s"
