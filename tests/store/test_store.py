"""The replicated store of the sandbox: real Postgres, three zones, a failover controller and links that can be cut and delayed."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from store_rig import ZONES, Box, Writers, until

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import read_roster
from chaoslib_ext.process.store import node_processes

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def sound(box: Box) -> Iterator[None]:
    """Every test begins with one primary, two standbys and links that pass."""
    box.sound()
    yield


def test_an_order_through_any_replica_is_read_from_every_node(box: Box) -> None:
    replicas = read_roster(box.info.roster)["replicas"]
    wanted = [f"each:{replica['name']}" for replica in replicas]
    for replica, order in zip(replicas, wanted, strict=True):
        assert box.send("POST", "/orders", {"id": order}, replica["address"][1]) == (201, {"id": order})
    for name in box.roles():
        until(lambda name=name: sorted(box.ids(name, "each:")) == sorted(wanted), f"all of them on {name}")  # type: ignore[misc]


def test_a_repeated_order_is_one_order(box: Box) -> None:
    assert [box.order("twice:1") for _ in range(2)] == [201, 201]
    assert box.read(box.primary(), "twice:") == ["twice:1"]


@pytest.mark.parametrize("body", [None, {}, {"id": 3}, {"id": ""}, {"id": "x" * 201}, ["id"]])
def test_what_is_no_order_is_refused(box: Box, body: object) -> None:
    assert box.send("POST", "/orders", body)[0] == 400


def test_a_node_that_does_not_exist_is_refused_and_one_that_is_down_cannot_be_read(box: Box) -> None:
    assert box.send("GET", "/orders?prefix=x&node=store-z")[0] == 400
    down = next(name for name, role in box.roles().items() if role == "standby")
    box.kill(down)
    assert box.send("GET", f"/orders?prefix=x&node={down}")[0] == 503
    until(lambda: box.roles()[down] == "down", "the roster says so")


def test_a_killed_primary_is_replaced_writes_go_on_and_it_stays_fenced_until_it_rejoins(box: Box) -> None:
    old = box.primary()
    with Writers(box, "killed") as writers:
        until(lambda: writers.acknowledged, "a first write")
        box.kill(old)
        new = box.promoted(old)
        began_s = time.monotonic()
        until(lambda: writers.since(began_s) > 20, "writes on the new primary")
    assert (box.roles()[old], box.look(f"/node/{old}")) == ("fenced", None)
    assert box.look("/primary") == (200, box.node(new)["uid"])
    assert not node_processes(box.node(old)["folder"])
    box.asked(op="rejoin", node=old)
    assert box.roles()[old] == "standby"
    kept = set(box.read(new, "killed:"))
    until(lambda: set(box.ids(old, "killed:")) == kept, "the same orders on the node that came back")


def test_a_frozen_primary_is_fenced_before_another_is_promoted(box: Box) -> None:
    old = box.primary()
    box.freeze(old)
    assert box.promoted(old) != old
    assert not node_processes(box.node(old)["folder"])
    box.thaw(old)  # nothing is left to continue
    assert box.roles()[old] == "fenced"
    until(lambda: box.order("frozen:1") == 201, "a write")


def test_a_planned_switchover_loses_nothing_and_the_old_primary_follows(box: Box) -> None:
    old = box.primary()
    with Writers(box, "planned") as writers:
        until(lambda: len(writers.acknowledged) > 20, "some writes")
        box.asked(op="switchover")
        new, began_s = box.promoted(old), time.monotonic()
        until(lambda: writers.since(began_s) > 20, "writes on the new primary")
    assert box.roles()[old] == "standby"
    assert writers.lost(new) == []


def test_a_longer_detection_time_leaves_a_frozen_primary_the_time_to_come_back(box: Box) -> None:
    old = box.primary()
    box.controller(op="set", detection_s=3600)
    box.freeze(old)
    until(lambda: box.look(f"/node/{old}") is None, "the node is silent")
    box.thaw(old)
    until(lambda: box.look(f"/node/{old}"), "the node answers")
    assert box.controller(op="set", detection_s=1.0)["primary"] == old


def test_a_delayed_link_delays_what_the_standby_has_by_at_least_as_much(box: Box) -> None:
    slow, fast = [name for name, role in box.roles().items() if role == "standby"]
    box.link(slow[-1], op="set", mode="delay", delay_ms=1500, owner="fault-1")
    began_s = time.monotonic()
    assert box.order("delayed:1") == 201
    until(lambda: "delayed:1" in box.ids(fast, "delayed:"), "the order on the other standby")
    until(lambda: "delayed:1" in box.ids(slow, "delayed:"), "the order on the delayed standby")
    assert time.monotonic() - began_s >= 1.5  # a lower bound: it travelled one way
    state = box.link(slow[-1])
    assert (state["mode"], state["delay_ms"], state["owner"], state["identity"]) == ("delay", 1500.0, "fault-1", box.info.identity)


def test_a_cut_link_starves_its_standby_alone_and_it_catches_up_afterwards(box: Box) -> None:
    cut, other = [name for name, role in box.roles().items() if role == "standby"]
    box.link(cut[-1], op="set", mode="swallow", owner="fault-1")
    assert box.look(f"/link/{cut[-1]}") is None
    assert box.order("cut:1") == 201
    until(lambda: box.ids(other, "cut:") == ["cut:1"], "the order on the other standby")
    assert box.ids(cut, "cut:") == []
    box.link(cut[-1], op="clear", owner="fault-1")
    until(lambda: box.ids(cut, "cut:") == ["cut:1"], "the order on the standby that was cut off")


def test_only_the_owner_changes_a_replication_link(box: Box) -> None:
    box.link("b", op="set", mode="delay", delay_ms=1, owner="fault-1")
    for request in ({"op": "set", "mode": "swallow"}, {"op": "clear"}):
        with pytest.raises(FaultFailed, match="belongs to fault-1"):
            box.link("b", **request, owner="fault-2")
    assert box.link("c")["owner"] is None
    assert box.link("b", op="clear", owner="fault-1")["owner"] is None


def test_a_replica_answers_its_health_check_while_the_store_is_silent(box: Box) -> None:
    port = read_roster(box.info.roster)["replicas"][2]["address"][1]
    box.controller(op="set", detection_s=3600)
    box.freeze(box.primary())
    try:
        with Writers(box, "silent", number=8):
            for _ in range(20):
                assert box.send("GET", "/healthz", port=port)[0] == 200
    finally:
        box.thaw(box.primary())
        box.controller(op="set", detection_s=1.0)


def test_a_restarted_controller_and_restarted_links_know_who_is_the_primary(box: Box) -> None:
    old = box.primary()
    box.asked(op="switchover")
    new = box.promoted(old)
    store = box.store()
    for row in (store["controller"], store["links"]["a"]):
        assert _killed(row)
    until(lambda: _another(box, store), "another controller and other links")
    until(lambda: box.controller()["primary"] == new, "the primary as the new controller sees it")
    box.sound()
    assert box.primary() == new


def _killed(row: dict[str, int]) -> bool:
    from signal import SIGKILL

    from chaoslib_ext.process.client import signal_exact

    return signal_exact(row["pid"], row["start_ticks"], SIGKILL)


def _another(box: Box, before: dict[str, dict[str, dict[str, int]]]) -> bool:
    try:
        store = box.store()
        same = store["controller"]["pid"] == before["controller"]["pid"] or store["links"]["a"]["pid"] == before["links"]["a"]["pid"]
        return not same and bool(box.controller()["primary"])
    except OSError:
        return False


def test_a_link_is_looked_at_through_itself_and_a_slow_one_misses_its_limit(box: Box) -> None:
    zone = next(name[-1] for name, role in box.roles().items() if role == "standby")
    uid = box.store()["links"][zone]["uid"]
    until(lambda: box.look(f"/link/{zone}/within/300") == (200, uid), "an answer in time")
    box.link(zone, op="set", mode="delay", delay_ms=100, owner="fault-1")
    assert box.look(f"/link/{zone}/within/100") is None
    assert box.look("/nothing") == (404, "")


def test_nobody_without_the_password_reads_or_writes_orders(box: Box) -> None:
    place = Path(box.info.dir) / "store"
    assert (stat.S_IMODE((place / "pass").stat().st_mode), stat.S_IMODE((place / "store-a").stat().st_mode)) == (0o600, 0o700)
    port = box.node(box.primary())["port"]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=shop passfile=/dev/null")
    with psycopg.connect(f"host=127.0.0.1 port={port} user=watcher dbname=shop") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from orders")
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid, _ in box.processes()]
    password = (place / "pass").read_text().rsplit(":", 1)[1].strip().encode()
    assert not any(password in command for command in commands)


def test_the_roster_tells_where_everything_is(box: Box) -> None:
    store = box.store()
    assert (store["mode"], [node["name"] for node in store["nodes"]], sorted(store["links"])) == ("async", ["store-a", "store-b", "store-c"], list(ZONES))
    with psycopg.connect(store["write_dsn"]) as connection:
        assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
    for node in store["nodes"]:
        with psycopg.connect(node["dsn"]) as connection:
            assert connection.execute("show cluster_name").fetchone() == (node["name"],)
