"""The clockwork of a load child: every 250 ms it writes rows, and sums up each second once it is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import gevent

from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.load.client import forget_seconds
from chaoslib_ext.load.control import Control
from chaoslib_ext.load.recorder import Recorder

_TICK_NS = 250_000_000
_TICK_AFTER_NS = 20_000_000  # past a full second of the run's clock, so that its last arrivals are dispatched
_FORGET_EVERY = 240  # ticks: a minute


class Clockwork:
    """Writes what the recorder holds, and tells the supervisor of each second."""

    def __init__(self, recorder: Recorder, control: Control, environment: Any) -> None:
        self._recorder, self._control, self._environment = recorder, control, environment
        self._cpu_s, self._wall_ns = time.process_time(), monotonic_ns()

    def start(self, ready: Callable[[int], bool], state: Callable[[int], tuple[int, int]]) -> Any:
        """
        Starts ticking and returns the greenlet to kill at the end.

        `ready(end_ns)` says whether the second that ends then is complete, `state(now_ns)` how many are in flight and overdue.
        """
        greenlet = gevent.spawn(self._run, ready, state)
        greenlet.link_exception(_end_process)
        return greenlet

    def _run(self, ready: Callable[[int], bool], state: Callable[[int], tuple[int, int]]) -> None:
        ticks = 0
        while True:
            since_ns = (self._recorder.since_zero_ns(monotonic_ns()) - _TICK_AFTER_NS) % _TICK_NS
            gevent.sleep((_TICK_NS - since_ns) / NS)
            self._recorder.flush()
            while self._recorder.over(monotonic_ns()) and ready(self._recorder.end_of_next_ns()):
                self.sum_up(*state(monotonic_ns()))
            ticks += 1
            if ticks % _FORGET_EVERY == 0:
                forget_seconds(self._environment)

    def sum_up(self, in_flight: int, overdue: int) -> None:
        """Closes the next second and says it."""
        cpu_s, wall_ns = time.process_time(), monotonic_ns()
        percent = round((cpu_s - self._cpu_s) * 100 * NS / max(wall_ns - self._wall_ns, 1))
        self._cpu_s, self._wall_ns = cpu_s, wall_ns
        second, slis = self._recorder.close_second(in_flight, overdue, percent)
        fields = {name: getattr(second, name) for name in second.__slots__ if name != "reserved"}
        self._control.say("second", **fields, slis=slis)


def _end_process(dead: Any) -> None:
    print(f"load child: the clockwork died ({dead.exception!r}); the run has no evidence from here on", file=sys.stderr)
    raise SystemExit(5)  # gevent hands it to the main greenlet
