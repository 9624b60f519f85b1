"""
Signals to a real run with a fault in force: every one starts an ordered abort, none cancels it, and what cannot be healed in time is told.

A target is made unable to answer by stopping the process of its link: so a heal can be looked at while it is under way.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaoslib_ext import sandbox
from chaoslib_ext.ledger import Ledger
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact, start_ticks

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]
FAULT = "cut off zone b"
EXPERIMENT = f"""
title: signals
method:
- type: action
  name: {FAULT}
  provider: {{type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {{zone: b, duration: 300s, how: isolate}}}}
extensions:
- name: chaoslib_ext
  version: 1
  slos: [{ROOT / "experiments/sandbox/slos/shop.yaml"}]
"""  # no load: what is looked at is the heal, and a busy machine must not keep the fault from being injected
ASKING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


def until(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        threading.Event().wait(0.02)
    return value


class Room:
    """A sandbox for all tests of this file, with a way to make the link of a zone hang."""

    def __init__(self, info: sandbox.SandboxInfo) -> None:
        self.info = info

    def _link(self) -> dict[str, Any]:
        return dict(read_roster(self.info.roster)["links"]["b"])

    def hang(self) -> None:
        link = self._link()
        signal_exact(link["pid"], link["start_ticks"], signal.SIGSTOP)
        until(lambda: process_state(link["pid"]) == "T", "a link that hangs")

    def let_go(self) -> None:
        link = self._link()
        signal_exact(link["pid"], link["start_ticks"], signal.SIGCONT)

    def marks(self) -> list[str]:
        """What still carries a mark of a fault."""
        roster = read_roster(self.info.roster)
        found = [zone for zone, link in roster["links"].items() if control(link["control"], {"op": "status"}, 10.0)["owner"] is not None]
        return found + [path.name for path in (Path(self.info.dir) / "markers").glob("*")] + [path.name for path in (Path(self.info.dir) / "fuses").glob("*")]


@pytest.fixture(scope="module")
def _one_room() -> Iterator[Room]:
    name = f"signals-{os.getpid()}"
    yield Room(sandbox.up(name, (), owner_pid=os.getpid(), timeout_s=90.0))
    sandbox.down(name)


@pytest.fixture
def room(_one_room: Room) -> Iterator[Room]:
    yield _one_room
    _one_room.let_go()
    until(lambda: _one_room.marks() == [], "nothing of any fault left in the sandbox")


Start = Callable[..., "Run"]


@pytest.fixture
def start(tmp_path: Path, room: Room) -> Iterator[Start]:
    """Starts runs, and ends what is left of them when a test fails."""
    made: list[Run] = []

    def one(**more: Any) -> Run:
        made.append(Run(tmp_path, room, **more))
        return made[-1]

    yield one
    for run in made:
        run.kill_everything()
        run.process.wait(60)
        room.let_go()
        run.recover()


class Run:
    """A `chaosx run` in a folder of its own, with the fault in force; `out` and `err` are files."""

    def __init__(self, folder: Path, room: Room, heal_for: str = "120s", prefix: tuple[str, ...] = (), **streams: Any) -> None:
        self.folder, self.state = folder, folder / "state"
        (folder / "x.yaml").write_text(EXPERIMENT, encoding="utf-8")
        told = sandbox.environment_json(room.info)
        file = {"apiVersion": "chaosx/v1", "kind": "Environment", "name": "room", "class": "local", "identity": told["identity"], "hosts": told["hosts"]}
        file |= {"services": {"shop": {"processes": told["services"]["shop"]["processes"], "url": told["services"]["shop"]["url"]}}, "zones": told["zones"]}
        (folder / "room.yaml").write_text(yaml.safe_dump({**file, "retry": {"base": "0.1s", "deadline": heal_for}}), encoding="utf-8")
        self.environment = {**os.environ, "CHAOSX_STATE": str(self.state), "RUNNER_TRACKING_ID": f"github_{folder.name}"}
        argv = [*prefix, sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", "./room.yaml", "--json"]
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **streams}
            hears = ("env", "--default-signal=HUP")  # also where whoever runs the tests was started to ignore it
            self.process = subprocess.Popen([*hears, *argv], cwd=folder, env=self.environment, **streams)

    def in_force(self) -> None:
        """Waits until the fault was seen from outside."""

        def seen() -> bool:
            assert self.process.poll() is None, self.err.read_text()
            return any('"effect"' in path.read_text() for path in (self.folder / "reports").glob("*/events.jsonl"))

        until(seen, "the effect")

    @property
    def run_dir(self) -> Path:
        return next((self.state / "runs").glob("[!.]*"))

    def recs(self) -> list[str]:
        return [frame.rec for frame in Ledger.of_run(self.run_dir).read().frames]

    def said(self, pattern: str) -> str:
        """Waits for a line on standard error."""
        found = until(lambda: re.search(pattern, self.err.read_text(errors="replace")), f"a line like {pattern!r} on standard error")
        return str(found[0])

    def ended(self) -> int:
        return self.process.wait(120)

    def reasons(self) -> list[str]:
        return list(json.loads(self.out.read_text())["reasons"])

    def recover(self) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "chaoslib_ext.cli", "recover", "--all"]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=180, check=False)

    def kill_everything(self) -> list[str]:
        """SIGKILL to every process that carries this run's variables, in whatever session, as a pipeline machine that goes away does."""
        mark, hit = f"CHAOSX_STATE={self.state}".encode(), []
        while found := [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in self._bytes(path).split(b"\0")]:
            for pid in found:
                ticks, line = start_ticks(pid), self._bytes(Path(f"/proc/{pid}/cmdline"))
                if ticks is not None and signal_exact(pid, ticks, signal.SIGKILL):
                    hit.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return hit

    @staticmethod
    def _bytes(path: Path) -> bytes:
        with contextlib.suppress(OSError):  # it has just ended
            return path.read_bytes()
        return b""


@pytest.mark.parametrize("number", ASKING)
def test_one_signal_takes_everything_back_and_ends_aborted(room: Room, start: Start, number: signal.Signals) -> None:
    run = start()
    run.in_force()
    run.process.send_signal(number)
    assert run.ended() == 4, run.err.read_text()
    assert run.reasons()[0] == "STOPPED_BY_SIGNAL"
    assert room.marks() == []


@pytest.mark.parametrize("number", ASKING)
def test_the_second_cancels_nothing_and_the_third_says_what_is_left_and_what_mends_it(room: Room, start: Start, number: signal.Signals) -> None:
    run = start()
    run.in_force()
    room.hang()
    run.process.send_signal(number)
    until(lambda: "UNDO_TRY" in run.recs(), "a heal under way")
    run.process.send_signal(number)
    run.said(f"signal {number.name}: healing goes on")
    run.process.send_signal(number)
    line = run.said(f"signal {number.name}: not yet healed: [^\n]*")
    assert f"{FAULT}: link b (" in line and line.rstrip().endswith(f"chaosx recover --run {run.run_dir.name}"), line
    assert run.process.poll() is None
    room.let_go()
    assert run.ended() == 4, run.err.read_text()
    assert room.marks() == []


def test_what_cannot_be_healed_in_time_ends_dirty_and_the_named_command_mends_it(room: Room, start: Start) -> None:
    run = start(heal_for="1s")
    run.in_force()
    room.hang()
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 6, run.err.read_text()
    room.let_go()
    assert room.marks() != []
    recovered = run.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert room.marks() == []


@pytest.mark.parametrize("hangs", [False, True], ids=["healed in time", "a target that hangs"])
def test_what_a_pipeline_does_to_a_run_leaves_nothing_behind(room: Room, start: Start, hangs: bool) -> None:
    """INT, after 7.5 s TERM, after 2.5 s KILL of everything that carries the job's variables, the healer's session too."""
    run = start()
    run.in_force()
    if hangs:
        room.hang()
    for number, seconds in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)):
        run.process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the pipeline's own protocol
            run.process.wait(seconds)
    hit = run.kill_everything()
    assert any("chaoslib_ext.healer" in line for line in hit) or not hangs, hit
    run.process.wait(60)
    room.let_go()
    recovered = run.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert room.marks() == []


@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid of util-linux is not installed")
def test_a_terminal_that_is_closed_takes_everything_back_and_ends_aborted(room: Room, start: Start, tmp_path: Path) -> None:
    main, other = pty.openpty()
    run = start(prefix=("setsid", "--ctty"), stdin=other, stdout=other, stderr=other)
    os.close(other)
    os.set_blocking(main, False)

    def drained() -> bool:
        with contextlib.suppress(BlockingIOError):
            while os.read(main, 65536):
                pass
        assert run.process.poll() is None
        return any('"effect"' in path.read_text() for path in (tmp_path / "reports").glob("*/events.jsonl"))

    until(drained, "the effect")
    os.close(main)  # the kernel sends HUP, and every write fails from here on
    assert run.ended() == 4
    assert room.marks() == []
    result = json.loads(next((tmp_path / "reports").glob("*/result.json")).read_text())
    assert (result["verdict"], result["reasons"][0]) == ("ABORTED", "STOPPED_BY_SIGNAL")


def test_under_nohup_a_hang_up_means_nothing(start: Start, tmp_path: Path) -> None:
    run = start(prefix=("nohup",))
    run.in_force()
    run.process.send_signal(signal.SIGHUP)
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 4
    told = [json.loads(line) for path in (tmp_path / "reports").glob("*/events.jsonl") for line in path.read_text().splitlines()]
    assert [event["rule"] for event in told if event["kind"] == "stop"] == ["SIGTERM"]
