"""What was hit: the plan of each fault against what was seen of each target."""

from __future__ import annotations

from chaoslib_ext.report.facts import Facts, Json, seen_uids
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.words import Prose, at, between, clean, count, number, seconds

_MOST_TARGETS = 50
_MOST_FAULTS = 30  # the others are a line each
_MOST_IN_ALL = 300  # of all faults together
_VERBS = {"killed": "killed", "gone": "gone", "started": "started", "ready": "ready"}


def section(facts: Facts) -> Section | None:
    """The faults section; None for a run that had none planned."""
    planned = {str(row.get("activity")): row for row in facts.plan.get("resolved") or []}
    named = [str(fault.get("name")) for fault in facts.faults]
    every = [*facts.faults, *({"name": name, "targets": []} for name in planned if name not in named)]
    each = max(2, min(_MOST_TARGETS, _MOST_IN_ALL // max(1, len(every))))
    changes = _changes(facts)
    rows = [_fault(facts, fault, planned.get(str(fault.get("name"))), changes, each) for fault in every]
    data = {
        "faults": rows[:_MOST_FAULTS],
        "more": [(row["name"], next((text for name, text in row["facts"] if name == "In effect"), "–")) for row in rows[_MOST_FAULTS:]],
    }
    return Section("faults", "What was hit", "faults.html.j2", data) if rows else None


def _fault(facts: Facts, fault: Json, plan: Json | None, changes: dict[str, list[str]], most: int) -> Json:
    expected = list((plan or {}).get("targets") or [])
    targets = expected or list(fault.get("targets") or [])
    seen = seen_uids(facts, str(fault.get("name"))) or (frozenset(map(_uid, targets)) if fault.get("effect") else frozenset())
    return {
        "name": clean(fault.get("name", ""), 120),
        "facts": [(name, text) for name, text in _summary(fault, plan or {}) if text],
        "targets": [_target(target, bool(expected), _uid(target) in seen, changes) for target in targets[:most]],
        "more": max(0, len(targets) - most),
    }


def _summary(fault: Json, plan: Json) -> list[tuple[str, str]]:
    either = {**plan, **{key: value for key, value in fault.items() if value is not None}}
    effect, removed = fault.get("effect"), fault.get("removed")
    ended = "Replaced" if fault.get("replaced") else "Taken back"
    shares = "; ".join(
        f"{number(part.get('hit', 0))} of {number(part.get('total', 0))} {clean(service, 60)}" for service, part in (plan.get("of") or {}).items()
    )
    left = ", ".join(f"{number(n)} in {clean(zone, 40)}" for zone, n in (plan.get("survivors") or {}).items())
    return [
        ("What", " · ".join(clean(either[key], 60) for key in ("func", "kind", "how", "service") if either.get(key))),
        ("Planned", shares + (f"; left alone: {left}" if left else "")),
        ("In effect", Prose(f"{between(*effect)}{_proof(fault)}") if effect else "never seen from outside"),
        (ended, between(*removed) if removed else "not seen"),
        ("Held", _held(fault)),
        ("Reversible", "" if either.get("reversible") is None else "yes" if either["reversible"] else "no"),
    ]


def _proof(fault: Json) -> str:
    return f" – {clean(fault['proof'])}" if fault.get("proof") else ""


def _held(fault: Json) -> str:
    held, planned = fault.get("held_s"), fault.get("planned_s")
    if held is None:
        return f"planned {seconds(planned)}" if planned is not None else ""
    return seconds(held) + (f" of {seconds(planned)} planned" if planned is not None else "")


def _uid(target: object) -> str:
    return str(target.get("uid") or target.get("name")) if isinstance(target, dict) else str(target)


def _changes(facts: Facts) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    for event in facts.events:
        if event.get("kind") == "target":
            what = _VERBS.get(str(event.get("what")), clean(event.get("what", ""), 30))
            seen.setdefault(str(event.get("name")), []).append(f"{what} {at(event.get('t_ns', 0))}")
    return seen


def _target(target: object, planned: bool, seen: bool, changes: dict[str, list[str]]) -> list[str]:
    fields: Json = target if isinstance(target, dict) else {"name": target}
    name = str(fields.get("name") or "")
    happened = changes.get(name, [])
    effect = "seen in effect" if seen else "effect not seen" if fields.get("probe", True) else "seen through what is behind it"
    told = "; ".join([effect, *happened[:4]]) + (f"; {count(len(happened) - 4, 'more change')}" if len(happened) > 4 else "")
    return [clean(name, 120), clean(fields.get("zone") or "–", 40), clean(fields.get("uid") or "–", 120), "yes" if planned else "–", Prose(told)]
