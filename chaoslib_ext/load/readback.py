"""
The final read of a store, after all writers have stopped: `python -m chaoslib_ext.load.readback SPEC.json`.

A read from a stale node invents losses, one from a deposed primary hides them. So each read begins with a *barrier*: a write
through the service itself, by the profile's own steps, which must then be seen on the node that is believed. The read counts
once two in a row, `settled.for` apart, said the same. Output: `writes/readback-NODE.bin`, one JSON line of kind note, then
`{"op":"done"}`. Exit codes: 0 whatever was found, 2 for a spec that is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.authority import Round, authority_of, same
from chaoslib_ext.load.given import given
from chaoslib_ext.load.journeys import JourneyPlan, Unusable, judge, plan_journeys
from chaoslib_ext.load.nodes import Place, Reading, Unreadable, clean_up, exchange, read_http, read_sql
from chaoslib_ext.load.parent import die_with_parent
from chaoslib_ext.load.rowfiles import BlockFile
from chaoslib_ext.load.spec import Hosts
from chaoslib_ext.loadprofile import WRITE_ID, LoadProfile
from chaoslib_ext.timeline import Outcome
from chaoslib_ext.writelog import BARRIER, READ_MAGIC, lines, write_id
from chaoslib_ext.writeplan import WriteLedger

CATCH_UP_S = 5.0  # how long one read waits for the nodes that do not yet show its barrier
AGAIN_S = 0.2
LINES = 1000  # to a block


@dataclass(frozen=True, slots=True)
class Spec:
    """One read-back's orders. `read`: read and judge; `clean`: remove the run's records afterwards."""

    t0_ns: int
    run: str
    place: Place
    profile: LoadProfile
    seed: int
    ledger: str
    folder: Path
    read: bool
    clean: bool
    parent_pid: int | None = None

    @property
    def how(self) -> WriteLedger:
        """The ledger that is read back."""
        return self.profile.writes[self.ledger]


def read_spec(path: Path) -> Spec:
    """The spec in a JSON file. Raises UsageError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        place = Place(str(data["base_url"]).rstrip("/"), Hosts(frozenset(str(host).lower() for host in data["hosts"])))
        profile = LoadProfile.from_json(data["profile"])
        told = {key: data[key] for key in ("t0_ns", "run", "seed", "ledger", "read", "clean")}
        spec = Spec(place=place, profile=profile, folder=Path(data["folder"]), parent_pid=data.get("parent_pid"), **told)
        spec.how  # noqa: B018 - a KeyError where the profile has no such ledger
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: got a read-back spec that cannot be read ({error!r}), expected the supervisor's JSON object") from error
    return spec


class ReadBack:
    """The final read of one ledger."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._journey = barrier_journey(spec)
        self._values = given(spec.profile, spec.seed, os.environ).values(0, "0" * 16)
        self._barriers = 0
        self.deadline_ns = monotonic_ns() + round(spec.how.settled.within_s * NS)

    def read(self) -> tuple[Round, bool]:
        """Reads until two reads in a row agree, or the time is over; the last read, and whether it counts."""
        streak: Round | None = None
        while True:
            now = self.round()
            if not now.authority:
                streak = None
            elif streak is None or not same(streak, now, self.spec.run):
                streak = now
            elif now.began_ns - streak.began_ns >= self.spec.how.settled.for_s * NS:
                return now, True
            if monotonic_ns() >= self.deadline_ns:
                now.why = now.why or f"no two equal reads {self.spec.how.settled.for_s:g} s apart within {self.spec.how.settled.within_s:g} s"
                return now, False
            self._wait()

    def round(self) -> Round:
        """A barrier write, then reads until every node that answers shows it, or for as long as that may take."""
        found = Round(monotonic_ns())
        try:
            barrier = self._barrier()
        except (Unreadable, Unusable) as error:
            self._look(found)
            found.why = f"the barrier could not be written: {error}"
            return found
        until_ns = min(monotonic_ns() + round(CATCH_UP_S * NS), self.deadline_ns)
        while True:
            found = Round(monotonic_ns())
            self._look(found)
            if all(reading.counts[barrier] for reading in found.readings.values()) and found.readings:
                break
            if monotonic_ns() >= until_ns:
                break
            self._wait()
        found.authority, found.why = authority_of(found, barrier, self.spec.how, self.spec.run)
        return found

    def _barrier(self) -> str:
        """One write through the service, by the profile's own steps; its id. Raises Unreadable or Unusable."""
        self._barriers += 1
        values = dict(self._values)
        spec = self.spec
        for plan in self._journey.steps:
            if plan.step.write is not None:
                values[WRITE_ID] = write_id(spec.run, BARRIER, self._barriers)
            request = plan.request(values)
            answer = exchange(spec.place, request.method, request.path, request.headers, request.body, min(plan.step.timeout_s, self._left_s()))
            if plan.step.write == spec.ledger:
                if answer.status not in spec.how.acknowledged:
                    raise Unreadable(f"{plan.step.name}: got the status {answer.status}")
                return values[WRITE_ID]
            outcome = judge(plan.step, spec.place.base_url + request.path, answer, spec.place.hosts, values)
            if outcome is not Outcome.OK:
                raise Unreadable(f"{plan.step.name}: {outcome.name}, status {answer.status}")
        raise AssertionError("the journey was chosen because it has such a step")

    def _look(self, found: Round) -> None:
        """Reads every node once, side by side: one that hangs must not make the others' words old."""
        readers = [threading.Thread(target=self._look_at, args=(found, node), daemon=True) for node in self.spec.how.nodes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

    def _look_at(self, found: Round, node: str) -> None:
        try:
            found.readings[node] = self.node(node)
        except Unreadable as error:
            found.troubles[node] = str(error)

    def node(self, node: str) -> Reading:
        """What one node says. Raises Unreadable."""
        how = self.spec.how
        if how.http is not None:
            return read_http(self.spec.place, how.http, self.spec.run, node, self._left_s())
        assert how.sql is not None
        return read_sql(how.sql, self.spec.run, node, self._left_s())

    def _left_s(self) -> float:
        return max(1.0, (self.deadline_ns - monotonic_ns()) / NS)

    def _wait(self) -> None:
        time.sleep(AGAIN_S)


def barrier_journey(spec: Spec) -> JourneyPlan:
    """The first journey with a step that writes to the ledger, up to that step."""
    for plan in plan_journeys(spec.profile, spec.seed).journeys:
        for at, step in enumerate(plan.steps):
            if step.step.write == spec.ledger:
                return JourneyPlan(plan.name, plan.steps[: at + 1], plan.timeout_s)
    raise UsageError(f"{spec.profile.source}: no step writes to {spec.ledger!r}")


def write_down(spec: Spec, last: Round, settled: bool) -> None:
    """One file for each node, on disk."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    t_us = (last.began_ns - spec.t0_ns) // 1000
    for node in spec.how.nodes:
        file = BlockFile(spec.folder / f"readback-{node}.bin", READ_MAGIC)
        reading = last.readings.get(node)
        records: list[dict[str, Any]] = [{"id": id_, "n": n} for id_, n in sorted(reading.counts.items())] if reading else []
        why = last.why if reading else last.troubles.get(node, "not read")
        authority = settled and node in last.authority
        records.append({"node": node, "complete": reading is not None, "settled": settled, "authority": authority, "t_us": t_us, "why": why})
        for at in range(0, len(records), LINES):
            file.append(lines(*records[at : at + LINES]))
        file.close()


def cleaned(back: ReadBack, last: Round | None) -> tuple[int | None, str]:
    """Removes the run's records and looks what is left: how many, None when nobody can say, and what went wrong."""
    spec, how = back.spec, back.spec.how
    believed = last.authority if last else ()
    dsn = how.sql.nodes[(believed or how.nodes)[0]] if how.sql else ""
    back.deadline_ns = monotonic_ns() + round(10 * NS)
    try:
        if how.cleanup is not None:
            clean_up(spec.place, how.cleanup, dsn, spec.run)
    except Unreadable as error:
        return _left(back, believed, lambda _: True), str(error)
    return _left(back, believed, lambda left: left == 0), ""


def _left(back: ReadBack, nodes: tuple[str, ...], enough: Callable[[int], bool]) -> int | None:
    """The most records of the run that any of the nodes still holds, looked at again while they are on their way out."""
    left: int | None = None
    while True:
        found = Round(monotonic_ns())
        back._look(found)
        counts = [sum(reading.counts.values()) for node, reading in found.readings.items() if node in nodes or not nodes]
        left = max(counts) if counts else left
        if (left is not None and enough(left)) or monotonic_ns() >= back.deadline_ns:
            return left
        back._wait()


def run(spec: Spec) -> dict[str, Any]:
    """Reads back and cleans up as the spec says; the note for the timeline."""
    back = ReadBack(spec)
    last, settled, told = None, False, []
    if spec.read:
        last, settled = back.read()
        write_down(spec, last, settled)
        told.append(f"read back from {', '.join(last.authority)}" if settled else f"the read-back did not settle: {last.why}")
    left, trouble = None, ""
    if spec.clean and spec.how.cleanup is not None and (settled or not spec.read):
        left, trouble = cleaned(back, last)
        told.append("what is left of the run's records is not known" if left is None else f"{left} of the run's records are left")
    else:
        left = max((sum(last.readings[node].counts.values()) for node in last.authority), default=None) if last and settled else None
        told.append("the run's records were left where they are")
    text = f"{spec.ledger}: {'; '.join(told)}" + (f" ({trouble})" if trouble else "")
    return {"kind": "note", "text": text, "ledger": spec.ledger, "settled": settled, "left": left, "t_ns": monotonic_ns() - spec.t0_ns}


def main(argv: list[str]) -> int:
    """Runs one read-back and returns its exit code."""
    ppid = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if len(argv) != 2:
            raise UsageError("usage: python -m chaoslib_ext.load.readback SPEC.json")
        spec = read_spec(Path(argv[1]))
        die_with_parent(spec.parent_pid, ppid)
        note = run(spec)
    except UsageError as error:
        print(f"read-back: {error}", file=sys.stderr, flush=True)
        return 2
    print(json.dumps(note), json.dumps({"op": "done"}), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
