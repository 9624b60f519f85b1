"""
The contract of every fault, one row each, against the real sandbox: injected, seen in effect, its injector killed
with -9, healed by the healer, healed again with no change, and what somebody else set meanwhile kept. What is held has a fuse:
armed before the first mutation, it takes the fault back alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "undo"))  # tests are no packages; the rig is shared with the undo tests

from undo_rig import DEADLINE_S, Supervisor, activity, until

from chaoslib_ext import recover, sandbox, state
from chaoslib_ext.clock import boot_ns
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.ledger import entries
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import Traffic, faults_there, stanza, with_fault, without_fault
from chaoslib_ext.process import fuse
from chaoslib_ext.process.client import control, process_state, read_roster

pytestmark = pytest.mark.slow

KEEPS = "somebody else"


@dataclass(frozen=True)
class Row:
    """One fault: its call, whether it is held, and the request by which somebody else takes over what it changed."""

    func: str
    arguments: dict[str, Any]
    held: bool
    replaced: bool
    takeover: str | None = None


TRAFFIC = {"service": "shop", "duration": "60s", "zone": "b"}
ROWS = [
    pytest.param(Row("lose_zone", {"zone": "b", "duration": "60s"}, True, False, "link"), id="lose_zone silent"),
    pytest.param(Row("lose_zone", {"zone": "b", "duration": "60s", "how": "isolate"}, True, False, "link"), id="lose_zone isolate"),
    pytest.param(Row("lose_zone", {"zone": "b", "duration": "60s", "how": "crash"}, True, True, "keeper"), id="lose_zone crash"),
    pytest.param(Row("kill_replicas", {"service": "shop", "count": 2, "zone": "c"}, False, True), id="kill_replicas"),
    pytest.param(Row("delay_traffic", {**TRAFFIC, "delay": "200ms"}, True, False, "sidecar"), id="delay_traffic at sidecars"),
    pytest.param(Row("abort_traffic", {**TRAFFIC, "status": 418, "share": "50%"}, True, False, "sidecar"), id="abort_traffic at sidecars"),
    pytest.param(
        Row("abort_traffic", {"service": "shop", "duration": "60s", "where": "ingress", "share": "20%"}, True, False), id="abort_traffic at the ingress"
    ),
]


class Shop:
    """A real sandbox as these tests look at it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = sandbox.up(name, ("mesh",), os.getpid(), timeout_s=60.0)

    def environment(self) -> Environment:
        return Environment("sandbox", identity={"sandbox": self.info.identity}, services={"shop": Service("shop", processes={"roster": self.info.roster})})

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        roster = read_roster(self.info.roster)
        path = roster["links"]["b"]["control"] if what == "link" else roster["keeper"]["control"]
        return control(path, {"op": "status", **request}, 5.0)

    def envoys(self) -> list[Envoy]:
        roster = read_roster(self.info.roster)
        return [Envoy(door["admin"], door["config"]) for door in (*(one["sidecar"] for one in roster["replicas"]), roster["ingress"])]

    def sidecar(self) -> Envoy:
        return self.envoys()[2]  # that of shop-b1

    def take_over(self, what: str, ours: str) -> None:
        if what == "sidecar":
            client.edit(self.sidecar(), lambda found: without_fault(found, ours))
            client.edit(self.sidecar(), lambda found: with_fault(found, ["catalog"], KEEPS, stanza(Traffic(1.0, status=418), [])))
        elif what == "link":
            self.ask("link", op="clear", owner=ours)
            self.ask("link", op="set", mode="swallow", owner=KEEPS)
        else:
            self.ask("keeper", op="release", zone="b", owner=ours)
            self.ask("keeper", op="hold", zone="b", owner=KEEPS)

    def give_back(self) -> None:
        client.edit(self.sidecar(), lambda found: without_fault(found, KEEPS))
        if self.ask("link")["owner"] == KEEPS:
            self.ask("link", op="clear", owner=KEEPS)
        self.ask("keeper", op="release", zone="b", owner=KEEPS)

    def owners(self) -> set[str | None]:
        others = {owner for envoy in self.envoys() for owner in faults_there(client.read(envoy), ["catalog", "shop"])}
        others |= {owner for envoy in self.envoys() for owner in client.owners_in_force(envoy)}
        return {self.ask("link")["owner"], self.ask("keeper")["zones"]["b"]["held_by"], *others}

    def untouched(self) -> bool:
        replicas = read_roster(self.info.roster)["replicas"]
        running = all(one["ready"] and process_state(one["pid"]) in ("S", "R", "D") for one in replicas)
        link = self.ask("link")
        marks = [path for name in ("markers", "fuses") for path in (Path(self.info.dir) / name).iterdir()]
        return running and self.owners() == {None} and link["mode"] == "pass" and not marks


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One sandbox for all rows, so that what one leaves behind is seen by the next."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("sandboxes")))
    one = Shop("contract")
    yield one
    sandbox.down(one.name)
    patch.undo()


@pytest.fixture
def supervise(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Row], Supervisor]]:
    """Makes the run of a row."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    made: list[Supervisor] = []

    def supervise(row: Row) -> Supervisor:
        until(shop.untouched, "an untouched sandbox to begin with")
        made.append(Supervisor(shop.environment(), activity("the fault", row.func, **row.arguments)))
        return made[-1]

    yield supervise
    for one in made:
        one.close()
    recover.recover_runs(None, 10.0)  # what a failed test has left would fail the next
    shop.give_back()


def injected(run: Supervisor, row: Row) -> Any:
    """The fault in force and seen; the prober, and the process that injected it killed with -9."""
    prober = run.prober()
    prober.wait(kind="note", fault="the fault", watching=True)
    child = run.inject(row.func, "the fault", **row.arguments)
    assert child.stdout is not None
    returned = json.loads(child.stdout.readline())
    seen = prober.wait(kind="effect", fault="the fault")
    assert returned["effect"] == {"lo_ns": seen["lo_ns"], "hi_ns": seen["hi_ns"], "proof": seen["proof"]}
    child.kill()
    child.wait()
    return prober


@pytest.mark.parametrize("row", ROWS)
def test_it_is_seen_in_effect_and_healed_when_its_injector_is_killed_and_healing_again_changes_nothing(
    row: Row, shop: Shop, supervise: Callable[[Row], Supervisor]
) -> None:
    run = supervise(row)
    healer = run.healer("plain")
    prober = injected(run, row)
    assert bool(run.pending()) is row.held
    healer.say(op="heal", fault="the fault")
    healer.wait(op="healed", fault="the fault", ok=True)
    removed = prober.wait(kind="removed", fault="the fault")
    assert removed["replaced"] is row.replaced
    assert not run.pending()
    until(shop.untouched, "the sandbox as it was")
    frames = run.recs()
    healer.say(op="heal", fault="the fault")
    healer.say(op="last")
    healer.wait(op="clean")
    assert run.recs() == frames
    assert shop.untouched()


@pytest.mark.parametrize("row", ROWS)
def test_it_is_healed_when_supervisor_and_injector_are_both_killed(row: Row, shop: Shop, supervise: Callable[[Row], Supervisor]) -> None:
    run = supervise(row)
    healer = run.healer("plain")  # nobody beats here; that a missing heartbeat counts as death is the healer's own test
    injected(run, row)
    run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    until(shop.untouched, "the sandbox as it was")
    assert recover.recover_runs(None, 5.0) == []


@pytest.mark.parametrize("row", [one for one in ROWS if one.values[0].takeover])  # type: ignore[union-attr]
def test_what_somebody_else_set_meanwhile_is_kept_and_told(row: Row, shop: Shop, supervise: Callable[[Row], Supervisor]) -> None:
    run = supervise(row)
    healer = run.healer("plain")
    injected(run, row)
    assert row.takeover is not None
    shop.take_over(row.takeover, f"{run.run}--the fault")
    healer.say(op="last")
    left = healer.wait(op="dirty")["pending"]
    assert [(item["rec"], item["fault"]) for item in left] == [("CONFLICT", "the fault")]
    assert KEEPS in shop.owners()
    assert [entry.rec for entry in entries(run.ledger.read().frames) if entry.pending] == ["CONFLICT"]
    shop.give_back()
    healer.say(op="last")
    healer.wait(op="clean")
    until(shop.untouched, "the sandbox as it was")


@pytest.mark.parametrize("row", [one for one in ROWS if one.values[0].held])  # type: ignore[union-attr]
def test_its_fuse_is_armed_before_the_first_mutation_and_takes_it_back_alone(row: Row, shop: Shop, supervise: Callable[[Row], Supervisor]) -> None:
    run = supervise(row)
    injected(run, row)
    frames = [frame for frame in run.ledger.read().frames if frame.fault == "the fault"]
    assert frames[0].rec == "FUSE" and frames[0].ours["verified"] is True
    assert fuse.verify(frames[0].ours["ref"]) == frames[0].expires_ns > max(frame.expires_ns for frame in frames[1:])
    (path,) = (Path(shop.info.dir) / "fuses").iterdir()
    record = json.loads(path.read_text())
    planned = state.read_json(run.folder / state.SPEC)["plan"]["resolved"][0]
    assert not shop.untouched()
    fuse.arm(planned, record["owner"], record["parts"], boot_ns())  # the same, due at once
    run.close()
    shutil.rmtree(run.folder)
    until(shop.untouched, "the sandbox as it was, with nobody's help")
