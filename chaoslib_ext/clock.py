"""
The clocks of a run, and durations as people write them.

`CLOCK_MONOTONIC` is shared by all processes of one host and orders everything; the boot clock, which
counts suspended time too, is used for time-to-live only; wall time is kept for people.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

NS = 1_000_000_000
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d|w)\s*")


def monotonic_ns() -> int:
    """Nanoseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns()


def boot_ns() -> int:
    """Nanoseconds since boot, time asleep included (CLOCK_BOOTTIME; monotonic where it is missing)."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


def boot_id() -> str:
    """An identity of this boot of the machine, or an empty string where the kernel gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()  # a healer that is ready loads no other codec
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Clock:
    """
    The zero of a run. `t0_ns` is CLOCK_MONOTONIC, `wall_s` the Unix time at that moment.

    Every `t_ns` of a run directory counts from `t0_ns`.
    """

    t0_ns: int
    wall_s: float
    boot_id: str

    @classmethod
    def start(cls) -> Clock:
        """A clock whose zero is now."""
        return cls(time.monotonic_ns(), time.time(), boot_id())

    def now_ns(self) -> int:
        """Nanoseconds since the zero of the run."""
        return time.monotonic_ns() - self.t0_ns

    def wall_drift_ms(self) -> float:
        """How far wall time moved against monotonic time since the start, in milliseconds; a step shows here."""
        return ((time.time() - self.wall_s) - self.now_ns() / NS) * 1000.0

    def utc(self, t_ns: int) -> str:
        """The wall time of `t_ns` as ISO 8601 in UTC, to the millisecond."""
        moment = datetime.fromtimestamp(self.wall_s + t_ns / NS, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def zone_at(wall_s: float) -> dict[str, str | int]:
    """The time zone of this machine at a Unix time: its short name and the seconds that its clocks are ahead of UTC."""
    local = time.localtime(wall_s)
    return {"name": local.tm_zone, "offset_s": local.tm_gmtoff}


def parse_duration(text: str | int | float) -> float:
    """
    Seconds in `250ms`, `40s`, `5m`, `1h30m`, `30d`.

    A bare number is refused: its unit would be a guess. Raises ValueError with what was expected.
    """
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f'got {text!r}, expected a duration with its unit, like "40s" or "250ms"')  # noqa: TRY004  # one error for all bad input
    total, at = 0.0, 0
    while (match := _DURATION.match(text, at)) is not None:  # looking for it anywhere would take hours in a long row of digits
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    if not text.strip() or at != len(text):
        raise ValueError(f'got {text[:80]!r}, expected a duration with its unit, like "40s" or "250ms"')
    return total


def format_duration(seconds: float) -> str:
    """`0.25` as `250ms`, `40` as `40s`, `90` as `1m30s`: the shortest form `parse_duration` reads back."""
    ms = round(seconds * 1000)
    if ms < 1000 or (ms % 1000 and ms < 60_000):
        return f"{ms}ms" if ms < 1000 else f"{ms / 1000:g}s"
    parts, rest = [], ms // 1000
    for name, size in (("h", 3600), ("m", 60), ("s", 1)):
        if rest >= size:
            parts.append(f"{rest // size}{name}")
            rest %= size
    return "".join(parts) or "0s"
