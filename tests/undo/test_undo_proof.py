"""What counts as undone, as gone, and in which order: the reads that prove it, where a target makes it hard to tell."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from undo_rig import Room, Supervisor, until

from chaoslib_ext.heal import Healing, Patience, finish, heal_entry
from chaoslib_ext.ledger import Frame, Target, entries
from chaoslib_ext.process.client import process_state, start_ticks, uid

Supervise = Callable[..., Supervisor]
QUICK = Patience(base_s=0.02, deadline_s=0.5)
PATIENT = Patience(base_s=0.02, deadline_s=60.0)
ATTACH, DETACH = 16, 17  # linux/ptrace.h


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.kill()
    child.wait()


def frozen(run: Supervisor, pid: int, fault: str = "f") -> None:
    target = Target("process", "", "replica", "", str(pid), uid(pid, start_ticks(pid) or 0))
    run.ledger.append(Frame(fault, "INTENT", "process.thaw", target))
    os.kill(pid, signal.SIGSTOP)
    until(lambda: process_state(pid) == "T", "a frozen process")
    run.ledger.append(Frame(fault, "APPLIED", "process.thaw", target))


def test_a_process_that_somebody_else_keeps_stopped_is_not_undone(sleeper: subprocess.Popen[bytes], supervise: Supervise) -> None:
    """A debugger holds it: SIGCONT is taken, and it stands still all the same."""
    run = supervise()
    frozen(run, sleeper.pid)
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    if ptrace(ATTACH, sleeper.pid, None, None) != 0:
        pytest.skip(f"this system lets nobody trace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(sleeper.pid, os.WUNTRACED)
    (entry,) = entries(run.ledger.read().frames)
    left = heal_entry(entry, run.ledger, QUICK)
    assert left is not None and (left.rec, left.error) == ("STUCK", "still stopped after SIGCONT")
    assert "UNDONE" not in run.recs()
    assert ptrace(DETACH, sleeper.pid, None, None) == 0
    (entry,) = entries(run.ledger.read().frames)
    assert heal_entry(entry, run.ledger, PATIENT) is None
    assert process_state(sleeper.pid) == "S" and run.recs()[-1] == "UNDONE"


@pytest.mark.parametrize("handler", ["process.open_link", "process.release_zone"])
def test_a_target_that_cannot_be_found_for_a_while_is_waited_for_and_not_given_up(handler: str, room: Room, supervise: Supervise) -> None:
    """The names of all sockets are gone, as after a network that went away, and their process still runs."""
    run = supervise()
    identity, owner = room.link()["identity"], f"{run.run}--f"
    kind, control = ("link", "links-b.sock") if handler == "process.open_link" else ("zone", "keeper.sock")
    ours = {"owner": owner, "zone": "b", "control": str(room.folder / control), "keeper": str(room.folder / "keeper.sock")}
    ours |= {"marker": str(room.folder / "markers" / "f.json")}
    room.link(op="set", mode="swallow", owner=owner) if kind == "link" else room.keeper(op="hold", zone="b", owner=owner)
    for rec in ("INTENT", "APPLIED"):
        run.ledger.append(Frame("f", rec, handler, Target("process", identity, kind, "", f"{kind} b", f"{identity}/{kind}/b"), ours))
    sockets = list(room.folder.glob("*.sock"))
    for path in sockets:
        path.rename(path.with_suffix(".away"))
    healing = Healing(run.ledger, PATIENT)
    healing.add(entries(run.ledger.read().frames))
    until(lambda: healing.step() or run.recs().count("UNDO_TRY") >= 3, "three tries")
    assert run.pending()
    for path in sockets:
        path.with_suffix(".away").rename(path)
    finish(healing)
    assert healing.left == {} and run.recs()[-1] == "UNDONE"
    assert room.untouched()


def test_a_target_that_hangs_for_a_while_is_waited_for(room: Room, supervise: Supervise) -> None:
    run = supervise()
    identity, owner = room.link()["identity"], f"{run.run}--f"
    ours = {"owner": owner, "zone": "b", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock")}
    room.link(op="set", mode="swallow", owner=owner)
    for rec in ("INTENT", "APPLIED"):
        run.ledger.append(Frame("f", rec, "process.open_link", Target("process", identity, "link", "", "link b", f"{identity}/link/b"), ours))
    os.kill(room.process.pid, signal.SIGSTOP)
    healing = Healing(run.ledger, PATIENT)
    healing.add(entries(run.ledger.read().frames))
    until(lambda: healing.step() or run.recs().count("UNDO_TRY") >= 2, "two tries")
    os.kill(room.process.pid, signal.SIGCONT)
    finish(healing)
    assert healing.left == {} and run.recs()[-1] == "UNDONE"
    assert room.untouched()


def test_the_newest_is_undone_first_and_one_that_fails_holds_up_none(supervise: Supervise) -> None:
    run = supervise()
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(5)]
    try:
        for number, child in enumerate(children):
            frozen(run, child.pid, f"fault {number}")
            if number in (1, 3):
                run.ledger.append(Frame(f"broken {number}", "INTENT", "future.handler", Target(uid=str(number))))
        healing = Healing(run.ledger, QUICK)
        healing.add(entries(run.ledger.read().frames))
        finish(healing)
        tried = [frame.fault for frame in run.ledger.read().frames if frame.rec == "UNDO_TRY"]
        assert tried == ["fault 4", "broken 3", "fault 3", "fault 2", "broken 1", "fault 1", "fault 0"]
        assert sorted(item.fault for item in healing.left.values()) == ["broken 1", "broken 3"]
        assert [process_state(child.pid) for child in children] == ["S"] * 5
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_a_mutation_that_lands_while_its_fate_is_unknown_is_found_within_the_settle_window(room: Room, supervise: Supervise) -> None:
    """A target that knows no fence: the request of the dead arrives after the first look, and again after it was taken back."""
    run = supervise()
    identity, owner = room.link()["identity"], f"{run.run}--f"
    ours = {"owner": owner, "zone": "b", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock")}
    run.ledger.append(Frame("f", "INTENT", "process.open_link", Target("process", identity, "link", "", "link b", f"{identity}/link/b"), ours))
    run.ledger.append(Frame("f", "AMBIG", "process.open_link", Target("process", identity, "link", "", "link b", f"{identity}/link/b"), ours))
    healing = Healing(run.ledger, PATIENT)
    healing.add(entries(run.ledger.read().frames))
    until(lambda: healing.step() or "UNDO_TRY" in run.recs(), "the first look")
    room.link(op="set", mode="swallow", owner=owner)
    finish(healing)
    assert healing.left == {}
    assert room.untouched()
