"""A fuse is armed before the first mutation, takes the fault back alone when nobody else does, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from undo_rig import Room, Supervisor, activity, until

from chaoslib_ext import fuses, recover, state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.heal import Patience, heal_run
from chaoslib_ext.ledger import Frame, entries
from chaoslib_ext.process import fuse
from chaoslib_ext.process.client import process_state, signal_uid

Supervise = Callable[..., Supervisor]
LOSE = {"zone": "b", "duration": "60s", "timeout_s": 60.0}


def injected(run: Supervisor, **arguments: Any) -> None:
    """The fault in force, its injector killed with -9."""
    child = run.inject("lose_zone", "lose", **{**LOSE, **arguments})
    until(lambda: run.recs().count("APPLIED") == (1 if arguments.get("how") == "isolate" else 2), "all parts applied")
    child.kill()
    child.wait()


def armed(run: Supervisor) -> Frame:
    return next(frame for frame in run.ledger.read().frames if frame.rec == "FUSE")


def burn_down(run: Supervisor, room: Room) -> None:
    """Arms the same fuse again, due at once: the wait for its expiry is in the slow tests."""
    (path,) = room.fuses()
    record = json.loads(path.read_text())
    row = state.read_json(run.folder / state.SPEC)["plan"]["resolved"][0]
    fuse.arm(row, record["owner"], record["parts"], boot_ns())


@pytest.mark.parametrize("how", ["silent", "isolate", "crash"])
def test_it_is_armed_and_read_back_before_the_first_mutation_and_fires_after_the_healer_would(how: str, guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE, how=how), at=guarded)
    injected(run, how=how)
    frames = run.ledger.read().frames
    assert [frame.rec for frame in frames].index("FUSE") == 0
    assert frames[0].handler == "" and frames[0].ours["verified"] is True and frames[0].ours["fuse"] == "process.keeper"
    assert frames[0].target.kind == "fuse" and frames[0].fault == "lose"
    bound_ns = next(frame.expires_ns for frame in frames if frame.rec == "INTENT" and frame.kind == "held")
    assert frames[0].expires_ns == bound_ns + round(fuses.GRACE_S * NS) == fuses.FUSES["process.keeper"].verify(frames[0].ours["ref"])
    record = json.loads(guarded.fuses()[0].read_text())
    assert [part["handler"] for part in record["parts"]] == [entry.handler for entry in reversed(entries(frames)) if entry.kind == "held"]


@pytest.mark.parametrize("how", ["silent", "isolate", "crash"])
def test_with_runner_healer_and_state_directory_gone_it_takes_the_fault_back_alone(how: str, guarded: Room, supervise: Supervise, state_folder: Path) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE, how=how), at=guarded)
    injected(run, how=how)
    assert not guarded.untouched()
    burn_down(run, guarded)
    run.die()
    shutil.rmtree(state_folder)
    until(guarded.untouched, "everything taken back, no marker, no fuse, no scratch file")
    assert recover.recover_from_markers(guarded.folder, 5.0) == []


def test_what_somebody_else_set_meanwhile_is_kept_and_the_marker_tells_of_it(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE, how="isolate"), at=guarded)
    injected(run, how="isolate")
    guarded.link(op="clear", owner=f"{run.run}--lose")
    guarded.link(op="set", mode="swallow", owner="somebody else")
    burn_down(run, guarded)
    until(lambda: not guarded.fuses(), "the fuse burnt down")
    assert guarded.link()["owner"] == "somebody else"
    assert len(guarded.markers()) == 1


def test_a_process_that_somebody_else_stopped_is_not_continued_by_a_fuse_whose_fault_never_happened(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE, service="shop"), at=guarded)
    row = state.read_json(run.folder / state.SPEC)["plan"]["resolved"][0]
    row["targets"] = [target for target in row["targets"] if target["kind"] == "replica"]
    uid = row["targets"][0]["uid"]
    marker = str(guarded.folder / "markers" / "run--lose-1a2b3c4d.json")
    target = {"platform": "process", "identity": row["targets"][0]["identity"], "kind": "replica", "ns": "shop", "name": "shop-b1", "uid": uid}
    signal_uid(uid, signal.SIGSTOP)
    fuse.arm(row, "run--lose", [{"handler": "process.thaw", "target": target, "ours": {"marker": marker}, "prior": {}}], boot_ns())
    until(lambda: not guarded.fuses(), "the fuse burnt down")
    assert process_state(int(uid.split("-")[1])) == "T"
    signal_uid(uid, signal.SIGCONT)


def test_the_healer_takes_the_fuse_out_with_the_fault(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), at=guarded)
    healer = run.healer("plain")
    injected(run)
    assert len(guarded.fuses()) == 1
    healer.say(op="heal", fault="lose")
    healer.wait(op="healed", fault="lose", ok=True)
    assert guarded.fuses() == []
    assert guarded.untouched()


def test_a_fuse_that_fired_while_the_run_hung_is_recorded_as_undone_by_the_heal_after_it(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), at=guarded)
    injected(run)
    burn_down(run, guarded)
    until(guarded.untouched, "taken back by the fuse")
    assert len(run.pending()) == 2, "the ledger knows nothing of it"
    assert heal_run(run.folder, None, Patience(deadline_s=10.0)) == []
    assert [entry.rec for entry in entries(run.ledger.read().frames)] == ["UNDONE", "UNDONE"]
    assert run.pending() == []


def test_where_no_fuse_can_be_armed_nothing_is_injected(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), at=guarded)
    shutil.rmtree(guarded.folder / "fuses", ignore_errors=True)
    (guarded.folder / "fuses").write_text("a file stands where the folder should be")
    child = run.inject("lose_zone", "lose", **LOSE)
    _, told = child.communicate(timeout=60)
    assert b"FUSE_MISSING: lose: its fuse could not be armed" in told
    assert run.recs() == []
    (guarded.folder / "fuses").unlink()
    assert guarded.untouched()


def test_a_fuse_that_was_changed_on_its_way_is_no_fuse(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), at=guarded)
    injected(run)
    (path,) = guarded.fuses()
    path.write_text(json.dumps({**json.loads(path.read_text()), "parts": []}))
    with pytest.raises(FaultFailed, match="got another fuse"):
        fuse.verify(armed(run).ours["ref"])
    fuse.disarm(armed(run).ours["ref"])
    with pytest.raises(FaultFailed, match="got no fuse"):
        fuse.verify(armed(run).ours["ref"])
    fuse.disarm(armed(run).ours["ref"])
    recover.recover_from_markers(guarded.folder, 10.0)


def test_a_fuse_that_cannot_be_taken_out_keeps_the_run_dirty_until_it_can(guarded: Room, supervise: Supervise, tmp_path: Path) -> None:
    run = supervise()
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deaf.bind(str(tmp_path / "deaf.sock"))
    deaf.listen(8)
    place = {"control": str(tmp_path / "deaf.sock"), "identity": "x", "name": "run--lose-1a2b3c4d.json", "sha256": ""}
    run.ledger.append(Frame("lose", "FUSE", ours={"fuse": "process.keeper", "ref": {"owner": "run--lose", "keepers": [place]}, "verified": True}))
    run.die()
    (outcome,) = recover.recover_runs(None, 0.1)
    assert [(item.rec, item.fault) for item in outcome.left] == [("STUCK", "lose")]
    assert "its fuse could not be taken out" in outcome.left[0].error
    assert state.open_runs() == [run.folder]
    deaf.close()  # its target has ended, and the fuse with it
    assert recover.recover_runs(None, 5.0)[0].clean


def test_the_injection_itself_refuses_too_where_a_fuse_is_wanted(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE))
    spec = state.read_json(run.folder / state.SPEC)
    state.write_json(run.folder / state.SPEC, {**spec, "environment": {**spec["environment"], "fuse": "required"}})
    _, told = run.inject("lose_zone", "lose", **LOSE).communicate(timeout=60)
    assert b"FUSE_MISSING: lose: its target offers no fuse" in told
    assert run.recs() == [] and room.untouched()


def test_with_the_word_of_a_person_nothing_is_armed(guarded: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), at=guarded, no_fuse=True)
    injected(run)
    assert "FUSE" not in run.recs() and guarded.fuses() == []
    run.die()
    assert recover.recover_runs(None, 10.0)[0].clean
