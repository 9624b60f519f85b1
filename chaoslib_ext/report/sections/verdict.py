"""The first screen: the word, the sentence, why, whether the environment is clean, whether the fault was real, six numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaoslib_ext.reasons import REASONS, Reason
from chaoslib_ext.report.ending import codes, ending, untouched
from chaoslib_ext.report.facts import Facts, seen_uids
from chaoslib_ext.report.findings import WINDOWS, Row, measured, row
from chaoslib_ext.report.moments import utc
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.sentences import sentence, told_by_sentence
from chaoslib_ext.report.series import stretch
from chaoslib_ext.report.signs import MARKS, sign
from chaoslib_ext.report.standing import told
from chaoslib_ext.report.svg import Svg, ticked
from chaoslib_ext.report.words import NBSP, Prose, at, between, bracket, clean, count, millis, number, percent, seconds, whole

Json = dict[str, Any]
_MOST_PROOFS = 6


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, what it is, what was promised, and the word of its finding (empty where nothing was promised)."""

    name: str
    value: str
    note: str
    outcome: str = ""

    @property
    def mark(self) -> str:
        """The sign of the outcome."""
        return MARKS.get(self.outcome, "?")


def section(facts: Facts) -> Section:
    """The verdict block; every run has one."""
    result, lead = facts.result, sentence(facts)
    said = {code for code in codes(facts) if code in REASONS and REASONS[code].sentence in lead} | told_by_sentence(facts)
    data = {
        "verdict": facts.verdict,
        "sign": sign(facts.verdict, bool(facts.control)),
        "control": facts.control,
        "ending": ending(facts),
        "since": told(facts),
        "sentence": lead,
        "reasons": [_reason(code, code in said) for code in codes(facts)],
        "clean": _clean(facts),
        "proofs": _proofs(facts),
        "notices": [clean(text) for text in result.get("notices") or []],
        "tiles": _tiles(facts)[:6],
        "expected": _expected(facts),
    }
    return Section("verdict", "Verdict", "verdict.html.j2", data)


def _reason(code: str, said: bool) -> tuple[str, Svg, Svg]:
    """The code, its sentence unless the lead has said it already, and what to do next."""
    known = REASONS.get(code, Reason(code, "This version does not know the code.", "Read it with a newer version."))
    return clean(code, 60), ticked("" if said else known.sentence), ticked(known.next_step)


def _expected(facts: Facts) -> str:
    said = (facts.header.get("block") or {}).get("self_test") or {}
    word = clean(said.get("verdict", ""), 40) if isinstance(said, dict) else ""
    return Prose(f"The experiment file expects {word} (a self-test of the tool). That changes neither the verdict nor the exit code.") if word else ""


def _clean(facts: Facts) -> tuple[str, str]:
    state = facts.result.get("clean") or {}
    proven = state.get("proven_at_ns")
    moment = utc(facts.header, proven)[:19] if proven is not None else ""
    when = f", proven at {f'{moment}{NBSP}UTC, ' if moment else ''}{at(proven)}" if proven is not None else ""
    if state.get("state") == "clean":
        return "clean", Prose(f"Environment clean{when}.")
    if state.get("state") == "nothing-injected":
        return "clean", Prose(f"Nothing was injected{when}.")
    more = "" if facts.verdict == "DIRTY" else " and look at the target before anything else runs on it"  # there the sentence says so
    return "dirty", ticked(f"Environment not proven clean. Run `chaosx recover`{more}.")


def _proofs(facts: Facts) -> list[tuple[str, str]]:
    """Whether each fault was real; those that nobody saw first, the rest counted where they are many."""
    told_of = sorted((_proof(facts, fault) for fault in facts.faults), key=lambda proof: proof[0] != "unproven")
    more = len(told_of) - _MOST_PROOFS
    if not told_of and not facts.control and not untouched(facts):  # or it was said already that nothing was injected
        return [("unproven", "No fault was seen in effect.")]
    return told_of[:_MOST_PROOFS] + ([("proven", f"{count(more, 'more fault')} in the section on what was hit.")] if more > 0 else [])


def _proof(facts: Facts, fault: Json) -> tuple[str, str]:
    name = clean(fault.get("name", ""), 120)
    effect = fault.get("effect")
    if not effect:
        return "unproven", Prose(f"“{name}” was never seen in effect from outside.")
    seen = seen_uids(facts, str(fault.get("name")))
    planned = sum(not isinstance(target, dict) or bool(target.get("probe", True)) for target in fault.get("targets") or [])  # the rest is seen through these
    hit = f"{number(len(seen))} of {count(planned, 'target')}" if seen else count(planned, "target")
    proof = f": {clean(fault['proof'])}" if fault.get("proof") else ""
    return "proven", Prose(f"“{name}” was real: seen in effect from outside at {between(effect[0], effect[1])} on {hit}{proof}.")


def _tiles(facts: Facts) -> list[Tile]:
    rows = [row(finding) for finding in facts.result.get("findings") or []]
    named = [_rto(facts, rows), _rpo(facts, rows), _availability(facts, rows), _p95(facts), _budget(facts, rows), _load(facts), _removal(facts, rows)]
    return [tile for tile in named if tile]


def _of(rows: list[Row], kind: str) -> Row | None:
    return next((row for row in rows if row.kind == kind), None)


def _rto(facts: Facts, rows: list[Row]) -> Tile | None:
    rto = facts.result.get("rto")
    if not rto:
        return None
    found = _of(rows, "rto")
    objective = rto.get("objective_s")
    value = "no dip" if rto.get("mode") == "absorbed" else bracket(rto["lo_s"], rto.get("hi_s")) if measured(rto) else "not measured"
    return Tile("Recovery time", value, f"objective ≤ {seconds(objective)}" if objective is not None else "no objective", found.outcome if found else "")


def _rpo(facts: Facts, rows: list[Row]) -> Tile | None:
    rpo, found = facts.result.get("rpo"), _of(rows, "rpo")
    if not rpo:
        return None
    promised = [seconds(rpo["objective_s"])] if rpo.get("objective_s") is not None else []
    promised += [count(whole(rpo["max_writes"]), "write")] if rpo.get("max_writes") is not None else []
    note = f"of {number(whole(rpo.get('acknowledged')))} acknowledged{NBSP}· objective ≤ {' and '.join(promised) or 'none'}"
    if rpo.get("lost") is None:
        return Tile("Data loss (RPO)", "not measured", note, found.outcome if found else "")
    age = f", {bracket(rpo['lo_s'], rpo['hi_s'])}" if rpo["lost"] and None not in (rpo.get("lo_s"), rpo.get("hi_s")) else ""
    return Tile("Data loss (RPO)", Prose(f"{count(whole(rpo['lost']), 'write') if rpo['lost'] else 'none'}{age}"), note, found.outcome if found else "")


def _availability(facts: Facts, rows: list[Row]) -> Tile | None:
    found = next((row for row in rows if row.kind == "slo" and row.window == WINDOWS["fault"]), None)
    if found is None:
        return _counted(facts)
    return Tile(f"{found.title} during the fault", found.measured, Prose(f"{found.samples}{NBSP}· target{NBSP}{found.target}"), found.outcome)


def _counted(facts: Facts) -> Tile | None:
    """The share of good arrivals in the fault where nothing was promised of it."""
    window = facts.window("fault")
    piece = stretch(facts.rows, facts.journeys, *window) if window else None
    if piece is None or piece.availability is None:
        return None
    return Tile("Good during the fault", percent(piece.availability), f"{number(piece.bad)} bad of {number(piece.decided)}{NBSP}· no objective")


def _p95(facts: Facts) -> Tile | None:
    after = _percentile(facts, "recovered")
    if after is None:
        return None
    before = _percentile(facts, "baseline")
    note = f"{number(after[1])} journeys" + (f"{NBSP}· {millis(before[0])} before, {number(before[1])} journeys" if before else "")
    return Tile("p95 latency after recovery", millis(after[0]), note)


def _percentile(facts: Facts, name: str) -> tuple[float, int] | None:
    window = facts.window(name)
    if window is None or window[1] <= window[0]:
        return None
    found = stretch(facts.rows, facts.journeys, *window)
    value = found.percentile_ms(0.95)
    return (value, len(found.latency_ms)) if value is not None else None


def _budget(facts: Facts, rows: list[Row]) -> Tile | None:
    budget, found = facts.result.get("budget"), _of(rows, "budget")
    if not budget or budget.get("spent") is None or found is None:
        return None  # without its finding there would be no count beside the share
    return Tile("Error budget spent", percent(budget["spent"]), Prose(f"{found.samples}{NBSP}· allowed{NBSP}{found.target}"), found.outcome)


def _load(facts: Facts) -> Tile | None:
    load = facts.result.get("load") or {}
    intended = whole(load.get("intended"))
    if not intended:
        return None
    delivered = whole(load.get("delivered"))
    return Tile("Load delivered", percent(delivered / intended, 1), f"{number(delivered)} of {number(intended)} arrivals")


def _removal(facts: Facts, rows: list[Row]) -> Tile | None:
    after = facts.result.get("recovery_after_removal")
    if not measured(after):
        return None
    found, objective = _of(rows, "recovery_after_removal"), after.get("objective_s")
    note = f"objective ≤ {seconds(objective)}" if objective is not None else "no objective"
    return Tile("Recovery after removal", bracket(after["lo_s"], after.get("hi_s")), note, found.outcome if found else "")
