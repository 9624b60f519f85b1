"""Wall time of a moment of the run, for people; everything else counts from the run's zero."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.clock import Clock


def utc(header: dict[str, Any], t_ns: float) -> str:
    """`2026-11-24 06:31:02.512 UTC`; empty where the run's header carries no wall time."""
    wall_s = wall_of(header)
    if wall_s is None:
        return ""
    return Clock(0, wall_s, "").utc(int(t_ns)).replace("T", " ").replace("Z", "\u00a0UTC")


def wall_of(header: dict[str, Any]) -> float | None:
    """Unix seconds at the run's zero, from `clock.wall_s` or `wall_s`."""
    clock = header.get("clock") or {}
    value = clock.get("wall_s") if isinstance(clock, dict) else None
    value = header.get("wall_s") if value is None else value
    return float(value) if isinstance(value, int | float) else None
