"""What can be done to a sandbox: replicas killed and held, links that swallow and delay, and who may undo it."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import signal_exact
from chaoslib_ext.sandbox import SandboxInfo
from chaoslib_ext.sandbox.envoy import counters


@pytest.fixture(autouse=True)
def healthy(rig: Any, box: SandboxInfo) -> Iterator[None]:
    """Every test begins with six healthy replicas."""
    rig.until(lambda: counters(box)["cluster.shop.membership_healthy"] == 6 and _all_ready(rig, box), "six healthy replicas")
    yield


def _all_ready(rig: Any, info: SandboxInfo) -> bool:
    return all(row["ready"] for row in rig.keeper(info, op="status")["replicas"])


def _kill(rig: Any, info: SandboxInfo, name: str) -> str:
    row = rig.replica(info, name)
    assert signal_exact(row["pid"], row["start_ticks"], signal.SIGKILL)
    return str(row["uid"])


def _replaced(rig: Any, info: SandboxInfo, name: str, old: str) -> dict[str, Any]:
    def replaced() -> bool:
        row = rig.replica(info, name)
        return bool(row["ready"]) and row["uid"] != old

    rig.until(replaced, f"a new {name}")
    row: dict[str, Any] = rig.replica(info, name)
    return row


def _zones_seen(rig: Any, info: SandboxInfo) -> set[str]:
    return {rig.send(rig.port(info))[1].get("x-zone", "") for _ in range(12)}


def test_a_killed_replica_is_replaced_at_once_and_then_after_a_pause(rig: Any, box: SandboxInfo) -> None:
    first = _replaced(rig, box, "shop-a1", _kill(rig, box, "shop-a1"))
    assert first["restarts"] == 1
    killed_s = time.monotonic()
    second = _replaced(rig, box, "shop-a1", _kill(rig, box, "shop-a1"))
    assert time.monotonic() - killed_s >= 1.0  # a lower bound: the pause of the second crash
    assert second["restarts"] == 2
    assert rig.send(second["address"][1], path="/healthz")[1]["x-incarnation"] == second["uid"]


def test_a_held_zone_stays_down_until_it_is_released(rig: Any, box: SandboxInfo) -> None:
    rig.keeper(box, op="hold", zone="b", owner="fault-1")
    old = [_kill(rig, box, name) for name in ("shop-b1", "shop-b2")]
    rig.until(lambda: counters(box)["cluster.shop.membership_healthy"] == 4, "the zone out of the proxy")
    assert _zones_seen(rig, box) == {"a", "c"}
    state = rig.keeper(box, op="status")
    assert state["zones"] == {"a": {"held_by": None}, "b": {"held_by": "fault-1"}, "c": {"held_by": None}}
    assert [row["ready"] for row in state["replicas"]] == [True, True, False, False, True, True]
    assert rig.keeper(box, op="release", zone="b", owner="fault-1")["zones"]["b"] == {"held_by": None}
    for name, uid in zip(("shop-b1", "shop-b2"), old, strict=True):
        _replaced(rig, box, name, uid)
    rig.until(lambda: _zones_seen(rig, box) == {"a", "b", "c"}, "the zone back")


def test_only_the_holder_releases_a_zone(rig: Any, box: SandboxInfo) -> None:
    rig.keeper(box, op="hold", zone="a", owner="fault-1")
    for op in ("hold", "release"):
        with pytest.raises(FaultFailed, match="held by fault-1"):
            rig.keeper(box, op=op, zone="a", owner="fault-2")
    assert rig.keeper(box, op="hold", zone="a", owner="fault-1")["zones"]["a"] == {"held_by": "fault-1"}
    rig.keeper(box, op="release", zone="a", owner="fault-1")
    assert rig.keeper(box, op="release", zone="a", owner="fault-1")["zones"]["a"] == {"held_by": None}


def test_a_link_that_swallows_has_its_zone_ejected_and_back_when_cleared(rig: Any, box: SandboxInfo) -> None:
    rig.link(box, "b", op="set", mode="swallow", owner="fault-1")
    statuses = [rig.send(rig.port(box))[0] for _ in range(12)]
    rig.until(lambda: counters(box)["cluster.shop.membership_healthy"] == 4, "the zone out of the proxy")
    assert set(statuses) == {200}  # repeated elsewhere
    assert _zones_seen(rig, box) == {"a", "c"}
    assert rig.send(rig.replica(box, "shop-b1")["address"][1])[0] == 200  # the replica itself is fine
    rig.link(box, "b", op="clear", owner="fault-1")
    rig.until(lambda: _zones_seen(rig, box) == {"a", "b", "c"}, "the zone back")


def test_a_swallowing_link_answers_nothing_on_old_and_new_connections_and_delivers_afterwards(rig: Any, box: SandboxInfo) -> None:
    port = rig.replica(box, "shop-c1")["link"][1]
    request = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 10.0) as old:
        old.sendall(request)
        assert old.recv(65536).startswith(b"HTTP/1.1 200")
        rig.link(box, "c", op="set", mode="swallow", owner="fault-1")
        with socket.create_connection(("127.0.0.1", port), 10.0) as new:
            for connection in (old, new):
                connection.sendall(request)
                connection.settimeout(0.3)
                with pytest.raises(TimeoutError):  # neither an answer nor a reset
                    connection.recv(1)
                connection.settimeout(10.0)
            rig.link(box, "c", op="clear", owner="fault-1")
            assert old.recv(65536).startswith(b"HTTP/1.1 200")
            assert new.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_link_delays_both_ways_and_the_proxy_tries_elsewhere(rig: Any, box: SandboxInfo) -> None:
    port = rig.replica(box, "shop-a2")["link"][1]
    rig.link(box, "a", op="set", mode="delay", delay_ms=100, owner="fault-1")
    began_s = time.monotonic()
    assert rig.send(port)[0] == 200
    assert time.monotonic() - began_s >= 0.2  # a lower bound: there and back
    state = rig.link(box, "a", op="status")
    assert (state["mode"], state["delay_ms"], state["owner"], state["identity"]) == ("delay", 100.0, "fault-1", box.identity)
    rig.link(box, "a", op="clear", owner="fault-1")


def test_bytes_keep_their_order_when_a_delay_is_cleared(rig: Any, box: SandboxInfo) -> None:
    port = rig.replica(box, "shop-a2")["link"][1]
    with socket.create_connection(("127.0.0.1", port), 10.0) as connection, connection.makefile("rb") as answers:
        for number in range(40):
            if number % 10 == 0:
                rig.link(box, "a", op="set", mode="delay", delay_ms=50, owner="fault-1")
            if number % 10 == 5:
                rig.link(box, "a", op="clear", owner="fault-1")
            last = "Connection: close\r\n" if number == 39 else ""
            connection.sendall(f"GET /catalog/{number} HTTP/1.1\r\nHost: shop\r\n{last}\r\n".encode())
        text = answers.read()
    assert re.findall(rb'"id": "(\d+)"', text) == [b"%d" % number for number in range(40)]


def test_only_the_owner_changes_a_link(rig: Any, box: SandboxInfo) -> None:
    rig.link(box, "a", op="set", mode="delay", delay_ms=1, owner="fault-1")
    for request in ({"op": "set", "mode": "swallow"}, {"op": "clear"}):
        with pytest.raises(FaultFailed, match="belongs to fault-1"):
            rig.link(box, "a", **request, owner="fault-2")
    assert rig.link(box, "a", op="set", mode="delay", delay_ms=2, owner="fault-1")["delay_ms"] == 2.0
    assert rig.link(box, "a", op="clear", owner="fault-1") == rig.link(box, "a", op="clear", owner="fault-1")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param({"op": "set", "mode": "drop", "owner": "f"}, "mode: got 'drop'", id="mode"),
        pytest.param({"op": "set", "mode": "delay", "owner": "f"}, "delay_ms: missing", id="delay without milliseconds"),
        pytest.param({"op": "set", "mode": "delay", "delay_ms": -1, "owner": "f"}, "delay_ms: got -1", id="negative delay"),
        pytest.param({"op": "set", "mode": "swallow"}, "owner: got None", id="no owner"),
        pytest.param({"op": "sett"}, "op: got 'sett'", id="operation"),
    ],
)
def test_a_wrong_request_to_a_link_changes_nothing(rig: Any, box: SandboxInfo, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(FaultFailed, match=message):
        rig.link(box, "a", **request_)
    assert rig.link(box, "a", op="status")["owner"] is None


def test_a_killed_link_and_a_killed_proxy_are_started_again(rig: Any, box: SandboxInfo) -> None:
    _, proxy, link_a, *_ = rig.processes(box)
    for pid, ticks in (proxy, link_a):
        assert signal_exact(pid, ticks, signal.SIGKILL)
    rig.until(lambda: _victims_replaced(rig, box, {proxy, link_a}), "another link and proxy")


def _victims_replaced(rig: Any, info: SandboxInfo, victims: set[tuple[int, int]]) -> bool:
    try:
        return not victims & set(rig.processes(info)) and rig.send(rig.port(info))[0] == 200
    except OSError:
        return False


def test_unenforced_reports_what_it_was_told_and_goes_on_passing(rig: Any) -> None:
    info = rig.up("paper", "unenforced", "broken")
    assert rig.link(info, "b", op="set", mode="swallow", owner="fault-1")["mode"] == "swallow"
    statuses = [rig.send(rig.replica(info, "shop-b1")["link"][1])[0] for _ in range(20)]
    assert (statuses.count(500), statuses.count(200)) == (6, 14)
    assert rig.link(info, "b", op="status")["owner"] == "fault-1"


def test_no_restart_leaves_a_killed_replica_dead_until_its_zone_is_released(rig: Any) -> None:
    info = rig.up("mortal", "no_restart", "one_zone")
    old = _kill(rig, info, "shop-b6")
    rig.until(lambda: counters(info)["cluster.shop.membership_healthy"] == 5, "the replica out of the proxy")
    row = rig.replica(info, "shop-b6")
    assert (row["ready"], row["uid"], row["restarts"]) == (False, old, 0)
    rig.keeper(info, op="hold", zone="b", owner="fault-1")
    rig.keeper(info, op="release", zone="b", owner="fault-1")
    assert _replaced(rig, info, "shop-b6", old)["restarts"] == 1


@pytest.mark.slow
def test_slow_start_makes_a_replacement_wait(rig: Any) -> None:
    info = rig.up("slow", "slow_start")
    killed_s = time.monotonic()
    _replaced(rig, info, "shop-b1", _kill(rig, info, "shop-b1"))
    assert time.monotonic() - killed_s >= 7.9  # a lower bound


@pytest.mark.slow
@pytest.mark.parametrize(("switches", "status"), [pytest.param(["no_retries"], 504, id="no retries"), pytest.param([], 200, id="sound")])
def test_a_request_to_a_silent_zone_ends_as(rig: Any, switches: list[str], status: int) -> None:
    info = rig.up(f"silent{len(switches)}", *switches, "slow_health_check")
    rig.link(info, "b", op="set", mode="swallow", owner="fault-1")
    statuses = [rig.send(rig.port(info))[0] for _ in range(6)]
    assert (status in statuses) and set(statuses) <= {200, status}
