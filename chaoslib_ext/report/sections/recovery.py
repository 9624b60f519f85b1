"""How long the system took to come back: the bracket, its five error terms, and whose doing the recovery was."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.report.bracketbar import bracket_bar
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.findings import measured
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.sentences import MODES
from chaoslib_ext.report.svg import Svg
from chaoslib_ext.report.words import Prose, bracket, clean, listed, millis, number, percent, seconds

Json = dict[str, Any]
_TERMS = (
    ("effect_ms", "Effect bracket", "between the last answer before the fault and the first proof of its effect"),
    ("arrival_gap_ms", "Arrival gap", "between the last bad arrival and the first good one"),
    ("lateness_ms", "Generator lateness", "sent later than intended"),
    ("response_ms", "Response time", "of the first good sample"),
    ("clock_ms", "Clock", "reading and drift"),
)


def section(facts: Facts) -> Section | None:
    """The recovery section; None when no recovery objective was set and none was measured."""
    rto, after = facts.result.get("rto"), facts.result.get("recovery_after_removal")
    if not rto and not after and not facts.result.get("detection"):
        return None
    detection: Json | None = facts.result.get("detection")
    data: Json = {
        "mode": _mode(rto) if rto else "",
        "bars": [],
        "facts": [*(_facts(rto) if rto else []), *(_detection(detection) if detection else []), *(_looked_at(facts) if rto else [])],
        "terms": _terms(rto) if rto else [],
        "objective": any(one and one.get("objective_s") is not None for one in (rto, after)),
        "alert": (detection or {}).get("hi_s") is not None,
    }
    if rto and measured(rto):
        told = _told("From the fault's effect to recovered", rto)
        data["bars"].append((told, _rto_bar(rto, told, detection)))
    if after and measured(after):
        told = _told("From the fault's removal to recovered", after)
        data["bars"].append((told, bracket_bar(after["lo_s"], after.get("hi_s"), after.get("objective_s"), told)))
    return Section("recovery", "Recovery", "recovery.html.j2", data)


def _rto_bar(rto: Json, told: str, detection: Json | None) -> Svg:
    seen = (detection or {}).get("hi_s")
    return bracket_bar(rto["lo_s"], rto.get("hi_s"), rto.get("objective_s"), told, held_s=rto.get("held_s"), observed_s=rto.get("observed_s"), detected_s=seen)


def _detection(detection: Json) -> list[tuple[str, str]]:
    """When the promised alert fired, counted from the fault's effect."""
    alert, within = clean(detection.get("alert") or "", 120), detection.get("within_s")
    promised = f" (promised within {seconds(within)})" if isinstance(within, int | float) else ""
    lo, hi = detection.get("lo_s"), detection.get("hi_s")
    when = f"fired after {bracket(lo, hi)}" if lo is not None and hi is not None else {"missed": "did not fire"}.get(str(detection.get("state")), "not known")
    return [("Detected", Prose(f"{alert} {when}{promised}"))]


def _told(what: str, measured: Json) -> Prose:
    objective = measured.get("objective_s")
    promised = f"; objective {seconds(objective)}" if objective is not None else ""
    return Prose(f"{what}: {bracket(measured['lo_s'], measured.get('hi_s'))}{promised}")


def _mode(rto: Json) -> str:
    mode = str(rto.get("mode"))
    words = MODES.get(mode, clean(mode, 40))
    return f"{words[:1].upper()}{words[1:]}."


def _facts(rto: Json) -> list[tuple[str, str]]:
    told = [("Counted from", _optional(rto.get("from"), lambda name: f"the effect of “{clean(name, 120)}”"))]
    told.append(("Judged by", listed([clean(name, 80) for name in rto.get("slos") or []])))
    told.append(("Last to recover", _optional(rto.get("last_slo"), lambda name: clean(name, 80))))
    told.append(("Fault held", _optional(rto.get("held_s"), seconds)))
    told.append(("Watched for", _optional(rto.get("observed_s"), seconds)))
    told.append(("First impact after", _optional(rto.get("impact_s"), seconds)))
    told.append(("Worst second", _optional(rto.get("depth"), lambda depth: f"{percent(depth)} of its samples bad")))
    told.append(("Lost", _optional(rto.get("lost_s"), lambda lost: f"{seconds(lost)} of full outage")))
    told.append(("False dawns", _optional(rto.get("false_dawns"), number)))
    return [(name, text) for name, text in told if text]


def _looked_at(facts: Facts) -> list[tuple[str, str]]:
    found = [finding.get("n") for finding in facts.result.get("findings") or [] if finding.get("kind") == "rto"]
    return [("Samples looked at", number(n)) for n in found if isinstance(n, int)]


def _optional(value: Any, words: Any) -> str:
    return str(words(value)) if value is not None else ""


def _terms(rto: Json) -> list[tuple[str, str, str]]:
    terms = rto.get("terms") or {}
    return [(name, why, millis(terms[key])) for key, name, why in _TERMS if terms.get(key) is not None]
