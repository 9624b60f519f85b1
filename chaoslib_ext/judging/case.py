"""
What is judged: a run with its faults, windows and samples, and what stands against believing them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from chaoslib_ext.block import Block, Objective
from chaoslib_ext.judging.windows import Fault, Span, faults_of, observed_until_ns, phases_of, windows_of
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.result import INCONCLUSIVE, MISSED, Finding
from chaoslib_ext.rundir import Run
from chaoslib_ext.samples import Count, Samples, classified, endpoints_of, intended_order, samples_of
from chaoslib_ext.schedule import Schedule
from chaoslib_ext.slo import Slo
from chaoslib_ext.timeline import LATE_US

MOST_UNKNOWN = Fraction(5, 100)  # of a window's samples, or of its arrivals not sent in time


@dataclass(slots=True)
class Case:
    """
    One run, ready to be judged. `how` is how it ended: completed, undecided, aborted, error, or unknown.

    `against` says what stands against a FAIL: reason codes by window, under `""` those of the whole run.
    """

    run: Run
    block: Block
    control: str
    how: str
    reason: str | None
    faults: list[Fault]
    windows: dict[str, Span]
    phases: dict[str, Span]
    until_ns: int
    order: list[int]
    against: dict[str, list[str]] = field(default_factory=dict)
    _samples: dict[str, Samples] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether the load was a closed-model locustfile, whose figures hide outages."""
        return (self.run.meta or {}).get("model") == "closed"

    @property
    def complete(self) -> bool:
        """Whether the run went its whole way."""
        return self.how == "completed"

    def slo(self, name: str) -> Slo | None:
        """The SLO of that name; None when the block has none."""
        return next((slo for slo in self.block.slos if slo.name == name), None)

    def samples(self, slo: Slo) -> Samples:
        """The samples of an SLO's indicator, read once."""
        if slo.name not in self._samples:
            self._samples[slo.name] = samples_of(self.run.rows, self.order, self.run.endpoints, slo.sli)
        return self._samples[slo.name]

    def journeys(self) -> Samples:
        """All arrivals of the load, whatever their journey; in a closed model, all requests."""
        if "" not in self._samples:
            wanted = endpoints_of(self.run.endpoints, None, "step" if self.closed else "journey")
            chosen = [i for i in self.order if self.run.rows.endpoint[i] in wanted]
            self._samples[""] = classified(self.run.rows, chosen, None)
        return self._samples[""]

    def used_slos(self) -> list[Slo]:
        """The SLOs that something beyond a baseline objective is promised of, in the order of the block."""
        names = {one.slo for one in self.block.objectives if one.window != "baseline"}
        names |= set(self.block.rto.slos) if self.block.rto else set()
        names |= {self.block.budget.slo} if self.block.budget else set()
        return [slo for slo in self.block.slos if slo.name in names]

    def schedule(self) -> tuple[Schedule, float] | None:
        """The load's schedule and its start in seconds; None without an open-model load that began."""
        meta = self.run.meta
        profile = (meta or {}).get("profile") or self.run.header.get("load")
        if meta is None or self.closed or profile is None or meta.get("start_ns") is None:
            return None
        try:
            return LoadProfile.from_json(profile).schedule(int(meta.get("seed") or 0)), meta["start_ns"] / 1e9
        except (KeyError, TypeError, ValueError):
            return None  # damaged, or no schedule: told as missing evidence

    def stands_against(self, *windows: str) -> tuple[str, ...]:
        """The reasons why nothing may be held against the system in these windows."""
        return unique(code for window in ("", *windows) for code in self.against.get(window, []))

    def held_against(self, finding: dict[str, Any], *windows: str) -> Finding:
        """A missed finding; inconclusive where the generator, the baseline, the clock or the evidence was not sound."""
        reasons = self.stands_against(*windows)
        if reasons:
            return Finding(**{**finding, "outcome": INCONCLUSIVE, "reasons": reasons})
        return Finding(**{**finding, "outcome": MISSED})


def case_of(run: Run) -> Case:
    """A run as it is judged."""
    block = run.block or Block()
    end = run.header.get("end") or {}
    faults = faults_of(run)
    how = str(end.get("how") or "unknown")
    windows = windows_of(run, faults, block.control)
    return Case(run, block, block.control, how, end.get("reason"), faults, windows, phases_of(run), observed_until_ns(run), intended_order(run.rows))


def target_of(objective: Objective, slo: Slo) -> float:
    """What an objective promises: its own target, else the SLO's."""
    return slo.target if objective.target is None else objective.target


def unknown_reason(case: Case, span: Span) -> str:
    """Why samples of a window are unknown: sent late, or not sent at all."""
    late = total = 0
    rows = case.run.rows
    for i in case.order:
        if span[0] <= rows.intended_us[i] * 1000 < span[1]:
            total += 1
            late += rows.late_us[i] > LATE_US  # those given up because they were late already among them
    return "GENERATOR_SATURATED" if late > MOST_UNKNOWN * total else "LOAD_NOT_DELIVERED"


def too_unknown(count: Count) -> bool:
    """Whether more than 5 % of a window's samples are neither good nor bad."""
    return count.unknown > MOST_UNKNOWN * count.total


def unique(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes without repetition, in order."""
    return tuple(dict.fromkeys(codes))


def count_in(samples: Samples, span: Span) -> Count:
    """The samples whose intended start lies in a window of nanoseconds: [a, b)."""
    return samples.count(-(-span[0] // 1000), -(-span[1] // 1000))


def why_no_window(case: Case, window: str) -> str:
    """Why a window did not happen."""
    effective = [fault for fault in case.faults if fault.effect is not None]
    if window in ("baseline", "whole"):
        return "NO_DATA"
    if not effective:
        return "EFFECT_UNPROVEN" if case.control == "none" else "NO_DATA"
    missing = [fault for fault in effective if fault.removed is None]
    if window == "recovered" and missing:
        return "REMOVAL_UNSEEN" if any(fault.held for fault in missing) else "REPLACEMENT_UNSEEN"
    return "RECOVERY_NOT_OBSERVED"
