"""Heal undoes exactly what is ours, proves it, and says the truth where it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from undo_rig import Room, Supervisor, until

from chaoslib_ext.heal import Healing, Left, Patience, finish, heal_entry, heal_run
from chaoslib_ext.ledger import Frame, Target, entries
from chaoslib_ext.process.client import parse_uid, process_state, read_roster, signal_exact, start_ticks, uid

Supervise = Callable[..., Supervisor]
OURS = "20250101-000000-test-0000--f"
QUICK = Patience(base_s=0.02, deadline_s=0.5)


def intent(run: Supervisor, room: Room, handler: str, *more: str) -> None:
    """An intent in the ledger as an action leaves it, and the records in `more`."""
    kind = {"process.thaw": "replica", "process.open_link": "link", "process.release_zone": "zone"}[handler]
    roster = read_roster(room.roster)
    own = room.replica("shop-b1")["uid"] if kind == "replica" else f"{roster['identity']}/{kind}/b"
    control = roster["links"]["b"]["control"] if kind == "link" else roster["keeper"]["control"]
    ours = {"owner": OURS, "zone": "b", "control": control, "keeper": roster["keeper"]["control"]}
    for rec in ("INTENT", *more):
        run.ledger.append(Frame("f", rec, handler, Target("process", roster["identity"], kind, "", f"{kind} b", own), ours))


def break_it(room: Room, handler: str) -> None:
    if handler == "process.thaw":
        os.kill(room.replica("shop-b1")["pid"], signal.SIGSTOP)
        until(lambda: room.frozen("shop-b1"), "a frozen replica")
    elif handler == "process.open_link":
        room.link(op="set", mode="swallow", owner=OURS)
    else:
        room.keeper(op="hold", zone="b", owner=OURS)


def heal(run: Supervisor, patience: Patience = QUICK) -> Left | None:
    (entry,) = entries(run.ledger.read().frames)
    return heal_entry(entry, run.ledger, patience)


HANDLERS = ["process.thaw", "process.open_link", "process.release_zone"]


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("known", [("APPLIED",), ("AMBIG",), ()], ids=["applied", "ambiguous", "intended only"])
def test_what_is_in_force_is_taken_back_whatever_the_ledger_knows(handler: str, known: tuple[str, ...], room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, handler, *known)
    break_it(room, handler)
    assert heal(run) is None
    assert run.recs()[-2:] == ["UNDO_TRY", "UNDONE"]
    assert room.untouched()


def test_a_request_of_the_dead_that_lands_while_healing_is_taken_back(room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, "process.open_link")
    healing = Healing(run.ledger, QUICK)
    healing.add(entries(run.ledger.read().frames))
    healing.step()  # it finds nothing of ours
    break_it(room, "process.open_link")
    finish(healing)
    assert not healing.left
    assert room.untouched()


@pytest.mark.parametrize("handler", HANDLERS)
def test_undoing_what_never_happened_or_twice_changes_nothing(handler: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, handler)
    assert heal(run) is None
    assert heal(run) is None
    assert room.untouched()
    assert not run.pending()


@pytest.mark.parametrize("handler", ["process.open_link", "process.release_zone"])
def test_what_somebody_else_owns_by_now_stays_and_is_a_conflict(handler: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, handler, "APPLIED")
    if handler == "process.open_link":
        room.link(op="set", mode="swallow", owner="somebody else")
    else:
        room.keeper(op="hold", zone="b", owner="somebody else")
    left = heal(run)
    assert left is not None and left.rec == "CONFLICT" and "belongs to somebody else" in left.error
    assert "--accept f" in left.command
    assert "somebody else" in (room.link()["owner"], room.keeper()["zones"]["b"]["held_by"])
    assert run.pending()


@pytest.mark.parametrize("handler", ["process.open_link", "process.release_zone"])
def test_a_target_that_refuses_is_stuck_at_the_deadline_with_the_command_that_goes_on(handler: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, handler, "APPLIED")
    break_it(room, handler)
    room.keeper(op="deaf", on=True)
    left = heal(run)
    assert left is not None and left.rec == "STUCK"
    assert left.command == f"chaosx recover --run {run.run}"
    assert run.recs().count("UNDO_TRY") > 1
    room.keeper(op="deaf", on=False)
    assert heal(run) is None
    assert room.untouched()


def test_an_incarnation_that_has_ended_is_gone_and_its_successor_is_not_touched(room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, "process.thaw", "APPLIED")
    old = room.replica("shop-b1")
    os.kill(old["pid"], signal.SIGKILL)
    until(lambda: room.replica("shop-b1")["uid"] != old["uid"], "the replacement")
    os.kill(room.replica("shop-b1")["pid"], signal.SIGSTOP)
    until(lambda: room.frozen("shop-b1"), "a frozen replacement")
    assert heal(run) is None
    assert run.recs()[-1] == "GONE"
    assert room.frozen("shop-b1")


@pytest.mark.parametrize("handler", ["process.open_link", "process.release_zone"])
def test_a_sandbox_that_has_ended_took_its_faults_along(handler: str, room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, handler, "APPLIED")
    break_it(room, handler)
    room.close()
    assert heal(run) is None
    assert run.recs()[-1] == "GONE"


def test_another_sandbox_at_the_same_place_is_not_touched(room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, "process.open_link", "APPLIED")
    room.close()
    room.roster.unlink()
    second = Room.__new__(Room)
    second.folder, second.roster = room.folder, room.roster
    for socket in room.folder.glob("*.sock"):
        socket.unlink()
    second.process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("standin.py")), str(room.folder)])
    until(room.roster.exists, "the second stand-in")
    second.link(op="set", mode="swallow", owner=OURS)
    assert heal(run) is None
    assert run.recs()[-1] == "GONE"
    assert second.link()["owner"] == OURS
    second.close()


def test_one_target_that_cannot_be_healed_does_not_keep_the_others_from_being_healed(room: Room, supervise: Supervise) -> None:
    run = supervise()
    for handler in HANDLERS:
        intent(run, room, handler, "APPLIED")
        break_it(room, handler)
    room.keeper(op="deaf", on=True)
    run.die()
    left = heal_run(run.folder, None, QUICK)
    assert sorted(item.handler for item in left) == ["process.open_link", "process.release_zone"]
    assert not room.frozen("shop-b1")


def test_an_unknown_handler_is_stuck_at_once(supervise: Supervise) -> None:
    run = supervise()
    run.ledger.append(Frame("f", "INTENT", "future.handler", Target(uid="x")))
    left = heal(run, Patience())
    assert left is not None and "no handler is called 'future.handler'" in left.error


def test_a_corrupt_ledger_is_healed_as_far_as_it_can_be_read_and_stays_dirty(room: Room, supervise: Supervise) -> None:
    run = supervise()
    intent(run, room, "process.thaw", "APPLIED")
    break_it(room, "process.thaw")
    data = bytearray(run.ledger.path.read_bytes())
    data[data.rindex(b"\n") - 5] ^= 1
    run.ledger.path.write_bytes(data)
    run.die()
    left = heal_run(run.folder, None, QUICK)
    assert not room.frozen("shop-b1")
    assert any("does not match its checksum" in item.error for item in left)


def test_a_signal_never_hits_a_process_with_another_start_time(room: Room) -> None:
    pid = room.replica("shop-a1")["pid"]
    ticks = start_ticks(pid)
    assert ticks is not None
    assert not signal_exact(pid, ticks + 1, signal.SIGKILL)
    assert process_state(pid) in ("S", "R")
    assert signal_exact(pid, ticks, 0)


def test_a_zombie_counts_as_gone() -> None:
    child: subprocess.Popen[Any] = subprocess.Popen([sys.executable, "-c", ""])
    ticks = start_ticks(child.pid)
    assert ticks is not None
    until(lambda: process_state(child.pid) == "Z", "a zombie")
    assert not signal_exact(child.pid, ticks, 0)
    child.wait()


def test_a_uid_reads_back_and_nonsense_is_refused() -> None:
    assert parse_uid(uid(12, 345))[1:] == (12, 345)
    with pytest.raises(ValueError, match="expected a process uid"):
        parse_uid("shop-b1")
