"""What happened, as sentences with a time: the list beside the timeline, from the events of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.report.words import Prose, between, clean, listed, number

Event = dict[str, Any]
MOST = 80
_MERGE_NS = 1_000_000_000  # targets that change within a second of each other are one line
_SAID = {
    "killed": "killed by the fault",
    "gone": "gone",
    "started": "started again",
    "ready": "ready, answering",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `kind` is phase, fault, good, bad, alert, decision, target or plain; phases are headings and carry no number."""

    t_ns: int
    kind: str
    text: Prose
    number: int = 0


def chronicle(events: Iterable[Event]) -> list[Entry]:
    """The noteworthy events in order, numbered from 1; at most `MOST`, and a last line that says how many were left out."""
    raw = [entry for event in _merged(events) if (entry := _entry(event)) is not None]
    numbered: list[Entry] = []
    counted = 0
    for entry in raw:
        if entry.kind == "phase":
            numbered.append(entry)
        elif counted < MOST:
            counted += 1
            numbered.append(Entry(entry.t_ns, entry.kind, entry.text, counted))
    left_out = sum(entry.kind != "phase" for entry in raw) - counted
    if left_out > 0:
        numbered.append(Entry(raw[-1].t_ns, "note", Prose(f"{number(left_out)} later events are left out here; events.jsonl has them all.")))
    return numbered


def _merged(events: Iterable[Event]) -> list[Event]:
    out: list[Event] = []
    for event in sorted(events, key=lambda event: (event.get("t_ns", 0), event.get("seq", 0))):
        last = out[-1] if out else {}
        same = event.get("kind") == "target" == last.get("kind") and event.get("what") == last.get("what")
        if same and event["t_ns"] - last["t_ns"] < _MERGE_NS:
            last["names"].append(event.get("name", ""))
        else:
            out.append(dict(event, names=[event.get("name", "")]))
    return out


def _entry(event: Event) -> Entry | None:
    teller = _TELLERS.get(str(event.get("kind")))
    told = teller(event) if teller else None
    return Entry(int(event.get("t_ns", 0)), told[0], Prose(told[1])) if told else None


def _phase(event: Event) -> tuple[str, str] | None:
    return ("phase", clean(event.get("name", ""))) if event.get("state") == "start" else None


def _activity(event: Event) -> tuple[str, str] | None:
    name, kind = clean(event.get("name", "")), clean(event.get("type", "activity"))
    place = {"gate": " at the gate", "recheck": " after recovery", "rollback": " as a rollback"}.get(str(event.get("where")), "")
    if event.get("state") == "started":
        return ("plain", f"{kind} “{name}” started{place}") if kind == "action" else None
    if event.get("tolerance_met") is False:
        return "bad", f"{kind} “{name}”{place}: out of tolerance{_because(event.get('output'))}"
    if event.get("status") in (None, "succeeded"):
        return None
    return "bad", f"{kind} “{name}”{place}: {clean(event['status'])}{_because(event.get('error'))}"


def _because(text: object) -> str:
    return f" – {clean(text)}" if text not in (None, "", {}, []) else ""


def _effect(event: Event) -> tuple[str, str]:
    return "fault", f"“{clean(event.get('fault', ''))}” in effect, seen from outside at {_moment(event)}{_because(event.get('proof'))}"


def _removed(event: Event) -> tuple[str, str]:
    what = "replaced: new targets answer" if event.get("replaced") else "taken back: the targets answer again"
    return "good", f"“{clean(event.get('fault', ''))}” {what}, seen at {_moment(event)}{_because(event.get('proof'))}"


def _moment(event: Event) -> str:
    at_ns: int = event.get("t_ns", 0)
    lo_ns: int = event.get("lo_ns", at_ns)
    hi_ns: int = event.get("hi_ns", at_ns)
    return between(lo_ns, hi_ns)


def _target(event: Event) -> tuple[str, str]:
    names = [clean(name, 60) for name in event["names"]]
    shown = names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return "target", f"{listed(shown)} {_SAID.get(str(event.get('what')), clean(event.get('what', 'changed'), 40))}"


def _stop(event: Event) -> tuple[str, str]:
    return "bad", f"stop rule “{clean(event.get('rule', ''))}”{_because(event.get('detail'))}"


def _note(event: Event) -> tuple[str, str]:
    return "plain", f"note: {clean(event.get('text', ''))}"


def _decision(event: Event) -> tuple[str, str]:
    return "decision", f"decision: {clean(event.get('text', ''))}" + (f" (by {clean(event['by'], 80)})" if event.get("by") else "")


def _alert(event: Event) -> tuple[str, str]:
    return "alert", f"alert {clean(event.get('name', ''))} {clean(event.get('state', 'fired'), 40)}"


_TELLERS = {
    "phase": _phase,
    "activity": _activity,
    "effect": _effect,
    "removed": _removed,
    "target": _target,
    "stop": _stop,
    "note": _note,
    "decision": _decision,
    "alert": _alert,
}
