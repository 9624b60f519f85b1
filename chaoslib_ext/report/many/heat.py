"""
The heat map: what was done to which service, and the worst that came of it.

A cell says its verdict by sign, word and colour, and from how many runs; what was never tested says so, which is what a
reader who plans the next test looks for. Controls are left out: they say nothing about resilience.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaoslib_ext.reasons import worst
from chaoslib_ext.report.many.shelf import Card
from chaoslib_ext.report.signs import MARKS_OF_VERDICTS, accent_class
from chaoslib_ext.report.words import Prose, count

_MOST = 200  # rows; and columns


@dataclass(frozen=True, slots=True)
class Cell:
    """The worst verdict of some runs, how many they are, and the anchor of the run that was worst (empty: no link)."""

    sign: str
    word: str
    css: str
    told: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """A table: `rows` are a head and one cell for each of `columns`; None is a pair that was never tested."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    left_out: int = 0


def heat_map(cards: Iterable[Card], anchors: Mapping[str, str]) -> Heat | None:
    """Service × fault, the longer of the two downwards; None where nothing was hit. `anchors` leads from a run's id to its place in the page."""
    found: dict[tuple[str, str], list[Card]] = {}
    for card in cards:
        for hit in () if card.control else card.hits:
            found.setdefault((hit.service, hit.fault), []).append(card)
    if not found:
        return None
    services, faults = (sorted({pair[at] for pair in found}) for at in (0, 1))
    turned = len(faults) > len(services)
    down, across = (faults, services) if turned else (services, faults)
    rows = []
    for head in down[:_MOST]:
        pairs = [(name, head) if turned else (head, name) for name in across[:_MOST]]
        rows.append((head, tuple(_cell(found[pair], anchors) if pair in found else None for pair in pairs)))
    corner = "Fault \\ service" if turned else "Service \\ fault"
    return Heat(corner, tuple(across[:_MOST]), tuple(rows), max(0, len(down) - _MOST) + max(0, len(across) - _MOST))


def _cell(cards: Sequence[Card], anchors: Mapping[str, str]) -> Cell:
    verdict = worst([card.verdict for card in cards])
    bad = [card for card in cards if card.verdict == verdict]
    told = Prose(f"{len(bad)} of {count(len(cards), 'run')}")
    return Cell(MARKS_OF_VERDICTS[verdict], verdict, accent_class(verdict, False), told, anchors.get(bad[0].run, ""))
