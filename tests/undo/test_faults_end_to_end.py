"""A fault's whole life on the stand-in: planned, injected, seen, taken back, seen gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, activity, until

from chaoslib_ext.process.client import uid_alive

Supervise = Callable[..., Supervisor]


@pytest.mark.parametrize("how", ["silent", "isolate", "crash"])
def test_a_held_fault_is_seen_in_effect_taken_back_in_time_and_seen_gone(how: str, room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose zone b", "lose_zone", zone="b", duration="1s", how=how))
    healer, prober = run.healer("plain"), run.prober()
    prober.wait(kind="note", fault="lose zone b", watching=True)
    child = run.inject("lose_zone", "lose zone b", zone="b", duration="1s", how=how)
    assert child.stdout is not None
    effect = json.loads(child.stdout.readline())["effect"]
    seen = prober.wait(kind="effect", fault="lose zone b")
    assert effect["lo_ns"] == seen["lo_ns"] <= seen["hi_ns"] == effect["hi_ns"]
    assert healer.wait(op="healed", fault="lose zone b") == {"op": "healed", "fault": "lose zone b", "ok": True, "by": "time"}
    removed = prober.wait(kind="removed", fault="lose zone b")
    assert removed["replaced"] is (how == "crash")
    assert removed["lo_ns"] <= removed["hi_ns"]
    tries = [frame.t_ns for frame in run.ledger.read().frames if frame.rec == "UNDO_TRY"]
    assert min(tries) <= removed["lo_ns"] + (removed["hi_ns"] - removed["lo_ns"])
    until(room.untouched, "nothing left in zone b")
    intents = [frame.t_ns for frame in run.ledger.read().frames if frame.rec == "INTENT"]
    assert effect["lo_ns"] >= min(intents)


def test_a_killed_replica_is_seen_gone_and_replaced(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("kill one", "kill_replicas", service="shop", count=1, zone="c"))
    prober = run.prober()
    prober.wait(kind="note", fault="kill one", watching=True)
    before = room.replica("shop-c1")["uid"]
    child = run.inject("kill_replicas", "kill one", service="shop", count=1, zone="c")
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["targets"] == [before]
    prober.wait(kind="effect", fault="kill one")
    assert prober.wait(kind="removed", fault="kill one")["replaced"] is True
    new = prober.wait(kind="target", what="ready", name="shop-c1")["uid"]
    assert new == room.replica("shop-c1")["uid"] != before
    assert [prober.wait(kind="target", what=what)["uid"] for what in ("killed", "gone", "started")] == [before, before, new]
    assert not run.pending()


def test_without_a_prober_the_action_fails_and_the_fault_is_taken_back(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", timeout_s=0.2))
    healer = run.healer("plain")
    child = run.inject("lose_zone", "lose", zone="b", duration="60s", timeout_s=0.2)
    assert child.stderr is not None
    assert b"its effect was not seen from outside within 0.2 s" in child.stderr.read()
    assert room.frozen("shop-b1")
    healer.say(op="heal", fault="lose")
    healer.wait(op="healed", fault="lose", ok=True, by="order")
    assert room.untouched()


def test_a_fault_whose_way_back_cannot_be_written_is_not_injected(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("kill", "kill_replicas", service="shop", count=1, zone="c"))
    before = room.replica("shop-c1")["uid"]
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"  # as on a full disk: not a byte more in any file
    child = run.spawn("method", full + "from chaoslib_ext import faults\nfaults.kill_replicas('shop', count=1, zone='c')")
    assert child.stderr is not None
    assert b"OSError" in child.stderr.read()
    assert run.recs() == []
    assert room.replica("shop-c1")["uid"] == before
    assert uid_alive(before)


def test_a_replaced_target_is_not_touched(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s"))
    old = room.replica("shop-b1")
    os.kill(old["pid"], signal.SIGKILL)
    until(lambda: room.replica("shop-b1")["uid"] != old["uid"], "the replacement")
    run.healer("plain").say(op="beat")
    child = run.inject("lose_zone", "lose", zone="b", duration="60s")
    assert child.stderr is not None
    assert b"TARGETS_CHANGED" in child.stderr.read()
    assert not room.frozen("shop-b1")
    assert "REJECTED" in run.recs()


def test_a_prober_that_is_killed_and_started_again_still_sees_the_removal(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s"))
    healer, prober = run.healer("plain"), run.prober()
    prober.wait(kind="note", fault="lose", watching=True)
    run.inject("lose_zone", "lose", zone="b", duration="60s")
    effect = prober.wait(kind="effect", fault="lose")
    prober.process.kill()
    prober.process.wait(DEADLINE_S)
    again = run.prober()
    assert again.wait(kind="reading", fault="lose", ok=True)["in_effect"] == 1
    healer.say(op="heal", fault="lose")
    removed = again.wait(kind="removed", fault="lose")
    assert effect["hi_ns"] < removed["lo_ns"] <= removed["hi_ns"]
    assert run.recs("lose").count("EFFECT") == 1


def test_without_a_supervisor_a_fault_is_taken_back_when_its_process_dies(room: Room, state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_ROSTER", str(room.roster))
    code = "from chaoslib_ext import faults; print(faults.lose_zone('b', '60s'), flush=True); import time; time.sleep(600)"
    chaos = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert chaos.stdout is not None and chaos.stderr is not None
    assert b"lose_zone 1" in chaos.stdout.readline()
    assert room.frozen("shop-b1")
    chaos.kill()
    chaos.wait()
    assert chaos.stderr.read() == b"chaosx: run without `chaosx run`: faults are taken back, no verdict is given.\n"
    until(room.untouched, "the fault taken back")
    (folder,) = (state_folder / "runs").iterdir()
    until((folder / "closed.json").exists, "the run closed by the healer")
    assert json.loads((folder / "closed.json").read_text())["by"] == "healer"
    chaos.stdout.close()
    chaos.stderr.close()


def test_a_plain_chaos_run_takes_its_faults_back_when_it_ends(room: Room, tmp_path: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_ROSTER", str(room.roster))
    method = [activity("lose b", "lose_zone", zone="b", duration="60s"), activity("kill a", "kill_replicas", service="shop", count=1, zone="a")]
    experiment = {"title": "plain", "description": "plain", "method": method}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    chaos = [str(Path(sys.executable).with_name("chaos")), "run", "experiment.json"]
    ended = subprocess.run(chaos, cwd=tmp_path, capture_output=True, text=True, check=False)
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert [run["status"] for run in journal["run"]] == ["succeeded", "succeeded"], ended.stderr
    assert [run["output"]["fault"] for run in journal["run"]] == ["lose_zone 1", "kill_replicas 2"]
    assert "no verdict is given" in ended.stderr
    until(room.untouched, "the fault taken back")
    (folder,) = (state_folder / "runs").iterdir()
    until((folder / "closed.json").exists, "the run closed by the healer")
