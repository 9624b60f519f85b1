"""Two runs on one target never mix: the lock is in the target, is not taken over for its age, and its token fences the dead."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, activity, until

from chaoslib_ext import accepted, locks, recover, state
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import FaultFailed, Refused
from chaoslib_ext.process.client import read_roster
from chaoslib_ext.runner import guards
from chaoslib_ext.sandbox.control import Declined
from chaoslib_ext.sandbox.lock_box import LockBox

Supervise = Callable[..., Supervisor]
LOSE = {"zone": "b", "duration": "60s", "timeout_s": 60.0}
TAKE = """
import json, sys
from chaoslib_ext import locks
from chaoslib_ext.environment import Environment
held = locks.take(Environment.from_json(json.loads(sys.argv[1])), sys.argv[2])
print(held[0].token, flush=True)
sys.stdin.read()
"""


class Others:
    """Other processes with state directories of their own that hold a lock until they are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[subprocess.Popen[str]] = []

    def take(self, environment: Environment, run: str, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[str]:
        with monkeypatch.context() as patch:
            patch.setenv("CHAOSX_STATE", str(self.folder / f"state-{run}"))
            argv = [sys.executable, "-c", TAKE, json.dumps(environment.to_json()), run]
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.made.append(child)
        assert child.stdout is not None and child.stdout.readline().strip().isdigit()
        return child

    def close(self) -> None:
        for child in self.made:
            child.kill()
            child.communicate()


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    made = Others(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["target", "file"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Environment:
    """An environment whose lock is in its target, and one whose lock is a file."""
    if request.param == "target":
        room: Room = request.getfixturevalue("guarded")
        return replace(room.environment(), source="room.yaml")
    return Environment("local", lock={"file": str(tmp_path / "lock")}, source="local.yaml")


def scope_of(environment: Environment) -> tuple[str, Any]:
    (found,) = locks.scopes(environment)
    return found


def test_a_second_run_with_another_state_directory_is_refused_and_told_whose_it_is(
    environment: Environment, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = others.take(environment, "run-one", monkeypatch)
    with pytest.raises(Refused, match=rf"run run-one \(process {first.pid} on .*\) holds it; look: chaosx recover --env \S+\.yaml --dry-run") as refused:
        locks.take(environment, "run-two")
    assert refused.value.reason == "LOCK_HELD"
    with pytest.raises(Refused, match="run run-one") as refused:
        locks.refuse_held(environment)
    assert refused.value.reason == "LOCK_HELD"


def test_a_lock_whose_run_died_is_not_taken_over_and_the_command_is_told(environment: Environment, others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    first = others.take(environment, "run-one", monkeypatch)
    first.kill()
    first.wait()
    for _ in range(2):
        with pytest.raises(Refused, match=r"run run-one .* is neither sealed nor recovered; run: chaosx recover --env \S+\.yaml$") as refused:
            locks.take(environment, "run-two")
        assert refused.value.reason == "EARLIER_RUN_DIRTY"


def test_a_run_that_is_closed_and_did_not_come_to_giving_its_lock_back_is_no_obstacle(
    environment: Environment, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = others.take(environment, "run-one", monkeypatch)
    first.kill()
    first.wait()
    folder = state.create_run("run-one", {"run": "run-one"})
    with pytest.raises(Refused, match=r"run: chaosx recover --run run-one$"):
        locks.take(environment, "run-two")
    state.close_run(folder, "supervisor")
    (held,) = locks.take(environment, "run-two")
    assert (held.run, held.token) == ("run-two", 2)
    locks.give_back([held])


def test_a_lock_that_was_given_back_is_free_and_its_token_has_grown(environment: Environment) -> None:
    tokens = []
    for run in ("run-one", "run-two", "run-three"):
        held = locks.take(environment, run)
        assert locks.lost(held) == ""
        tokens.append(held[0].token)
        assert locks.give_back(held) == locks.give_back(held) == []
    assert tokens == [1, 2, 3]
    assert [holder.run for _, _, holder in locks.look(environment)] == [None]


def test_taken_twice_by_one_run_it_is_the_same_lock(guarded: Room) -> None:
    assert locks.take(guarded.environment(), "run-one") == locks.take(guarded.environment(), "run-one")


def test_a_run_notices_that_its_lock_was_taken_from_it(guarded: Room) -> None:
    held = locks.take(guarded.environment(), "run-one")
    locks.give_back(held)
    assert "is not run-one's any more: nobody holds this sandbox" in locks.lost(held)
    locks.take(guarded.environment(), "run-two")
    assert "run-two holds this sandbox, token 2" in locks.lost(held)


def test_a_run_of_another_machine_lives_as_long_as_it_renews(guarded: Room) -> None:
    elsewhere = {"pid": 1, "start_ticks": 1, "boot_id": "another boot", "namespace": "", "host": "elsewhere"}
    kind, scope = scope_of(guarded.environment())
    locks.LOCKS[kind].acquire(scope, "run-one", elsewhere)
    with pytest.raises(Refused, match=r"process 1 on elsewhere\) holds it"):
        locks.take(guarded.environment(), "run-two")
    assert not locks._holder({"run": "run-one", "token": 1, "owner": elsewhere, "age_s": locks.SILENT_S + 1}).alive
    assert locks._holder({"run": "run-one", "token": 1, "owner": elsewhere, "age_s": locks.SILENT_S - 1}).alive


def test_a_keeper_that_begins_again_still_knows_whose_it_is(tmp_path: Path) -> None:
    first = LockBox(tmp_path)
    first.answer({"do": "acquire", "run": "run-one", "owner": {"pid": 1}})
    again = LockBox(tmp_path)
    assert again.answer({"do": "holder"})["lock"]["run"] == "run-one"
    with pytest.raises(Declined, match="run run-one holds this sandbox"):
        again.answer({"do": "acquire", "run": "run-two", "owner": {"pid": 2}})
    again.answer({"do": "release", "run": "run-two"})
    assert again.answer({"do": "holder"})["lock"]["run"] == "run-one", "only its own run gives it back"
    again.answer({"do": "release", "run": "run-one"})
    assert LockBox(tmp_path).answer({"do": "acquire", "run": "run-two", "owner": {"pid": 2}})["lock"]["token"] == 2


def test_what_a_run_sends_after_its_lock_is_over_is_refused_and_undoing_never_is(guarded: Room) -> None:
    old = locks.take(guarded.environment(), "run-one")[0].token
    guarded.link(op="set", mode="swallow", owner="run-one--lose", fence=old)
    guarded.keeper(op="hold", zone="b", owner="run-one--lose", fence=old)
    locks.give_back([locks.Held(*scope_of(guarded.environment()), "run-one", old)])
    locks.take(guarded.environment(), "run-two")
    with pytest.raises(FaultFailed, match="fence: got 1, which is over: token 2"):
        guarded.link("a", op="set", mode="swallow", owner="run-one--lose", fence=old)
    with pytest.raises(FaultFailed, match="fence: got 1, which is over: token 2"):
        guarded.keeper(op="hold", zone="a", owner="run-one--lose", fence=old)
    guarded.link(op="clear", owner="run-one--lose")
    guarded.keeper(op="release", zone="b", owner="run-one--lose")
    assert guarded.untouched()


def test_an_injection_of_a_run_that_lost_its_lock_changes_nothing(guarded: Room, supervise: Supervise) -> None:
    held = locks.take(guarded.environment(), "run-one")
    run = supervise(activity("lose", "lose_zone", **LOSE, how="isolate"), at=guarded, run="run-one", locks=locks.to_json(held), no_fuse=True)
    locks.give_back(held)
    locks.take(guarded.environment(), "run-two")
    _, told = run.inject("lose_zone", "lose", **LOSE, how="isolate").communicate(timeout=DEADLINE_S)
    assert b"fence: got 1, which is over" in told
    assert run.recs()[-1] == "REJECTED"
    assert guarded.link()["mode"] == "pass"


# who gives it back ----------------------------------------------------------------------------------------------------


def in_force(room: Room, supervise: Supervise, run_id: str = "run-one") -> Supervisor:
    """A run with a lock whose fault is in force; its injector is dead."""
    held = locks.take(room.environment(), run_id)
    about = {"locks": locks.to_json(held)}
    run = supervise(activity("lose", "lose_zone", **LOSE, how="isolate"), at=room, run=run_id, **about)
    child = run.inject("lose_zone", "lose", **LOSE, how="isolate")
    until(lambda: "APPLIED" in run.recs(), "the fault in force")
    child.kill()
    child.wait()
    return run


def holder(room: Room) -> str | None:
    (found,) = locks.look(room.environment())
    return found[2].run


def test_the_healer_gives_the_lock_of_a_dead_run_back_when_all_is_clean(guarded: Room, supervise: Supervise) -> None:
    run = in_force(guarded, supervise)
    healer = run.healer("plain")
    run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    assert guarded.untouched() and holder(guarded) is None


def test_recover_gives_the_lock_back(guarded: Room, supervise: Supervise) -> None:
    run = in_force(guarded, supervise)
    run.die()
    assert holder(guarded) == "run-one"
    assert recover.recover_runs("run-one", 10.0)[0].clean
    assert guarded.untouched() and holder(guarded) is None


def test_a_dirty_run_keeps_its_lock_until_all_that_is_left_is_accepted_and_the_next_report_tells(guarded: Room, supervise: Supervise) -> None:
    run = in_force(guarded, supervise)
    run.die()
    guarded.link(op="clear", owner="run-one--lose")
    guarded.link(op="set", mode="swallow", owner="somebody else")
    assert not recover.recover_runs(None, 1.0)[0].clean
    environment = guarded.environment()
    with pytest.raises(Refused, match="run run-one is not proven healed; run: chaosx recover --run run-one") as refused:
        guards.lock_target(environment, "run-two")
    assert refused.value.reason == "EARLIER_RUN_DIRTY"
    assert holder(guarded) == "run-one"
    recover.accept("run-one", "lose", "theirs, on purpose")
    assert recover.recover_runs("run-one", 1.0)[0].clean
    held = guards.lock_target(environment, "run-two")
    (told,) = accepted.not_shown(environment.identity)
    assert (told["run"], told["fault"], told["reason"]) == ("run-one", "lose", "theirs, on purpose")
    assert told["by"] and told["utc"] and told["targets"][0].startswith("link link b")
    assert accepted.not_shown({"sandbox": "another"}) == []
    accepted.shown([told], "run-two")
    assert accepted.not_shown(environment.identity) == []
    locks.give_back(held)
    assert guarded.fuses() == [] and guarded.markers() == []


def test_an_acceptance_of_a_part_of_what_is_left_does_not_end_the_blocking(guarded: Room, supervise: Supervise) -> None:
    held = locks.take(guarded.environment(), "run-one")
    about = {"locks": locks.to_json(held)}
    names = {"lose b": "b", "lose c": "c"}
    rows = [activity(name, "lose_zone", **{**LOSE, "zone": zone}, how="isolate") for name, zone in names.items()]
    run = supervise(*rows, at=guarded, run="run-one", **about)
    for number, (name, zone) in enumerate(names.items(), 1):
        child = run.inject("lose_zone", name, **{**LOSE, "zone": zone}, how="isolate")
        until(lambda number=number: run.recs().count("APPLIED") == number, "in force")
        child.kill()
        child.wait()
        guarded.link(zone, op="clear", owner=f"run-one--{name}")
        guarded.link(zone, op="set", mode="swallow", owner="somebody else")
    run.die()
    assert not recover.recover_runs(None, 1.0)[0].clean
    recover.accept("run-one", "lose b", "theirs")
    assert not recover.recover_runs("run-one", 1.0)[0].clean
    assert holder(guarded) == "run-one"
    with pytest.raises(Refused, match="run-one is not proven healed"):
        guards.lock_target(guarded.environment(), "run-two")
    recover.accept("run-one", "lose c", "theirs too")
    assert recover.recover_runs("run-one", 1.0)[0].clean
    assert holder(guarded) is None


def test_a_target_without_a_lock_of_its_own_takes_the_file_or_none(room: Room, tmp_path: Path) -> None:
    assert locks.scopes(room.environment()) == []
    with_file = replace(room.environment(), lock={"file": str(tmp_path / "lock")})
    assert [kind for kind, _ in locks.scopes(with_file)] == ["file"]


def test_where_one_of_several_locks_is_held_none_is_kept(guarded: Room, others: Others, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Environment("local", lock={"file": str(tmp_path / "lock")})
    others.take(file, "run-one", monkeypatch)
    both = replace(guarded.environment(), lock=file.lock)
    with pytest.raises(Refused, match="run run-one"):
        locks.take(both, "run-two")
    assert holder(guarded) is None
    assert read_roster(guarded.roster)["keeper"]["locks"] is True
