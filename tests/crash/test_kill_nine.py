"""
kill -9 of the supervisor, of each child and of the healer, at random moments of a real run on a real sandbox.

After every kill `chaosx recover` must find or make everything clean, nothing of the run may still be alive, and
the next run must not be blocked. CHAOSX_KILLS sets how many; the seed is printed, so a failure can be repeated.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import alive, control, process_state, read_roster, signal_exact

pytestmark = pytest.mark.crash

KILLS = int(os.environ.get("CHAOSX_KILLS", "10"))
SEED = int(os.environ.get("CHAOSX_SEED", "20261124"))
VICTIMS = ["supervisor", "healer", "method", "prober", "load"]
SLOS = Path(__file__).parents[2] / "experiments/sandbox/slos/shop.yaml"
PROFILE = Path(__file__).parents[2] / "loadprofiles/shop.yaml"
EXPERIMENT = """
title: kill nine
method:
- type: action
  name: lose zone b
  provider: {{type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {{zone: b, duration: 3s, how: {how}}}}}
- type: action
  name: kill one
  provider: {{type: python, module: chaoslib_ext.faults, func: kill_replicas, arguments: {{service: shop, count: 1, zone: c}}}}
extensions:
- name: chaoslib_ext
  version: 1
  slos: [{slos}]
  load: {profile}
  windows: {{warmup: 1s, baseline: 1s, recovery: 4s, stable: 1s}}
  objectives:
  - {{slo: browse-availability, window: fault, target: 90%}}
"""


@pytest.fixture(scope="module")
def room() -> Iterator[sandbox.SandboxInfo]:
    """One sandbox for all kills, so that what one run leaves behind is seen by the next."""
    info = sandbox.up("kill-nine", (), owner_pid=os.getpid())
    yield info
    sandbox.down("kill-nine")


def until(condition: Any, seconds: float, what: str) -> None:
    """Waits for a condition, or fails saying which."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        threading.Event().wait(0.02)


def leftovers(room: sandbox.SandboxInfo) -> list[str]:
    """Everything in the sandbox that still carries a mark of a fault."""
    roster = read_roster(room.roster)
    found = []
    for zone, link in roster["links"].items():
        status = control(link["control"], {"op": "status"}, 2.0)
        if status["owner"] is not None or status["mode"] != "pass":
            found.append(f"link {zone}: {status}")
    for zone, hold in control(roster["keeper"]["control"], {"op": "status"}, 2.0)["zones"].items():
        if hold["held_by"] is not None:
            found.append(f"zone {zone} held by {hold['held_by']}")
    found += [f"{replica['name']} is stopped" for replica in roster["replicas"] if replica["pid"] and process_state(replica["pid"]) == "T"]
    found += [f"marker {path.name}" for path in (Path(room.dir) / "markers").glob("*")]
    return found


def settle(room: sandbox.SandboxInfo) -> None:
    """Makes the keeper forget the crashes of the run before, as its doubling back-off would hold up the next one, and waits for all replicas."""
    keeper = read_roster(room.roster)["keeper"]["control"]
    for zone in room.zones:
        control(keeper, {"op": "hold", "zone": zone, "owner": "rig"}, 2.0)
        control(keeper, {"op": "release", "zone": zone, "owner": "rig"}, 2.0)
    until(lambda: all(replica["ready"] for replica in read_roster(room.roster)["replicas"]), 45, "six replicas that are ready")


class Run:
    """A `chaosx run` in a state directory of the test."""

    def __init__(self, tmp: Path, room: sandbox.SandboxInfo, how: str, number: int) -> None:
        self.state, self.out = tmp / "state", tmp / "reports"
        path = tmp / f"kill-{number}.yaml"
        path.write_text(EXPERIMENT.format(how=how, slos=SLOS, profile=PROFILE), encoding="utf-8")
        self.environment = {**os.environ, "CHAOSX_STATE": str(self.state)}
        argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", str(path), "--env", f"sandbox@{room.name}", "--out", str(self.out), "--json"]
        self.process = subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: self.folder() is not None or self.process.poll() is not None, 30, "the run's state folder")

    def folder(self) -> Path | None:
        """The open run that belongs to our supervisor."""
        for path in sorted((self.state / "runs").glob("[!.]*")) if (self.state / "runs").exists() else []:
            owner = json.loads((path / "run.json").read_text())["supervisor"]
            if owner["pid"] == self.process.pid:
                return path
        return None

    def identities(self) -> dict[str, dict[str, int]]:
        """Every process of the run that is on record."""
        folder = self.folder()
        assert folder is not None, self.process.communicate()[1]
        owner = json.loads((folder / "run.json").read_text())["supervisor"]
        recorded = json.loads((folder / "children.json").read_text()) if (folder / "children.json").exists() else {}
        return {"supervisor": owner, **recorded}

    def recover(self) -> subprocess.CompletedProcess[str]:
        """`chaosx recover --all`, as a person would type it."""
        return subprocess.run(
            [sys.executable, "-m", "chaoslib_ext.cli", "recover", "--all"], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_left_after_kill_nine(number: int, room: sandbox.SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(SEED * 1000 + number)
    victim, how, moment = VICTIMS[number % len(VICTIMS)], chance.choice(["silent", "crash", "isolate"]), chance.uniform(0.3, 9.0)
    print(f"kill {victim} after {moment:.2f} s of a run with how={how}")
    base = tmp_path_factory.getbasetemp() / "kills"
    base.mkdir(exist_ok=True)
    settle(room)
    run = Run(base, room, how, number)
    threading.Event().wait(moment)  # the random moment itself; nothing is waited for
    seen = run.identities()
    target = seen.get(victim, seen["supervisor"])
    signal_exact(target["pid"], target["start_ticks"], signal.SIGKILL)
    run.process.communicate(timeout=120)
    assert run.process.returncode in (-9, 0, 1, 3, 4, 5), "the exit code is one of the table's, and never DIRTY"
    recovered = run.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert leftovers(room) == []
    everyone = {**seen, **run.identities()}
    until(lambda: not [name for name, one in everyone.items() if alive(one["pid"], one["start_ticks"])], 10, "the end of every process of the run")


def test_the_next_run_is_not_blocked(room: sandbox.SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp() / "kills"
    base.mkdir(exist_ok=True)
    settle(room)
    run = Run(base, room, "silent", KILLS)
    out, err = run.process.communicate(timeout=120)
    assert run.process.returncode in (0, 1, 3), err
    assert json.loads(out)["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    assert leftovers(room) == []
