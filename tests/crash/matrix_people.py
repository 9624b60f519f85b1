"""
Who takes part in a run of the kill matrix, each a fork of this process, which has loaded everything: ten milliseconds instead of half a second.

The supervisor's stand-in takes the lock, lays out the run and lives. The injector calls the real `faults` functions on it. The healer
is the real one. All groups are their own, as the real ones' are.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matrix_room import MatrixRoom

from chaoslib_ext import children, faults, healer, locks, state
from chaoslib_ext.clock import Clock
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.faults import injection
from chaoslib_ext.process.client import start_ticks

LIMIT_S = 120.0  # a busy machine; nothing is asserted about how long it really takes
RETRY = {"base_s": 0.02, "deadline_s": 90.0}
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

Json = dict[str, Any]


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent has ended, so that none gets out of sight."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def offspring() -> set[int]:
    """The living children of this process, adopted ones too; those that have ended are buried."""
    found = set()
    for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split():
        if os.waitpid(int(text), os.WNOHANG) == (0, 0):
            found.add(int(text))
    return found


def clear(known: set[int]) -> None:
    """kill -9 to all living children but those known: what a run that broke off has left."""
    for pid in offspring() - known:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Gate:
    """What a forked process waits at until it is followed."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def wait(self) -> None:
        os.close(self._write)
        os.read(self._read, 1)
        os.close(self._read)

    def open(self) -> None:
        os.close(self._read)
        os.close(self._write)


def forked(work: Callable[[], int], gate: Gate | None = None) -> int:
    """Runs something in a fork of this process, in a group of its own, and returns its process id."""
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        if gate is not None:
            gate.wait()
        code = work()
    except BaseException as error:  # a fork must never go on as its parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Waits for a child and returns its exit code, negative for a signal; one that does not end in time is killed: 124."""
    fd = os.pidfd_open(pid)
    try:
        if not select.select([fd], [], [], LIMIT_S)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return 124
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Owner:
    """The stand-in of a supervisor; `folder` is the state folder of its run, which it has laid out when this returns."""

    def __init__(self, room: MatrixRoom, run: str, rows: Sequence[Json], pipe: tuple[int, int]) -> None:
        self.folder = state.run_dir(run)
        self._line, theirs = socket.socketpair()
        self.pid = forked(lambda: self._live(room, run, rows, theirs, pipe[0]))
        theirs.close()
        self._line.settimeout(LIMIT_S)
        if self._line.recv(1) != b"r":
            self.kill()
            raise AssertionError(f"{run}: its supervisor could not take the lock or lay out the run")

    def _live(self, room: MatrixRoom, run: str, rows: Sequence[Json], line: socket.socket, healers_end: int) -> int:
        os.close(healers_end)  # or the healer would never see the end of its input
        self._line.close()
        held = locks.take(room.environment, run)
        clock = Clock.start()
        owner = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": clock.boot_id}
        environment = {**room.environment.to_json(), "retry": RETRY}
        about = {"run": run, "t0_ns": clock.t0_ns, "environment": environment}
        state.create_run(run, {**about, "supervisor": owner, locks.HELD: locks.to_json(held)})
        state.write_json(self.folder / state.SPEC, {**about, "plan": {"resolved": list(rows)}})
        line.send(b"r")
        if line.recv(1) == b"e":
            locks.give_back(held)
            state.close_run(self.folder, "supervisor")
        return 0

    def end(self) -> int:
        """Lets it close the run, as after a clean answer of its healer."""
        self._line.send(b"e")
        code = ended(self.pid)
        self._line.close()
        return code

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._line.close()


def injector(folder: Path, calls: Sequence[tuple[str, str, Json]]) -> int:
    """The method child: it holds heal.lock, as the real one does, and calls one fault after the other. Begins with a gate."""
    os.environ["CHAOSX_RUN"] = str(folder)
    fcntl.flock(os.open(folder / state.HEAL_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH)
    for name, func, arguments in calls:
        injection.name_activity(name)
        try:
            getattr(faults, func)(**arguments)
        except FaultFailed as error:
            print(f"{folder.name}: {name}: {error}", file=sys.stderr, flush=True)
    return 0


class HealerChild:
    """The real healer, watching an owner whose end of the pipe is the healer's input. `orders` is this process's own end, if it keeps one."""

    def __init__(self, owner: Owner, pipe: tuple[int, int], orders: bool) -> None:
        answers, theirs = os.pipe()
        self._orders = os.dup(pipe[1]) if orders else -1
        os.close(pipe[1])
        argv = ["healer", str(owner.folder), str(owner.pid), str(start_ticks(owner.pid)), "plain"]
        self.pid = forked(lambda: self._heal(argv, pipe[0], theirs, answers))
        children.record(owner.folder, "healer", self.pid)
        for fd in (pipe[0], theirs):
            os.close(fd)
        self._answers = os.fdopen(answers, "rb")
        self.answer("ready")

    def _heal(self, argv: list[str], source: int, answers: int, ours: int) -> int:
        os.dup2(source, 0)
        os.dup2(answers, 1)
        for fd in filter(lambda one: one >= 0, (source, answers, ours, self._orders)):
            os.close(fd)
        return healer.main(argv)

    def say(self, op: str) -> None:
        """An order, as the supervisor's."""
        os.write(self._orders, json.dumps({"op": op}).encode() + b"\n")

    def answer(self, *ops: str) -> Json:
        """Its next answer of one of these kinds; empty when it has ended."""
        deadline_s = time.monotonic() + LIMIT_S
        while select.select([self._answers], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
            line = self._answers.readline()
            if not line or (found := json.loads(line))["op"] in ops:
                return found if line else {}
        return {}

    def close(self) -> None:
        """This process's ends of its pipes."""
        self._answers.close()
        if self._orders >= 0:
            os.close(self._orders)
