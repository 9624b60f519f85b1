"""
The contract of every fault of the store, one row each, against the real sandbox: injected, seen in effect, its injector
killed with -9, healed by the healer, healed again with no change, and what somebody else set meanwhile kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "undo"))  # tests are no packages; the rig is shared with the undo tests

from store_rig import Box
from undo_rig import DEADLINE_S, Supervisor, activity, until

from chaoslib_ext import recover
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.ledger import entries
from chaoslib_ext.process.client import process_state, read_roster
from chaoslib_ext.process.store import frozen

pytestmark = pytest.mark.slow

KEEPS = "somebody else"
PRIMARY = "the primary"  # its zone, whichever that is by then
STANDBY = "a standby"


@dataclass(frozen=True)
class Row:
    """One fault: its call, whether it is held, whether what answers afterwards is another incarnation, and whether somebody can take its link over."""

    func: str
    arguments: dict[str, Any]
    held: bool
    replaced: bool | None = None  # None: it depends on whether the failover was faster than the heal
    link: bool = False


ROWS = [
    pytest.param(Row("lose_primary", {}, False, True), id="lose_primary kill"),
    pytest.param(Row("lose_primary", {"how": "freeze", "duration": "60s"}, True), id="lose_primary freeze"),
    pytest.param(Row("lose_primary", {"how": "switchover"}, False, True), id="lose_primary switchover"),
    pytest.param(Row("cut_replication", {"zone": STANDBY, "duration": "60s"}, True, False, True), id="cut_replication"),
    pytest.param(Row("delay_replication", {"zone": STANDBY, "delay": "80ms", "duration": "60s"}, True, False, True), id="delay_replication"),
    pytest.param(Row("lose_zone", {"zone": PRIMARY, "duration": "60s"}, True, None, True), id="lose_zone silent, with the primary"),
    pytest.param(Row("lose_zone", {"zone": PRIMARY, "duration": "60s", "how": "crash"}, True, True, True), id="lose_zone crash, with the primary"),
    pytest.param(Row("lose_zone", {"zone": STANDBY, "duration": "60s", "how": "crash"}, True, True, True), id="lose_zone crash, with a standby"),
]


def environment(box: Box) -> Environment:
    return Environment("sandbox", identity={"sandbox": box.info.identity}, services={"shop": Service("shop", processes={"roster": box.info.roster})})


def usable(box: Box) -> bool:
    """One primary, nobody frozen, no link or zone held, all replicas ready; a killed node may be down."""
    roster = read_roster(box.info.roster)
    roles = list(box.roles().values())
    free = not any(box.link(zone)["owner"] for zone in "abc") and not any(zone["held_by"] for zone in box.keeper()["zones"].values())
    running = all(one["ready"] and process_state(one["pid"]) in ("S", "R", "D") for one in roster["replicas"])
    thawed = not any(frozen(node["folder"]) for node in roster["store"]["nodes"])
    return roles.count("primary") == 1 and free and running and thawed and not list((Path(box.info.dir) / "markers").iterdir())


@dataclass
class Case:
    """A row with its run, its sandbox and the arguments of this very call."""

    row: Row
    box: Box
    run: Supervisor
    arguments: dict[str, Any]

    def injected(self) -> Any:
        """The fault in force and seen; the prober, and the process that injected it killed with -9."""
        prober = self.run.prober()
        prober.wait(kind="note", fault="the fault", watching=True)
        child = self.run.inject(self.row.func, "the fault", **self.arguments)
        assert child.stdout is not None
        returned = json.loads(child.stdout.readline() or b"{}")
        assert returned, child.stderr and child.stderr.read()
        seen = prober.wait(kind="effect", fault="the fault")
        assert returned["effect"] == {"lo_ns": seen["lo_ns"], "hi_ns": seen["hi_ns"], "proof": seen["proof"]}
        child.kill()
        child.wait()
        return prober


@pytest.fixture
def case(request: pytest.FixtureRequest, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """The run of a row, on a sandbox that is whole."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    box.sound()
    until(lambda: usable(box), "an untouched sandbox to begin with")
    row: Row = request.param
    roles = box.roles()
    zones = {PRIMARY: box.primary()[-1], STANDBY: next(name[-1] for name, role in roles.items() if role == "standby")}
    arguments = {name: zones.get(value, value) for name, value in row.arguments.items()}
    run = Supervisor(environment(box), activity("the fault", row.func, **arguments))
    yield Case(row, box, run, arguments)
    run.close()
    for zone in "abc":
        if box.link(zone)["owner"] == KEEPS:
            box.link(zone, op="clear", owner=KEEPS)


@pytest.mark.parametrize("case", ROWS, indirect=True)
def test_it_is_seen_in_effect_and_healed_when_its_injector_is_killed_and_healing_again_changes_nothing(case: Case) -> None:
    run = case.run
    healer = run.healer("plain")
    prober = case.injected()
    assert bool(run.pending()) is case.row.held
    healer.say(op="heal", fault="the fault")
    healer.wait(op="healed", fault="the fault", ok=True)
    removed = prober.wait(kind="removed", fault="the fault")
    assert case.row.replaced in (None, removed["replaced"]) or case.row.func == "lose_zone"  # its replicas, too, must all be others
    assert not run.pending()
    until(lambda: usable(case.box), "the sandbox usable")
    until(lambda: case.box.order(f"after:{run.process.pid}") == 201, "a write")
    frames = run.recs()
    healer.say(op="heal", fault="the fault")
    healer.say(op="last")
    healer.wait(op="clean")
    assert run.recs() == frames
    assert usable(case.box)


@pytest.mark.parametrize("case", [row for row in ROWS if row.values[0].held], indirect=True)  # type: ignore[union-attr]
def test_it_is_healed_when_supervisor_and_injector_are_both_killed(case: Case) -> None:
    healer = case.run.healer("plain")
    case.injected()
    case.run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    until(lambda: usable(case.box), "the sandbox usable")
    assert recover.recover_runs(None, 5.0) == []


@pytest.mark.parametrize("case", [row for row in ROWS if row.values[0].link], indirect=True)  # type: ignore[union-attr]
def test_what_somebody_else_set_meanwhile_is_kept_and_told(case: Case) -> None:
    run, zone = case.run, case.arguments["zone"]
    healer = run.healer("plain")
    case.injected()
    case.box.link(zone, op="clear", owner=f"{run.run}--the fault")
    case.box.link(zone, op="set", mode="swallow", owner=KEEPS)
    healer.say(op="last")
    left = healer.wait(op="dirty")["pending"]
    assert [(item["rec"], item["fault"], item["handler"]) for item in left] == [("CONFLICT", "the fault", "process.open_link")]
    assert case.box.link(zone)["owner"] == KEEPS
    assert [entry.rec for entry in entries(run.ledger.read().frames) if entry.pending] == ["CONFLICT"]
    case.box.link(zone, op="clear", owner=KEEPS)
    healer.say(op="last")
    healer.wait(op="clean")
    until(lambda: usable(case.box), "the sandbox usable")


@pytest.mark.parametrize("case", [pytest.param(Row("lose_primary", {"how": "freeze", "duration": "60s"}, True), id="freeze")], indirect=True)
def test_a_node_that_was_frozen_by_somebody_else_is_left_as_it_is(case: Case) -> None:
    case.box.controller(op="set", detection_s=3600)
    node = case.box.node(case.box.primary())
    case.box.freeze(node["name"])
    try:
        child = case.run.inject("lose_primary", "the fault", **case.arguments)
        assert child.stderr is not None
        assert b"somebody else has stopped processes of this node already" in child.stderr.read()
        assert frozen(node["folder"])
        assert not case.run.pending()
        healer = case.run.healer("plain")
        healer.say(op="last")
        healer.wait(op="clean")
        assert frozen(node["folder"])
    finally:
        case.box.thaw(node["name"])
        case.box.controller(op="set", detection_s=1.0)


@pytest.mark.parametrize("case", [pytest.param(Row("lose_primary", {}, False), id="kill")], indirect=True)
def test_a_primary_that_has_changed_since_the_plan_is_not_touched(case: Case) -> None:
    old = case.box.primary()
    case.box.asked(op="switchover")
    new = case.box.promoted(old)
    uids = {node["name"]: node["uid"] for node in case.box.store()["nodes"]}
    child = case.run.inject("lose_primary", "the fault", **case.arguments)
    assert child.stderr is not None
    assert b"TARGETS_CHANGED" in child.stderr.read()
    assert (case.box.primary(), {node["name"]: node["uid"] for node in case.box.store()["nodes"]}) == (new, uids)
