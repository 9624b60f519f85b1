"""
Which runs the kill matrix makes: a covering array over fault × fault beside it × kind of point × how it dies × who heals × where that is killed.

It is made from traces: the points that each fault comes to, on its way in and on its way back, when nobody is killed. Every pair of
two such choices that can occur together is in some run, as far as the number of runs allows; what is left of them is drawn at random.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from matrix_case import IN_FORCE, Case, Point
from matrix_faults import FAULTS, zones_for

ALONE, NOT = "alone", "no"
WAYS, HEALS = ("kill", "stop"), ("healer", "order", "recover", "cli", "markers")
FACTORS = ("fault", "beside", "point", "way", "by", "again")
FIRST = (("fault", "point"), ("fault", "beside"))  # what must be covered, whatever the number of runs allows of the rest
_TRIES = 40
_LATE = ("lock", "closing", "the state folder")

Choice = dict[str, str]
Pair = tuple[str, str, str, str]


@dataclass(frozen=True)
class Trace:
    """The points of a fault on its way in, those of a `recover` on its way back, and those of one that has only the markers."""

    points: tuple[Point, ...]
    healing: tuple[Point, ...]
    rebuilding: tuple[Point, ...]

    def back(self, by: str) -> tuple[Point, ...]:
        """The points on the way back, by who heals."""
        return self.rebuilding if by == "markers" else self.healing


def kind_of(name: str) -> str:
    """What a point of this name is about."""
    call, _, what = name.partition(" ")
    if what.startswith("undo.wal "):
        return f"{what.partition(' ')[2]}, {'before it' if call == 'write' else 'before it is flushed'}"
    for part, kind in (("fuse", "fuse"), ("lock release", "lock"), ("closed.json", "closing"), ("marker", "marker"), ("heal.lock", "heal.lock")):
        if part in what:
            return kind
    if what in ("run folder", "new run", "run.json~", "undo.wal") or call == "fallocate":
        return "the state folder"
    if name == "rename routes~" or call == "signal" or (call == "send" and not what.endswith((" status", "/stats"))):
        return "the change, before it"
    if "routes" in what or (call in ("pause", "receive") and not what.endswith((" status", "/stats"))) or "ballast" in what:
        return "the change, under way"
    return IN_FORCE if name == IN_FORCE else "a look"


def pairs_of(choice: Choice) -> set[Pair]:
    """Every two of the choices of a run."""
    return {(one, choice[one], two, choice[two]) for one, two in itertools.combinations(FACTORS, 2)}


def choice_of(case: Case, point: Point, again: Iterable[Point]) -> Choice:
    """The choices of a run as it was: where it really died, and where whoever healed it did."""
    beside = case.faults[0] if len(case.faults) == 2 else ALONE
    kinds = [kind_of(name) for name, _ in again]
    return {
        "fault": case.faults[-1], "beside": beside, "point": kind_of(point[0]), "way": case.way, "by": case.by, "again": kinds[0] if kinds else NOT,
    }  # fmt: skip


class Array:
    """The array for some traces; the same seed gives the same one."""

    def __init__(self, traces: Mapping[str, Trace], seed: int) -> None:
        self.traces = dict(sorted(traces.items()))
        self.chance = random.Random(seed)
        self.wanted = self._feasible()

    def _feasible(self) -> set[Pair]:
        found: set[Pair] = set()
        for fault, trace in self.traces.items():
            kinds = self._kinds(trace.points)
            for beside in self._beside(fault):
                for by, way in itertools.product(HEALS, WAYS):
                    if (by, way) == ("markers", "stop"):
                        continue
                    for kind, more in itertools.product({*kinds, IN_FORCE}, self._again(trace, by)):
                        if self._sensible(kind, more, by):
                            found |= pairs_of(dict(zip(FACTORS, (fault, beside, kind, way, by, more), strict=True)))
        return found

    def _again(self, trace: Trace, by: str) -> list[str]:
        return [NOT] if by == "cli" else [NOT, *sorted(self._kinds(trace.back(by)))]

    @staticmethod
    def _kinds(points: Iterable[Point]) -> set[str]:
        return {kind_of(name) for name, _ in points} - {"heal.lock"}

    @staticmethod
    def _beside(fault: str) -> list[str]:
        return [ALONE, *(other for other in FAULTS if zones_for([other, fault], "a", 0))]

    @staticmethod
    def _sensible(kind: str, again: str, by: str) -> bool:
        """Before there is an intent nothing is undone, so whoever heals cannot be killed at it; what closes a run is the supervisor's on order."""
        before = kind.startswith(("FUSE", "fuse", "INTENT, before it"))
        if by == "order" and again in _LATE:
            return False
        return not before or again in (NOT, *_LATE)

    def cases(self, number: int, first: int) -> list[Case]:
        """So many runs, numbered from `first`."""
        left, found = set(self.wanted), []
        while len(found) < number:
            first_of_all = sorted(pair for pair in left if (pair[0], pair[2]) in FIRST) or sorted(left)
            tries = [self._drawn(self.chance.choice(first_of_all) if left else None) for _ in range(_TRIES if left else 1)]
            best = max(tries, key=lambda choice: len(pairs_of(choice) & left))
            left -= pairs_of(best)
            found.append(self._case(best, first + len(found)))
        return found

    def _drawn(self, pair: Pair | None) -> Choice:
        """A run that can be, with a wanted pair in it."""
        fixed = {} if pair is None else {pair[0]: pair[1], pair[2]: pair[3]}
        while True:
            fault = fixed.get("fault") or self.chance.choice([*self.traces])
            trace = self.traces[fault]
            offers = {
                "fault": [fault], "beside": self._beside(fault), "point": sorted({*self._kinds(trace.points), IN_FORCE}), "way": WAYS, "by": HEALS,
            }  # fmt: skip
            choice = {name: fixed.get(name) or self.chance.choice(offer) for name, offer in offers.items()}
            offers["again"] = self._again(trace, choice["by"])
            choice["again"] = fixed.get("again") or self.chance.choice(offers["again"])
            fits = all(choice[name] in offer for name, offer in offers.items())
            if fits and (choice["by"], choice["way"]) != ("markers", "stop") and self._sensible(choice["point"], choice["again"], choice["by"]):
                return choice

    def _case(self, choice: Choice, number: int) -> Case:
        trace = self.traces[choice["fault"]]
        points = [point for point in trace.points if kind_of(point[0]) == choice["point"]] or [(IN_FORCE, 1)]
        point = self.chance.choice(points)
        far = 1.0 if point[0] == IN_FORCE else (trace.points.index(point) + 1) / len(trace.points)
        again: tuple[Point, ...] = ()
        if choice["again"] != NOT:
            there = [one for one in trace.back(choice["by"]) if kind_of(one[0]) == choice["again"]]
            again = (there[self.chance.randrange(max(1, round(len(there) * far)))],)
        faults = (choice["fault"],) if choice["beside"] == ALONE else (choice["beside"], choice["fault"])
        return Case(number, faults, point, choice["way"], choice["by"], again)

    def catching_up(self, covered: set[Pair], first: int) -> list[Case]:
        """A run for everything that must be covered and is not yet."""
        left = sorted(pair for pair in self.wanted - covered if (pair[0], pair[2]) in FIRST)
        return [self._case(self._drawn(pair), first + at) for at, pair in enumerate(left)]

    def every_point(self, first: int) -> list[Case]:
        """Every recorded point of every fault once, alone, with the ways to heal and a kill inside them taken in turn."""
        found: list[Case] = []
        for fault, trace in self.traces.items():
            for at, point in enumerate(trace.points):
                by = HEALS[(at + len(found)) % len(HEALS)]
                way = "stop" if at % 3 == 2 and by != "markers" else "kill"
                back = trace.back(by)
                again = () if by == "cli" or at % 2 else (back[(7 * at) % len(back)],)
                found.append(Case(first + len(found), (fault,), point, way, by, again))
        return found
