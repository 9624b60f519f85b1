"""What must not be touched is asked for again at each write; nothing of it ever stands in the way of taking a fault back."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, activity, until

from chaoslib_ext import state
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.faults.protection import FORBIDDEN
from chaoslib_ext.faults.rechecks import refuse_changed
from chaoslib_ext.process.client import control, process_state, read_roster, uid_alive
from chaoslib_ext.recover import recover_runs

pytestmark = pytest.mark.slow  # real processes: half a minute on a busy machine

Supervise = Callable[..., Supervisor]
LOSE = {"zone": "b", "duration": "60s"}


def relabel(room: Room, **more: Any) -> None:
    """Writes the roster again, with labels on some of it: by a replica's or a zone's name, or `all_` for the whole target."""
    roster = read_roster(room.roster)
    for one in roster["replicas"]:
        one["labels"] = more.get(one["name"].replace("-", "_"), one.get("labels", {}))
    for zone, link in roster["links"].items():
        link["labels"] = more.get(f"zone_{zone}", link.get("labels", {}))
    roster["labels"] = more.get("all_", roster.get("labels", {}))
    roster["identity"] = more.get("identity", roster["identity"])
    fresh = room.folder / ".relabelled"
    fresh.write_text(json.dumps(roster))
    fresh.rename(room.roster)


def alter(run: Supervisor, caps: dict[str, Any] | None = None, **environment: Any) -> dict[str, Any]:
    """Changes what the spec of a run says of its environment and of its caps; its first row."""
    spec = state.read_json(run.folder / state.SPEC)
    spec["environment"] |= environment
    for row in spec["plan"]["resolved"]:
        row["caps"] = caps or {}
    state.write_json(run.folder / state.SPEC, spec)
    return dict(spec["plan"]["resolved"][0])


def refused(run: Supervisor, row: dict[str, Any]) -> str:
    with pytest.raises(FaultFailed) as error:
        refuse_changed(row, run.folder)
    return str(error.value)


def test_a_forbidden_label_of_after_the_plan_keeps_a_real_injection_from_changing_anything(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE))
    relabel(room, shop_b1={FORBIDDEN: "true"})
    child = run.inject("lose_zone", "lose", **LOSE)
    _, err = child.communicate(timeout=DEADLINE_S)
    assert b"PROTECTED: lose: shop-b1 carries the label" in err
    assert run.recs() == []
    assert room.untouched()
    assert uid_alive(room.replica("shop-b1")["uid"])


def test_another_target_behind_the_same_roster_is_refused(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE))
    row = alter(run)
    relabel(room, identity="another")
    assert "belongs to another now, not to environment standin" in refused(run, row)
    child = run.inject("lose_zone", "lose", **LOSE)
    assert b"TARGETS_CHANGED: lose: " in child.communicate(timeout=DEADLINE_S)[1]
    room.roster.unlink()
    assert "its roster is gone" in refused(run, row)
    assert run.recs() == []
    assert control(room.folder / "links-b.sock", {"op": "status"}, 5.0)["owner"] is None


CAPS = {"per_owner": 0.34, "zones": 1}


def test_a_fault_whose_survivors_died_since_the_plan_is_refused_and_nothing_is_injected(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE))
    row = alter(run, CAPS)
    refuse_changed(row, run.folder)
    room.keeper(op="hold", zone="c", owner="somebody else")  # so that it stays dead
    killed = room.replica("shop-c1")["pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: not room.replica("shop-c1")["ready"], "a dead replica")
    child = run.inject("lose_zone", "lose", **LOSE)
    _, err = child.communicate(timeout=DEADLINE_S)
    assert b"CAPS_EXCEEDED: lose: since it was planned, others have gone: 2 zones would be lost (b, c), the cap is 1" in err
    assert run.recs() == []
    assert room.untouched()


def test_what_another_fault_of_the_run_still_holds_counts_until_it_is_taken_back(room: Room, supervise: Supervise) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE), activity("lose a", "lose_zone", zone="a", duration="60s", how="isolate"))
    alter(run, CAPS)
    run.inject("lose_zone", "lose a", zone="a", duration="60s", how="isolate")
    until(lambda: "APPLIED" in run.recs(), "zone a cut off")
    row = next(one for one in state.read_json(run.folder / state.SPEC)["plan"]["resolved"] if one["activity"] == "lose")
    assert "2 zones would be lost (a, b), the cap is 1" in refused(run, row)
    healer = run.healer("plain")
    healer.say(op="last")
    healer.wait(op="clean")
    refuse_changed(row, run.folder)


class Meddler:
    """Stands before a link's control socket, and does something right after a fault has been put on the link."""

    def __init__(self, place: Path, link: Path, meddle: Callable[[], None]) -> None:
        self.path = str(place / "m.sock")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen(8)
        self._link, self._meddle = link, meddle
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                request = json.loads(connection.recv(65536))
                reply = control(self._link, request, 5.0)
                if request["op"] == "set":
                    self._meddle()
                connection.sendall(json.dumps(reply).encode() + b"\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(DEADLINE_S)


@pytest.fixture
def meddler(room: Room, tmp_path: Path) -> Iterator[Meddler]:
    one = Meddler(tmp_path, room.folder / "links-b.sock", lambda: relabel(room, shop_b1={FORBIDDEN: "true"}))
    yield one
    one.close()


def test_a_label_set_between_two_writes_of_a_fault_stops_the_second_and_the_first_is_taken_back(room: Room, supervise: Supervise, meddler: Meddler) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE))
    spec = state.read_json(run.folder / state.SPEC)
    spec["plan"]["resolved"][0]["targets"][0]["data"]["control"] = meddler.path
    state.write_json(run.folder / state.SPEC, spec)
    child = run.inject("lose_zone", "lose", **LOSE)
    assert b"PROTECTED: lose: " in child.communicate(timeout=DEADLINE_S)[1]
    assert run.recs() == ["INTENT", "APPLIED", "INTENT", "REJECTED"]
    assert not room.frozen("shop-b1")
    assert room.link()["mode"] == "swallow"
    healer = run.healer("plain")
    healer.say(op="last")
    healer.wait(op="clean")
    assert room.untouched()


@pytest.mark.parametrize(("how", "by"), [("silent", "the healer"), ("isolate", "the healer"), ("crash", "the healer"), ("silent", "recover")])
def test_what_became_protected_while_it_was_held_is_taken_back_all_the_same(room: Room, supervise: Supervise, how: str, by: str) -> None:
    run = supervise(activity("lose", "lose_zone", **LOSE, how=how))
    run.inject("lose_zone", "lose", **LOSE, how=how)
    wanted = 1 if how == "isolate" else 2
    until(lambda: run.recs().count("APPLIED") == wanted, "the whole fault")
    relabel(room, shop_b1={FORBIDDEN: "true"}, zone_b={FORBIDDEN: ""}, all_={FORBIDDEN: ""})
    alter(run, {"per_owner": 0.0, "zones": 0}, never={"names": ["shop-b1", "link b", "zone b", "shop"]}, allow={"zones": [], "services": [], "hosts": []})
    if by == "recover":
        run.die()
        [outcome] = recover_runs(run.run, 60.0)
        assert outcome.clean
    else:
        healer = run.healer("plain")
        healer.say(op="last")
        healer.wait(op="clean")
    assert run.pending() == []
    until(lambda: uid_alive(room.replica("shop-b1")["uid"]), "a replica in zone b")
    assert (room.link()["owner"], room.keeper()["zones"]["b"]["held_by"]) == (None, None)
    assert process_state(room.replica("shop-b1")["pid"]) != "T"
