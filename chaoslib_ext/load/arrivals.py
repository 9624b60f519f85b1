"""One arrival: a journey run step by step, and every sample that comes of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent

from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.load.client import Door, Exchange
from chaoslib_ext.load.given import NOTHING_GIVEN, Given
from chaoslib_ext.load.journeys import Answer, JourneyPlan, StepPlan, Unusable, judge
from chaoslib_ext.load.recorder import Recorder
from chaoslib_ext.load.spec import LoadSpec, SliRule
from chaoslib_ext.load.writes import Write, WriteLog
from chaoslib_ext.loadprofile import WRITE_ID
from chaoslib_ext.timeline import Outcome

_GENERATOR_TALK = 20  # tracebacks printed; all of them are rows


@dataclass(slots=True)
class Flight:
    """
    An arrival between its release and its rows.

    `begin_ns` is the intended start of the step it is in, `sent_ns` when that was sent (None: not yet);
    `limit_ns` is when it is overdue.
    """

    number: int
    journey: JourneyPlan
    intended_ns: int
    drawn: str
    limit_ns: int
    begin_ns: int
    sent_ns: int | None = None
    first_sent_ns: int | None = None
    step: StepPlan | None = None
    greenlet: Any = None


class Limits:
    """How long a journey or a step may be in flight before it counts as bad: its tightest SLI limit, else its timeout."""

    def __init__(self, slis: tuple[SliRule, ...]) -> None:
        self._slis = slis
        self._known: dict[tuple[str, str], list[int]] = {}  # every sample asks

    def ns(self, name: str, class_: str, timeout_s: float) -> int:
        """Nanoseconds for one name of a class."""
        return min([*self.of_slis(name, class_), int(timeout_s * 1e9)])

    def of_slis(self, name: str, class_: str) -> list[int]:
        """The latency limits, in nanoseconds, of all SLIs that count this name."""
        found = self._known.get((name, class_))
        if found is None:
            limits = [sli.max_latency_ms for sli in self._slis if sli.counts(name, class_)]
            found = self._known[name, class_] = [int(limit * 1e6) for limit in limits if limit is not None]
        return found


class Arrivals:
    """Runs arrivals, each in a greenlet of its own, and keeps those in flight."""

    def __init__(
        self,
        spec: LoadSpec,
        door: Door,
        recorder: Recorder,
        given: Given = NOTHING_GIVEN,
        writes: WriteLog | None = None,
        on_capped: Callable[[], None] = lambda: None,
    ) -> None:
        self._writes, self._on_capped = writes, on_capped
        self._given = given
        self.in_flight: dict[int, Flight] = {}
        self._spec, self._door, self._recorder = spec, door, recorder
        self._limits = Limits(spec.slis)
        self._talk = 0

    def release(self, number: int, journey: JourneyPlan, intended_ns: int, drawn: str) -> None:
        """Starts an arrival."""
        limit_ns = intended_ns + self._limits.ns(journey.name, "journey", journey.timeout_s)
        flight = self.in_flight[number] = Flight(number, journey, intended_ns, drawn, limit_ns, intended_ns)
        flight.greenlet = gevent.spawn(self._run, flight)

    def drop(self, journey: JourneyPlan, intended_ns: int) -> None:
        """Records an arrival that is never sent."""
        now_ns = monotonic_ns()
        self._recorder.add(self._recorder.endpoint(journey.name, "", "journey"), intended_ns, now_ns, now_ns, Outcome.NOT_SENT)

    def overdue(self, now_ns: int) -> int:
        """How many are in flight longer than their limit."""
        return sum(flight.limit_ns < now_ns for flight in self.in_flight.values())

    def abandon(self) -> None:
        """Ends what is still in flight: UNFINISHED where it was sent, NOT_SENT where it was not."""
        now_ns = monotonic_ns()
        left, self.in_flight = list(self.in_flight.values()), {}
        for flight in left:
            outcome = Outcome.NOT_SENT if flight.first_sent_ns is None else Outcome.UNFINISHED
            self._end(flight, now_ns, outcome, "")
        gevent.killall([flight.greenlet for flight in left])

    def _run(self, flight: Flight) -> None:
        try:
            outcome, zone, end_ns = self._journey(flight)
        except gevent.GreenletExit:
            return  # abandoned: its rows are written
        except Exception:  # an error of ours must end as a row and a line, never in silence
            self._complain(flight)
            outcome, zone, end_ns = Outcome.GENERATOR, "", monotonic_ns()
        self._end(flight, end_ns, outcome, zone)
        self.in_flight.pop(flight.number, None)

    def _journey(self, flight: Flight) -> tuple[Outcome, str, int]:
        session = self._door.session()
        values = self._given.values(flight.number, flight.drawn)
        got = Exchange(Outcome.OK, "", flight.intended_ns)
        for plan in flight.journey.steps:
            flight.step, flight.sent_ns = plan, None
            flight.limit_ns = min(flight.limit_ns, flight.begin_ns + self._limits.ns(plan.step.name, "step", plan.step.timeout_s))
            got = self._step(flight, plan, session, values)
            if got.outcome is not Outcome.OK:
                break
            flight.step = None  # its row is written
            flight.begin_ns = got.end_ns
            flight.limit_ns = flight.intended_ns + self._limits.ns(flight.journey.name, "journey", flight.journey.timeout_s)
        return got.outcome, got.zone, got.end_ns

    def _step(self, flight: Flight, plan: StepPlan, session: Any, values: dict[str, str]) -> Exchange:
        if self._writes is not None and plan.step.write is not None:
            id_ = self._writes.next_id()
            if id_ is None:
                self._on_capped()
                flight.step = None  # never sent: no row of its own
                return Exchange(Outcome.NOT_SENT, "", monotonic_ns())
            values[WRITE_ID] = id_
        try:
            request = plan.request(values)
        except Unusable as unusable:
            now_ns = monotonic_ns()
            flight.step = None  # never sent: no row of its own
            return Exchange(unusable.outcome, "", now_ns)
        step, url = plan.step, self._spec.base_url + request.path
        write: Write | None = None

        def verdict(answer: Answer) -> Outcome:
            if write is not None:
                write.status = answer.status
            return judge(step, url, answer, self._spec.hosts, values)

        self._sends(flight)
        assert flight.sent_ns is not None
        if self._writes is not None and step.write is not None:
            write = self._writes.sent(values[WRITE_ID], step.write, flight.sent_ns)
        got = self._door.exchange(session, step, request, verdict, flight.sent_ns)
        if self._writes is not None and write is not None:
            self._writes.ended(write, got.outcome, got.end_ns)  # on file before the sample counts
        outcome = self._known(got.outcome, step.name, "step", flight.begin_ns, flight.sent_ns, got.end_ns)
        self._recorder.add(self._number(step.name, got.zone, "step"), flight.begin_ns, flight.sent_ns, got.end_ns, outcome)
        flight.step = None
        return got

    def _sends(self, flight: Flight) -> None:
        flight.sent_ns = monotonic_ns()
        if flight.first_sent_ns is None:
            flight.first_sent_ns = flight.sent_ns
            self._recorder.sent(flight.intended_ns, flight.sent_ns)

    def _end(self, flight: Flight, end_ns: int, outcome: Outcome, zone: str) -> None:
        if flight.step is not None and flight.sent_ns is not None:  # it ended inside a step
            self._recorder.add(self._number(flight.step.step.name, "", "step"), flight.begin_ns, flight.sent_ns, end_ns, outcome)
        sent_ns = end_ns if flight.first_sent_ns is None else flight.first_sent_ns
        outcome = self._known(outcome, flight.journey.name, "journey", flight.intended_ns, sent_ns, end_ns)
        self._recorder.add(self._number(flight.journey.name, zone, "journey"), flight.intended_ns, sent_ns, end_ns, outcome)

    def _known(self, outcome: Outcome, name: str, class_: str, begin_ns: int, sent_ns: int, end_ns: int) -> Outcome:
        """The outcome; GENERATOR, which is unknown, for an answer that may be too slow for an SLI only because this process was held up."""
        took_ns = end_ns - begin_ns
        beyond = [took_ns - limit_ns for limit_ns in self._limits.of_slis(name, class_) if took_ns > limit_ns] if outcome is Outcome.OK else []
        return Outcome.GENERATOR if beyond and self._door.pulse.held_up_ns(sent_ns, end_ns) >= min(beyond) else outcome

    def _complain(self, flight: Flight) -> None:
        self._talk += 1
        if self._talk <= _GENERATOR_TALK:
            print(f"load child: arrival {flight.number} ({flight.journey.name}) failed inside the generator:\n{traceback.format_exc()}", file=sys.stderr)

    def _number(self, name: str, zone: str, class_: str) -> int:
        return self._recorder.endpoint(name, zone, class_)


def in_flight_cap(peak_rate: float, timeout_s: float, ceiling: int) -> int:
    """
    How many arrivals may be in flight: what the profile needs when every answer takes its full timeout, and a fifth more.

    With less, an outage would turn the open model into a closed one.
    """
    return min(int(peak_rate * timeout_s * 1.2) + 50, ceiling)
