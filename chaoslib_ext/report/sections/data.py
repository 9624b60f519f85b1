"""Lost data: what became of every write, how old what is left is, and what each node holds."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.words import Prose, at, bracket, clean, count, number, seconds, whole

Json = dict[str, Any]
_CLASSES = (
    ("lost", "Lost", "acknowledged, and not there"),
    ("recovered", "Recovered", "ended unknown, and there: fine"),
    ("never_seen", "Never seen", "ended unknown, and not there: no loss"),
    ("resurrected", "Resurrected", "refused, and there all the same"),
    ("phantom", "Phantom", "there, and never sent"),
)


def section(facts: Facts) -> Section | None:
    """The data section; None when nothing was promised of writes."""
    rpo: Json | None = facts.result.get("rpo")
    if not rpo:
        return None
    why = [text for finding in facts.result.get("findings") or [] if finding.get("kind") == "rpo" for text in finding.get("evidence") or []]
    data: Json = {"lead": _lead(rpo), "why": [clean(text) for text in why], "classes": [], "facts": _facts(rpo), "nodes": []}
    if rpo.get("lost") is not None:
        data["classes"] = [(name, words, number(whole(rpo.get(key)))) for key, name, words in _CLASSES]
        data["nodes"] = [(clean(node, 63), _lacking(lacking)) for node, lacking in sorted((rpo.get("nodes") or {}).items())]
    return Section("data", "Data loss", "data.html.j2", data)


def _lead(rpo: Json) -> Prose:
    lost, acknowledged = rpo.get("lost"), whole(rpo.get("acknowledged"))
    if lost is None:
        return Prose("Whether anything was lost is not known: the writes were not read back with authority.")
    if not lost:
        return Prose(f"None of {count(acknowledged, 'acknowledged write')} is missing.")
    return Prose(f"{number(whole(lost))} of {count(acknowledged, 'acknowledged write')} {'is' if lost == 1 else 'are'} missing.")


def _facts(rpo: Json) -> list[tuple[str, str]]:
    told = [("Ledger", clean(rpo.get("ledger", ""), 80))]
    promised = [seconds(rpo["objective_s"])] if rpo.get("objective_s") is not None else []
    promised += [count(whole(rpo["max_writes"]), "write")] if rpo.get("max_writes") is not None else []
    told.append(("Promised, at most", " and ".join(promised)))
    told.append(("Sent", count(whole(rpo.get("attempted")), "write")))
    if rpo.get("lost") is None:
        return told
    told.append(("Acknowledged", number(whole(rpo.get("acknowledged")))))
    told.append(("Ended unknown", number(whole(rpo.get("unknown")))))
    told.append(("There more than once", number(whole(rpo.get("duplicated")))))
    if rpo.get("lo_s") is not None and rpo.get("hi_s") is not None:
        told.append(("Age of what is left (RPO)", bracket(rpo["lo_s"], rpo["hi_s"])))
        told.append(("Lost, acknowledged after the effect", number(whole(rpo.get("lost_after_fault")))))
    if rpo.get("first_lost_t_ns") is not None and rpo.get("last_lost_t_ns") is not None:
        told.append(("First and last lost acknowledgement", f"{at(rpo['first_lost_t_ns'])} and {at(rpo['last_lost_t_ns'])}"))
    return told


def _lacking(lacking: Any) -> str:
    return "could not be read" if lacking is None else "holds all" if lacking == 0 else f"lacks {number(whole(lacking))}"
