"""
What this machine lacks, and what earlier runs left behind. It only looks; what mends a thing is named, never done.

States: `ok`, `note` (good to know), `missing` (exit code 3), `left` (something of ours was left behind: exit code 6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from chaoslib_ext import clock
from chaoslib_ext.doctor.check import Check
from chaoslib_ext.doctor.installed import browser, envoy, importable, libraries, python
from chaoslib_ext.doctor.leftovers import open_runs, sandboxes, state_directory
from chaoslib_ext.doctor.marks import in_targets
from chaoslib_ext.environment import EnvChoice, read_environment
from chaoslib_ext.errors import ChaosxError, InvalidFile
from chaoslib_ext.process.client import alive, read_roster
from chaoslib_ext.sandbox import folder as rooms

__all__ = ["Check", "examine", "exit_code"]

BUILT_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # a wall clock before this is wrong


def examine(choice: EnvChoice) -> list[Check]:
    """All checks for one environment."""
    began = time.monotonic_ns(), time.time()
    found = [*python(), *libraries(), importable("locust"), importable("chaoslib"), envoy(choice), browser()]
    found += [*state_directory(), *open_runs(), *sandboxes(), *_environment(choice), *in_targets(choice)]
    return [*found, *_clock(*began)]


def exit_code(checks: list[Check]) -> int:
    """6 when something of ours is left, else 3 when something is missing, else 0."""
    states = {check.state for check in checks}
    return 6 if "left" in states else 3 if "missing" in states else 0


def _environment(choice: EnvChoice) -> Iterator[Check]:
    if choice.kind == "sandbox" and not choice.name:
        return
    if choice.path is None:
        up = rooms.info(rooms.folder_of(choice.name))
        yield Check(
            "environment", "ok" if up else "missing", f"sandbox {choice.name} is {'up' if up else 'not up'}", "" if up else f"chaosx sandbox up {choice.name}"
        )
        return
    try:
        environment = read_environment(choice.path)
    except InvalidFile as error:
        for problem in error.problems:
            yield Check("environment", "missing", str(problem), "mend the file; chaosx validate tells the rest")
        return
    yield Check("environment", "ok", f"{choice.path}: {len(environment.services)} services, class {environment.class_}")
    for service in environment.services.values():
        yield from _roster(service.name, (service.processes or {}).get("roster"), environment.identity)


def _roster(name: str, path: str | None, identity: dict[str, Any]) -> Iterator[Check]:
    if path is None:
        return
    try:
        roster = read_roster(path)
    except (OSError, ChaosxError, ValueError) as error:
        yield Check(f"service {name}", "missing", f"its roster cannot be read: {error}", "start what writes it, or mend the path in the environment")
        return
    if identity and roster["identity"] not in identity.values():
        yield Check(f"service {name}", "missing", f"{path} belongs to {roster['identity']}, not to this environment", "mend `identity` or the path")
        return
    mine = [one for one in roster["replicas"] if one.get("service") == name]
    lives = sum(bool(one.get("pid")) and alive(one["pid"], one["start_ticks"]) for one in mine)
    good = bool(mine) and lives == len(mine)
    yield Check(f"service {name}", "ok" if good else "missing", f"{lives} of {len(mine)} replicas of {path} are alive", "" if good else "start the rest")


def _clock(began_ns: int, began_s: float) -> Iterator[Check]:
    drift_ms = abs((time.time() - began_s) - (time.monotonic_ns() - began_ns) / clock.NS) * 1000
    troubles: list[tuple[Callable[[], bool], str]] = [
        (lambda: time.time() < BUILT_S, "wall time lies before 2026"),
        (lambda: drift_ms > 50, f"wall time moved {drift_ms:.0f} ms against monotonic time while this was looked at"),
        (lambda: time.get_clock_info("monotonic").resolution > 0.001, "monotonic time is coarser than a millisecond"),
        (lambda: not clock.boot_id(), "the kernel gives no boot id, so a restart of the machine cannot be told"),
    ]
    found = [text for wrong, text in troubles if wrong()]
    yield Check(
        "clock",
        "missing" if found else "ok",
        "; ".join(found) or f"wall and monotonic time agree to {drift_ms:.1f} ms",
        "set the machine's time service right" if found else "",
    )
