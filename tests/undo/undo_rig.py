"""What the undo tests share: a stand-in room, runs laid out as the supervisor does it, and conditions with a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.children import record
from chaoslib_ext.clock import NS, Clock, boot_ns
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.faults import planning
from chaoslib_ext.ledger import Frame, Ledger, entries
from chaoslib_ext.process.client import alive, control, process_state, read_roster, signal_exact, start_ticks

DEADLINE_S = 30.0  # a busy machine; nothing is asserted about how long it really takes


def until(condition: Callable[[], Any], what: str, limit_s: float = DEADLINE_S) -> Any:
    """The first true value of the condition; fails when there is none in time."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not in {limit_s:g} s: {what}")


class Room:
    """A stand-in with its folder; `roster` is the path of its roster."""

    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir()
        self.folder, self.roster = folder, folder / "roster.json"
        script = Path(__file__).with_name("standin.py")
        self.process = subprocess.Popen([sys.executable, str(script), str(folder), *flags])
        until(self.roster.exists, "the stand-in's roster")

    def replica(self, name: str) -> dict[str, Any]:
        return next(one for one in read_roster(self.roster)["replicas"] if one["name"] == name)

    def link(self, zone: str = "b", **request: Any) -> dict[str, Any]:
        return control(self.folder / f"links-{zone}.sock", {"op": "status", **request}, 5.0)

    def keeper(self, **request: Any) -> dict[str, Any]:
        return control(self.folder / "keeper.sock", {"op": "status", **request}, 5.0)

    def frozen(self, name: str) -> bool:
        return process_state(self.replica(name)["pid"]) == "T"

    def untouched(self, zone: str = "b") -> bool:
        """Whether nothing of any fault is left in a zone."""
        link, hold = self.link(zone), self.keeper()["zones"][zone]["held_by"]
        return (link["mode"], link["owner"], hold) == ("pass", None, None) and not self.frozen(f"shop-{zone}1") and not self.markers() and not self.fuses()

    def fuses(self) -> list[Path]:
        return sorted((self.folder / "fuses").glob("*"))

    def markers(self) -> list[Path]:
        return sorted((self.folder / "markers").glob("*"))

    def environment(self) -> Environment:
        identity = read_roster(self.roster)["identity"]
        return Environment("standin", identity={"sandbox": identity}, services={"shop": Service("shop", processes={"roster": str(self.roster)})})

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def activity(name: str, func: str, **arguments: Any) -> dict[str, Any]:
    """An activity as an experiment names it."""
    return {"type": "action", "name": name, "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}}


class Supervisor:
    """
    A process that stands in for the supervisor: it only lives, until it is told to end.

    `folder` is the state folder of its run, with spec.json as the supervisor writes it; `about` goes into its run.json.
    """

    def __init__(self, environment: Environment, *activities: dict[str, Any], retry_s: float = 120.0, run: str = "", **about: Any) -> None:
        run = run or f"20250101-000000-test-{os.urandom(4).hex()}"  # a target takes nothing of a run any more that was healed
        self.process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.ticks = start_ticks(self.process.pid)
        rows = [planning.resolve(one, environment, {}, 1) for one in activities]
        clock = Clock.start()
        owner = {"pid": self.process.pid, "start_ticks": self.ticks, "boot_id": clock.boot_id}
        self.run = run
        self.folder = state.create_run(run, {"run": run, "t0_ns": clock.t0_ns, "supervisor": owner, "environment": environment.to_json(), **about})
        own = {**environment.to_json(), "retry": {"base_s": 0.02, "deadline_s": retry_s}}
        state.write_json(self.folder / state.SPEC, {"run": run, "t0_ns": clock.t0_ns, "environment": own, "plan": {"resolved": rows}})
        self.ledger = Ledger.of_run(self.folder)
        self.children: list[subprocess.Popen[bytes]] = [self.process]

    def spawn(self, name: str, code: str, **more: Any) -> subprocess.Popen[bytes]:
        """A recorded child that runs a piece of Python, in a group of its own like the real ones."""
        environment = {**os.environ, "CHAOSX_RUN": str(self.folder)}
        child = subprocess.Popen([sys.executable, "-c", code], env=environment, process_group=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        record(self.folder, name, child.pid)
        self.children.append(child)
        return child

    def inject(self, func: str, activity_name: str, **arguments: Any) -> subprocess.Popen[bytes]:
        """The method child: it injects one planned fault, prints what the action returned and lives on."""
        code = (
            "import fcntl, json, os, sys, time\n"
            "from chaoslib_ext import faults\n"
            "from chaoslib_ext.faults import injection\n"
            "fd = os.open(os.environ['CHAOSX_RUN'] + '/heal.lock', os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_SH)\n"
            f"injection.name_activity({activity_name!r})\n"
            f"print(json.dumps(faults.{func}(**json.loads({json.dumps(json.dumps(arguments))}))), flush=True)\n"
            "time.sleep(600)\n"
        )
        return self.spawn("method", code)

    def healer(self, *flags: str, **more: Any) -> Healer:
        """A healer that watches this supervisor."""
        one = Healer(self.folder, self.process.pid, self.ticks or 0, *flags, **more)
        self.children.append(one.process)
        return one

    def prober(self) -> Lines:
        """The prober of this run."""
        child = subprocess.Popen([sys.executable, "-m", "chaoslib_ext.prober", str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        record(self.folder, "prober", child.pid)
        self.children.append(child)
        return Lines(child)

    def recs(self, fault: str | None = None) -> list[str]:
        return [frame.rec for frame in self.ledger.read().frames if fault in (None, frame.fault)]

    def pending(self) -> list[str]:
        return [entry.target.name for entry in entries(self.ledger.read().frames) if entry.pending]

    def effect_now(self, fault: str, duration_s: float) -> None:
        """The EFFECT frame of a prober that saw it this instant."""
        now_ns = self.ledger.now_ns()
        effect = {"lo_ns": now_ns, "hi_ns": now_ns, "proof": "the test says so"}
        self.ledger.append(Frame(fault, "EFFECT", expires_ns=boot_ns() + round(duration_s * NS), effect=effect))

    def die(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        for child in self.children:
            ticks = start_ticks(child.pid)
            if child.poll() is None and ticks is not None:
                signal_exact(child.pid, ticks, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()


class Lines:
    """A child that prints JSON lines: `wait` returns the first one that fits, of those not yet waited past."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._rest = b""

    def _pump(self) -> None:
        assert self.process.stdout is not None
        try:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.seen += [json.loads(line) for line in lines]

    def wait(self, **fields: Any) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            self._pump()
            return next((one for one in self.seen if fields.items() <= one.items()), None)

        return dict(until(found, f"a line with {fields}; seen were {self.seen[-5:]}"))


class Healer(Lines):
    """A real healer process."""

    def __init__(self, folder: Path, pid: int, ticks: int, *flags: str, around: Sequence[str] = (), **more: Any) -> None:
        argv = [*around, sys.executable, "-m", "chaoslib_ext.healer", str(folder), str(pid), str(ticks), *flags]
        super().__init__(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, **more))
        self.wait(op="ready")

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def end_of_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def alive(self) -> bool:
        return alive(self.process.pid, start_ticks(self.process.pid) or 0)
