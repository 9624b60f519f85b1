"""Pipelines give 7.5 s: the undo on which most hangs comes first, and nobody who could still inject keeps it waiting."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from undo_rig import Healer, Room, Supervisor, until

from chaoslib_ext import heal, state
from chaoslib_ext.heal import Healing, Patience, finish
from chaoslib_ext.ledger import Entry, Frame, Target, entries
from chaoslib_ext.process.client import alive, process_state, start_ticks
from chaoslib_ext.urgency import most_urgent_first

Supervise = Callable[..., Supervisor]
LINK, ZONE, NODE, REPLICA, ROUTE = "process.open_link", "process.release_zone", "process.thaw_store", "process.thaw", "mesh.strip_fault"


def entry(seq: int, fault: str, handler: str, uid: str = "") -> Entry:
    return Entry(fault, handler, Target(uid=uid or f"{handler} {seq}"), {}, {}, "held", seq, "APPLIED", 0)


@pytest.mark.parametrize(
    ("found", "order"),
    [
        pytest.param([("small", REPLICA), ("zone", LINK)], ["zone", "small"], id="the newest, which is also the largest"),
        pytest.param([("zone", LINK), ("small", REPLICA)], ["zone", "small"], id="the largest, though it is older"),
        pytest.param([("node", NODE), ("small", ROUTE), ("small", ROUTE), ("zone", ZONE)], ["zone", "node", "small", "small"], id="zone, node, route"),
        pytest.param([("many", REPLICA)] * 11 + [("zone", LINK)], ["many"] * 11 + ["zone"], id="eleven processes outweigh a zone"),
        pytest.param([("one", LINK), ("two", LINK)], ["two", "one"], id="the newest where all weigh the same"),
        pytest.param([("new", "future.handler"), ("zone", LINK)], ["zone", "new"], id="a handler of another release weighs little"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_what_most_hangs_on_comes_first(found: list[tuple[str, str]], order: list[str]) -> None:
    assert [one.fault for one in most_urgent_first(entry(seq, *one) for seq, one in enumerate(found, 1))] == order


def test_of_two_faults_on_one_target_the_newer_comes_first_however_small_and_whole() -> None:
    found = [
        entry(1, "zone", LINK, "b"),
        entry(2, "zone", REPLICA, "b1"),
        entry(3, "between", LINK),
        entry(4, "small", REPLICA, "b1"),
        entry(5, "small", ROUTE),
    ]
    order = most_urgent_first(found)
    assert [(one.fault, one.seq) for one in order] == [("small", 5), ("small", 4), ("zone", 2), ("zone", 1), ("between", 3)]


def test_a_fault_is_taken_back_part_by_part_from_its_newest() -> None:
    assert [one.seq for one in most_urgent_first(entry(seq, "zone", LINK) for seq in (3, 1, 2))] == [3, 2, 1]


def in_force(run: Supervisor, room: Room) -> None:
    """A zone that is cut off, and after it one frozen replica elsewhere."""
    identity, owner = room.link()["identity"], f"{run.run}--zone"
    ours = {"owner": owner, "zone": "b", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock")}
    link = Target("process", identity, "link", "", "link b", f"{identity}/link/b")
    replica = room.replica("shop-c1")
    frozen = Target("process", identity, "replica", "shop", "shop-c1", replica["uid"])
    run.ledger.append(Frame("zone", "INTENT", LINK, link, ours))
    room.link(op="set", mode="swallow", owner=owner)
    run.ledger.append(Frame("zone", "APPLIED", LINK, link, ours))
    run.ledger.append(Frame("one replica", "INTENT", REPLICA, frozen))
    os.kill(replica["pid"], signal.SIGSTOP)
    until(lambda: room.frozen("shop-c1"), "a frozen replica")
    run.ledger.append(Frame("one replica", "APPLIED", REPLICA, frozen))


def tried(run: Supervisor) -> list[str]:
    return [frame.fault for frame in run.ledger.read().frames if frame.rec == "UNDO_TRY"]


HOLD = "import fcntl, os, signal, sys, time\nfcntl.flock(os.open(os.environ['CHAOSX_RUN'] + '/heal.lock', os.O_RDWR | os.O_CREAT), fcntl.LOCK_SH)\n"
DEAF = "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n    signal.signal(number, signal.SIG_IGN)\n"
AWAY = "if os.fork():\n    print(os.getpid(), flush=True); time.sleep(600)\nos.setsid(); print(os.getpid(), flush=True)\n"
WAYS = {"alive": HOLD, "stopped": HOLD, "ignores every signal": HOLD + DEAF, "with a child in a session of its own": HOLD + DEAF + AWAY}


@pytest.mark.parametrize("way", WAYS)
def test_a_method_child_that_holds_the_lock_is_killed_and_the_largest_fault_is_taken_back_first(way: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    in_force(run, room)
    child = run.spawn("method", WAYS[way] + "print(os.getpid(), flush=True)\ntime.sleep(600)\n")
    assert child.stdout is not None
    pids = {int(child.stdout.readline()) for _ in range(2 if "session" in way else 1)}
    if way == "stopped":
        child.send_signal(signal.SIGSTOP)
        until(lambda: process_state(child.pid) == "T", "a stopped method child")
    healer = run.healer("plain")
    healer.say(op="last")
    assert answer(healer) == {"op": "clean"}
    assert tried(run) == ["zone", "one replica"]
    assert child.wait(30) == -signal.SIGKILL
    until(lambda: not any(alive(pid, start_ticks(pid) or 0) for pid in pids), "nobody of it left")
    assert room.untouched() and not room.frozen("shop-c1")


def answer(healer: Healer) -> dict[str, object]:
    return until(lambda: next((one for one in [*_pumped(healer)] if one["op"] in ("clean", "dirty")), None), "an answer to last")  # type: ignore[no-any-return]


def _pumped(healer: Healer) -> list[dict[str, object]]:
    healer._pump()
    return healer.seen


def test_nobody_who_holds_the_lock_and_cannot_be_killed_keeps_the_first_undo_waiting(room: Room, supervise: Supervise) -> None:
    """A process of somebody else: it is not ours to kill, everything is taken back beside it, and looked at again when it lets go."""
    run = supervise()
    in_force(run, room)
    lock = state.take_heal_lock(run.folder, False, 0.0)
    assert lock is not None
    healer = run.healer("plain")
    healer.say(op="last")
    until(lambda: "UNDONE" in run.recs("one replica"), "both taken back while the lock is held")
    assert tried(run) == ["zone", "one replica"]
    os.close(lock)
    told = answer(healer)
    assert told["op"] == "clean" or [one["target"] for one in told["pending"]] == ["lock heal.lock ()"]  # type: ignore[attr-defined]
    assert heal.FIRST_S <= 1.0, "of the 7.5 s that pipelines give"
    assert room.untouched() and not room.frozen("shop-c1")


def intended(run: Supervisor, room: Room) -> str:
    """An intent to cut a link off, whose fate nobody knows; returns its owner."""
    identity, owner = room.link()["identity"], f"{run.run}--zone"
    ours = {"owner": owner, "zone": "b", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock")}
    run.ledger.append(Frame("zone", "INTENT", LINK, Target("process", identity, "link", "", "link b", f"{identity}/link/b"), ours))
    return owner


def test_what_was_undone_while_somebody_could_inject_is_looked_at_again_when_nobody_can(room: Room, supervise: Supervise) -> None:
    run = supervise()
    owner = intended(run, room)
    lock = state.take_heal_lock(run.folder, False, 0.0)
    assert lock is not None
    healer = run.healer("plain")
    healer.say(op="last")
    until(lambda: "UNDONE" in run.recs(), "undone while the lock is held")
    room.link(op="set", mode="swallow", owner=owner)
    os.close(lock)
    answer(healer)
    assert room.untouched()


def test_an_undo_that_began_while_somebody_could_inject_is_not_the_last_word(room: Room, supervise: Supervise) -> None:
    run = supervise()
    intended(run, room)
    healing, begun_s = Healing(run.ledger, Patience(0.02, 30.0)), time.monotonic()
    healing.add(entries(run.ledger.read().frames))
    os.kill(room.process.pid, signal.SIGSTOP)
    until(lambda: healing.step() or "UNDO_TRY" in run.recs(), "an attempt under way")
    healing.final = True
    until(lambda: time.monotonic() - begun_s > heal.SETTLE_S, "longer than anything could be settling")
    os.kill(room.process.pid, signal.SIGCONT)
    finish(healing)
    (found,) = entries(run.ledger.read().frames)
    assert found.rec == "UNDONE"
    assert found.settled == (run.recs().count("UNDO_TRY") > 1), "only what began after it is final"
