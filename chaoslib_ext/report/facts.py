"""
All that the page is drawn from, in one value: the sealed result, and the run that it was judged from.

Sections are functions of `Facts`; none of them opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add
from typing import Any

from chaoslib_ext.history import Past, parts
from chaoslib_ext.report.words import clean
from chaoslib_ext.timeline import Rows

Json = dict[str, Any]
NS = 1e9


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a sample went. `kind` is `journey` or `step`; rows name it by `index`."""

    index: int
    name: str
    zone: str
    kind: str


@dataclass(frozen=True, slots=True)
class Promise:
    """An SLO as the charts need it: which samples, the limit of one sample if it has one, the share that must be good."""

    name: str
    of: str | None
    kind: str
    max_latency_ms: float | None
    target: float


def title_of(result: Json, header: Json) -> str:
    """The experiment's title, made harmless."""
    return clean(result.get("title") or header.get("title") or "Untitled experiment")


def control_of(result: Json) -> str:
    """`a-a` or `known-bad`; empty for a run that tests resilience."""
    control = str(result.get("control") or "none")
    return "" if control == "none" else clean(control, 40)


def services_hit(row: Json) -> list[str]:
    """The services of one row of a plan: the one that is named, or those of which something is hit; none where the plan names none."""
    extent = row.get("of")
    named = [row["service"]] if row.get("service") else sorted(map(str, extent)) if isinstance(extent, dict) else []
    return [clean(name, 80) for name in named]


@dataclass(frozen=True, slots=True)
class Facts:
    """
    A run and its verdict. `history` are earlier runs of the same experiment and environment, the oldest first, as copied before the seal;
    `hashes` the files of `SEALED` with their SHA-256.
    """

    result: Json
    header: Json = field(default_factory=dict)
    plan: Json = field(default_factory=dict)
    events: tuple[Json, ...] = ()
    rows: Rows = field(default_factory=Rows)
    endpoints: tuple[Endpoint, ...] = ()
    promises: tuple[Promise, ...] = ()
    problems: tuple[str, ...] = ()
    history: tuple[Past, ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> str:
        """The word."""
        return str(self.result.get("verdict", "INCONCLUSIVE"))

    @property
    def title(self) -> str:
        """The experiment's title, made harmless."""
        return title_of(self.result, self.header)

    @property
    def control(self) -> str:
        """`a-a` or `known-bad`; empty for a run that tests resilience."""
        return control_of(self.result)

    @property
    def faults(self) -> list[Json]:
        """The faults of the result, in its order."""
        return list(self.result.get("faults") or [])

    @property
    def comparable(self) -> tuple[Past, ...]:
        """The earlier runs of the same files and the same kind (control or not) that began; the oldest first."""
        own, control = parts(self.header), str(self.result.get("control") or "none")
        return tuple(past for past in self.history if past.parts == own and past.control == control and past.findings)

    @property
    def journeys(self) -> frozenset[int]:
        """The endpoint indexes of all arrivals; a closed model has no journeys, there they are all requests."""
        return self.indexes(None, self.arrival_kind)

    @property
    def arrival_kind(self) -> str:
        """What one arrival is: a `journey`, or a `step` in a closed model."""
        return "step" if (self.result.get("load") or {}).get("model") == "closed" else "journey"

    def window(self, name: str) -> tuple[float, float] | None:
        """A window of the result in seconds from the run's zero; None where it did not happen."""
        ends = (self.result.get("windows") or {}).get(name)
        return (ends[0] / NS, ends[1] / NS) if ends and None not in ends else None

    def indexes(self, of: str | None, kind: str) -> frozenset[int]:
        """The endpoint indexes of a selection; `of` None is everything of that kind."""
        return frozenset(point.index for point in self.endpoints if point.kind == kind and of in (None, point.name))

    def end_s(self) -> float:
        """The last moment that anything is known of, in seconds from the run's zero."""
        last_event = max((event.get("t_ns", 0) for event in self.events), default=0) / NS
        last_row = max(map(add, self.rows.intended_us, self.rows.latency_us), default=0) / 1e6
        whole = self.window("whole")
        return max(last_event, last_row, whole[1] if whole else 0.0, 1.0)


def seen_uids(facts: Facts, fault: str) -> frozenset[str]:
    """The uids that effect events of a fault name; empty when they name none."""
    told = (event for event in facts.events if event.get("kind") == "effect" and event.get("fault") == fault)
    return frozenset(str(uid) for event in told for uid in event.get("uids") or ())
