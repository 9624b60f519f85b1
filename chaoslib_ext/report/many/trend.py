"""
The trend: what recovery time, data loss and availability under the fault did over many runs, and what changed when.

Runs of one experiment in one environment are a subject, oldest first. Only a stretch of runs with the same files, promises,
profile and environment is compared with itself; between two stretches it says what changed. Nothing is judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chaoslib_ext import history
from chaoslib_ext.history import MOST, Past
from chaoslib_ext.report.many.shelf import Card, number_in
from chaoslib_ext.report.sections.trend import change
from chaoslib_ext.report.words import clean

Json = dict[str, Any]
PARTS = {"experiment": "the experiment file", "promises": "SLOs and objectives", "profile": "the load profile", "environment": "the environment"}


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a trend: its card, and its result in the compact form that runs are compared by."""

    card: Card
    past: Past

    @property
    def objective_s(self) -> float | None:
        """The recovery time objective."""
        return number_in(self.card.result["rto"], "objective_s")

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """Runs of the same key are comparable."""
        return (("control", self.past.control), *sorted(self.past.parts.items()))

    @property
    def version(self) -> str:
        """The version of this framework."""
        return self.card.version

    @property
    def commit(self) -> str:
        """What was under test, as the run was told."""
        return clean(self.card.result["attempt"].get("commit") or "", 60)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Comparable runs, the oldest first, and what is not as in the stretch before it."""

    points: tuple[Point, ...]
    changed: tuple[str, ...]
    before: tuple[Past, ...] = ()  # comparable runs of stretches before: what was changed may have been changed back

    @property
    def told(self) -> str:
        """What the last recovery did beside those before it, in words."""
        return change([*self.before, *(point.past for point in self.points)][-MOST - 1 :])


@dataclass(frozen=True, slots=True)
class Trend:
    """All runs of one experiment in one environment."""

    name: str
    environment: str
    title: str
    stretches: tuple[Stretch, ...]

    @property
    def points(self) -> list[Point]:
        """All of them, the oldest first."""
        return [point for stretch in self.stretches for point in stretch.points]


def trends(cards: Iterable[Card]) -> list[Trend]:
    """The trends of some runs, the subject with the newest run first. Runs that were altered after their seal are left out by the caller."""
    found: dict[tuple[str, str], list[Point]] = {}
    for card in sorted(cards, key=lambda card: (card.started_s or 0.0, card.run)):
        name, environment = history.subject(card.header)
        point = Point(card, history.of(card.header, card.result))
        found.setdefault((clean(name or card.title, 200), clean(environment or "", 80)), []).append(point)
    made = [Trend(name, env, points[-1].card.title, tuple(_stretches(points))) for (name, env), points in found.items()]
    return sorted(made, key=lambda trend: (trend.points[-1].card.started_s or 0.0, trend.name), reverse=True)


def _stretches(points: Sequence[Point]) -> list[Stretch]:
    made: list[list[Point]] = []
    for point in points:
        if made and made[-1][-1].key == point.key:
            made[-1].append(point)
        else:
            made.append([point])
    changed = [(), *(tuple(changes(before[-1], after[0])) for before, after in pairwise(made))]
    known: dict[tuple[tuple[str, str], ...], list[Past]] = {}
    found = []
    for group, words in zip(made, changed, strict=True):
        same = known.setdefault(group[0].key, [])
        found.append(Stretch(tuple(group), words, tuple(same)))
        same += [point.past for point in group]
    return found


def changes(before: Point, after: Point) -> list[str]:
    """What is not the same in two runs, in words: the parts of a comparison first, then versions, which part no runs."""
    was, now = before.past.parts, after.past.parts
    told = [f"{words} changed" for name, words in PARTS.items() if was.get(name) != now.get(name)]
    if before.past.control != after.past.control:
        told.append(f"control: {clean(before.past.control, 40)} became {clean(after.past.control, 40)}")
    for words, old, new in (("chaosx", before.version, after.version), ("commit", before.commit, after.commit)):
        if old != new:
            told.append(f"{words} {old or 'unknown'} became {new or 'unknown'}")
    return told


def to_json(found: Sequence[Trend]) -> list[Json]:
    """The same as plain data."""
    return [
        {"experiment": one.name, "environment": one.environment, "title": one.title, "stretches": [_stretch(each) for each in one.stretches]} for one in found
    ]


def _stretch(stretch: Stretch) -> Json:
    return {"parts": stretch.points[0].past.parts, "changed": list(stretch.changed), "told": stretch.told, "runs": [_point(point) for point in stretch.points]}


def _point(point: Point) -> Json:
    past, rpo = point.past, point.card.result["rpo"]
    return {
        "run": point.card.run,
        "directory": str(point.card.folder),
        "started_s": point.card.started_s,
        "verdict": past.verdict,
        "control": past.control,
        "rto": {"lo_s": past.rto[0] if past.rto else None, "hi_s": past.rto[1] if past.rto else None, "objective_s": point.objective_s},
        "rpo": {"lost_writes": past.lost, "lo_s": number_in(rpo, "lo_s"), "hi_s": number_in(rpo, "hi_s"), "objective_s": number_in(rpo, "objective_s")},
        "availability": {slo: {"bad": bad, "n": n, "ratio": (n - bad) / n} for slo, (bad, n) in sorted(past.availability.items())},
        "version": point.version,
        "commit": point.commit,
    }
