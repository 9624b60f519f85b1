"""What is to be acted on: every finding that is not met, with its evidence, how it stands beside the last run, and what to do next."""

from __future__ import annotations

import shlex

from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.facts import Facts, Json
from chaoslib_ext.report.findings import Row, row
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.signs import MARKS
from chaoslib_ext.report.standing import FIXED, last, since, standing
from chaoslib_ext.report.svg import Svg, ticked
from chaoslib_ext.report.words import NBSP, Prose, clean, count

_MOST = 60


def section(facts: Facts) -> Section:
    """The findings; a run without any open one says so."""
    every = [(row(finding), finding) for finding in facts.result.get("findings") or []]
    open_ = sorted((pair for pair in every if pair[0].outcome != "met"), key=lambda pair: pair[0].outcome != "missed")
    fixed = [found.title for found, finding in every if standing(facts, finding) == FIXED]
    data: Json = {
        "lead": _lead(facts, len(every), len(open_)),
        "open": [_open(facts, *pair, before) for pair, before in zip(open_[:_MOST], [(), *(found.reasons for found, _ in open_)], strict=False)],
        "more": max(0, len(open_) - _MOST),
        "fixed": fixed,
        "compared": _compared(facts) if every else "",
    }
    return Section("findings", "Findings", "findings.html.j2", data)


def _lead(facts: Facts, every: int, open_: int) -> str:
    if not every:
        return "Nothing was compared, so nothing was found."
    if not open_:
        return Prose(f"No finding is open: all {count(every, 'comparison')} came out as promised." + (" This was a control." if facts.control else ""))
    return Prose(f"{count(open_, 'finding')} of {count(every, 'comparison')} {'is' if open_ == 1 else 'are'} open.")


def _compared(facts: Facts) -> str:
    past = last(facts)
    if past is not None:
        return Prose(f"Compared with run {clean(past.run, 120)} ({clean(past.verdict, 20)}).")
    return "No comparable earlier run was there when this one began, so nothing is called new or fixed."


def _open(facts: Facts, found: Row, finding: Json, before: tuple[str, ...]) -> Json:
    """One open finding; what the one before it, of the same reasons, has said is not said again."""
    again = bool(found.reasons) and found.reasons == before
    known = [REASONS[code] for code in found.reasons if code in REASONS]
    steps: list[Svg] = list(dict.fromkeys(ticked(reason.next_step) for reason in known))
    figures = [] if found.measured == "not proven" else [f"measured {found.measured}", f"promised {found.target}"]
    figures += [f"{found.samples} samples"] if found.samples != "–" else []
    return {
        "command": Prose(shlex.join(["chaosx", "explain", f"reports/{clean(facts.result.get('run', ''), 120)}", found.id])),
        "mark": MARKS.get(found.outcome, "?"),
        "outcome": found.outcome,
        "title": found.title,
        "window": found.window if found.window != "–" else "",
        "figures": Prose(", ".join(figures).replace(f"promised –{NBSP}", "").replace(", promised –", "")),
        "standing": Prose(", ".join(part for part in (standing(facts, finding), since(facts, finding)) if part)),
        "why": [code if again or code not in REASONS else Prose(f"{code}: {REASONS[code].sentence}") for code in found.reasons],
        "evidence": list(found.evidence[:12]),
        "next": [Svg("as above")] if again and steps else steps,
    }
