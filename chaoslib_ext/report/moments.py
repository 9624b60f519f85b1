"""Wall time of a moment of the run, for people; everything else counts from the run's zero."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.clock import Clock
from chaoslib_ext.report.words import clean


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


def zone_of(header: dict[str, Any]) -> str:
    """`CET, UTC+01:00`: the zone of the machine that ran it, as recorded; empty where none was, or where it is UTC itself."""
    found = _zone(header)
    if found is None or not found[1]:
        return ""
    name, offset_s = found
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    shift = f"UTC{'-' if offset_s < 0 else '+'}{hours:02}:{minutes:02}"
    return f"{clean(name, 40)}, {shift}" if name and not name.startswith(("+", "-", "UTC")) else shift


def local(header: dict[str, Any], t_ns: float) -> str:
    """`07:31:02` in the recorded zone; empty where `zone_of` is."""
    found, wall_s = _zone(header), wall_of(header)
    if not zone_of(header) or found is None or wall_s is None:
        return ""
    return Clock(0, wall_s + found[1], "").utc(int(t_ns))[11:19]


def _zone(header: dict[str, Any]) -> tuple[str, int] | None:
    clock = header.get("clock")
    zone = clock.get("zone") if isinstance(clock, dict) else None
    offset_s = zone.get("offset_s") if isinstance(zone, dict) else None
    if not isinstance(zone, dict) or type(offset_s) is not int or abs(offset_s) >= 86400:
        return None
    return str(zone.get("name") or ""), offset_s
