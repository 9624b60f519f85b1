"""
The windows of a run and the faults in them, from its events; times are nanoseconds from the run's zero.

*warmup* and *baseline* are phases. *fault* is from the first moment that a fault may have been in effect to the
last that one may not have been gone: [first effect.lo, last removed.hi]. *whole* is from the baseline to
the last arrival. *recovered* needs the samples, and is found in `rto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.rundir import Run

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One planned fault and what was seen of it from outside.

    `effect` and `removed` are brackets; the effect was proven, by looks from its `hi` on, at `proven_ns`.
    `undo_ns` is when its first undo was tried, None when that is not known.
    """

    name: str
    kind: str
    how: str
    reversible: bool
    targets: list[dict[str, Any]]
    planned_s: float | None
    effect: Span | None
    removed: Span | None
    proof: str
    replaced: bool
    undo_ns: int | None
    proven_ns: int
    uids: frozenset[str]

    @property
    def held(self) -> bool:
        """Whether it stays in force until it is taken back (the other kind is over in an instant)."""
        return self.kind != "instant"

    @property
    def until_ns(self) -> int | None:
        """The last moment at which it was certainly still in force; None while nothing is known to have ended it."""
        ends = [end for end in (self.undo_ns, self.removed[0] if self.removed else None) if end is not None]
        return min(ends) if ends and self.held else None

    @property
    def held_s(self) -> float | None:
        """Seconds that a held fault was certainly in force, from the proven effect on; None when not known."""
        if self.effect is None or self.until_ns is None:
            return None
        return max(0, self.until_ns - self.effect[1]) / NS

    def to_json(self) -> dict[str, Any]:
        """Its part of `result.json`."""
        held_s = None if self.held_s is None else round(self.held_s, 6)
        effect, removed = (list(span) if span else None for span in (self.effect, self.removed))
        seen = {"effect": effect, "removed": removed, "proof": self.proof, "held_s": held_s, "planned_s": self.planned_s, "replaced": self.replaced}
        return {"name": self.name, "kind": self.kind, "how": self.how, "reversible": self.reversible, "targets": self.targets, **seen}


def faults_of(run: Run) -> list[Fault]:
    """The faults of the plan, in its order, with the brackets that the prober proved."""
    return [_fault(run, row) for row in run.plan.get("resolved") or []]


def _fault(run: Run, row: dict[str, Any]) -> Fault:
    name = str(row.get("activity"))
    effects = [event for event in run.of_kind("effect") if event.get("fault") == name and event.get("proof")]
    removals = [event for event in run.of_kind("removed") if event.get("fault") == name]
    tries = [frame.t_ns for frame in run.undo if frame.fault == name and frame.rec == "UNDO_TRY"]
    return Fault(
        name=name,
        kind=str(row.get("kind") or "held"),
        how=str(row.get("how") or ""),
        reversible=bool(row.get("reversible", True)),
        targets=list(row.get("targets") or []),
        planned_s=row.get("duration_s"),
        effect=_around(effects),
        removed=_around(removals),
        proof="; ".join(str(event["proof"]) for event in effects),
        replaced=bool(removals) and all(bool(event.get("replaced")) for event in removals),
        undo_ns=min(tries, default=None),
        proven_ns=max((event["t_ns"] for event in effects), default=0),
        uids=frozenset(str(uid) for event in effects for uid in event.get("uids") or ()),
    )


def _around(events: list[dict[str, Any]]) -> Span | None:
    """From the earliest to the latest bracket; an event without a bracket counts as the instant it was told."""
    if not events:
        return None
    return min(event.get("lo_ns", event["t_ns"]) for event in events), max(event.get("hi_ns", event["t_ns"]) for event in events)


def phases_of(run: Run) -> dict[str, Span]:
    """The phases that ended, by name."""
    starts: dict[str, int] = {}
    found: dict[str, Span] = {}
    for event in run.of_kind("phase"):
        name = str(event.get("name"))
        if event.get("state") == "start":
            starts.setdefault(name, event["t_ns"])
        elif name in starts:
            found[name] = (starts[name], event["t_ns"])
    return found


def observed_until_ns(run: Run) -> int:
    """The end of what the load saw: its stop, else its last whole second or row; without load the last event."""
    if run.meta is not None and run.meta.get("stop_ns") is not None:
        return int(run.meta["stop_ns"])
    if len(run.rows):
        return max(run.rows.intended_us) * 1000 + 1
    return max((event["t_ns"] for event in run.events), default=0)


def windows_of(run: Run, faults: list[Fault], control: str) -> dict[str, Span]:
    """The windows that the events give; those that did not happen are left out."""
    phases, until_ns = phases_of(run), observed_until_ns(run)
    found = {name: phases[phase] for name, phase in (("warmup", "warm-up"), ("baseline", "baseline")) if phase in phases}
    if "baseline" in found:
        found["whole"] = (found["baseline"][0], max(until_ns, found["baseline"][1]))
    effects = [fault.effect for fault in faults if fault.effect is not None]
    if effects:
        ends = [fault.removed[1] if fault.removed else until_ns for fault in faults if fault.effect is not None]
        found["fault"] = (min(lo for lo, _ in effects), max(ends))
    elif control != "none" and "method" in phases:
        found["fault"] = phases["method"]  # nothing is injected: what would have been the fault's time
    return found
