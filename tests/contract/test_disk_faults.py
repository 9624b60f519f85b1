"""
The contract of the faults of a disk, one row each, against a real store on small disks of its own: injected, seen in
effect, its injector killed with -9, healed by the healer, healed again with no change, and what is somebody else's kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "undo"))  # tests are no packages; the rigs are shared
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from store_rig import Box
from undo_rig import DEADLINE_S, Supervisor, activity, until

from chaoslib_ext import recover
from chaoslib_ext.clock import boot_ns
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.ledger import entries
from chaoslib_ext.process import disk, tracer
from chaoslib_ext.process.client import alive
from chaoslib_ext.process.store import node_processes
from chaoslib_ext.sandbox.store_disk import refusal

SWITCHES = ("store_small_disk", "store_fsync")
WHY = refusal() or ("" if tracer.which("strace") else "strace is missing")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY), reason=WHY)]
STANDBY = "a standby"


@dataclass(frozen=True)
class Row:
    """One fault: its call, and whether what answers afterwards is another incarnation."""

    func: str
    arguments: dict[str, Any]
    replaced: bool | None = False


FULL = Row("fill_disk", {"duration": "90s"})
SLOW = Row("slow_disk", {"delay": "300ms", "duration": "90s"})
ROWS = [
    pytest.param(FULL, id="fill_disk of the primary"),
    pytest.param(Row("fill_disk", {"duration": "90s", "node": STANDBY}, None), id="fill_disk of a standby"),
    pytest.param(SLOW, id="slow_disk"),
]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One sandbox for all rows, so that what one leaves behind is seen by the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("disks")))
        made = Box("disks", *SWITCHES)
        made.controller(op="set", detection_s=3600)  # a busy machine is no reason to fail over
        yield made
        made.down()


def names(fd: int) -> list[str]:
    return os.listdir(fd)


def files(box: Box) -> list[str]:
    """Whatever lies on the disks beside the data."""
    found = []
    for node in box.store()["nodes"]:
        with disk.opened(node["disk"]) as fd:
            found += [name for name in names(fd) if name != "data"]
    return found


def untouched(box: Box) -> bool:
    """Every node is up, nobody is followed or stands still, nothing but data lies on the disks, and no marker is left."""
    folders = [node["folder"] for node in box.store()["nodes"]]
    free = not any(tracer.followed(folder) or tracer.still_held(folder) for folder in folders)
    return (
        free and not files(box) and sorted(box.roles().values()) == ["primary", "standby", "standby"] and not list((Path(box.info.dir) / "markers").iterdir())
    )


@dataclass
class Case:
    """A row with its run, its sandbox and the arguments of this very call."""

    row: Row
    box: Box
    run: Supervisor
    arguments: dict[str, Any]

    @property
    def owner(self) -> str:
        return f"{self.run.run}--the fault"

    @property
    def node(self) -> dict[str, Any]:
        return self.box.node(self.arguments.get("node") or self.box.primary())

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
    until(lambda: untouched(box), "an untouched sandbox to begin with")
    row: Row = request.param
    standby = next(name for name, role in box.roles().items() if role == "standby")
    arguments = {name: standby if value == STANDBY else value for name, value in row.arguments.items()}
    environment = Environment("sandbox", identity={"sandbox": box.info.identity}, services={"shop": Service("shop", processes={"roster": box.info.roster})})
    run = Supervisor(environment, activity("the fault", row.func, **arguments))
    yield Case(row, box, run, arguments)
    run.close()
    recover.recover_runs(None, 30.0)  # a test that failed half-way must not make the others fail


@pytest.mark.parametrize("case", ROWS, indirect=True)
def test_it_is_seen_in_effect_and_healed_when_its_injector_is_killed_and_healing_again_changes_nothing(case: Case) -> None:
    run, box = case.run, case.box
    healer = run.healer("plain")
    prober = case.injected()
    assert len(run.pending()) == 1
    assert bool(tracer.running(case.owner)) is (case.row.func == "slow_disk")
    assert bool(files(box)) is (case.row.func == "fill_disk")
    healer.say(op="heal", fault="the fault")
    healer.wait(op="healed", fault="the fault", ok=True)
    assert (tracer.running(case.owner), files(box)) == ([], [])
    removed = prober.wait(kind="removed", fault="the fault")
    assert case.row.replaced in (None, removed["replaced"])
    assert not run.pending()
    until(lambda: untouched(box), "the sandbox as it was")
    until(lambda: box.order(f"after:{run.process.pid}") == 201, "a write")
    frames = run.recs()
    healer.say(op="heal", fault="the fault")
    healer.say(op="last")
    healer.wait(op="clean")
    assert run.recs() == frames
    assert untouched(box)


@pytest.mark.parametrize("case", ROWS, indirect=True)
def test_it_is_healed_when_supervisor_and_injector_are_both_killed(case: Case) -> None:
    healer = case.run.healer("plain")  # without a heartbeat, which a busy machine may miss
    case.injected()
    case.run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    until(lambda: untouched(case.box), "the sandbox as it was")
    assert recover.recover_runs(None, 5.0) == []


@pytest.mark.parametrize("case", [pytest.param(FULL, id="fill_disk")], indirect=True)
def test_what_clients_order_is_refused_while_the_disk_is_full_and_not_afterwards(case: Case) -> None:
    healer = case.run.healer("plain")
    case.injected()
    refused = until(lambda: case.box.order(f"full:{boot_ns()}") == 503, "an order that needs room")
    healer.say(op="last")
    healer.wait(op="clean")
    assert refused
    until(lambda: case.box.order(f"room:{boot_ns()}") == 201, "an order")


@pytest.mark.parametrize("case", [pytest.param(Row("fill_disk", {"duration": "90s", "node": STANDBY}), id="fill_disk of a standby")], indirect=True)
def test_a_standby_that_its_full_disk_has_ended_is_brought_back_by_the_heal(case: Case) -> None:
    healer, node = case.run.healer("plain"), case.node
    prober = case.injected()
    until(lambda: case.box.order(f"ending:{boot_ns()}") and not alive(node["pid"], node["start_ticks"]), "the standby ended")
    healer.say(op="last")
    healer.wait(op="clean")
    assert case.box.controller()["nodes"][node["name"]] == "standby"
    assert node_processes(node["folder"])
    assert prober.wait(kind="removed", fault="the fault")["replaced"] is True
    until(lambda: untouched(case.box), "the sandbox as it was")


@pytest.mark.parametrize("case", [pytest.param(FULL, id="fill_disk")], indirect=True)
def test_the_ballast_that_became_somebody_else_s_is_kept_and_told(case: Case) -> None:
    run, box, node = case.run, case.box, case.node
    healer = run.healer("plain")
    with disk.opened(node["disk"]) as fd:
        os.close(os.open("a stranger's", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))
    case.injected()
    with disk.opened(node["disk"]) as fd:
        ballast = next(name for name in names(fd) if name.startswith("ballast-"))
        os.rename(ballast, "taken over", src_dir_fd=fd, dst_dir_fd=fd)
    healer.say(op="last")
    left = healer.wait(op="dirty")["pending"]
    assert [(item["rec"], item["fault"], item["handler"]) for item in left] == [("CONFLICT", "the fault", "process.empty_disk")]
    assert "still full, of what is not ours" in left[0]["error"]
    assert sorted(files(box)) == ["a stranger's", "taken over"]
    assert [entry.rec for entry in entries(run.ledger.read().frames) if entry.pending] == ["CONFLICT"]
    with disk.opened(node["disk"]) as fd:
        os.unlink("taken over", dir_fd=fd)
    healer.say(op="last")
    healer.wait(op="clean")
    assert files(box) == ["a stranger's"]
    with disk.opened(node["disk"]) as fd:
        os.unlink("a stranger's", dir_fd=fd)
    until(lambda: untouched(box), "the sandbox as it was")


@pytest.mark.parametrize("case", [pytest.param(FULL, id="fill_disk")], indirect=True)
def test_a_file_in_the_ballast_s_place_that_is_not_ours_is_kept_and_told(case: Case) -> None:
    healer, node = case.run.healer("plain"), case.node
    case.injected()
    with disk.opened(node["disk"]) as fd:
        (name,) = [name for name in names(fd) if name.startswith("ballast-")]
        stranger = os.open(name, os.O_WRONLY | os.O_TRUNC, dir_fd=fd)
        os.write(stranger, b"something else")
        os.close(stranger)
    healer.say(op="last")
    left = healer.wait(op="dirty")["pending"]
    assert [item["rec"] for item in left] == ["CONFLICT"]
    assert "is not the ballast of" in left[0]["error"]
    assert files(case.box) == [name]
    with disk.opened(node["disk"]) as fd:
        os.unlink(name, dir_fd=fd)
    healer.say(op="last")
    healer.wait(op="clean")


def follow(folder: str) -> subprocess.Popen[bytes]:
    """A stranger's strace on a node."""
    pid = node_processes(folder)[0][0]
    stranger = subprocess.Popen(["strace", "-qq", "-e", "trace=fsync", "-o", os.devnull, "-p", str(pid)], stdin=subprocess.DEVNULL)
    until(lambda: tracer.tracer_of(pid) == stranger.pid, "the stranger's strace")
    return stranger


@pytest.mark.parametrize("case", [pytest.param(SLOW, id="slow_disk")], indirect=True)
def test_a_node_that_somebody_else_follows_is_left_as_it_is(case: Case) -> None:
    folder = case.node["folder"]
    stranger = follow(folder)
    try:
        child = case.run.inject("slow_disk", "the fault", **case.arguments)
        assert child.stderr is not None
        assert b"somebody else follows processes of this node already" in child.stderr.read()
        assert set(tracer.followed(folder).values()) == {stranger.pid}
        assert tracer.running(case.owner) == []
        assert not case.run.pending()
        healer = case.run.healer("plain")
        healer.say(op="last")
        healer.wait(op="clean")
        assert set(tracer.followed(folder).values()) == {stranger.pid}
    finally:
        stranger.terminate()
        stranger.wait()


@pytest.mark.parametrize("case", [pytest.param(SLOW, id="slow_disk")], indirect=True)
def test_the_strace_of_somebody_else_survives_the_heal(case: Case) -> None:
    healer = case.run.healer("plain")
    case.injected()
    beside = follow(case.box.node(next(name for name, role in case.box.roles().items() if role == "standby"))["folder"])
    after: list[subprocess.Popen[bytes]] = []
    try:
        healer.say(op="heal", fault="the fault")
        healer.wait(op="healed", fault="the fault", ok=True)
        after.append(follow(case.node["folder"]))
        healer.say(op="last")
        healer.wait(op="clean")
        assert [one.poll() for one in (beside, *after)] == [None, None]
        assert set(tracer.followed(case.node["folder"]).values()) == {after[0].pid}
    finally:
        for one in (beside, *after):
            one.terminate()
            one.wait()
