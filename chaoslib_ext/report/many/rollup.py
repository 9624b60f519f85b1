"""
The roll-up: any list of runs on one page, with each run's verdict block inside it, because links break in mail.

Game days and gates draw the same page with a title of their own and further sections (decisions, findings, planned
against actual): `draw(Collection(…), title, more)`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from chaoslib_ext.reasons import OUTRANKING, worst
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.many import frame
from chaoslib_ext.report.many.heat import heat_map
from chaoslib_ext.report.many.shelf import Card, Foreign, Json, look, number_in, parted, shaped
from chaoslib_ext.report.sections import Section, verdict
from chaoslib_ext.report.sentences import sentence
from chaoslib_ext.report.signs import MARKS_OF_VERDICTS, sign
from chaoslib_ext.report.svg import Svg
from chaoslib_ext.report.words import Prose, clean, count, listed, number

FILE = "rollup.html"
_TAG = re.compile(r"<[a-z][^>]*>")  # values are escaped, so a `>` ends a tag
_NAMED = re.compile(r' (id|aria-labelledby|aria-describedby|for)="([^"]*)"')
_INSIDE = re.compile(r' href="#([^"]*)"')


@dataclass(frozen=True, slots=True)
class Drawn:
    """A run with its verdict block as finished markup, and its place in the page."""

    card: Card
    anchor: str
    block: Svg
    told: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Runs in the order given, what is no run, and the file that the page will be."""

    runs: tuple[Drawn, ...]
    foreign: tuple[Foreign, ...]
    page: Path


def collect(folders: Iterable[Path], page: Path) -> Collection:
    """Reads the run directories of a list, one after the other. What cannot be read or drawn is told, never raised."""
    cards, foreign = parted(look(folder) for folder in folders)
    runs: list[Drawn] = []
    for card in cards:
        drawn = _drawn(card, f"run-{len(runs) + 1}", page)
        if isinstance(drawn, Foreign):
            foreign.append(drawn)
        else:
            runs.append(drawn)
    return Collection(tuple(runs), tuple(foreign), page)


def _drawn(card: Card, anchor: str, page: Path) -> Drawn | Foreign:
    from chaoslib_ext.report.reading import read

    try:
        facts = read(card.folder)
        facts = replace(facts, result=shaped(facts.result))
        return Drawn(card, anchor, _embedded(facts, anchor, page, card), sentence(facts))
    except Exception as error:  # any shape that the sections do not expect, in a file that anybody may have written; the reader is told
        return Foreign(card.folder, f"cannot be drawn: {type(error).__name__}: {clean(error, 200)}")


def _embedded(facts: Facts, anchor: str, page: Path, card: Card) -> Svg:
    """The verdict block as the run's own page has it; its ids get the anchor before them, its inner links lead to that page."""
    section = verdict.section(facts)
    html = _template(section.template).render(it=section.data)
    outside = f"{frame.href(card.report, page)}#" if card.report else ""

    def mend(found: re.Match[str]) -> str:
        text = _NAMED.sub(lambda each: f' {each[1]}="{" ".join(f"{anchor}-{name}" for name in each[2].split())}"', found[0])
        return _INSIDE.sub(lambda each: f' href="{outside}{each[1]}"' if outside else "", text)

    return Svg(_TAG.sub(mend, html).replace("<h2", "<h4").replace("</h2>", "</h4>"))


@cache
def _template(name: str) -> Any:
    """A template of the report, read and compiled once for all runs of a page."""
    from chaoslib_ext.report.page import environment

    return environment().get_template(name)


def summary(found: Collection) -> Section:
    """How many runs ended how, in words, and which was the worst."""
    cards = [run.card for run in found.runs]
    tested = [card for card in cards if not card.control]
    counted = Counter(card.verdict for card in tested)
    totals = [
        (MARKS_OF_VERDICTS[name], name, f"v-{name.lower()}", number(counted[name]), frame.MEANINGS[name]) for name in reversed(OUTRANKING) if counted[name]
    ]
    controls = Counter(card.verdict for card in cards if card.control)
    heading = worst([card.verdict for card in tested]) if tested else ""
    told, worst_run = _told(found, counted)
    data = {
        "sign": sign(heading, False) if heading else Svg(""),
        "verdict": f"Worst: {heading}" if heading else "No run tested resilience",
        "sentence": told,
        "worst": worst_run,
        "totals": totals,
        "controls": _controls(controls),
        "altered": [card.run for card in cards if card.altered],
    }
    return Section("summary", "Totals", "many_summary.html.j2", data)


def _told(found: Collection, counted: Counter[str]) -> tuple[str, Drawn | None]:
    """How many ended how, and the first of the worst; None where all passed."""
    total = sum(counted.values())
    if not total:
        return Prose("Nothing here says anything about resilience."), None
    parts = [f"{number(counted[name])} {name}" for name in reversed(OUTRANKING) if counted[name]]
    heading = worst(list(counted))
    first = next(run for run in found.runs if not run.card.control and run.card.verdict == heading)
    return Prose(f"{count(total, 'run')}: {listed(parts)}."), first if heading != "PASS" else None


def _controls(counted: Counter[str]) -> str:
    if not counted:
        return ""
    parts = [f"{number(counted[name])} {name}" for name in reversed(OUTRANKING) if counted[name]]
    one = sum(counted.values()) == 1
    meaning = "which tests the test and never counts as resilience" if one else "which test the test and never count as resilience"
    return Prose(f"Beside them {count(sum(counted.values()), 'control run')} ({listed(parts)}), {meaning}.")


def heat(found: Collection) -> Section | None:
    """Service × fault; None where nothing was hit."""
    table = heat_map((run.card for run in found.runs), {run.card.run: run.anchor for run in found.runs})
    return Section("heat", "Services and faults", "many_heat.html.j2", {"heat": table}) if table else None


def table(found: Collection) -> Section:
    """One row for each run, with the link to its page."""
    return Section("runs", "Runs", "many_runs.html.j2", {"rows": [_row(run, found.page) for run in found.runs]})


def _row(run: Drawn, page: Path) -> Json:
    card = run.card
    return {
        "word": frame.word(card),
        "title": card.title,
        "run": card.run,
        "anchor": run.anchor,
        "href": frame.href(card.report, page) if card.report else "",
        "hits": [Prose(f"{hit.service}: {hit.fault}") for hit in card.hits[:5]],
        "more": max(0, len(card.hits) - 5),
        "started": frame.moment(card),
        "recovery": frame.recovery(card),
        "objective": frame.objective(number_in(card.result["rto"], "objective_s")),
    }


def blocks(found: Collection) -> Section | None:
    """Each run's verdict block, as on its own page."""
    rows = [(run, _row(run, found.page)) for run in found.runs]
    return Section("verdicts", "Verdict by verdict", "many_blocks.html.j2", {"rows": rows}) if rows else None


SECTIONS: tuple[Callable[[Collection], Section | None], ...] = (summary, heat, table, blocks)


def draw(found: Collection, title: str = "", more: Sequence[Section] = ()) -> str:
    """The page. `more` are sections of the caller, between the table of runs and the verdict blocks; their templates are beside ours."""
    made = [section for make in SECTIONS if (section := make(found)) is not None]
    at = next((i for i, section in enumerate(made) if section.id == "verdicts"), len(made))
    foreign = frame.strangers(found.foreign, found.page.parent)
    sections = [*made[:at], *more, *made[at:], *([foreign] if foreign else [])]
    tested = [run.card.verdict for run in found.runs if not run.card.control]
    heading = clean(title) or f"Roll-up of {count(len(found.runs), 'run')}"
    words = " · ".join(part for part in (worst(tested) if tested else "", heading) if part)
    services = sorted({service for run in found.runs for service in run.card.services})
    crumbs = [clean(", ".join(services), 120), *sorted({run.card.environment for run in found.runs if run.card.environment})][:6]
    return frame.draw(frame.Page(Prose(words), heading, [crumb for crumb in crumbs if crumb], worst(tested) if tested else ""), sections)
