"""
Time series from rows: what one second looked like, counted for drawing and never for judging.

A sample belongs to the second of its *intended* start; only `completed` counts by its end. Sent later than
`LATE_US` by the generator's own fault it is unknown, neither good nor bad, as in the verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from chaoslib_ext.timeline import BAD, LATE_US, UNKNOWN, Outcome, Rows

_TIMED = frozenset({Outcome.OK, Outcome.TIMEOUT, Outcome.UNFINISHED})  # refused at once is fast, and no latency
Points = list[tuple[float, float | None]]


@dataclass(slots=True)
class Slice:
    """The samples of one stretch of time. `latency_ms` holds good ones, and timeouts at their limit, unsorted."""

    start_s: float
    good: int = 0
    bad: int = 0
    unknown: int = 0
    offered: int = 0
    completed: int = 0
    latency_ms: list[float] = field(default_factory=list)
    errors: dict[Outcome, int] = field(default_factory=dict)

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
        ordered = sorted(self.latency_ms)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slices(rows: Rows, endpoints: frozenset[int], start_s: int, end_s: int, step_s: int = 1) -> list[Slice]:
    """Stretches of `step_s` from `start_s` to `end_s`, of the rows whose endpoint index is in `endpoints`."""
    count = max(1, math.ceil((end_s - start_s) / step_s))
    found = [Slice(start_s + index * step_s) for index in range(count)]
    for intended_us, late_us, latency_us, endpoint, code in zip(rows.intended_us, rows.late_us, rows.latency_us, rows.endpoint, rows.outcome, strict=True):
        if endpoint not in endpoints:
            continue
        place = (intended_us // 1_000_000 - start_s) // step_s
        if 0 <= place < count:
            _take(found[place], late_us, latency_us, Outcome(code))
        ended = ((intended_us + latency_us) // 1_000_000 - start_s) // step_s
        if code not in UNKNOWN and code != Outcome.UNFINISHED and 0 <= ended < count:
            found[ended].completed += 1
    return found


def _take(into: Slice, late_us: int, latency_us: int, outcome: Outcome) -> None:
    into.offered += 1
    if outcome in UNKNOWN or late_us > LATE_US:
        into.unknown += 1
    elif outcome in BAD:
        into.bad += 1
    else:
        into.good += 1
    if outcome in _TIMED:
        into.latency_ms.append(latency_us / 1000)
    if outcome is not Outcome.OK:
        into.errors[outcome] = into.errors.get(outcome, 0) + 1


def thin(points: Points, most: int = 450) -> Points:
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
