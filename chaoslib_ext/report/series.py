"""
Time series from rows: what one second looked like, counted for drawing and never for judging.

A sample belongs to the second of its *intended* start; only `completed` counts by its end. Sent later than
`LATE_US` by the generator's own fault it is unknown, neither good nor bad, as in the verdict.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaoslib_ext.timeline import BAD, LATE_US, UNKNOWN, Outcome, Rows

_TIMED = frozenset({Outcome.OK, Outcome.TIMEOUT, Outcome.UNFINISHED})  # refused at once is fast, and no latency
Points = list[tuple[float, float | None]]


@dataclass(slots=True)
class Slice:
    """The samples of one stretch of time. `latency_ms` holds good ones, and timeouts at their limit."""

    start_s: float
    good: int = 0
    bad: int = 0
    unknown: int = 0
    offered: int = 0
    completed: int = 0
    latency_ms: array[float] = field(default_factory=lambda: array("d"))
    errors: dict[Outcome, int] = field(default_factory=dict)
    ordered: int = 0  # how many latencies are in order: all of them, once a percentile was asked for

    @property
    def decided(self) -> int:
        """Samples that count for availability."""
        return self.good + self.bad

    @property
    def availability(self) -> float | None:
        """The share of good samples; None without any."""
        return self.good / self.decided if self.decided else None

    def percentile_ms(self, share: float) -> float | None:
        """The nearest-rank percentile of the latencies; None without any."""
        if not self.latency_ms:
            return None
        if self.ordered != len(self.latency_ms):
            self.latency_ms, self.ordered = array("d", sorted(self.latency_ms)), len(self.latency_ms)
        return self.latency_ms[max(0, math.ceil(share * self.ordered) - 1)]


@dataclass(slots=True)
class _Seen:
    """What was counted of `rows` before: a page asks for the same seconds many times, and ten million rows are read once for it."""

    rows: Rows
    size: int
    slices: dict[tuple[frozenset[int], int, int, int], list[Slice]] = field(default_factory=dict)
    chunks: list[tuple[int, int]] = field(default_factory=list)


_CHUNK = 4096
_seen: list[_Seen] = []  # of the rows of one run only: the next run's take its place


def _memory(rows: Rows) -> _Seen:
    if not _seen or _seen[0].rows is not rows or _seen[0].size != len(rows):
        _seen[:] = [_Seen(rows, len(rows))]
    return _seen[0]


def slices(rows: Rows, endpoints: frozenset[int], start_s: int, end_s: int, step_s: int = 1) -> list[Slice]:
    """Stretches of `step_s` from `start_s` to `end_s`, of the rows whose endpoint index is in `endpoints`; not to be altered."""
    known, key = _memory(rows).slices, (endpoints, start_s, end_s, step_s)
    if key not in known:
        known[key] = _counted(rows, endpoints, start_s, end_s, step_s)
    return known[key]


def _counted(rows: Rows, endpoints: frozenset[int], start_s: int, end_s: int, step_s: int) -> list[Slice]:
    count, start_us, step_us = max(1, math.ceil((end_s - start_s) / step_s)), start_s * 1_000_000, step_s * 1_000_000
    found = [Slice(start_s + index * step_s) for index in range(count)]
    fine, completed, never = [piece.latency_ms for piece in found], [0] * count, UNKNOWN | {Outcome.UNFINISHED}
    late = [array("d") for _ in found]
    for intended_us, late_us, latency_us, endpoint, code in zip(rows.intended_us, rows.late_us, rows.latency_us, rows.endpoint, rows.outcome, strict=True):
        if endpoint not in endpoints:
            continue
        at_us = intended_us - start_us
        place, ended = at_us // step_us, (at_us + latency_us) // step_us
        if 0 <= place < count:
            if not code and late_us <= LATE_US:  # nearly every row of most runs
                fine[place].append(latency_us / 1000)
            else:
                _take(found[place], late[place], late_us, latency_us, Outcome(code))
        if 0 <= ended < count and code not in never:
            completed[ended] += 1
    for piece, more, n in zip(found, late, completed, strict=True):
        piece.good += len(piece.latency_ms)
        piece.offered += len(piece.latency_ms)
        piece.completed = n
        piece.latency_ms += more
    return found


def stretch(rows: Rows, endpoints: frozenset[int], start_s: float, end_s: float) -> Slice:
    """One stretch with any ends: the samples that were intended to start in [start_s, end_s)."""
    low_us, high_us = round(start_s * 1e6), round(end_s * 1e6)
    found = Slice(start_s)
    intended = rows.intended_us
    for chunk, (first_us, last_us) in enumerate(_chunks(rows)):
        if last_us < low_us or first_us >= high_us:
            continue
        for at in range(chunk * _CHUNK, min(len(rows), (chunk + 1) * _CHUNK)):
            if low_us <= intended[at] < high_us and rows.endpoint[at] in endpoints:
                _take(found, found.latency_ms, rows.late_us[at], rows.latency_us[at], Outcome(rows.outcome[at]))
    return found


def _chunks(rows: Rows) -> list[tuple[int, int]]:
    """The first and the last intended start of each `_CHUNK` rows: rows are written by completion, so a window touches few of them."""
    seen = _memory(rows)
    if not seen.chunks:
        pieces = (rows.intended_us[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK))
        seen.chunks = [(min(piece), max(piece)) for piece in pieces]
    return seen.chunks


def joined(found: Sequence[Slice], times: int) -> list[Slice]:
    """Groups of `times` neighbouring slices as one each, with all their samples."""
    made: list[Slice] = []
    for at in range(0, len(found), times):
        group = found[at : at + times]
        total = Slice(group[0].start_s)
        for piece in group:
            for name in ("good", "bad", "unknown", "offered", "completed"):
                setattr(total, name, getattr(total, name) + getattr(piece, name))
            total.latency_ms += piece.latency_ms
            for outcome, n in piece.errors.items():
                total.errors[outcome] = total.errors.get(outcome, 0) + n
        made.append(total)
    return made


def _take(into: Slice, timed: array[float], late_us: int, latency_us: int, outcome: Outcome) -> None:
    into.offered += 1
    if outcome in UNKNOWN or late_us > LATE_US:
        into.unknown += 1
    elif outcome in BAD:
        into.bad += 1
    else:
        into.good += 1
    if outcome in _TIMED:
        timed.append(latency_us / 1000)
    if outcome is not Outcome.OK:
        into.errors[outcome] = into.errors.get(outcome, 0) + 1


def thin(points: Points, most: int = 200) -> Points:
    """
    At most about `2 * most` points: of each group the lowest and the highest, so that every spike stays.

    A group that holds a gap keeps it.
    """
    if len(points) <= 2 * most:
        return points
    size = math.ceil(len(points) / most)
    kept: Points = []
    for at in range(0, len(points), size):
        group = points[at : at + size]
        known = [(x, y) for x, y in group if y is not None]
        if len(known) < len(group):
            kept.append((group[0][0], None))
        if known:
            kept += sorted({min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])})
    return kept
