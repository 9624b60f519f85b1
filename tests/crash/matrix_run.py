"""
One run of the kill matrix: faults are injected by a process that is killed at a point, whoever is to heal heals (and may be killed too), and
the state is compared with what it was.

The part of the prober is played here: once an injector waits for its effect, the EFFECT frame is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from matrix_case import IN_FORCE, Point, Told
from matrix_faults import FAULTS, arguments_of, zones_for
from matrix_people import Gate, HealerChild, Owner, ended, forked, injector, offspring
from matrix_room import DETECTION_S, QUICK_S, MatrixRoom, Unsettled, until
from point_tracing import Traced

from chaoslib_ext import children, locks, recover, state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.faults import planning
from chaoslib_ext.ledger import Frame, Ledger, entries
from chaoslib_ext.urgency import most_urgent_first

CAPS = {"per_owner": 1.0, "majority": 1.0}  # the matrix means it

Json = dict[str, Any]


class Run:
    """One case on a room whose state is `before`; `told` is filled in."""

    def __init__(self, room: MatrixRoom, told: Told, before: Json) -> None:
        self.room, self.case, self.before, self.told = room, (case := told.case), before, told
        self.run = f"matrix-{case.number}-{os.getpid()}"
        self.zones = zones_for(case.faults, room.primary(), case.number) or []
        self.names = [f"{name} {at + 1}" for at, name in enumerate(case.faults)]
        self.known = offspring()
        self.incarnations = room.incarnations()
        self.frames = 0
        self.healer: HealerChild | None = None

    # the way in

    def carry_out(self) -> None:
        """The whole run; `told` says what became of it."""
        began_s = time.monotonic()
        quick = any(FAULTS[name].fails_over for name in self.case.faults)
        self.room.detection(QUICK_S if quick else DETECTION_S)
        self._begin()
        traced = self._inject()
        self.told.live = self.room.settings() != self.before["settings"] or self._replaced() or not self._whole()
        self._heal(traced)
        self._compare(traced)
        if not self.told.differences:
            self.room.settle()
            self._look_at_incarnations()
        self.told.seconds = round(time.monotonic() - began_s, 3)

    def _begin(self) -> None:
        calls = [(name, FAULTS[fault].func, arguments_of(fault, zone)) for name, fault, zone in zip(self.names, self.case.faults, self.zones, strict=True)]
        rows = [planning.resolve(_activity(*call), self.room.environment, CAPS, self.case.number) for call in calls]
        pipe = os.pipe()
        self.owner = Owner(self.room, self.run, rows, pipe)
        self.ledger = Ledger.of_run(self.owner.folder)
        if self.case.by in ("healer", "order"):
            self.healer = HealerChild(self.owner, pipe, orders=self.case.by == "order")
        else:
            os.close(pipe[0]), os.close(pipe[1])
        self.calls = calls

    def _inject(self) -> Traced:
        gate, folder, calls = Gate(), self.owner.folder, self.calls
        pid = forked(lambda: injector(folder, calls), gate)
        children.record(folder, "method", pid)
        traced = Traced(pid)
        gate.open()
        while traced.until(self._aimed(traced)) and not self.told.point[0]:
            pass
        self.told.points = [*traced.points[:-1], self.told.point]
        if traced.status is None and self.case.way == "stop":
            traced.freeze()
        else:
            traced.kill()
        self.frames = len(self.ledger.read().frames)
        return traced

    def _aimed(self, traced: Traced) -> Any:
        def aimed(name: str, occurrence: int) -> bool:
            frames = self.ledger.read().frames if name == "pause" else ()
            if frames and frames[-1].rec == "APPLIED":
                if frames[-1].fault == self.names[-1]:
                    self.told.point = (IN_FORCE, 1)
                else:
                    self._seen(frames[-1].fault)
                    traced.begin()
            elif (name, occurrence) == self.case.point and self._at_last(frames or self.ledger.read().frames):
                self.told.point = (name, occurrence)
            return bool(self.told.point[0])

        return aimed

    def _at_last(self, frames: Any) -> bool:
        """Whether the injection of the last fault is under way."""
        return len(self.names) == 1 or any(frame.rec == "EFFECT" for frame in frames)

    def _seen(self, fault: str) -> None:
        now_ns = self.ledger.now_ns()
        effect = {"lo_ns": now_ns, "hi_ns": now_ns, "proof": "the rig says so"}
        self.ledger.append(Frame(fault, "EFFECT", expires_ns=boot_ns() + 600 * NS, effect=effect))

    # the way back

    def _heal(self, traced: Traced) -> None:
        points, left = list(self.case.again), True
        if self.healer is not None:
            left = self._by_healer(self.healer, points.pop(0) if points else None)
            self.healer.close()
        else:
            self.owner.kill()
        if not left:
            self._compare_state("after its healer")
        if self.case.by == "markers":
            shutil.rmtree(state.state_dir())
        while points and left:
            left = self._attempt(points.pop(0))
        if self.case.by == "cli":
            self._check(0 if (code := _cli()) == 0 else 1, f"chaosx recover --all ended with {code}")
        self._recovered()
        self._reap(traced)

    def _by_healer(self, healer: HealerChild, point: Point | None) -> bool:
        """Lets the healer heal; True when it was killed meanwhile."""
        traced = Traced(healer.pid) if point else None
        ordered = self.case.by == "order"
        if ordered:
            healer.say("last")
        else:
            self.owner.kill()
        if traced is not None and traced.until(lambda name, occurrence: (name, occurrence) == point or (ordered and name == "write pipe")):
            self.told.healing = traced.points
            if traced.points[-1] == point:
                self.told.again.append(traced.points[-1])
                traced.kill()
                if ordered:
                    self.owner.kill()
                self._ordered()
                return True
            traced.release()
        if ordered:
            self._check_equal(healer.answer("clean", "dirty").get("op"), "clean", "the healer's answer")
            self._check_equal(self.owner.end(), 0, "the exit code of the supervisor")
            healer.say("quit")
        code = ended(healer.pid) if traced is None or traced.status is None else os.waitstatus_to_exitcode(traced.status)
        self._check_equal(code, 0, "the exit code of the healer")
        self._ordered()
        return False

    def _attempt(self, point: Point | None) -> bool:
        """One `recover`, killed at a point; True when it was killed, and not done before."""
        gate = Gate()
        traced = Traced(pid := forked(self._recover, gate))
        gate.open()
        killed = traced.until(lambda name, occurrence: (name, occurrence) == point)
        self.told.healing = traced.points
        if killed:
            self.told.again.append(traced.points[-1])
            traced.kill()
        elif os.waitstatus_to_exitcode(traced.status or 0) != 0:
            self.told.differences.append(f"recover ended with {os.waitstatus_to_exitcode(traced.status or 0)} (process {pid})")
        self._ordered()
        return killed

    def _recovered(self) -> None:
        """`recover` to its end, and then once more, which must change nothing."""
        if self.case.again or self.case.by not in ("recover", "markers"):
            self._check_equal(ended(forked(self._recover)), 0, "the exit code of recover")
            self._ordered()
        else:
            self._attempt(None)
        self._compare_state("after recover")
        before = _folder_bytes(state.state_dir())
        self._check_equal(ended(forked(self._recover)), 0, "the exit code of the second recover")
        self._check_equal(_folder_bytes(state.state_dir()), before, "the state directory after the second recover")

    def _recover(self) -> int:
        if self.case.by == "markers":
            outcomes = recover.recover_environment(self.room.environment, 60.0)
        else:
            outcomes = recover.recover_runs(None, 60.0)
        dirty = [str(outcome) for outcome in outcomes if not outcome.clean]
        for text in dirty:
            print(text, file=sys.stderr, flush=True)
        return 6 if dirty else 0

    def _reap(self, traced: Traced) -> None:
        """An injector that was only stopped must be dead by now; one that is not may do what it was about to do, so that it shows."""
        if traced.status is not None:
            return
        if os.waitpid(traced.pid, os.WNOHANG)[0]:
            return
        self.told.differences.append("the injector lives on after the heal")
        os.kill(traced.pid, signal.SIGCONT)
        time.sleep(1.0)  # what it does now is what is looked for; there is nothing to wait for
        os.kill(traced.pid, signal.SIGKILL)
        os.waitpid(traced.pid, 0)

    # what is compared

    def _compare(self, traced: Traced) -> None:
        self._compare_state("in the end")
        self._check_equal([path.name for path in state.open_runs()], [], "open runs")
        until(lambda: not offspring() - self.known, lambda: f"the end of {offspring() - self.known}")
        if self.case.by == "markers":
            return
        try:
            frames = Ledger.of_run(self.owner.folder).read().frames
        except LedgerCorrupt as error:
            self.told.differences.append(f"the ledger: {error}")
            return
        self._check_equal([entry.key for entry in entries(frames) if entry.pending], [], "pending entries")
        self._check_equal([held.run for _, _, held in locks.look(self.room.environment)], [None], "who holds the lock")
        self._check_equal((self.owner.folder / state.CLOSED).exists(), True, "closed.json")
        shutil.rmtree(self.owner.folder)

    def _compare_state(self, when: str) -> None:
        for part, seen in (("marks", self.room.marks()), ("settings", self.room.settings())):
            for name, value in seen.items():
                self._check_equal(value, self.before[part][name], f"{name} {when}")

    def _check(self, wrong: int, text: str) -> None:
        if wrong:
            self.told.differences.append(text)

    def _check_equal(self, seen: Any, expected: Any, what: str) -> None:
        if seen != expected:
            self.told.differences.append(f"{what}: {_difference(seen, expected)}")

    def _ordered(self) -> None:
        """Within one heal, the fault on which most hangs must be tried first, and of each fault the newest intent."""
        if self.case.by == "markers":
            return
        frames = self.ledger.read().frames
        tried = list(dict.fromkeys((one.fault, one.handler, one.target.uid) for one in frames[self.frames :] if one.rec == "UNDO_TRY"))
        hit = [entry for entry in entries(frames) if entry.key in tried]
        self._check_equal(tried, [entry.key for entry in most_urgent_first(hit)], "the order of the undos")
        for fault in {entry.fault for entry in hit}:
            self._check_equal([key for key in tried if key[0] == fault], [one.key for one in hit if one.fault == fault], f"the order of the undos of {fault}")
        self.frames = len(frames)

    def _replaced(self) -> bool:
        return self.room.incarnations() != self.incarnations

    def _whole(self) -> bool:
        return sorted(self.room.roles().values()) == ["primary", "standby", "standby"] and len(self.room.living()) == len(self.incarnations)

    def _look_at_incarnations(self) -> None:
        """Nothing but what a fault kills is another process now."""
        allowed: set[str] = set()
        for name, zone in zip(self.case.faults, self.zones, strict=True):
            fault = FAULTS[name]
            allowed |= {f"shop-{zone}1", f"shop-{zone}2"} if "shop" in fault.hits and fault.replaces else set()
            allowed |= {f"store-{zone}"} if "node" in fault.hits else set()
            allowed |= {"store-a", "store-b", "store-c"} if fault.moves else set()
        now = self.room.incarnations()
        others = sorted(name for name, text in self.incarnations.items() if now.get(name) != text and name not in allowed)
        if others == ["controller"]:  # it ends by itself when the keeper is too slow to answer it; a heal that kills it does so on every sandbox
            raise Unsettled("the failover controller has ended and was started again")
        self._check_equal(others, [], "processes that were replaced and should not have been")


def _activity(name: str, func: str, arguments: Json) -> Json:
    return {"type": "action", "name": name, "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}}


def _cli() -> int:
    argv = [sys.executable, "-m", "chaoslib_ext.cli", "recover", "--all"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=2, timeout=240, check=False).returncode


def _folder_bytes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def _difference(seen: Any, expected: Any) -> str:
    if isinstance(seen, dict) and isinstance(expected, dict):
        return json.dumps(
            {key: [seen.get(key), "expected", expected.get(key)] for key in {*seen, *expected} if seen.get(key) != expected.get(key)}, default=str
        )[:1500]
    return f"got {str(seen)[:700]}, expected {str(expected)[:700]}"
