"""What happened in a run as stretches of time: the run, its phases, its faults. Other tools' formats are made from these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from chaoslib_ext.errors import UsageError
from chaoslib_ext.report.facts import NS, Facts, Json
from chaoslib_ext.report.moments import wall_of
from chaoslib_ext.report.words import clean

_TOLD = ("stop", "note", "decision", "alert")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a run in nanoseconds from its zero. `kind` is run, phase or fault; `about` are texts and numbers."""

    kind: str
    name: str
    start_ns: int
    end_ns: int
    about: dict[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened at one time: a stop, a note, a decision, an alert."""

    kind: str
    text: str
    t_ns: int


def wall_ns(facts: Facts) -> int:
    """Unix nanoseconds of the run's zero. Raises UsageError for a run that does not know: other tools count in wall time."""
    wall_s = wall_of(facts.header)
    if wall_s is None or not 0 <= wall_s < 2**33:
        raise UsageError("run.json: clock.wall_s: missing; without the wall time of its zero a run cannot be shown beside other tools' data")
    return round(wall_s * NS)


def spans(facts: Facts) -> list[Span]:
    """The run first, then its phases, then its faults, each by start. A fault whose removal was never seen lasts to the end."""
    end_ns = round(facts.end_s() * NS)
    return [_run(facts, end_ns), *sorted(_phases(facts, end_ns), key=_start), *sorted(_faults(facts, end_ns), key=_start)]


def _start(span: Span) -> int:
    return span.start_ns


def _run(facts: Facts, end_ns: int) -> Span:
    result = facts.result
    about: dict[str, str | int | float | bool] = {
        "chaosx.run": clean(result.get("run", ""), 120),
        "chaosx.verdict": clean(facts.verdict, 20),
        "chaosx.control": facts.control or "none",
        "chaosx.reasons": clean(" ".join(map(str, result.get("reasons") or [])), 300),
        "chaosx.seal": clean(result.get("seal") or "none", 80),
        "chaosx.environment": clean((facts.header.get("env") or {}).get("name") or "", 80),
    }
    for key in ("rto", "recovery_after_removal"):
        for end in ("lo_s", "hi_s", "objective_s"):
            value = (result.get(key) or {}).get(end)
            if isinstance(value, int | float):
                about[f"chaosx.{key}.{end}"] = value
    return Span("run", facts.title, 0, end_ns, about)


def _phases(facts: Facts, end_ns: int) -> Iterator[Span]:
    begun: dict[str, int] = {}
    for event in facts.events:
        if event.get("kind") != "phase":
            continue
        name, t_ns = clean(event.get("name", ""), 40), int(event.get("t_ns", 0))
        if event.get("state") == "start":
            begun[name] = t_ns
        elif name in begun:
            yield Span("phase", name, begun.pop(name), t_ns)
    for name, t_ns in begun.items():
        yield Span("phase", name, t_ns, max(t_ns, end_ns))


def _faults(facts: Facts, end_ns: int) -> Iterator[Span]:
    for fault in facts.faults:
        effect, removed = fault.get("effect"), fault.get("removed")
        if not effect:
            continue
        about: dict[str, str | int | float | bool] = {
            "chaosx.fault.kind": clean(fault.get("kind", ""), 20),
            "chaosx.fault.how": clean(fault.get("how") or "", 40),
            "chaosx.fault.proof": clean(fault.get("proof") or ""),
            "chaosx.fault.targets": len(fault.get("targets") or []),
            "chaosx.fault.removal_seen": bool(removed),
            "chaosx.fault.target_names": clean(", ".join(_name(target) for target in (fault.get("targets") or [])[:20])),
        }
        yield Span("fault", clean(fault.get("name", ""), 200), int(effect[1]), max(int(effect[1]), int(removed[1]) if removed else end_ns), about)


def _name(target: Json | str) -> str:
    return str(target.get("name", "")) if isinstance(target, dict) else str(target)


def moments(facts: Facts) -> list[Moment]:
    """What happened at one time, in the order of the events."""
    found = [event for event in facts.events if event.get("kind") in _TOLD]
    return [Moment(str(event["kind"]), clean(_told(event)), int(event.get("t_ns", 0))) for event in found]


def _told(event: Json) -> str:
    return " – ".join(str(event[key]) for key in ("name", "rule", "text", "detail", "state", "by") if event.get(key))
