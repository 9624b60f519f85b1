"""Recover cleans up after the dead, refuses to meddle with the living, and may be run as often as one likes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, activity, until

from chaoslib_ext import recover, state
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.ledger import Frame, Target

Supervise = Callable[..., Supervisor]


def left_behind(run: Supervisor, how: str = "silent") -> None:
    """A fault in force whose injector and supervisor were killed, with no healer around."""
    child = run.inject("lose_zone", "lose", zone="b", duration="60s", how=how, timeout_s=60.0)
    until(lambda: run.recs().count("APPLIED") == 2 - (how == "isolate"), "all parts applied")
    child.kill()
    child.wait()
    run.die()


@pytest.mark.parametrize("how", ["silent", "isolate", "crash"])
def test_what_was_left_behind_is_taken_back_once_and_then_nothing_changes(how: str, room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", how=how, timeout_s=60.0))
    left_behind(run, how)
    (first,) = recover.recover_runs(None, 10.0)
    assert first.clean and first.healed
    assert str(first).startswith(f"{run.run}: clean\n  taken back: lose: ")
    until(room.untouched, "nothing left")
    frames = run.recs()
    assert recover.recover_runs(None, 10.0) == []
    (again,) = recover.recover_runs(run.run, 10.0)
    assert again.clean and not again.healed
    assert run.recs() == frames
    assert state.read_json(run.folder / "closed.json")["by"] == "recover"


def test_a_run_whose_supervisor_lives_is_refused(room: Room, supervise: Supervise) -> None:
    run = supervise()
    with pytest.raises(Refused, match="its supervisor is alive"):
        recover.recover_runs(run.run, 1.0)
    assert recover.recover_runs(None, 1.0) == []


def test_an_unknown_run_names_those_that_are_open(room: Room, supervise: Supervise) -> None:
    run = supervise()
    with pytest.raises(UsageError, match=f"open runs: {run.run}"):
        recover.recover_runs("nonsense", 1.0)
    with pytest.raises(UsageError, match="expected the id of a run"):
        recover.recover_runs("../../etc", 1.0)


def test_children_of_the_dead_are_killed_with_their_own_children(room: Room, supervise: Supervise) -> None:
    run = supervise()
    code = "import os, time; pid = os.fork(); pid and print(pid, flush=True); time.sleep(600)"
    child = run.spawn("method", code)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    run.die()
    recover.recover_runs(None, 10.0)
    assert child.wait(DEADLINE_S) == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{grandchild}").exists() or Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z", "the grandchild gone")


def test_two_recovers_at_once_both_end_clean(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", timeout_s=60.0))
    left_behind(run)
    code = "from chaoslib_ext.recover import recover_runs; import sys; sys.exit(not all(one.clean for one in recover_runs(sys.argv[1], 20.0)))"
    both = [subprocess.Popen([sys.executable, "-c", code, run.run]) for _ in range(2)]
    assert [one.wait(DEADLINE_S) for one in both] == [0, 0]
    assert room.untouched()


def test_what_cannot_be_healed_keeps_the_run_open_until_a_person_accepts_it(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", how="isolate", timeout_s=60.0))
    left_behind(run, "isolate")
    room.link(op="clear", owner=f"{run.run}--lose")
    room.link(op="set", mode="swallow", owner="somebody else")
    (outcome,) = recover.recover_runs(None, 1.0)
    assert not outcome.clean
    assert [item["rec"] for item in outcome.as_json()["left"]] == ["CONFLICT"]
    assert state.open_runs() == [run.folder]
    with pytest.raises(UsageError, match="--reason"):
        recover.accept(run.run, "lose", " ")
    assert recover.accept(run.run, "lose", "ours, on purpose")[0].startswith("link link b")
    assert recover.recover_runs(None, 1.0)[0].clean
    assert room.link()["owner"] == "somebody else"


def test_a_corrupt_ledger_is_dirty_and_says_where_to_look(room: Room, supervise: Supervise) -> None:
    run = supervise()
    run.ledger.append(Frame("f", "INTENT", "process.thaw", Target(uid=room.replica("shop-b1")["uid"])))
    run.ledger.path.write_bytes(b"nonsense\n" + run.ledger.path.read_bytes())
    run.die()
    (outcome,) = recover.recover_runs(None, 1.0)
    assert not outcome.clean
    assert "undo.wal" in outcome.left[-1].command
    assert state.open_runs() == [run.folder]


@pytest.mark.parametrize("how", ["silent", "crash"])
def test_without_any_state_directory_the_markers_in_the_target_are_enough(how: str, room: Room, supervise: Supervise, state_folder: Path) -> None:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", how=how, timeout_s=60.0))
    left_behind(run, how)
    assert len(room.markers()) == 1
    assert room.markers()[0].stat().st_mode & 0o777 == 0o600
    shutil.rmtree(state_folder)
    (outcome,) = recover.recover_from_markers(room.folder, 10.0)
    assert outcome.clean
    until(room.untouched, "nothing left")
    assert recover.recover_from_markers(room.folder, 10.0) == []


def test_a_run_that_never_began_is_closed(room: Room, supervise: Supervise) -> None:
    run = supervise()
    run.die()
    assert recover.recover_runs(None, 1.0) == [recover.Outcome(run.run, (), ())]
    assert state.open_runs() == []


def test_folders_and_files_of_the_state_are_for_their_owner_only(supervise: Supervise) -> None:
    run = supervise()
    run.ledger.append(Frame("f", "EFFECT"))
    os.close(state.take_heal_lock(run.folder, True, 1.0) or -1)
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in run.folder.iterdir() if path.stat().st_mode & 0o077} == {}
