"""
A finding as a row of words: what was promised, what was measured, how far apart they are, from how many samples.

The outcome is copied from the sealed result. Nothing here compares a measurement with a target to decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from chaoslib_ext.report.words import NBSP, Prose, bracket, clean, number, percent, seconds

Finding = dict[str, Any]
_ORDER = {"missed": 0, "inconclusive": 1, "met": 2}
WINDOWS = {"baseline": "before the fault", "fault": "during the fault", "recovered": "after recovery", "whole": "whole run", "warmup": "warm-up"}
_TITLES = {
    "rto": "Recovery time (RTO)",
    "recovery_after_removal": "Recovery after removal",
    "rpo": "Data loss (RPO)",
    "budget": "Error budget spent",
    "detection": "Detection: the alert fired in time",
    "hypothesis": "Steady-state hypothesis",
}
_PROOFS = {
    "effect": "“{}” seen in effect from outside",
    "held": "“{}” held as planned",
    "removed": "“{}” seen to be gone, or replaced",
    "baseline": "{} met before the fault",
    "load": "Load delivered: {}",
    "load child": "The load generator lived to its end",
    "clock": "The clock is sound",
    "evidence": "The evidence is whole",
    "gate": "The hypothesis held before the method",
    "promises": "Something is promised",
    "prober": "The prober lived to its end",
    "method child": "The method ran in a process that lived to its end",
    "faults": "Faults with targets were planned",
    "actions": "Every action ran",
    "probes": "Every probe ran",
    "managed": "Every action can be vouched for",
    "control": "The control showed what it is for",
}
PROOFS = frozenset({"effect", "obligation"})
_TIMES = frozenset({"rto", "recovery_after_removal", "rpo", "detection"})
NOTHING = "–"
_FROM = {"rto": "from the effect", "detection": "from the effect", "recovery_after_removal": "from the removal", "rpo": "read back after"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the objectives table. `outcome` is met, missed or inconclusive; the rest is ready to print."""

    id: str
    kind: str
    title: str
    window: str
    target: str
    measured: str
    margin: str
    samples: str
    outcome: str
    reasons: tuple[str, ...]
    evidence: tuple[str, ...]
    interval: str = ""


def rows(findings: Iterable[Finding]) -> list[Row]:
    """Every finding, the missed ones first, then the undecided ones; otherwise in the order of the result."""
    return sorted((row(finding) for finding in findings), key=lambda row: _ORDER.get(row.outcome, 1))


def row(finding: Finding) -> Row:
    """One finding in words."""
    kind = clean(finding.get("kind", ""), 40)
    return Row(
        id=clean(finding.get("id", ""), 120),
        kind=kind,
        title=_title(kind, finding),
        window=WINDOWS.get(str(finding.get("window")), clean(finding.get("window") or _FROM.get(kind, NOTHING), 60)),
        target=_target(kind, finding),
        measured=_measured(kind, finding),
        margin=_margin(kind, finding),
        samples=samples(finding),
        outcome=clean(finding.get("outcome", "inconclusive"), 40),
        reasons=tuple(clean(code, 60) for code in finding.get("reasons") or ()),
        evidence=tuple(clean(text) for text in finding.get("evidence") or ()),
        interval=_interval(kind, finding),
    )


def _interval(kind: str, finding: Finding) -> str:
    """The 95 % bounds of a share, printed only; empty where there are none."""
    lo, hi = finding.get("lo"), finding.get("hi")
    if kind != "slo" or not isinstance(lo, int | float) or not isinstance(hi, int | float) or ratio(finding) is None:
        return ""
    return f"{percent(lo).removesuffix(f'{NBSP}%')}–{percent(hi)}"


def samples(finding: Finding) -> str:
    """`312 bad of 4,100`; a dash where a finding does not rest on samples."""
    total, bad = finding.get("n"), finding.get("bad")
    if not isinstance(total, int):
        return NOTHING
    return number(total) if bad is None else f"{number(bad)} bad of {number(total)}"


def ratio(finding: Finding) -> float | None:
    """The measured share of good samples; None without any."""
    total, bad = finding.get("n"), finding.get("bad")
    return (total - bad) / total if total and bad is not None else None


def _title(kind: str, finding: Finding) -> str:
    slo = clean(finding.get("slo") or "", 120)
    if kind == "sources":
        return Prose(f"{slo} · beside it, {clean(finding.get('source') or '', 40)}")
    if kind == "slo":
        return Prose(f"{slo or 'SLO'} · from {clean(finding['source'], 40)}") if finding.get("source") else slo or "SLO"
    if kind in PROOFS:
        return _proof(clean(finding.get("id", ""), 160))
    own = _TITLES.get(kind, kind)
    return Prose(f"{own}: {slo}") if slo else own


def _proof(id_: str) -> str:
    name, _, about = id_.partition(":")
    shape = _PROOFS.get(name)
    return Prose(shape.format(WINDOWS.get(about, about))) if shape and bool(about) == ("{}" in shape) else id_


def _target(kind: str, finding: Finding) -> str:
    target = finding.get("target")
    if isinstance(target, bool) or not isinstance(target, int | float):
        return clean(target, 80) if target not in (None, True) else NOTHING
    if kind in _TIMES:
        return f"≤{NBSP}{seconds(target)}"
    if kind == "sources":
        return f"within {target * 100:g}{NBSP}pp"
    return f"≤{NBSP}{percent(target)}" if kind == "budget" else f"≥{NBSP}{percent(target, 3)}"


def _measured(kind: str, finding: Finding) -> str:
    lo, hi = finding.get("lo"), finding.get("hi")
    if kind in _TIMES:
        return bracket(lo, hi) if lo is not None else "not measured"
    if kind in ("slo", "sources"):
        share = ratio(finding)
        return percent(share) if share is not None else "no data"
    if kind == "budget":
        return percent(hi) if isinstance(hi, int | float) else "not measured"
    return {"met": "proven", "missed": "refuted"}.get(str(finding.get("outcome")), "not proven")


def _margin(kind: str, finding: Finding) -> str:
    target, lo, hi = finding.get("target"), finding.get("lo"), finding.get("hi")
    if isinstance(target, bool) or not isinstance(target, int | float):
        return NOTHING
    if kind in _TIMES and lo is not None:
        return _time_margin(target, lo, hi)
    if kind == "budget" and isinstance(hi, int | float):
        return f"{percent(target - hi).removesuffix('%')}pp to spare" if hi <= target else f"over by {percent(hi - target).removesuffix('%')}pp"
    share = ratio(finding)
    if kind == "slo" and share is not None:
        points = (share - target) * 100
        digits = 2 if abs(points) >= 0.01 else 4
        return f"{points:+.{digits}f}{NBSP}pp".replace("-", "−")
    return NOTHING


def _time_margin(target: float, lo: float, hi: float | None) -> str:
    if hi is None:
        return f"over by at least {seconds(lo - target)}" if lo > target else NOTHING
    if hi <= target:
        return f"{bracket(target - hi, target - lo)} to spare"
    if lo > target:
        return f"over by {bracket(lo - target, hi - target)}"
    return "objective inside the bracket"


def measured(recovery: Finding | None) -> TypeGuard[Finding]:
    """Whether a recovery of the result holds a bracket: one without upper end and with 0 below says nothing."""
    return recovery is not None and recovery.get("lo_s") is not None and (recovery.get("hi_s") is not None or recovery["lo_s"] > 0)
