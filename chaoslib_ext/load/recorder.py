"""Records every sample once, and counts each second as it ends. Memory stays flat however long the run is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.lateness import Lateness
from chaoslib_ext.load.rowfiles import RowFiles, seconds_file, write_meta
from chaoslib_ext.load.spec import LoadSpec, SliRule
from chaoslib_ext.timeline import LATE_US, ROW, UNKNOWN, Outcome, Second

BLOCK_ROWS = 4096
_BUFFER_BYTES = BLOCK_ROWS * ROW.size
MAX_ENDPOINTS = 4000  # names in a closed model and zones come from outside; memory has to stay flat
OTHERS = "(others)"
_U32 = 0xFFFFFFFF
_UNKNOWN = frozenset(int(outcome) for outcome in UNKNOWN)


@dataclass(slots=True)
class Endpoint:
    """A name, zone and class under one number. `limits` pairs the number of an SLI with its latency limit in microseconds."""

    name: str
    zone: str
    class_: str
    counted: bool
    limits: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Tally:
    """The counts of one second while it is open; `slis` holds [good, total] for each SLI, by completion."""

    slis: list[list[int]]
    scheduled: int = 0
    released: int = 0
    not_released: int = 0
    late: int = 0
    good: int = 0
    bad: int = 0
    unknown: int = 0


@dataclass(slots=True)
class Totals:
    """Counts of the whole run."""

    scheduled: int = 0
    released: int = 0
    not_released: int = 0
    rows: int = 0
    outcomes: Counter[int] = field(default_factory=Counter)


class Recorder:
    """
    The one place where samples and arrivals are counted. All times are nanoseconds of CLOCK_MONOTONIC.

    `counted_class` is what Second.good/bad/unknown count: journeys in an open model, requests in a closed one.
    """

    def __init__(self, out_dir: Path, t0_ns: int, slis: tuple[SliRule, ...], counted_class: str, meta: dict[str, Any]) -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        self.totals, self.lateness = Totals(), Lateness()
        self._dir, self._t0_ns, self._slis, self._counted_class = out_dir, t0_ns, slis, counted_class
        self._meta = meta
        self._endpoints: list[Endpoint] = []
        self._index: dict[tuple[str, str, str], int] = {}
        self._meta_is_old = True
        self._rows, self._seconds = RowFiles(out_dir), seconds_file(out_dir)
        self._buffer, self._filled = bytearray(_BUFFER_BYTES), 0
        self._open: dict[int, Tally] = {}
        self._next_second: int | None = None

    def endpoint(self, name: str, zone: str, class_: str) -> int:
        """The number under which rows name this endpoint."""
        key = (name, zone, class_)
        found = self._index.get(key)
        if found is not None:
            return found
        if len(self._endpoints) >= MAX_ENDPOINTS and name != OTHERS:
            return self.endpoint(OTHERS, "", class_)
        limits = tuple(
            (number, _U32 if sli.max_latency_ms is None else round(sli.max_latency_ms * 1000))
            for number, sli in enumerate(self._slis)
            if sli.counts(name, class_)
        )
        self._endpoints.append(Endpoint(name, zone, class_, class_ == self._counted_class, limits))
        self._index[key] = len(self._endpoints) - 1
        self._meta_is_old = True
        return self._index[key]

    def add(self, endpoint: int, intended_ns: int, sent_ns: int, end_ns: int, outcome: int) -> None:
        """Records one sample that ended now; for one that was never sent, `sent_ns` is when it was given up and is its end."""
        late_us = min(max(sent_ns - intended_ns, 0) // 1000, _U32)
        latency_us = 0 if outcome == Outcome.NOT_SENT else min(max(end_ns - intended_ns, 0) // 1000, _U32)
        ROW.pack_into(self._buffer, self._filled, (intended_ns - self._t0_ns) // 1000, late_us, latency_us, endpoint, outcome, 0)
        self._filled += ROW.size
        self.totals.rows += 1
        self.totals.outcomes[outcome] += 1
        self._count(endpoint, late_us, latency_us, end_ns, outcome)
        if self._filled == _BUFFER_BYTES:
            self.flush()

    def _count(self, number: int, late_us: int, latency_us: int, end_ns: int, outcome: int) -> None:
        endpoint = self._endpoints[number]
        if not endpoint.counted and not endpoint.limits:
            return
        tally = self._tally(end_ns)
        if late_us > LATE_US or outcome in _UNKNOWN:
            tally.unknown += endpoint.counted
            return
        tally.good += endpoint.counted and outcome == 0
        tally.bad += endpoint.counted and outcome != 0
        for sli, limit_us in endpoint.limits:
            counts = tally.slis[sli]
            counts[0] += outcome == 0 and latency_us <= limit_us
            counts[1] += 1

    def scheduled(self, intended_ns: int) -> None:
        """Counts an arrival of the schedule."""
        self.totals.scheduled += 1
        self._tally(intended_ns).scheduled += 1

    def released(self, intended_ns: int) -> None:
        """Counts an arrival that was handed on to be sent."""
        self.totals.released += 1
        self._tally(intended_ns).released += 1

    def not_released(self, intended_ns: int) -> None:
        """Counts an arrival that was given up by the generator's own fault."""
        self.totals.not_released += 1
        self._tally(intended_ns).not_released += 1

    def sent(self, intended_ns: int, sent_ns: int) -> None:
        """Counts how late an arrival really left."""
        late_us = min(max(sent_ns - intended_ns, 0) // 1000, _U32)
        self.lateness.add(late_us)
        if late_us > LATE_US:
            self._tally(intended_ns).late += 1

    def _tally(self, t_ns: int) -> Tally:
        second = (t_ns - self._t0_ns) // NS
        if self._next_second is not None and second < self._next_second:
            second = self._next_second  # that second is already written; sums stay right
        tally = self._open.get(second)
        if tally is None:
            tally = self._open[second] = Tally([[0, 0] for _ in self._slis])
        return tally

    def start(self, start_ns: int) -> None:
        """Says with which second the summaries begin. Raises UsageError for an instant before the run's zero."""
        if start_ns < self._t0_ns:
            raise UsageError(f"got a start {(self._t0_ns - start_ns) / NS:.3f} s before the run's zero, expected one after it; nothing was sent")
        self._next_second = (start_ns - self._t0_ns) // NS

    def since_zero_ns(self, now_ns: int) -> int:
        """An instant counted from the run's zero."""
        return now_ns - self._t0_ns

    def over(self, now_ns: int) -> bool:
        """Whether the next second to be summed up has ended."""
        return self._next_second is not None and (now_ns - self._t0_ns) // NS > self._next_second

    def end_of_next_ns(self) -> int:
        """When the next second to be summed up ends."""
        return self._t0_ns + ((self._next_second or 0) + 1) * NS

    def close_second(self, in_flight: int, overdue: int, cpu_percent: int) -> tuple[Second, dict[str, list[int]]]:
        """Writes the summary of the next second and returns it, with [good, total] for each SLI."""
        number = self._next_second or 0
        tally = self._open.pop(number, None) or Tally([[0, 0] for _ in self._slis])
        self._next_second = number + 1
        counts = (tally.scheduled, tally.released, tally.not_released, tally.late, tally.good, tally.bad, tally.unknown)
        second = Second(number, *counts, in_flight, overdue, cpu_percent)
        self._seconds.append(second.pack())
        return second, {sli.name: counts for sli, counts in zip(self._slis, tally.slis, strict=True)}

    def has_open_counts(self) -> bool:
        """Whether anything was counted that no summary holds yet."""
        return bool(self._open)

    def flush(self) -> None:
        """Writes the rows held back as one block; before it the meta file, if they use an endpoint that it lacks."""
        if self._meta_is_old:
            self.write_meta(durable=False)
        if self._filled:
            self._rows.append(bytes(memoryview(self._buffer)[: self._filled]))
            self._filled = 0

    def write_meta(self, durable: bool, **more: Any) -> None:
        """Writes `meta.json` with all counts so far and, added for good, the fields given."""
        self._meta.update(more)
        named = [{"index": n, "name": e.name, "zone": e.zone, "class": e.class_} for n, e in enumerate(self._endpoints)]
        late = self.lateness
        write_meta(
            self._dir,
            {
                "schema": 1,
                **self._meta,
                "endpoints": named,
                "scheduled": self.totals.scheduled,
                "released": self.totals.released,
                "not_released": self.totals.not_released,
                "rows": self.totals.rows,
                "outcomes": {Outcome(number).name: count for number, count in sorted(self.totals.outcomes.items())},
                "late_p50_ms": late.quantile_us(0.5) / 1000,
                "late_p99_ms": late.quantile_us(0.99) / 1000,
                "late_max_ms": late.max_us / 1000,
            },
            durable,
        )
        self._meta_is_old = False

    def close(self, **more: Any) -> None:
        """Ends all files, on disk."""
        self.flush()
        self._rows.close()
        self._seconds.close()
        self.write_meta(durable=True, **more)


def first_meta(spec: LoadSpec, model: str, versions: dict[str, str]) -> dict[str, Any]:
    """The fields of `meta.json` that are known before the first arrival."""
    return {
        "model": model,
        "profile": spec.profile,
        "seed": spec.seed,
        "start_ns": None,
        "stop_ns": None,
        "in_flight_cap": None,
        "cap_hits": 0,
        "cpu_s": 0.0,
        "versions": versions,
    }
