"""
The index of a folder of runs: newest first, filtered by verdict and by service with nothing but the style sheet.

The choices are radio buttons before the table; a rule for each hides the rows that do not carry its class. Without
styles (a strict content policy, a mail preview) all rows are shown. No sample is read, so a thousand runs are quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoslib_ext.reasons import OUTRANKING
from chaoslib_ext.report.many import frame
from chaoslib_ext.report.many.shelf import Card, Foreign, Json, look, newest_first, parted
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.signs import MARKS_OF_VERDICTS
from chaoslib_ext.report.words import Prose, clean, count, listed, number

FILE = "index.html"
_MOST_SERVICES = 40  # choices; a run of another service is in the table all the same


@dataclass(frozen=True, slots=True)
class Choice:
    """One radio button: its id, its words; the rows that carry `css` stay when it is chosen (empty: all)."""

    id: str
    text: str
    css: str = ""


def render(folders: Iterable[Path], page: Path) -> str:
    """The index of run directories, as the file `page` that its links start from."""
    cards, foreign = parted(look(folder) for folder in folders)
    return draw(newest_first(cards), foreign, page)


def draw(cards: Sequence[Card], foreign: Sequence[Foreign], page: Path) -> str:
    """The same of cards that are read already."""
    counted = Counter(card.verdict for card in cards)
    services = Counter(service for card in cards for service in card.services)
    named = [name for name, _ in sorted(services.items(), key=lambda item: (-item[1], item[0]))[:_MOST_SERVICES]]
    classes = {name: f"s{at}" for at, name in enumerate(sorted(named))}
    verdicts = [Choice("v-all", f"all {number(len(cards))}")]
    verdicts += [
        Choice(f"v-{at}", Prose(f"{MARKS_OF_VERDICTS[name]} {name} {number(counted[name])}"), f"w{at}") for at, name in enumerate(OUTRANKING) if counted[name]
    ]
    chosen = [Choice("s-all", "all"), *(Choice(f"s-{css}", Prose(f"{name} {number(services[name])}"), css) for name, css in classes.items())]
    data = {
        "told": _told(cards, counted),
        "verdicts": verdicts,
        "services": chosen if len(chosen) > 2 else [],
        "unlisted": max(0, len(services) - _MOST_SERVICES),
        "rows": [_row(card, classes, page) for card in cards],
    }
    sections = [Section("runs", "Runs", "many_index.html.j2", data)]
    foreign_section = frame.strangers(foreign, page.parent)
    heading = f"Index of {count(len(cards), 'run')}"
    shown = frame.Page(heading, heading, [clean(page.absolute().parent.name, 120)], css=_rules([*verdicts, *chosen]))
    return frame.draw(shown, [*sections, *([foreign_section] if foreign_section else [])])


def _told(cards: Sequence[Card], counted: Counter[str]) -> str:
    if not cards:
        return Prose("No folder in here holds a run.")
    parts = [f"{number(counted[name])} {name}" for name in reversed(OUTRANKING) if counted[name]]
    controls = sum(bool(card.control) for card in cards)
    beside = f" {count(controls, 'of them is a control, which never counts', 'of them are controls, which never count')} as resilience." if controls else ""
    return Prose(f"{listed(parts)}.{beside} Newest first.")


def _rules(choices: Iterable[Choice]) -> str:
    return "".join(f"#{each.id}:checked~.scroll tbody>tr:not(.{each.css}){{display:none}}" for each in choices if each.css)


def _row(card: Card, classes: dict[str, str], page: Path) -> Json:
    css = [f"w{OUTRANKING.index(card.verdict)}", *(classes[name] for name in card.services if name in classes)]
    faults = list(dict.fromkeys(hit.fault for hit in card.hits))
    return {
        "css": " ".join(css),
        "word": frame.word(card),
        "title": card.title,
        "run": card.run,
        "href": frame.href(card.report, page) if card.report else "",
        "services": clean(", ".join(card.services), 80) or "none",
        "faults": clean(", ".join(faults), 120) or "none",
        "started": frame.moment(card),
        "recovery": frame.recovery(card),
        "environment": card.environment or "unknown environment",
    }
