"""The state folder of a run is damaged, cut or taken away while its faults are in force: all are healed, and the run is never called clean."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, until

from chaoslib_ext import state
from chaoslib_ext.errors import LedgerCorrupt, UsageError
from chaoslib_ext.heal import Patience, heal_run
from chaoslib_ext.ledger import Frame, Ledger, Target
from chaoslib_ext.recover import accept, recover_from_markers, recover_run

Supervise = Callable[..., Supervisor]
RUN = "20250101-000000-test-0000"
QUICK = Patience(base_s=0.02, deadline_s=0.5)
PATIENT_S = 30.0


def in_force(run: Supervisor, room: Room) -> None:
    """A frozen replica and a swallowing link, in truth, in the ledger and as a marker beside the target."""
    replica, marker = room.replica("shop-b1"), str(room.folder / "markers" / "f.json")
    target = Target("process", "", "replica", "shop", replica["name"], replica["uid"])
    identity = room.link()["identity"]
    link = Target("process", identity, "link", "", "links b", f"{identity}/link/b")
    own = {"owner": f"{RUN}--f", "zone": "b", "control": str(room.folder / "links-b.sock"), "keeper": str(room.folder / "keeper.sock"), "marker": marker}
    for rec in ("INTENT", "APPLIED"):
        run.ledger.append(Frame("f", rec, "process.open_link", link, own))
        run.ledger.append(Frame("f", rec, "process.thaw", target, {"marker": marker}))
    parts = [{"handler": "process.open_link", "target": _plain(link), "ours": own, "prior": {}}]
    parts += [{"handler": "process.thaw", "target": _plain(target), "ours": {"marker": marker}, "prior": {}}]
    Path(marker).parent.mkdir(exist_ok=True)
    state.write_json(Path(marker), {"v": 1, "run": RUN, "fault": "f", "owner": f"{RUN}--f", "parts": parts})
    room.link(op="set", mode="swallow", owner=f"{RUN}--f")
    os.kill(replica["pid"], signal.SIGSTOP)
    until(lambda: room.frozen("shop-b1"), "a frozen replica")


def _plain(target: Target) -> dict[str, str]:
    return {name: getattr(target, name) for name in target.__slots__}


def healed(room: Room) -> bool:
    link = room.link()
    return not room.frozen("shop-b1") and (link["mode"], link["owner"]) == ("pass", None)


def emptied(run: Supervisor) -> None:
    run.ledger.path.write_bytes(bytes(state.LEDGER_BYTES))


def cut(run: Supervisor) -> None:
    """In the last frame: what is left looks like a torn line."""
    os.truncate(run.ledger.path, len(run.ledger.path.read_bytes().rstrip(b"\0")) - 10)


def shortened(run: Supervisor) -> None:
    """Whole frames are gone from the end; what is left looks sound."""
    data = run.ledger.path.read_bytes()
    run.ledger.path.write_bytes(data[: data.index(b"\n") + 1].ljust(state.LEDGER_BYTES, b"\0"))


def garbled(run: Supervisor) -> None:
    data = bytearray(run.ledger.path.read_bytes())
    data[300] ^= 0x10
    run.ledger.path.write_bytes(data)


def removed(run: Supervisor) -> None:
    run.ledger.path.unlink()


DAMAGES = [removed, garbled, *(pytest.param(damage, marks=pytest.mark.slow) for damage in (emptied, cut, shortened))]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_healer_heals_what_it_had_read_and_calls_the_run_dirty(damage: Callable[[Supervisor], None], room: Room, supervise: Supervise) -> None:
    run = supervise(retry_s=0.5)
    in_force(run, room)
    healer = run.healer("plain")
    healer.say(op="heal", fault="nothing")
    healer.wait(op="healed", fault="nothing")  # by then it has looked at the ledger
    damage(run)
    healer.say(op="last")
    left = healer.wait(op="dirty")["pending"]
    assert healed(room)
    assert state.LEDGER in [item["fault"] for item in left]
    command = next(item["command"] for item in left if item["fault"] == state.LEDGER)
    assert command.endswith(f"chaosx recover --run {run.run} --accept undo.wal --reason TEXT")
    run.die()
    assert healer.process.wait(DEADLINE_S) == 6
    assert not (run.folder / state.CLOSED).exists()


def test_a_healer_whose_whole_state_folder_is_gone_heals_and_the_target_s_markers_finish_it(room: Room, supervise: Supervise) -> None:
    run = supervise(retry_s=0.5)
    in_force(run, room)
    healer = run.healer("plain")
    healer.say(op="heal", fault="nothing")
    healer.wait(op="healed", fault="nothing")
    shutil.rmtree(run.folder)
    run.die()
    assert healer.process.wait(DEADLINE_S) == 6
    assert healed(room)
    assert not run.folder.exists()  # and no empty one was made in its place
    (outcome,) = recover_from_markers(room.folder, PATIENT_S)
    assert outcome.clean and room.untouched()


def test_the_children_of_a_run_are_killed_though_their_record_is_gone(room: Room, supervise: Supervise) -> None:
    run = supervise(retry_s=0.5)
    method = run.spawn("method", "import time; time.sleep(600)")
    healer = run.healer("plain")
    healer.say(op="heal", fault="nothing")
    healer.wait(op="healed", fault="nothing")
    (run.folder / state.CHILDREN).unlink()
    run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    assert method.wait(DEADLINE_S) == -signal.SIGKILL


@pytest.mark.parametrize("damage", [removed, cut, garbled])
def test_recover_never_calls_a_run_clean_whose_ledger_was_lost_until_a_person_accepts_it(
    damage: Callable[[Supervisor], None], room: Room, supervise: Supervise
) -> None:
    run = supervise()
    in_force(run, room)
    damage(run)
    run.die()
    assert not recover_run(run.folder, 0.5).clean
    assert not recover_run(run.folder, 0.5).clean
    with pytest.raises(UsageError, match="give a reason"):
        accept(run.run, state.LEDGER, " ")
    (what,) = accept(run.run, state.LEDGER, "looked at every replica")
    assert "undo.wal" in what
    outcome = recover_run(run.folder, PATIENT_S)
    assert outcome.clean and (run.folder / state.CLOSED).exists()
    assert ("ACCEPTED", "looked at every replica") in [(frame.rec, frame.note) for frame in Ledger.of_run(run.folder).read().frames]
    if damage is not removed:
        assert healed(room)  # each part stood in two frames, of which one could still be read
        assert (run.folder / "undo.wal.1").exists()


def test_a_sound_ledger_is_not_set_aside(supervise: Supervise) -> None:
    run = supervise()
    run.die()
    with pytest.raises(UsageError, match="is sound"):
        accept(run.run, state.LEDGER, "because")


def test_a_ledger_that_was_made_with_the_run_is_never_made_again_by_an_append(supervise: Supervise) -> None:
    run = supervise()
    run.ledger.append(Frame("f", "INTENT", "process.thaw", Target(uid="00000000-1-1")))
    run.ledger.path.unlink()
    with pytest.raises(LedgerCorrupt, match="is gone"):
        Ledger.of_run(run.folder).append(Frame("g", "INTENT"))
    assert not run.ledger.path.exists()


def test_a_run_of_a_release_that_made_no_ledger_and_injected_nothing_is_clean(supervise: Supervise) -> None:
    run = supervise()
    header = state.read_json(run.folder / state.RUN)
    state.write_json(run.folder / state.RUN, {name: value for name, value in header.items() if name != "ledger"})
    run.ledger.path.unlink()
    run.die()
    assert heal_run(run.folder, None, QUICK) == []


def test_nobody_who_could_inject_while_the_lock_cannot_be_opened_is_told(supervise: Supervise) -> None:
    run = supervise()
    (run.folder / state.HEAL_LOCK).mkdir()
    run.die()
    (left,) = heal_run(run.folder, None, QUICK)
    assert left.target.startswith("lock heal.lock") and "cannot be opened" in left.error
