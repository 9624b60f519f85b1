"""
Good and total events since the watch began, from two counter queries that are asked as one.

Differences are taken series by series, so a process that began anew counts from 0 and not backwards. Both counters come
from one evaluation: two questions could straddle a scrape, and invent bad events.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaoslib_ext.promql import is_selector
from chaoslib_ext.sources.prometheus import Prometheus, Series

PART = "chaosx_part"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """
    Events since the watch began, and what may be wrong with them, also counted since then.

    `gone`: how often a series that was there was missing next time. `broken`: how often a counter fell inside an expression,
    where nobody can say by how much it grew before.
    """

    good: float
    total: float
    gone: int
    broken: int


class Counting:
    """A source of `Counted`; it remembers each series."""

    def __init__(self, prometheus: Prometheus, good_query: str, total_query: str) -> None:
        self._prometheus = prometheus
        self._raw = {"good": is_selector(good_query), "total": is_selector(total_query)}
        self._query = " or ".join(f'label_replace({text}, "{PART}", "{part}", "", "")' for part, text in (("good", good_query), ("total", total_query)))
        self._last: dict[Labels, float] = {}
        self._present: set[Labels] = set()
        self._processes: set[Labels] = set()
        self._sums = {"good": 0.0, "total": 0.0}
        self._gone = self._broken = 0
        self._begun = False

    def query(self, at_s: float) -> Counted | None:
        """The counts at a Unix time; None when no `total` is there. Raises NoData."""
        found = {one.labels: one for one in self._prometheus.instant(self._query, at_s)}
        if not any(_part(labels) == "total" for labels in found):
            if self._present:
                self._gone += len(self._present)
                self._present = set()
            return None
        for one in found.values():
            self._add(one)
        self._gone += len(self._present - found.keys())
        self._present = set(found)
        self._processes |= {_process(labels) for labels in found}
        self._begun = True
        return Counted(self._sums["good"], self._sums["total"], self._gone, self._broken)

    def _add(self, one: Series) -> None:
        part = _part(one.labels)
        before = self._last.get(one.labels)
        self._last[one.labels] = one.value
        if before is None:
            # a new series of a process that was seen before is a counter that has just begun; of a new process nobody knows since when it counts
            new = self._begun and self._raw[part] and _process(one.labels) in self._processes
            self._sums[part] += one.value if new else 0.0
        elif one.value >= before:
            self._sums[part] += one.value - before
        elif self._raw[part]:
            self._sums[part] += one.value
        else:
            self._broken += 1


def _part(labels: Labels) -> str:
    return dict(labels).get(PART, "")


def _process(labels: Labels) -> Labels:
    return tuple((name, value) for name, value in labels if name in ("job", "instance"))
