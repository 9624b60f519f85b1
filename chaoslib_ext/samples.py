"""
The samples of one indicator, in the order in which they were intended, with counts by window.

A census: every arrival is in it, the unknown ones too (not sent, or sent late, by the generator's own fault).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from chaoslib_ext.slo import Sli
from chaoslib_ext.timeline import LATE_US, UNKNOWN, Outcome, Rows

BAD, GOOD, NOT_KNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Count:
    """Samples of one window."""

    good: int
    bad: int
    unknown: int

    @property
    def known(self) -> int:
        """Good and bad ones: what an objective is judged from."""
        return self.good + self.bad

    @property
    def total(self) -> int:
        """All of them."""
        return self.good + self.bad + self.unknown


@dataclass(frozen=True, slots=True)
class Known:
    """Good and bad samples as columns, by intended start; all times are microseconds from the run's zero."""

    at_us: Sequence[int]
    sent_us: Sequence[int]
    end_us: Sequence[int]
    good: Sequence[int]


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of one indicator as columns, by intended start; times are microseconds from the run's zero."""

    at_us: array[int]
    sent_us: array[int]
    end_us: array[int]
    state: bytearray
    _good: array[int]
    _bad: array[int]

    def __len__(self) -> int:
        return len(self.at_us)

    def count(self, a_us: int, b_us: int) -> Count:
        """Samples whose intended start is in [a, b)."""
        i, j = bisect_left(self.at_us, a_us), bisect_left(self.at_us, max(a_us, b_us))
        good, bad = self._good[j] - self._good[i], self._bad[j] - self._bad[i]
        return Count(good, bad, j - i - good - bad)

    def known(self, a_us: int, b_us: int) -> Known:
        """The known samples whose intended start is in [a, b)."""
        span = range(bisect_left(self.at_us, a_us), bisect_left(self.at_us, max(a_us, b_us)))
        state = self.state
        keep = [i for i in span if state[i] != NOT_KNOWN]
        return Known(_take(self.at_us, keep), _take(self.sent_us, keep), _take(self.end_us, keep), [state[i] for i in keep])


def _take(column: array[int], keep: list[int]) -> list[int]:
    return [column[i] for i in keep]


def intended_order(rows: Rows) -> list[int]:
    """The indexes of all rows by intended start; rows are written by completion."""
    return sorted(range(len(rows)), key=rows.intended_us.__getitem__)


def endpoints_of(endpoints: Iterable[dict[str, object]], name: str | None, class_: str) -> frozenset[int]:
    """The indexes of `meta.json` endpoints that an indicator selects; None selects every name of its class."""
    return frozenset(int(str(row["index"])) for row in endpoints if row.get("class") == class_ and name in (None, row.get("name")))


def samples_of(rows: Rows, order: Sequence[int], endpoints: Iterable[dict[str, object]], sli: Sli) -> Samples:
    """The samples that `sli` counts, classified: good when OK and within its limit, unknown by the generator's fault, else bad."""
    wanted = endpoints_of(endpoints, sli.select_name, sli.select_class)
    chosen = [i for i in order if rows.endpoint[i] in wanted]
    limit_us = None if sli.max_latency_ms is None else round(sli.max_latency_ms * 1000)
    return classified(rows, chosen, limit_us)


def classified(rows: Rows, chosen: Sequence[int], limit_us: int | None) -> Samples:
    """The rows at `chosen` (in intended order) as samples; `limit_us` is the latency still good, None for any."""
    intended, late, latency, outcome = rows.intended_us, rows.late_us, rows.latency_us, rows.outcome
    unknown, ok = frozenset(int(each) for each in UNKNOWN), int(Outcome.OK)
    state = bytearray(len(chosen))
    for at, i in enumerate(chosen):
        if outcome[i] in unknown or late[i] > LATE_US:
            state[at] = NOT_KNOWN
        elif outcome[i] == ok and (limit_us is None or latency[i] <= limit_us):
            state[at] = GOOD
    return Samples(
        array("q", (intended[i] for i in chosen)),
        array("q", (intended[i] + late[i] for i in chosen)),
        array("q", (intended[i] + latency[i] for i in chosen)),
        state,
        array("Q", accumulate((each == GOOD for each in state), initial=0)),
        array("Q", accumulate((each == BAD for each in state), initial=0)),
    )
