"""`chaosx recover`: by what is in the target when the state directory is lost, with a dry run that touches nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from undo_rig import Room, Supervisor, activity, until

from chaoslib_ext import locks
from chaoslib_ext.process.client import read_roster

Supervise = Callable[..., Supervisor]
LOSE = {"zone": "b", "duration": "60s", "timeout_s": 60.0}


class Chaosx:
    """The command, in a folder with an environment file for the stand-in, and with a state directory of one's choice."""

    def __init__(self, folder: Path, room: Room) -> None:
        self.folder, self.room = folder, room
        (folder / "room.yaml").write_text(
            f"apiVersion: chaosx/v1\nkind: Environment\nname: room\nclass: local\nidentity: {{sandbox: {read_roster(room.roster)['identity']}}}\n"
            f"services: {{shop: {{processes: {{roster: {room.roster}}}}}}}\n"
        )

    def __call__(self, *words: str, state: str = "elsewhere") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CHAOSX_STATE": str(self.folder / state), "NO_COLOR": "1"}
        argv = [sys.executable, "-P", "-m", "chaoslib_ext.cli", "recover", *words]
        return subprocess.run(argv, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def chaosx(guarded: Room, tmp_path: Path) -> Chaosx:
    return Chaosx(tmp_path, guarded)


def left_behind(room: Room, supervise: Supervise, how: str = "silent") -> Supervisor:
    """A fault in force, with its lock, its fuse and its marker; all of its run is dead."""
    dead = {"pid": 1, "start_ticks": 1, "boot_id": locks.myself()["boot_id"], "namespace": locks.myself()["namespace"], "host": "here"}
    kind, scope = locks.scopes(room.environment())[0]
    token = locks.LOCKS[kind].acquire(scope, "run-one", dead)["token"]
    about: dict[str, Any] = {"locks": locks.to_json([locks.Held(kind, scope, "run-one", token)])}
    run = supervise(activity("lose", "lose_zone", **LOSE, how=how), at=room, run="run-one", **about)
    child = run.inject("lose_zone", "lose", **LOSE, how=how)
    until(lambda: run.recs().count("APPLIED") == 2, "all parts applied")
    child.kill()
    child.wait()
    run.die()
    return run


def test_with_an_empty_state_directory_the_target_says_what_to_take_back(chaosx: Chaosx, guarded: Room, supervise: Supervise) -> None:
    left_behind(guarded, supervise)
    frozen = guarded.frozen("shop-b1")
    dry = chaosx("--env", "room.yaml", "--dry-run")
    assert (dry.returncode, dry.stderr) == (6, "")
    assert "would free the lock (process.keeper) when all is clean" in dry.stdout
    assert "would take back lose: link link b (process.open_link)" in dry.stdout
    assert "would take out its fuse" in dry.stdout and dry.stdout.endswith("nothing was touched\n")
    assert frozen and guarded.frozen("shop-b1") and guarded.link()["owner"] == "run-one--lose"
    assert len(guarded.fuses()) == len(guarded.markers()) == 1
    assert not (chaosx.folder / "elsewhere").exists(), "not even a state directory is made"
    done = chaosx("--env", "room.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run-one-markers: clean" in done.stdout and "freed: the lock that run run-one had" in done.stdout
    assert guarded.untouched()
    assert [holder.run for _, _, holder in locks.look(guarded.environment())] == [None]
    again = chaosx("--env", "room.yaml")
    assert (again.returncode, again.stdout) == (0, "nothing to recover: no mark of a fault is in the target\n")
    locks.take(guarded.environment(), "the next run begins")


def test_a_run_that_is_known_here_is_recovered_as_itself(chaosx: Chaosx, guarded: Room, supervise: Supervise) -> None:
    left_behind(guarded, supervise, "crash")
    done = chaosx("--env", "room.yaml", "--json", state="state")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told[0]["run"] == "run-one" and told[0]["clean"] and told[0]["healed"]
    until(guarded.untouched, "nothing left")


def test_a_fuse_that_was_armed_and_never_needed_is_taken_out_too(chaosx: Chaosx, guarded: Room, supervise: Supervise) -> None:
    left_behind(guarded, supervise)
    for marker in guarded.markers():
        marker.unlink()  # as if the injector had died between its fuse and its marker, or somebody tidied up
    done = chaosx("--env", "room.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guarded.untouched()


def test_a_run_that_lives_is_left_alone_wherever_its_state_is(chaosx: Chaosx, guarded: Room) -> None:
    held = locks.take(guarded.environment(), "run-one")
    done = chaosx("--env", "room.yaml")
    assert done.returncode == 3
    assert f"run run-one (process {os.getpid()} on" in done.stderr and "chaosx abort run-one" in done.stderr
    dry = chaosx("--env", "room.yaml", "--dry-run", "--json")
    assert dry.returncode == 0
    assert json.loads(dry.stdout)[0]["would"][0].startswith("leave it alone: it has the lock")
    assert locks.lost(held) == ""


def test_what_belongs_to_somebody_else_stays_and_so_does_the_lock(chaosx: Chaosx, guarded: Room, supervise: Supervise) -> None:
    left_behind(guarded, supervise)
    guarded.link(op="clear", owner="run-one--lose")
    guarded.link(op="set", mode="swallow", owner="somebody else")
    done = chaosx("--env", "room.yaml", "--deadline", "2s")
    assert done.returncode == 6
    assert "CONFLICT: lose: link link b" in done.stdout and "chaosx recover --run run-one-markers --accept lose" in done.stdout
    assert guarded.link()["owner"] == "somebody else" and not guarded.frozen("shop-b1")
    assert [holder.run for _, _, holder in locks.look(guarded.environment())] == ["run-one"]
    accepted = chaosx("--run", "run-one-markers", "--accept", "lose", "--reason", "theirs")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    done = chaosx("--env", "room.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [holder.run for _, _, holder in locks.look(guarded.environment())] == [None]


def test_a_dry_run_over_runs_names_each_part_and_changes_nothing(chaosx: Chaosx, guarded: Room, supervise: Supervise) -> None:
    run = left_behind(guarded, supervise)
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    for words in (("--run", "run-one"), ("--all",), ()):
        dry = chaosx(*words, "--dry-run", state="state")
        assert dry.returncode == 6
        assert "run-one: 2 not proven healed" in dry.stdout and "would take back lose: replica shop-b1 (process.thaw, APPLIED)" in dry.stdout
    assert {path: path.read_bytes() for path in run.folder.iterdir()} == before
    assert chaosx("--all", state="state").returncode == 0
    assert chaosx("--all", "--dry-run", state="state").stdout == "nothing to recover\nnothing was touched\n"
    assert guarded.untouched()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--all", "--run", "x"), "got --run and --all, expected one of them"),
        (("--env", "room.yaml", "--all"), "got --all and --env, expected one of them"),
        (("--env", "sandbox"), "a private sandbox ends with its run"),
        (("--env", "nowhere"), "no such file: environments/nowhere.yaml"),
        (("--env", "sandbox@nobody-has-this"), "sandbox"),
        (("--accept", "lose"), "got no --run"),
        (("--run", "x", "--accept", "lose", "--dry-run"), "got --accept and --dry-run"),
        (("--deadline", "soon"), "--deadline"),
        (("--run", "../../etc"), "expected the id of a run"),
    ],
)
def test_words_that_contradict_each_other_are_told(words: tuple[str, ...], told: str, chaosx: Chaosx) -> None:
    done = chaosx(*words)
    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr
