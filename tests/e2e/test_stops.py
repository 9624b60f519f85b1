"""
Whole runs on a real sandbox that a stop rule ends: a load that hangs or dies, and one that has written enough.

A run on a busy machine may end before its rule is broken; what is asserted is that no rule is missed, and that nothing is left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact
from chaoslib_ext.writelog import read_acks

pytestmark = pytest.mark.slow

Start = Callable[[str], subprocess.Popen[str]]
ROOT = Path(__file__).parents[2]
DEADLINE_S = 90.0
LOSE = "- {type: action, name: lose zone b, provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: %s}}}\n"
HEAD = "apiVersion: chaosx/v1\nkind: LoadProfile\nstages: [{rate: 40/s}]\n"
LOOKING = "journeys: [{name: browse, steps: [{request: GET /catalog/1}]}]\n"
BLOCK = f"""extensions:
- name: chaoslib_ext
  version: 1
  slos: [{ROOT / "experiments/sandbox/slos/shop.yaml"}]
  load: load.yaml
  windows: {{warmup: 2s, baseline: 5s, recovery: 10s, stable: 2s}}
  objectives: [{{slo: browse-availability, window: fault, target: 80%}}]
"""


@pytest.fixture(scope="module")
def room() -> Iterator[sandbox.SandboxInfo]:
    name = f"stops-{os.getpid()}"
    yield sandbox.up(name, (), owner_pid=os.getpid())
    sandbox.down(name)


def marks(room: sandbox.SandboxInfo) -> list[str]:
    """What in the sandbox still carries a mark of a fault."""
    roster = read_roster(room.roster)
    links = [zone for zone, link in roster["links"].items() if control(link["control"], {"op": "status"}, 2.0)["owner"] is not None]
    return links + [one["name"] for one in roster["replicas"] if process_state(one["pid"]) == "T"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts `chaosx run x.yaml` in an environment; a run that a failed test has left is asked to end, and waited for."""
    started: list[subprocess.Popen[str]] = []

    def run(env: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", env, "--json"]
        told = {**os.environ, "CHAOSX_STATE": str(tmp_path / "state"), "NO_COLOR": "1"}
        started.append(subprocess.Popen(argv, cwd=tmp_path, env=told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=120)


def until_in_effect(folder: Path, process: subprocess.Popen[str], room: sandbox.SandboxInfo) -> None:
    """Waits for the effect of the fault; on a machine too busy for a sound baseline the run ends undecided before it, which is right."""
    deadline = time.monotonic() + DEADLINE_S
    while not any('"effect"' in path.read_text(encoding="utf-8") for path in (folder / "reports").glob("*/events.jsonl")):
        assert time.monotonic() < deadline, "no fault was seen in effect"
        if process.poll() is not None:
            out, err = process.communicate()
            assert (process.returncode, marks(room)) == (3, []), err
            pytest.skip(f"this machine was too busy: {json.loads(out)['reasons']}")
        threading.Event().wait(0.02)


def load_child(folder: Path) -> tuple[int, int]:
    """The process id and start ticks of the load child of the only run."""
    [state] = [path for path in (folder / "state/runs").iterdir() if path.is_dir()]
    child = json.loads((state / "children.json").read_text())["load"]
    return child["pid"], child["start_ticks"]


def read(told: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of a run, and its stop events."""
    folder = Path(told["directory"])
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return json.loads((folder / "result.json").read_text()), [event for event in events if event["kind"] == "stop"]


@pytest.mark.parametrize(
    ("stop", "rule"),
    [pytest.param("  stop: [{no_data: 4s}]\n", "no_data: 4s", id="a rule"), pytest.param("", "no_data: 15s (by default)", id="no rule")],
)
def test_a_load_child_that_hangs_ends_the_run_and_everything_is_taken_back(
    tmp_path: Path, room: sandbox.SandboxInfo, start: Start, stop: str, rule: str
) -> None:
    (tmp_path / "load.yaml").write_text(HEAD + LOOKING)
    (tmp_path / "x.yaml").write_text("title: hung\nmethod:\n" + LOSE % "300s" + BLOCK + stop)
    process = start(f"sandbox@{room.name}")
    until_in_effect(tmp_path, process, room)
    assert signal_exact(*load_child(tmp_path), signal.SIGSTOP)
    out, err = process.communicate(timeout=200)
    assert out, err
    told = json.loads(out)
    assert (process.returncode, told["reasons"][0]) == (4, "STOP_NO_DATA"), err
    result, stops = read(told)
    assert [event["rule"] for event in stops] == [rule]
    assert any(notice.startswith(f"stopped by the rule {rule}: ") and " for " in notice for notice in result["notices"])
    assert rule in (Path(told["directory"]) / "report.html").read_text()
    assert result["clean"]["state"] == "clean"
    assert marks(room) == []


def test_a_load_child_that_dies_ends_the_run_at_once(tmp_path: Path, room: sandbox.SandboxInfo, start: Start) -> None:
    (tmp_path / "load.yaml").write_text(HEAD + LOOKING)
    (tmp_path / "x.yaml").write_text("title: dead\nmethod:\n" + LOSE % "300s" + BLOCK)
    process = start(f"sandbox@{room.name}")
    until_in_effect(tmp_path, process, room)
    assert signal_exact(*load_child(tmp_path), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert out, err
    told = json.loads(out)
    assert (process.returncode, told["reasons"]) == (3, ["WORKER_LOST"]), err
    assert read(told)[0]["clean"]["state"] == "clean"
    assert marks(room) == []


class Lingering:
    """A page that takes eight seconds: the method lasts longer than its plan could know."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                threading.Event().wait(8.0)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def lingering() -> Iterator[Lingering]:
    one = Lingering()
    yield one
    one.end()


WRITING = """journeys: [{name: browse, steps: [{request: "GET /catalog/1?w=${write_id}", write: views}]}]
writes: {views: {acknowledged: {status: 200}}}
"""
ENVIRONMENT = """apiVersion: chaosx/v1
kind: Environment
name: capped
class: local
identity: {{sandbox: {room.identity}}}
services: {{shop: {{processes: {{roster: {room.roster}}}, url: '{room.url}'}}}}
hosts: [127.0.0.1]
caps: {{writes: {cap}}}
"""


def test_a_run_that_has_written_as_much_as_its_environment_allows_is_stopped(
    tmp_path: Path, room: sandbox.SandboxInfo, start: Start, lingering: Lingering
) -> None:
    cap = 600  # 40/s for the 14 s that the plan knows of are 560
    (tmp_path / "load.yaml").write_text(HEAD + WRITING)
    (tmp_path / "capped.yaml").write_text(ENVIRONMENT.format(room=room, cap=cap))
    probe = f"- {{type: probe, name: linger, tolerance: 200, provider: {{type: http, url: '{lingering.url}', timeout: 30}}}}\n"
    (tmp_path / "x.yaml").write_text("title: capped\nmethod:\n" + LOSE % "3s" + probe + BLOCK)
    process = start("./capped.yaml")
    out, err = process.communicate(timeout=170)
    assert out, err
    told = json.loads(out)
    result, stops = read(told)
    assert process.returncode in (3, 4), err
    written = len(read_acks(Path(told["directory"]) / "writes/acks-w0.bin").attempts)
    assert written <= cap
    if process.returncode == 4:
        assert (told["reasons"][0], [event["rule"] for event in stops], written) == ("STOP_RULE", [f"caps.writes: {cap}"], cap)
        assert any("600 writes, as many as the environment allows a run" in notice for notice in result["notices"])
    assert marks(room) == []
