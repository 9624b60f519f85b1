"""
The open model: arrivals are released when the schedule says, whatever the system under test does.

One greenlet, run by Locust as its only user, releases what is due and never skips.
"""

from __future__ import annotations

import os
import resource
import time

import gevent
from gevent.event import Event

from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.load.arrivals import Arrivals, in_flight_cap
from chaoslib_ext.load.client import Door, versions
from chaoslib_ext.load.clockwork import Clockwork
from chaoslib_ext.load.control import Control
from chaoslib_ext.load.given import given
from chaoslib_ext.load.journeys import Chooser, plan_journeys
from chaoslib_ext.load.recorder import Recorder, first_meta
from chaoslib_ext.load.spec import LoadSpec
from chaoslib_ext.load.writes import write_log
from chaoslib_ext.loadprofile import LoadProfile

TOO_LATE_NS = NS  # later than this an arrival is not sent any more
GRACE_S = 1.0
_BURST = 50  # arrivals started in a row before those started get a turn; chosen by feel
_SPARE_FILES = 200


class OpenLoad:
    """The dispatcher of one load child."""

    def __init__(self, spec: LoadSpec, profile: LoadProfile, control: Control) -> None:
        self._control, self._seed, self._profile = control, spec.seed, profile
        self._chooser: Chooser = plan_journeys(profile, spec.seed)
        people = given(profile, spec.seed, os.environ)
        self.door = Door(spec.base_url, spec.hosts.allow_address, spec.zone_header)
        self.recorder = Recorder(spec.out_dir, spec.t0_ns, spec.slis, "journey", first_meta(spec, "open", versions()))
        self.writes = write_log(spec, profile)
        self.arrivals = Arrivals(spec, self.door, self.recorder, people, self.writes, self._capped)
        self._most_writes, self._said_capped = spec.max_writes, False
        self.longest_s = max(plan.timeout_s for plan in self._chooser.journeys)
        peak = profile.schedule(spec.seed).peak_rate()
        self.cap = min(in_flight_cap(peak, self.longest_s, spec.max_in_flight), _open_files() - _SPARE_FILES)
        self.cap_hits = 0
        self.dispatched = Event()
        self._next_ns = 0

    def run(self) -> None:
        """Releases the schedule until the stop instant, to which it still releases what was due."""
        assert self._control.start_ns is not None
        start_ns, burst = self._control.start_ns, 0
        try:
            for number, at_s in enumerate(self._profile.schedule(self._seed).times()):
                intended_ns = start_ns + round(at_s * NS)
                self._next_ns = intended_ns
                burst = burst + 1 if self._wait_until(intended_ns) == 0 else 0
                if self._control.stop_ns is not None and intended_ns > self._control.stop_ns:
                    return
                self._dispatch(number, intended_ns)
                if burst >= _BURST:
                    burst = 0
                    gevent.sleep(0)
        finally:
            self.dispatched.set()

    def _wait_until(self, intended_ns: int) -> int:
        """Sleeps until an instant, or an earlier stop; how often it slept."""
        naps = 0
        while (left_ns := intended_ns - monotonic_ns()) > 0:
            naps += 1
            if self._control.stopped.wait(timeout=left_ns / NS):
                return naps
        return naps

    def _dispatch(self, number: int, intended_ns: int) -> None:
        recorder = self.recorder
        recorder.scheduled(intended_ns)
        journey, drawn = self._chooser.choose()
        full = len(self.arrivals.in_flight) >= self.cap
        if full or monotonic_ns() - intended_ns > TOO_LATE_NS:
            self.cap_hits += full
            recorder.not_released(intended_ns)
            self.arrivals.drop(journey, intended_ns)
            return
        recorder.released(intended_ns)
        self.arrivals.release(number, journey, intended_ns, drawn)

    def _capped(self) -> None:
        """Says once that the run may write no more: the supervisor ends it."""
        if not self._said_capped:
            self._said_capped = True
            self._control.say("capped", writes=self._most_writes)

    def complete(self, end_ns: int) -> bool:
        """Whether every arrival intended before `end_ns` was dispatched."""
        return self.dispatched.is_set() or self._next_ns >= end_ns

    def state(self, now_ns: int) -> tuple[int, int]:
        """Arrivals in flight and overdue."""
        return len(self.arrivals.in_flight), self.arrivals.overdue(now_ns)


def run_open(spec: LoadSpec, profile: LoadProfile, control: Control) -> int:
    """Runs a profile's journeys from the start order to the stop order and returns how many rows there are."""
    load = OpenLoad(spec, profile, control)
    recorder = load.recorder
    recorder.write_meta(durable=False, in_flight_cap=load.cap)
    control.say("ready")
    control.ordered.wait()
    clockwork = Clockwork(recorder, control, load.door.environment)
    ticking = None
    if control.start_ns is not None:
        recorder.start(control.start_ns)
        recorder.write_meta(durable=False, start_ns=control.start_ns - spec.t0_ns)
        load.door.run(load.run)
        ticking = clockwork.start(load.complete, load.state)
        control.stopped.wait()
    assert control.stop_ns is not None
    control.say("stopped", stop_ns=control.stop_ns - spec.t0_ns)
    if ticking is not None:
        load.dispatched.wait()
        _drain(load)
        ticking.kill()
        recorder.flush()
        while recorder.has_open_counts():
            clockwork.sum_up(*load.state(monotonic_ns()))
    load.door.quit()
    if load.writes is not None:
        load.writes.close()
    recorder.write_meta(durable=False, locust=load.door.counted())
    recorder.close(stop_ns=control.stop_ns - spec.t0_ns, cap_hits=load.cap_hits, cpu_s=round(time.process_time(), 3))
    return recorder.totals.rows


def _drain(load: OpenLoad) -> None:
    """Waits for what is in flight as long as it may take, then gives it up."""
    deadline_ns = monotonic_ns() + int((load.longest_s + GRACE_S) * NS)
    while load.arrivals.in_flight and (left_ns := deadline_ns - monotonic_ns()) > 0:
        gevent.joinall([flight.greenlet for flight in load.arrivals.in_flight.values()], timeout=left_ns / NS)
    load.arrivals.abandon()


def _open_files() -> int:
    """Raises the limit of open files as far as it goes and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
