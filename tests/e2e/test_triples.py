"""
Three times the same experiment: a planted weakness fails, without it the run passes, and a fault that is refused decides nothing.

A run that a busy machine leaves undecided is repeated once where that is possible, and then skipped by name; a wrong verdict is red at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "selftest"))

from run_experiments import MOODS

from chaoslib_ext import sandbox
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import Traffic, names, stanza, with_fault
from chaoslib_ext.process.client import control, read_roster
from chaoslib_ext.process.store import kill_node
from chaoslib_ext.sandbox.store_launch import refusal

pytestmark = pytest.mark.slow

STRANGER = "somebody-else"
LOAD = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 60/s}]
journeys: [{name: browse, steps: [{request: GET /catalog/1, timeout: 1s}]}]
"""
ORDERS = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 60/s}]
journeys: [{name: order, steps: [{request: POST /orders, json: {id: "${write_id}"}, check: {status: 201}, timeout: 3s, write: orders}]}]
writes:
  orders:
    acknowledged: {status: 201}
    readback: {http: {url_path: "/orders?prefix=${run}&node=${node}", ids: $.ids, nodes: [store-a, store-b, store-c]}}
    settled: {for: 1s, within: 40s, nodes: 2}
"""
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: %s}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: locust, spec: {select: {name: browse}, condition: %s}}}
        total: {metricSource: {type: locust, spec: {select: {name: browse}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"""
WORKS, QUICK = SLO % ("works", "success"), SLO % ("quick", "{latency_ms: 150}")


def roster(room: sandbox.SandboxInfo) -> dict[str, Any]:
    return read_roster(room.roster)


def until(condition: Callable[[], Any], what: str) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, f"not in 60 s: {what}"
        time.sleep(0.02)


# what a stranger, or the system itself, does so that the fault is refused ------------------------------------------


def link_is_taken(room: sandbox.SandboxInfo) -> None:
    """Somebody else has put a delay of a millisecond on the link of zone b."""
    control(roster(room)["links"]["b"]["control"], {"op": "set", "mode": "delay", "delay_ms": 1, "owner": STRANGER}, 5.0)


def zone_is_held(room: sandbox.SandboxInfo) -> None:
    """Somebody else holds zone b: its replicas run, and would not be started again."""
    control(roster(room)["keeper"]["control"], {"op": "hold", "zone": "b", "owner": STRANGER}, 5.0)


def route_has_a_fault(room: sandbox.SandboxInfo) -> None:
    """Somebody else delays one request in a million on the routes of one sidecar of zone b."""
    told = next(one for one in roster(room)["replicas"] if one["zone"] == "b")["sidecar"]
    envoy = Envoy(told["admin"], told["config"])
    client.edit(envoy, lambda found: with_fault(found, names(found), STRANGER, stanza(Traffic(1e-6, 0.001), [])))


def nobody_could_take_over(room: sandbox.SandboxInfo) -> None:
    """The standbys are dead."""

    def standbys() -> list[dict[str, Any]]:
        return [node for node in roster(room)["store"]["nodes"] if node["role"] == "standby" and node["pid"]]

    for node in standbys():
        assert kill_node(node["folder"])
    until(lambda: not standbys(), "the roster knows no standby any more")


@dataclass(frozen=True)
class Triple:
    """One experiment, the switches with and without the weakness, what must be said of it, and how the fault comes to be refused, with its reason."""

    func: str
    arguments: dict[str, Any]
    block: dict[str, Any]
    weak: tuple[str, ...]
    sound: tuple[str, ...]
    missed: str
    refuse: Callable[[sandbox.SandboxInfo], None]
    refused: str
    load: str = LOAD
    slos: str = f"{WORKS}---{QUICK}"
    stable: str = "1s"
    repeatable: bool = True


def ratio(slo: str, target: str) -> dict[str, Any]:
    return {"objectives": [{"slo": slo, "window": "fault", "target": target}]}


LOSE = {"zone": "b", "duration": "4s"}
DELAY = {"service": "shop", "delay": "200ms", "duration": "4s", "zone": "b"}
NO_ZONE = {"faults": {"the fault": {"caps": {"zones": 0}}}}
ALL_OF_IT = {"faults": {"the fault": {"caps": {"zones": 1, "per_owner": "100%"}}}}
LONG = "6s"  # else the outage is most of what is seen, and too many writes end unknown
NEEDS_STORE = pytest.mark.skipif(bool(refusal()), reason=refusal() or "-")
TRIPLES = [
    pytest.param(
        Triple("lose_zone", LOSE, ratio("works", "85%"), ("no_retries", "slow_health_check"), (), "SLO_MISSED", link_is_taken, "ACTION_FAILED"),
        id="nobody repeats a request",
    ),
    pytest.param(
        Triple("lose_zone", {**LOSE, "how": "crash"}, {**ratio("works", "50%"), **ALL_OF_IT}, ("one_zone",), (), "SLO_MISSED", zone_is_held, "ACTION_FAILED"),
        id="all replicas stand in one zone",
    ),
    pytest.param(
        Triple("delay_traffic", DELAY, {**ratio("quick", "80%"), **NO_ZONE}, ("mesh", "no_timeout"), ("mesh", "short_timeout"), "SLO_MISSED",
               route_has_a_fault, "PREFLIGHT_FAILED"),
        id="nobody limits how long a dependency may take",
    ),
    pytest.param(
        Triple("lose_primary", {"how": "kill", "timeout_s": 30.0}, {"rpo": {"objective": "0s", "max_writes": 0, "ledger": "orders"}},
               ("store_async_50ms",), ("store_sync",), "RPO_MISSED", nobody_could_take_over, "PREFLIGHT_FAILED", ORDERS, "", LONG, False),
        id="a write is acknowledged before a second node has it", marks=NEEDS_STORE,
    ),
]  # fmt: skip


@dataclass
class Rooms:
    """The two sandboxes of a triple, brought up when they are first wanted."""

    triple: Triple
    folder: Path
    found: dict[tuple[str, ...], sandbox.SandboxInfo] = field(default_factory=dict)
    runs: int = 0

    def room(self, switches: tuple[str, ...]) -> sandbox.SandboxInfo:
        if switches not in self.found:
            self.found[switches] = sandbox.up(f"triple-{os.getpid()}-{len(self.found)}", switches, os.getpid(), timeout_s=120.0)
        return self.found[switches]

    def run(self, switches: tuple[str, ...]) -> tuple[int, dict[str, Any], str]:
        """One run of `chaosx`: exit code, what it printed, what it talked."""
        triple, room = self.triple, self.room(switches)
        self.runs += 1
        place = self.folder / str(self.runs)
        place.mkdir()
        (place / "load.yaml").write_text(triple.load)
        (place / "slos.yaml").write_text(triple.slos)
        block = {"name": "chaoslib_ext", "version": 1, "load": "load.yaml", **({"slos": ["slos.yaml"]} if triple.slos else {}), **triple.block}
        block["windows"] = {"warmup": "1s", "baseline": "2s", "recovery": "20s", "stable": triple.stable}
        provider = {"type": "python", "module": "chaoslib_ext.faults", "func": triple.func, "arguments": triple.arguments}
        method = [{"type": "action", "name": "the fault", "provider": provider}]
        (place / "x.yaml").write_text(yaml.safe_dump({"title": "triple", "method": method, "extensions": [block]}))
        argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", f"sandbox@{room.name}", "--json", "--seed", "7"]
        told = {**os.environ, "CHAOSX_STATE": str(self.folder / "state"), "NO_COLOR": "1"}
        done = subprocess.run(argv, cwd=place, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr

    def decided(self, switches: tuple[str, ...]) -> tuple[int, list[str], str]:
        """Exit code, reasons and talk of a run that was decided; the test is skipped when this machine leaves it undecided."""
        for _ in range(2 if self.triple.repeatable else 1):
            code, told, err = self.run(switches)
            reasons = [str(reason) for reason in told.get("reasons") or []]
            if code != 3:
                return code, reasons, err
        pytest.skip(f"undecided, this machine was too busy: {', '.join(reasons)}")


@pytest.fixture(scope="module", params=TRIPLES)
def rooms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    made = Rooms(request.param, tmp_path_factory.mktemp("triple"))
    yield made
    for room in made.found.values():
        sandbox.down(room.name)


def test_a_planted_weakness_fails(rooms: Rooms) -> None:
    code, reasons, err = rooms.decided(rooms.triple.weak)
    assert (code, reasons[:1]) == (1, [rooms.triple.missed]), (reasons, err)


def test_without_the_weakness_the_same_experiment_passes(rooms: Rooms) -> None:
    code, reasons, err = rooms.decided(rooms.triple.sound)
    assert (code, reasons) == (0, []), (reasons, err)


def test_a_fault_that_is_refused_decides_nothing_and_stays_away_from_what_is_there(rooms: Rooms) -> None:
    room = rooms.room(rooms.triple.sound)
    rooms.triple.refuse(room)
    before = strangers(room)
    code, told, err = rooms.run(rooms.triple.sound)
    reasons = told.get("reasons") or [word for word in err.replace(":", " ").split() if word == rooms.triple.refused]
    assert (code, rooms.triple.refused in reasons or set(reasons) <= MOODS) == (3, True), (reasons, err)
    assert strangers(room) == before


def strangers(room: sandbox.SandboxInfo) -> list[Any]:
    """What somebody else has put into the sandbox."""
    found: list[Any] = [control(link["control"], {"op": "status"}, 5.0)["owner"] for link in roster(room)["links"].values()]
    found.append(control(roster(room)["keeper"]["control"], {"op": "status"}, 5.0)["zones"])
    return found + [Path(one["sidecar"]["config"]).read_text() for one in roster(room)["replicas"] if one.get("sidecar")]
