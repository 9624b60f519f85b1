"""Real runs of `chaosx` with two state directories on one sandbox: they never mix, and what a person answers for is in the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from undo_rig import until

from chaoslib_ext import locks, sandbox
from chaoslib_ext.environment import Environment
from chaoslib_ext.process.client import control, read_roster

pytestmark = pytest.mark.slow
LIMIT_S = 240.0  # a whole run on a busy machine; nothing is asserted about how long it really takes
EXPERIMENT = """
title: two at once
method:
- type: action
  name: lose zone b
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: %s, how: isolate, timeout_s: 60.0}}
"""  # without load: whether it is injected must not hang on how healthy a baseline is on this machine


SANDBOX = "locks"  # the name of the box


def start(folder: Path, state: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.cli", "run", "two.yaml", "--env", "sandbox@locks", "--json", *words]
    environment = {**os.environ, "CHAOSX_STATE": str(folder / state), "NO_COLOR": "1"}
    return subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def taken_by_hand(box: sandbox.SandboxInfo) -> str:
    """Somebody takes a living run for dead and gives its lock back for it; returns that run."""
    ((kind, scope, found),) = locks.look(Environment.from_json(sandbox.environment_json(box)))
    assert found.run is not None
    locks.give_back([locks.Held(kind, scope, found.run, found.token)])
    return found.run


def holder(box: sandbox.SandboxInfo) -> str | None:
    return locks.look(Environment.from_json(sandbox.environment_json(box)))[0][2].run


def owner(box: sandbox.SandboxInfo, zone: str = "b") -> str | None:
    found: str | None = control(read_roster(box.roster)["links"][zone]["control"], {"op": "status"}, 5.0)["owner"]
    return found


def test_a_second_run_is_refused_until_the_first_is_healed_and_its_own_report_says_that_it_had_no_fuse(box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(EXPERIMENT % "600s")
    first = start(tmp_path, "one")
    try:
        until(lambda: owner(box) or first.poll() is not None, "the fault of the first run", LIMIT_S)
        assert first.poll() is None, first.communicate()[1]
        second = start(tmp_path, "two")
        _, told = second.communicate(timeout=LIMIT_S)
        assert second.returncode in (3, 6) and holder(box) is not None
        assert f"LOCK_HELD: sandbox: run {holder(box)} (process {first.pid} on" in told and "chaosx recover --env sandbox@locks --dry-run" in told
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=LIMIT_S)
    until(lambda: holder(box) is None, "the healer of the first run gives the lock back", LIMIT_S)
    assert owner(box) is None
    (tmp_path / "two.yaml").write_text(EXPERIMENT % "1s")
    third = start(tmp_path, "two", "--no-fuse", "--confirm", "sandbox")
    out, told = third.communicate(timeout=LIMIT_S)
    assert third.returncode == 3, told  # nothing is promised, so nothing is decided
    assert holder(box) is None, "given back at its end"
    directory = Path(json.loads(out)["directory"])
    notice = "run without fuses (--no-fuse): had this machine been lost, nothing in the target would have taken back lose zone b"
    assert json.loads((directory / "result.json").read_text())["notices"] == [notice]
    assert f"Notice: {notice}" in (directory / "report.html").read_text()
    assert '"FUSE"' not in (directory / "undo.wal").read_text(errors="replace")
    assert not list((Path(box.dir) / "fuses").iterdir())


@pytest.mark.parametrize("words", [("--no-fuse",), ("--no-fuse", "--confirm", "yes")])
def test_without_the_word_of_a_person_nothing_is_begun(words: tuple[str, ...], box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(EXPERIMENT % "1s")
    run = start(tmp_path, "one", *words)
    _, told = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 2
    assert "--confirm: got " in told and "expected the environment's name: sandbox" in told
    assert holder(box) is None and not (tmp_path / "reports").exists()


@pytest.mark.parametrize("other", [True, False], ids=["another run has it", "nobody has it"])
def test_a_run_whose_lock_is_taken_away_stops_and_takes_back_its_own_and_nothing_else(other: bool, box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    """In the middle of a held fault, with another one to come. The other run has a fault of its own in force by then."""
    environment, theirs = Environment.from_json(sandbox.environment_json(box)), read_roster(box.roster)["links"]["a"]["control"]
    later = (
        EXPERIMENT % "600s"
        + (EXPERIMENT % "600s").split("method:\n")[1].replace("zone b", "zone c").replace("zone: b", "zone: c")
        + "  pauses: {before: 120}\n"
    )
    (tmp_path / "two.yaml").write_text(later)
    run = start(tmp_path, "one")
    try:
        until(lambda: owner(box) or run.poll() is not None, "the fault of the run", LIMIT_S)
        assert run.poll() is None, run.communicate()[1]
        name = taken_by_hand(box)
        held = locks.take(environment, "other-run") if other else ()
        for lock in held:
            control(theirs, {"op": "set", "mode": "swallow", "owner": "other-run--f", "fence": lock.token}, 5.0)
        out, told = run.communicate(timeout=LIMIT_S)
    finally:
        run.kill()
        run.wait(LIMIT_S)
    assert run.returncode == 4, told
    result = json.loads(out)
    assert (result["verdict"], result["reasons"][0]) == ("ABORTED", "LOCK_LOST")
    text = f"the lock is not {name}'s any more: {'other-run' if other else 'nobody'} holds this sandbox"
    assert text in (Path(result["directory"]) / "events.jsonl").read_text()
    assert '"lose zone c"' not in (Path(result["directory"]) / "undo.wal").read_text(errors="replace"), "nothing more was injected"
    assert owner(box) is None and holder(box) == ("other-run" if other else None)
    for lock in held:
        assert owner(box, "a") == "other-run--f"
        control(theirs, {"op": "clear", "owner": "other-run--f"}, 5.0)
        locks.give_back([lock])
    (tmp_path / "two.yaml").write_text(EXPERIMENT % "1s")
    following = start(tmp_path, "two")
    _, told = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 3, told  # nothing is promised, so nothing is decided
    assert holder(box) is None and not list((Path(box.dir) / "markers").iterdir()) and not list((Path(box.dir) / "fuses").iterdir())
