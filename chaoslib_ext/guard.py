"""
The guard: a pure step from what was seen and what has just arrived to "go on" or "stop, and why".

It reads one-second summaries of the load child. A request in flight for longer than its limit counts as
data at once, or a black hole in the system under test would read as a dead load generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from chaoslib_ext.clock import NS


@dataclass(frozen=True, slots=True)
class Rules:
    """The stop rules of an experiment. `no_data_s`: stop when nothing was measured for so long; None: never."""

    no_data_s: float | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """What the guard remembers: when data last arrived, in nanoseconds of the run's clock."""

    last_data_ns: int


@dataclass(frozen=True, slots=True)
class Halt:
    """The guard's word to stop: the rule as written, a reason code, and what was seen."""

    rule: str
    reason: str
    detail: str


def step(rules: Rules, watch: Watch, now_ns: int, second: dict[str, Any] | None) -> tuple[Watch, Halt | None]:
    """
    The next state of the guard, and a Halt when a rule ends the run.

    `second` is the newest one-second summary of the load child, or None when none arrived since the last step.
    """
    if second is not None and any(second[name] > 0 for name in ("good", "bad", "overdue")):
        watch = replace(watch, last_data_ns=now_ns)
    silent_s = (now_ns - watch.last_data_ns) / NS
    if rules.no_data_s is not None and silent_s >= rules.no_data_s:
        return watch, Halt(f"no_data: {rules.no_data_s:g}s", "STOP_NO_DATA", f"no request was answered or overdue for {silent_s:.1f} s")
    return watch, None
