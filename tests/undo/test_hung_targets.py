"""A target that does not answer keeps nobody waiting: the others are healed in the same pass, and it is asked again and again."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from undo_rig import Room, Supervisor, until

from chaoslib_ext.heal import Healing, Patience, finish
from chaoslib_ext.ledger import Frame, Target, entries

Supervise = Callable[..., Supervisor]
HUNG = 12  # so many, at the two seconds of a control socket's time limit each, would use up three times what CI runners give


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Path]:
    """A control socket that takes every connection and never says anything."""
    path = tmp_path / "deaf.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1024)
        yield path


def hung(run: Supervisor, path: Path, number: int) -> None:
    target = Target("process", "i", "link", "", f"hung {number}", f"hung-{number}")
    ours = {"owner": "o", "control": str(path), "keeper": str(path)}
    for rec in ("INTENT", "APPLIED"):
        run.ledger.append(Frame(f"hung {number}", rec, "process.open_link", target, ours))


def frozen(run: Supervisor, room: Room, zone: str) -> None:
    replica = room.replica(f"shop-{zone}1")
    os.kill(replica["pid"], signal.SIGSTOP)
    until(lambda: room.frozen(replica["name"]), "a frozen replica")
    for rec in ("INTENT", "APPLIED"):
        run.ledger.append(Frame(f"freeze {zone}", rec, "process.thaw", Target("process", "", "replica", "shop", replica["name"], replica["uid"])))


def told(run: Supervisor, rec: str) -> list[str]:
    return [frame.fault for frame in run.ledger.read().frames if frame.rec == rec]


def test_in_one_pass_all_others_are_healed_while_those_that_hang_are_still_asked(room: Room, supervise: Supervise, deaf: Path) -> None:
    run = supervise()
    for zone in "ab":
        frozen(run, room, zone)
    for number in range(HUNG):
        hung(run, deaf, number)
    frozen(run, room, "c")
    healing = Healing(run.ledger, Patience(base_s=0.01, deadline_s=0.1))
    healing.add(entries(run.ledger.read().frames))
    healing.step()  # one pass: whoever did not answer by its end is looked at in the next
    until(lambda: healing.step() or len(told(run, "UNDONE")) == 3, "the three frozen replicas healed")
    assert told(run, "UNDO_TRY")[:1] == [f"hung {HUNG - 1}"], "the newest of those on which most hangs"
    assert set(told(run, "UNDO_TRY")) >= {f"hung {number}" for number in range(HUNG)} | {"freeze a", "freeze b"}
    assert all(not room.frozen(f"shop-{zone}1") for zone in "abc")
    assert {fault for fault in told(run, "STUCK") if fault.startswith("hung")} != {f"hung {number}" for number in range(HUNG)}, "none was waited for to its end"
    finish(healing)
    assert sorted(item.fault for item in healing.left.values()) == sorted(f"hung {number}" for number in range(HUNG))
    assert {item.rec for item in healing.left.values()} == {"STUCK"}


def test_targets_that_answer_are_healed_one_after_the_other_newest_first(room: Room, supervise: Supervise) -> None:
    run = supervise()
    for zone in "abc":
        frozen(run, room, zone)
    healing = Healing(run.ledger, Patience())
    healing.add(entries(run.ledger.read().frames))
    finish(healing)
    assert told(run, "UNDONE") == ["freeze c", "freeze b", "freeze a"]


def test_two_undos_of_one_target_never_run_side_by_side(supervise: Supervise, deaf: Path) -> None:
    run = supervise()
    for fault in ("older", "newer"):
        run.ledger.append(
            Frame(
                fault,
                "INTENT",
                "process.open_link",
                Target("process", "i", "link", "", "b", "same"),
                {"owner": fault, "control": str(deaf), "keeper": str(deaf)},
            )
        )
    healing = Healing(run.ledger, Patience(base_s=0.01, deadline_s=0.1))
    healing.add(entries(run.ledger.read().frames))
    healing.step()
    assert told(run, "UNDO_TRY") == ["newer"]
    finish(healing)
    assert sorted(item.fault for item in healing.left.values()) == ["newer", "older"]


def test_a_target_that_begins_to_answer_is_healed(room: Room, supervise: Supervise, tmp_path: Path) -> None:
    run = supervise()
    room.link(op="set", mode="swallow", owner="o")
    ours = {"owner": "o", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock")}
    identity = room.link()["identity"]
    run.ledger.append(Frame("f", "INTENT", "process.open_link", Target("process", identity, "link", "", "b", "b"), ours))
    os.kill(room.process.pid, signal.SIGSTOP)
    healing = Healing(run.ledger, Patience(base_s=0.01, deadline_s=60.0))
    healing.add(entries(run.ledger.read().frames))
    healing.step()
    assert healing.busy() and told(run, "UNDO_TRY") == ["f"]
    os.kill(room.process.pid, signal.SIGCONT)
    finish(healing)
    assert not healing.left and room.link()["owner"] is None
