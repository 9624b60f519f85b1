"""Whether the load child itself was held up at a moment, so that what it saw then was seen late."""

from __future__ import annotations

from collections import deque
from typing import Any

import gevent

from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.timeline import LATE_US

_BEAT_NS = 20_000_000
_STALL_NS = _BEAT_NS + LATE_US * 1000
_CATCHES_UP_NS = 100_000_000  # after a stall it reads what has piled up meanwhile; chosen by feel
_KEPT = 256  # a request asks when it ends, of stalls that were while it was under way


class Pulse:
    """A greenlet that wants to run every 20 ms, and notes when it could not for 50 ms more than that."""

    def __init__(self) -> None:
        self._beat_ns = monotonic_ns()
        self._stalls: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def start(self) -> Any:
        """Starts beating and returns the greenlet."""
        self._beat_ns = monotonic_ns()
        return gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            gevent.sleep(_BEAT_NS / NS)
            now_ns = monotonic_ns()
            if now_ns - self._beat_ns > _STALL_NS:
                self._stalls.append((self._beat_ns, now_ns))
            self._beat_ns = now_ns

    def _stretches(self) -> list[tuple[int, int]]:
        """When this process did not run or was still catching up: those just behind, and the one it may be in."""
        now_ns = monotonic_ns()
        open_ = [(self._beat_ns, now_ns)] if now_ns - self._beat_ns > _STALL_NS else []
        return [(begin, end + _CATCHES_UP_NS) for begin, end in [*self._stalls, *open_]]

    def held_up(self, at_ns: int) -> bool:
        """Whether this process did not run, or was still catching up, at a moment of CLOCK_MONOTONIC that lies just behind."""
        return any(begin <= at_ns <= end for begin, end in self._stretches())

    def held_up_ns(self, begin_ns: int, end_ns: int) -> int:
        """At most how long that was within a stretch of time that has just ended."""
        return sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in self._stretches())
