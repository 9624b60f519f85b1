"""The healer takes everything back whoever dies, hangs or stops listening, and nothing is injected after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, until

from chaoslib_ext import state
from chaoslib_ext.clock import boot_ns
from chaoslib_ext.healer import STARVED_S
from chaoslib_ext.ledger import Frame, Target
from chaoslib_ext.process.client import alive, start_ticks

Supervise = Callable[..., Supervisor]


def freeze(run: Supervisor, room: Room, fault: str = "f", zone: str = "b", expires_ns: int = 0, known: bool = True, seen: bool = True) -> None:
    """A frozen replica in the ledger and in truth."""
    replica = room.replica(f"shop-{zone}1")
    target = Target("process", "", "replica", "shop", replica["name"], replica["uid"])
    run.ledger.append(Frame(fault, "INTENT", "process.thaw", target, expires_ns=expires_ns))
    os.kill(replica["pid"], signal.SIGSTOP)
    if seen:  # not where the healer is at it already, which may thaw it before anybody looks
        until(lambda: room.frozen(replica["name"]), "a frozen replica")
    if known:
        run.ledger.append(Frame(fault, "APPLIED", "process.thaw", target, expires_ns=expires_ns))


INJECTING_FOR_EVER = """
import os, signal, sys, time
from pathlib import Path
from chaoslib_ext import state
from chaoslib_ext.ledger import Frame, Ledger, Target
from chaoslib_ext.process.client import signal_uid
folder = Path(os.environ["CHAOSX_RUN"])
lock = state.take_heal_lock(folder, False, 10)
if os.fork() == 0:
    pass  # two of them: the child of the child injects as well
ledger, n = Ledger.of_run(folder), 0
while True:
    n += 1
    frame = Frame(f"again {os.getpid()} {n}", "INTENT", "process.thaw", Target("process", "", "replica", "shop", "shop-b1", UID))
    ledger.append(frame)
    signal_uid(UID, signal.SIGSTOP)
    time.sleep(0.03)
"""


def injecting(run: Supervisor, room: Room) -> None:
    """A method child that never stops injecting, and a child of it that does the same."""
    run.spawn("method", INJECTING_FOR_EVER.replace("UID", repr(room.replica("shop-b1")["uid"])))
    until(lambda: len({frame.fault.split()[1] for frame in run.ledger.read().frames}) == 2, "intents of both")


def closed_by(run: Supervisor) -> str | None:
    return state.read_json(run.folder / "closed.json").get("by")


@pytest.mark.parametrize("death", ["kill -9", "end of input", pytest.param("hang", marks=pytest.mark.slow)])
def test_a_dead_or_hanging_supervisor_has_everything_killed_and_taken_back(death: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer() if death == "hang" else run.healer("plain")
    load = run.spawn("load", "import time; time.sleep(600)")
    injecting(run, room)
    if death == "kill -9":
        run.die()  # its end of the pipe is held open by the test, so only the process id tells
    elif death == "end of input":
        healer.end_of_input()
    elif death == "hang":
        run.process.send_signal(signal.SIGSTOP)
    assert healer.process.wait(DEADLINE_S) == 0
    assert load.wait(DEADLINE_S) == -signal.SIGKILL
    if death == "hang":
        assert run.process.wait(DEADLINE_S) == -signal.SIGKILL
    assert not run.pending()
    assert not room.frozen("shop-b1")
    assert closed_by(run) == "healer"


def test_after_the_last_heal_nothing_is_injected(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    injecting(run, room)
    healer.say(op="last")
    healer.wait(op="clean")
    frames = len(run.ledger.read().frames)
    assert not run.pending() and not room.frozen("shop-b1")
    lock = state.take_heal_lock(run.folder, True, 0.0)
    assert lock is not None  # nobody who injects is left
    os.close(lock)
    assert len(run.ledger.read().frames) == frames
    healer.say(op="quit")
    assert healer.process.wait(DEADLINE_S) == 0
    assert closed_by(run) is None  # that is the supervisor's to say


def test_the_last_heal_says_what_is_left(room: Room, supervise: Supervise) -> None:
    run = supervise(retry_s=0.2)
    healer = run.healer("plain")
    run.ledger.append(Frame("f", "INTENT", "future.handler", Target(name="x", uid="x")))
    healer.say(op="last")
    answer = healer.wait(op="dirty")["pending"]
    assert [(item["fault"], item["rec"]) for item in answer] == [("f", "STUCK")]
    healer.end_of_input()
    assert healer.process.wait(DEADLINE_S) == 6
    assert closed_by(run) is None


@pytest.mark.parametrize("seen", [True, False], ids=["at its effect and duration", "at the outer bound when no effect was seen"])
def test_a_fault_whose_time_is_over_is_taken_back_while_everything_goes_on(seen: bool, room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    freeze(run, room, "long", "a", expires_ns=boot_ns() + 3600 * 10**9)
    freeze(run, room, "f", expires_ns=boot_ns() + (3600 * 10**9 if seen else 200_000_000))
    if seen:
        run.effect_now("f", 0.2)
    assert healer.wait(op="healed") == {"op": "healed", "fault": "f", "ok": True, "by": "time"}
    assert room.frozen("shop-a1") and not room.frozen("shop-b1")
    assert run.process.poll() is None and healer.alive()


def test_an_effect_frame_never_prolongs_a_fault_beyond_its_outer_bound(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    freeze(run, room, "f", expires_ns=boot_ns() + 200_000_000)
    run.effect_now("f", 3600)
    healer.wait(op="healed", fault="f", by="time")


def test_a_part_that_lands_after_its_fault_was_taken_back_is_taken_back_too(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    healer.say(op="heal", fault="f")
    healer.wait(op="healed", fault="f", ok=True)
    freeze(run, room, seen=False)
    until(lambda: not room.frozen("shop-b1"), "taken back again")


def test_what_landed_unrecorded_after_its_undo_is_found_by_the_last_heal(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    replica = room.replica("shop-b1")
    run.ledger.append(Frame("f", "INTENT", "process.thaw", Target("process", "", "replica", "shop", "shop-b1", replica["uid"])))
    healer.say(op="heal", fault="f")
    healer.wait(op="healed", fault="f", ok=True)
    os.kill(replica["pid"], signal.SIGSTOP)  # and the process that sent it was killed before it could say so
    until(lambda: room.frozen("shop-b1"), "frozen after the undo")
    healer.say(op="last")
    healer.wait(op="clean")
    assert not room.frozen("shop-b1")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_ask_for_the_end_are_ignored(signum: signal.Signals, room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    healer.process.send_signal(signum)
    freeze(run, room)
    healer.say(op="heal", fault="f")
    healer.wait(op="healed", fault="f", ok=True)


def test_a_healer_whose_reader_is_gone_heals_all_the_same(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    assert healer.process.stdout is not None
    healer.process.stdout.close()
    freeze(run, room)
    healer.say(op="heal", fault="f")
    until(lambda: not room.frozen("shop-b1"), "taken back")
    freeze(run, room, "g")
    healer.end_of_input()
    assert healer.process.wait(DEADLINE_S) == 0
    assert not room.frozen("shop-b1")


def test_a_supervisor_that_leaves_without_the_last_heal_leaves_nothing_behind(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer("plain")
    freeze(run, room)
    healer.say(op="quit")
    assert healer.process.wait(DEADLINE_S) == 0
    assert not room.frozen("shop-b1")


@pytest.mark.slow
def test_a_healer_that_was_itself_stopped_does_not_take_that_for_silence(room: Room, supervise: Supervise) -> None:
    run = supervise()
    healer = run.healer()
    healer.process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    until(lambda: time.monotonic() - stopped_s > 3.5, "longer than a heartbeat may be missing")
    healer.process.send_signal(signal.SIGCONT)
    healer.say(op="beat")
    healer.say(op="heal", fault="nothing")
    healer.wait(op="healed", fault="nothing", ok=True)
    assert run.process.poll() is None


@pytest.mark.slow
def test_a_supervisor_that_runs_but_says_nothing_is_killed_and_everything_is_taken_back(room: Room, supervise: Supervise) -> None:
    """Deadlocked: it is not stopped, it only never beats."""
    run = supervise()
    healer = run.healer()
    freeze(run, room)
    begun_s = time.monotonic()
    assert healer.process.wait(STARVED_S + DEADLINE_S) == 0
    print(f"healed after {time.monotonic() - begun_s:.1f} s of silence")
    assert run.process.wait(DEADLINE_S) == -signal.SIGKILL
    assert not room.frozen("shop-b1") and not run.pending()
    assert closed_by(run) == "healer"


def test_a_recorded_child_whose_process_id_was_reused_is_left_alone(room: Room, supervise: Supervise) -> None:
    run = supervise()
    stranger = room.replica("shop-a1")
    state.write_json(run.folder / "children.json", {"method": {"pid": stranger["pid"], "start_ticks": stranger["start_ticks"] + 1}})
    healer = run.healer("plain")
    healer.end_of_input()
    assert healer.process.wait(DEADLINE_S) == 0
    assert alive(stranger["pid"], start_ticks(stranger["pid"]) or 0)
