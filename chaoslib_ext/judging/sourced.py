"""
SLOs that are judged from counters in Prometheus instead of from requests of ours: what can be said of a window.

A reading taken at t shows the counters of some moment in [since, t]: they are scraped now and then. What is certainly inside a
window is therefore counted from the first reading since its start to the last one taken before its end; what may be inside
it from the last reading taken before its start to the first one since its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.judging.case import Case
from chaoslib_ext.judging.windows import Span
from chaoslib_ext.samples import Count
from chaoslib_ext.slo import Slo
from chaoslib_ext.stats import meets

REMOTE = "prometheus"
EXACT = frozenset({"fault", "whole"})  # their edges are where it matters; elsewhere the inside of the window speaks for it
SCRAPE_NS = NS  # how long one scrape may take until it can be read; where it takes longer, the time without a change shows it
Reading = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sourced:
    """
    What readings say of a window: events certainly inside it, and the most there may have been in it.

    `reason` says why nothing can be said, else it is empty; `partial` that something which was counted vanished meanwhile.
    """

    inside: Count
    at_most: Count | None
    reason: str
    partial: bool
    evidence: tuple[str, ...]

    def met(self, target: float, window: str) -> bool | None:
        """Whether the target was met; None when the readings are too far apart to say. Only with an empty `reason`."""
        inside = self.inside
        if window not in EXACT:
            return meets(inside.good, inside.known, target)
        if self.at_most is None:
            return None
        if meets(inside.good, inside.good + max(inside.bad, self.at_most.bad), target):
            return True
        most_good = max(inside.good, self.at_most.good)
        return None if meets(most_good, most_good + inside.bad, target) else False


def sourced(case: Case, slo: Slo, span: Span) -> Sourced:
    """What the readings of an SLO say of a window of nanoseconds."""
    mine = [event for event in case.run.of_kind("reading") if event.get("name") == "sli" and event.get("slo") == slo.name]
    good = _aged(sorted((event for event in mine if _is_whole(event)), key=lambda event: event["t_ns"]))
    failed = [event for event in mine if not _is_whole(event) and span[0] <= event["t_ns"] < span[1]]
    first, last = _surely_after(good, span[0]), _surely_before(good, span[1])
    if first is None or last is None or last["t_ns"] <= first["t_ns"]:
        return _nothing(failed, f"{len(good)} readings of {REMOTE}, none of which lies well inside the window")
    before, after = _surely_before(good, span[0]), _surely_after(good, span[1])
    at_most = _between(before, after) if before is not None and after is not None else None
    oldest_s = max(one["t_ns"] - one["since_ns"] for one in good if span[0] <= one["t_ns"] < span[1]) / NS
    told = f"judged from {REMOTE}, whose readings are up to {oldest_s:.1f} s old" + (f"; {len(failed)} readings of the window failed" if failed else "")
    wrong = _wrong(first, last, before or first)
    if wrong:
        return Sourced(Count(0, 0, 0), None, "SOURCE_INCOMPLETE", True, (told, wrong))
    partial = last["gone"] > (before or first)["gone"]
    return Sourced(_between(first, last), at_most, "", partial, (told, *(("a part of what is counted vanished in the window",) if partial else ())))


def _wrong(first: Reading, last: Reading, before: Reading) -> str:
    """Why the counts of a window are none, or an empty string."""
    if last["broken"] > before["broken"]:
        return "a counter inside an expression began anew, so nobody knows its growth"
    if last["good"] - first["good"] > last["total"] - first["total"] + 0.5:
        return "it counts more good events than events; see the two queries"
    return ""


def _nothing(failed: list[Reading], told: str) -> Sourced:
    errors = [str(event["error"]) for event in failed if event.get("error")]
    return Sourced(Count(0, 0, 0), None, "SOURCE_UNREACHABLE" if errors else "NO_DATA", False, (told, *errors[:1]))


def _is_whole(event: Reading) -> bool:
    numbers = [event.get(key) for key in ("good", "total", "gone", "broken", "age_ns")]
    return event.get("ok") is True and all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)


def _aged(readings: list[Reading]) -> list[Reading]:
    """
    Each reading with `since_ns`: it shows the counters as they were at some moment from then on.

    It is as old as the source says, and at least so old that its value was not yet there at an earlier reading.
    """
    found: list[Reading] = []
    unseen_ns = readings[0]["t_ns"] if readings else 0
    for at, one in enumerate(readings):
        if at and one["total"] != readings[at - 1]["total"]:
            unseen_ns = readings[at - 1]["t_ns"]
        found.append({**one, "since_ns": min(unseen_ns, one["t_ns"] - int(one["age_ns"])) - SCRAPE_NS})
    return found


def _surely_after(readings: list[Reading], t_ns: int) -> Reading | None:
    """The first reading that shows nothing older than `t_ns`."""
    return next((one for one in readings if one["since_ns"] >= t_ns), None)


def _surely_before(readings: list[Reading], t_ns: int) -> Reading | None:
    """The last reading that shows nothing newer than `t_ns`."""
    return next((one for one in reversed(readings) if one["t_ns"] <= t_ns), None)


def _between(a: Reading, b: Reading) -> Count:
    total = round(b["total"] - a["total"])
    good = min(total, round(b["good"] - a["good"]))
    return Count(good, total - good, 0)
