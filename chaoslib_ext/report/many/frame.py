"""What the pages over many runs have in common: one file, its style and content policy, words for verdicts, links."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from chaoslib_ext import __version__
from chaoslib_ext.clock import Clock
from chaoslib_ext.report.many.shelf import Card, Foreign
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.signs import MARKS_OF_VERDICTS, accent_class
from chaoslib_ext.report.svg import Svg, hatch, tag
from chaoslib_ext.report.words import Prose, bracket, clean, seconds

MEANINGS = {
    "PASS": "every objective met, everything proven",
    "FAIL": "an objective was missed, proven",
    "INCONCLUSIVE": "could not be decided, or was not begun",
    "ABORTED": "stopped by a rule, a signal or a person; clean",
    "ERROR": "the tool failed; clean",
    "DIRTY": "something is not proven healed",
}
_MOST_FOREIGN = 200


@dataclass(frozen=True, slots=True)
class Page:
    """The words around the sections of a page."""

    title: str
    heading: str
    crumbs: Sequence[str]
    verdict: str = ""
    css: str = ""


def draw(page: Page, sections: Sequence[Section]) -> str:
    """The HTML of a page: the same bytes for the same sections."""
    from chaoslib_ext.report.page import environment, policy

    css = "".join(files("chaoslib_ext.report").joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "many/many.css")) + page.css
    return (
        environment()
        .get_template("many.html.j2")
        .render(
            title=page.title,
            heading=page.heading,
            crumbs=page.crumbs,
            css=Svg(css),
            policy=policy(css),
            accent=accent_class(page.verdict, False) if page.verdict else "",
            patterns=tag("defs", {}, hatch("fault", "#ecd29a", 8, 2), hatch("maybe", "#0072b2", 6, 4, "maybe")),
            sections=sections,
            version=__version__,
        )
    )


@dataclass(frozen=True, slots=True)
class Word:
    """A verdict as it stands in a table: its sign, its word, the class of its colour, and a remark that tells a control."""

    sign: str
    word: str
    css: str
    remark: str = ""


def word(card: Card) -> Word:
    """The verdict of a run; a control is told apart, and so is one that was altered."""
    remark = f"control: {card.control}" if card.control else ""
    if card.altered:
        remark = f"{remark}, not as sealed" if remark else "not as sealed"
    return Word(MARKS_OF_VERDICTS[card.verdict], card.verdict, accent_class(card.verdict, bool(card.control)), remark)


def href(target: Path, page: Path) -> Svg:
    """A relative link from the file `page` to `target`; the same wherever both are published together."""
    relative = os.path.relpath(target.absolute(), page.absolute().parent)
    return Svg(quote(os.fsencode("/".join(Path(relative).parts)), safe="/.-_~"))  # quoted: nothing of a folder's name is markup, and `%2F` no path


def moment(card: Card) -> str:
    """When a run was started, `2026-11-24 06:31 UTC`."""
    if card.started_s is None:
        return "unknown"
    return Prose(Clock(0, card.started_s, "").utc(0)[:16].replace("T", " ") + "\u00a0UTC")


def recovery(card: Card) -> str:
    """The recovery bracket in words; a dash where nothing was measured."""
    if card.result["rto"].get("mode") == "absorbed":
        return "no dip"
    ends = card.bracket("rto")
    return bracket(*ends) if ends else "–"


def objective(value: float | None) -> str:
    """`≤ 10 s`; a dash without one."""
    return f"≤\u00a0{seconds(value)}" if value is not None else "–"


def strangers(foreign: Sequence[Foreign], top: Path) -> Section | None:
    """The folders that are no runs, each with the reason; None without any."""
    if not foreign:
        return None
    rows = [(clean(_near(each.folder, top), 200), clean(each.why)) for each in foreign[:_MOST_FOREIGN]]
    return Section("foreign", "Not shown", "many_foreign.html.j2", {"rows": rows, "more": max(0, len(foreign) - _MOST_FOREIGN)})


def _near(folder: Path, top: Path) -> str:
    return os.path.relpath(folder.absolute(), top.absolute())
