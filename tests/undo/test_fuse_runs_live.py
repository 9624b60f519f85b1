"""Real runs of `chaosx` and their fuses: one that fires too early, one that fires because nobody else could, and targets that offer none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from undo_rig import Room, until

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact, start_ticks

pytestmark = pytest.mark.slow
LIMIT_S = 240.0  # a whole run on a busy machine; nothing is asserted about how long it really takes
LOSE = "lose zone b"


def experiment(url: str, duration: str, timeout_s: float) -> str:
    """A zone that is cut off, and a promise that can be kept: without load, so that nothing hangs on how healthy a baseline is on this machine."""
    probe = {"type": "probe", "name": "it answers", "tolerance": 200, "provider": {"type": "http", "url": f"{url}/healthz", "timeout": 30}}
    arguments = {"zone": "b", "duration": duration, "how": "isolate", "timeout_s": timeout_s}
    lose = {"type": "action", "name": LOSE, "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": "lose_zone", "arguments": arguments}}
    hypothesis = {"title": "it answers", "probes": [probe]}
    return yaml.safe_dump({"title": "fuses", "steady-state-hypothesis": hypothesis, "method": [lose], "extensions": [{"name": "chaoslib_ext", "version": 1}]})


class Run:
    """A `chaosx run` of x.yaml in a folder of its own."""

    def __init__(self, folder: Path, environment: str, *words: str) -> None:
        self.folder, self.err = folder, folder / "err"
        argv = [sys.executable, "-P", "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", environment, *words]
        variables = {**os.environ, "CHAOSX_STATE": str(folder / "state"), "NO_COLOR": "1"}
        with self.err.open("wb") as err:
            self.process = subprocess.Popen(argv, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        until(lambda: condition() or self.process.poll() is not None, what, LIMIT_S)
        assert self.process.poll() is None, self.err.read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [line for path in (self.folder / "reports").glob("*/events.jsonl") for line in path.read_text().splitlines(keepends=True)]
        return [event for line in lines if line.endswith("\n") and (event := json.loads(line))["kind"] == kind]

    def child(self, name: str) -> int:
        path = next((self.folder / "state" / "runs").glob("[!.]*/children.json"))
        return int(json.loads(path.read_text())[name]["pid"])

    def ended(self) -> str:
        out, _ = self.process.communicate(timeout=LIMIT_S)
        return out

    def result(self) -> dict[str, Any]:
        (path,) = (self.folder / "reports").glob("*/result.json")
        return dict(json.loads(path.read_text()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=LIMIT_S)


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Run] = []

    def one(environment: str, *words: str) -> Run:
        made.append(Run(tmp_path, environment, *words))
        return made[-1]

    yield one
    for run in made:
        run.close()


SANDBOX = "fusing"  # the name of the box


def url(box: sandbox.SandboxInfo) -> str:
    return str(sandbox.environment_json(box)["services"]["shop"]["url"])


def left(box: sandbox.SandboxInfo) -> list[str]:
    owner = control(read_roster(box.roster)["links"]["b"]["control"], {"op": "status"}, 10.0)["owner"]
    return [*([owner] if owner else []), *(path.name for name in ("markers", "fuses") for path in (Path(box.dir) / name).glob("*"))]


def fires_now(box: sandbox.SandboxInfo) -> None:
    """What the keeper does when a fuse is over, done before that."""
    (record,) = (Path(box.dir) / "fuses").glob("*.json")
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.firing", str(record), str(os.getpid())]
    assert subprocess.run(argv, timeout=LIMIT_S, check=False).returncode == 0


@pytest.mark.parametrize("early", [False, True], ids=["held as planned", "its fuse fires before that"])
def test_a_fault_whose_fuse_fired_early_was_not_held_and_nothing_passes(early: bool, box: sandbox.SandboxInfo, start: Start, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(experiment(url(box), "8s", 60.0))
    run = start("sandbox@fusing", "--json")
    run.wait_for(lambda: run.events("effect"), "the effect")
    if early:
        fires_now(box)
    run.ended()
    result = run.result()
    found = {one["id"]: one for one in result["findings"]}[f"held:{LOSE}"]
    if early:
        assert (result["verdict"], run.process.returncode) == ("INCONCLUSIVE", 3), run.err.read_text()
        assert result["reasons"][0] == "FAULT_NOT_HELD" and found["reasons"] == ["FAULT_NOT_HELD"]
    else:
        assert result["verdict"] in ("PASS", "INCONCLUSIVE"), run.err.read_text()
        assert result["verdict"] == "INCONCLUSIVE" or found["outcome"] == "met"
    assert left(box) == []


def test_a_fault_that_nobody_took_back_in_time_is_taken_back_by_its_fuse_and_the_run_tells_how_long_it_was_held(
    box: sandbox.SandboxInfo, start: Start, tmp_path: Path
) -> None:
    """The healer stands still until the fuse has burnt down; what it finds then is nothing."""
    (tmp_path / "x.yaml").write_text(experiment(url(box), "3s", 3.0))
    run = start("sandbox@fusing", "--json")
    run.wait_for(lambda: list((Path(box.dir) / "fuses").glob("*.json")), "a fuse")
    healer = run.child("healer")
    ticks = start_ticks(healer)
    assert ticks is not None
    signal_exact(healer, ticks, signal.SIGSTOP)
    try:
        until(lambda: left(box) == [], "a target that takes it back by itself", LIMIT_S)
        assert process_state(healer) == "T" and run.process.poll() is None
    finally:
        signal_exact(healer, ticks, signal.SIGCONT)
    run.ended()
    result = run.result()
    (fault,) = result["faults"]
    assert result["verdict"] in ("PASS", "INCONCLUSIVE"), run.err.read_text()
    if result["verdict"] == "PASS":
        assert fault["held_s"] >= fault["planned_s"], "never one that ended before its time"
    print(result["verdict"], result["reasons"], fault["held_s"])


def file_of(room: Room, class_: str) -> str:
    """An environment file over a stand-in whose keeper offers neither fuse nor lock."""
    service = {"processes": {"roster": str(room.roster)}, "url": "http://127.0.0.1:9"}
    file = {"apiVersion": "chaosx/v1", "kind": "Environment", "name": "shop-env", "class": class_, "services": {"shop": service}, "hosts": ["127.0.0.1"]}
    return yaml.safe_dump({**file, "identity": {"sandbox": read_roster(room.roster)["identity"]}, "caps": {"per_owner": "34%"}})


@pytest.mark.parametrize("class_", ["staging", "production"])
def test_a_remote_target_without_a_fuse_is_refused_and_with_a_person_s_word_everything_says_so(class_: str, room: Room, start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(file_of(room, class_))
    lose = {"zone": "b", "duration": "1s", "how": "isolate", "timeout_s": 60.0}
    action = {"type": "action", "name": LOSE, "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": "lose_zone", "arguments": lose}}
    block = {"name": "chaoslib_ext", "version": 1}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({"title": "t", "method": [action], "extensions": [block]}))
    planned = subprocess.run(
        [sys.executable, "-P", "-m", "chaoslib_ext.cli", "plan", "x.yaml", "--env", "./shop.yaml", "--json", "--seed", "1"],
        cwd=tmp_path, env={**os.environ, "CHAOSX_STATE": str(tmp_path / "state")}, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    plan = json.loads(planned.stdout)
    assert planned.returncode == 3 and [one["reason"] for one in plan["refused"]] == ["FUSE_MISSING"]
    words = "shop-env" if class_ == "staging" else f"shop-env {plan['token']}"
    confirm = ["--confirm", plan["token"]] if class_ == "production" else []
    refused = start("./shop.yaml", "--seed", "1", *confirm)
    refused.ended()
    assert refused.process.returncode == 3
    assert "FUSE_MISSING" in refused.err.read_text() and f"--no-fuse --confirm {words if class_ == 'staging' else repr(words)}" in refused.err.read_text()
    assert room.untouched() and not (tmp_path / "reports").exists()
    taken = start("./shop.yaml", "--seed", "1", "--no-fuse", "--confirm", words)
    told = taken.ended()
    assert taken.process.returncode == 3, taken.err.read_text()  # nothing is promised, so nothing is decided
    notice = f"run without fuses (--no-fuse): had this machine been lost, nothing in the target would have taken back {LOSE}"
    result = taken.result()
    assert notice in result["notices"] and [fault["name"] for fault in result["faults"] if fault["effect"]] == [LOSE]
    assert f"  notice: {notice}" in told.splitlines()
    (page,) = (tmp_path / "reports").glob("*/report.html")
    assert f"Notice: {notice}" in page.read_text()
    assert room.untouched()
