"""The plan of the faults of a store: what would be hit, where it is looked at, and what is refused. No process is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.faults import planning
from chaoslib_ext.formats.activities_table import managed_kind

HEALTH = ["127.0.0.1", 7000]


def store(**roles: str) -> dict[str, Any]:
    wanted = {"a": "primary", "b": "standby", "c": "standby", **roles}
    nodes = [
        {"name": f"store-{zone}", "zone": zone, "pid": 10, "start_ticks": 1, "uid": f"0-10-{at}", "port": 1, "role": role, "dsn": "", "folder": f"/s/{zone}"}
        for at, (zone, role) in enumerate(wanted.items())
    ]
    links = {zone: {"control": f"/s/link-{zone}", "port": 2, "uid": f"0-20-1/{zone}", "base_ms": 50.0, "pid": 20, "start_ticks": 1} for zone in "abc"}
    return {"mode": "async", "ready": True, "nodes": nodes, "links": links, "controller": {"control": "/s/store"}, "health": {"address": HEALTH}}


def environment(folder: Path, content: dict[str, Any] | None) -> Environment:
    replicas = [
        {"name": f"shop-{zone}1", "service": "shop", "zone": zone, "pid": 1, "start_ticks": 1, "uid": f"0-1-{zone}", "ready": True, "link": ["127.0.0.1", 1]}
        for zone in "abc"
    ]
    links = {zone: {"control": f"/l/{zone}"} for zone in "abc"}
    roster = {"identity": "it", "zones": list("abc"), "keeper": {"control": "/k"}, "links": links, "replicas": replicas}
    path = folder / "roster.json"
    path.write_text(json.dumps({**roster, **({} if content is None else {"store": content})}))
    return Environment("test", identity={"sandbox": "it"}, services={"shop": Service("shop", processes={"roster": str(path)})})


def plan(env: Environment, func: str, caps: dict[str, float] | None = None, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}
    return planning.resolve({"type": "action", "name": "f", "provider": provider}, env, caps or {}, 1)


@pytest.mark.parametrize(
    ("arguments", "kind", "reversible", "path"),
    [
        pytest.param({}, "instant", False, "/primary", id="kill"),
        pytest.param({"how": "freeze", "duration": "20s"}, "held", True, "/node/store-a", id="freeze"),
        pytest.param({"how": "switchover"}, "instant", False, "/primary", id="switchover"),
    ],
)
def test_the_primary_is_one_node_of_three(tmp_path: Path, arguments: dict[str, Any], kind: str, reversible: bool, path: str) -> None:
    row = plan(environment(tmp_path, store()), "lose_primary", **arguments)
    (target,) = row["targets"]
    assert (row["kind"], row["reversible"], row["of"], row["survivors"]) == (kind, reversible, {"store": {"total": 3, "hit": 1}}, {"b": 1, "c": 1})
    assert (target["kind"], target["name"], target["uid"], target["probe"]) == (
        "store-node",
        "store-a",
        "0-10-0",
        {"host": "127.0.0.1", "port": 7000, "path": path},
    )


def test_a_replication_fault_is_one_link_looked_at_through_itself(tmp_path: Path) -> None:
    env = environment(tmp_path, store())
    cut, slow = plan(env, "cut_replication", zone="b", duration="5s"), plan(env, "delay_replication", zone="c", delay="60ms", duration="5s")
    assert [(target["kind"], target["uid"], target["probe"]["path"]) for target in cut["targets"]] == [("store-link", "0-20-1/b", "/link/b")]
    assert [(target["uid"], target["probe"]["path"]) for target in slow["targets"]] == [("0-20-1/c", "/link/c/within/160")]  # 2 × 50 as it is, 2 × 110 delayed
    assert (cut["how"], slow["how"], cut["reversible"], slow["kind"], slow["targets"][0]["data"]["delay_ms"]) == ("cut", "slow", True, "held", 60.0)


@pytest.mark.parametrize(("how", "around"), [("silent", "link a"), ("crash", "zone a")])
def test_a_lost_zone_takes_its_node_and_its_replication_link_along(tmp_path: Path, how: str, around: str) -> None:
    row = plan(environment(tmp_path, store()), "lose_zone", zone="a", duration="5s", how=how)
    assert [target["name"] for target in row["targets"]] == ["replication link a", around, "store-a", "shop-a1"]
    assert [target["probe"] and target["probe"]["path"] for target in row["targets"]] == [None, None, "/node/store-a", "/healthz"]
    assert (row["of"], row["survivors"]) == ({"shop": {"total": 3, "hit": 1}, "store": {"total": 3, "hit": 1}}, {"b": 1, "c": 1})


def test_a_zone_that_is_lost_to_one_service_or_whose_node_is_down_keeps_the_store_out(tmp_path: Path) -> None:
    shop_only = plan(environment(tmp_path, store()), "lose_zone", zone="a", duration="5s", service="shop")
    no_node = plan(environment(tmp_path, store(a="fenced", b="primary")), "lose_zone", zone="a", duration="5s")
    for row in (shop_only, no_node):
        assert [target["name"] for target in row["targets"]] == ["link a", "shop-a1"]
        assert row["of"] == {"shop": {"total": 3, "hit": 1}}


@pytest.mark.parametrize(
    ("func", "arguments", "text"),
    [
        pytest.param("lose_primary", {"how": "stop"}, "expected kill, freeze, switchover", id="no such loss"),
        pytest.param("lose_primary", {"store": "orders"}, r"store 'orders' matches nothing \(there are: store\)", id="no such store"),
        pytest.param("lose_primary", {"how": "freeze"}, "duration is missing", id="a freeze without its duration"),
        pytest.param("lose_primary", {"duration": "5s"}, 'how "kill" is not taken back', id="a kill with a duration"),
        pytest.param("cut_replication", {"zone": "a", "duration": "5s"}, r"zone 'a' has no standby \(there are standbys in: b, c\)", id="the primary's zone"),
        pytest.param("delay_replication", {"zone": "b", "delay": "1ms", "duration": "5s"}, "expected 20ms to 60s", id="a delay that cannot be seen"),
        pytest.param("delay_replication", {"zone": "b", "delay": 5, "duration": "5s"}, "expected a duration with its unit", id="a delay without its unit"),
        pytest.param("lose_zone", {"zone": "a", "duration": "5s", "how": "isolate"}, "cannot cut off store-a", id="a node that clients reach directly"),
    ],
)
def test_a_wrong_call_is_told_and_nothing_is_touched(tmp_path: Path, func: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        plan(environment(tmp_path, store()), func, **arguments)


@pytest.mark.parametrize("func", ["lose_primary", "cut_replication"])
def test_an_environment_without_a_store_is_told(tmp_path: Path, func: str) -> None:
    arguments = {} if func == "lose_primary" else {"zone": "b", "duration": "5s"}
    with pytest.raises(UsageError, match="has no store, expected one, like --env sandbox:store"):
        plan(environment(tmp_path, None), func, **arguments)


@pytest.mark.parametrize(
    ("roles", "text"), [pytest.param({"b": "down", "c": "fenced"}, "no standby", id="alone"), pytest.param({"a": "fenced"}, "no primary", id="headless")]
)
def test_a_primary_without_whom_nothing_could_go_on_is_not_taken(tmp_path: Path, roles: dict[str, str], text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        plan(environment(tmp_path, store(**roles)), "lose_primary")
    assert refused.value.reason == "PREFLIGHT_FAILED"


def test_caps_and_never_hold_for_the_store_too(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="1 of 3 replicas of store"):
        plan(environment(tmp_path, store()), "lose_primary", {"per_owner": 0.3})
    env = environment(tmp_path, store())
    never = Environment(env.name, identity=env.identity, services=env.services, never={"names": ["store-a"]})
    with pytest.raises(Refused, match="never to touch store-a"):
        plan(never, "lose_primary")


def test_the_table_knows_which_loss_is_held() -> None:
    def activity(**arguments: str) -> dict[str, Any]:
        return {"type": "action", "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": "lose_primary", "arguments": arguments}}

    assert [managed_kind(activity(**one)) for one in ({}, {"how": "switchover"}, {"how": "freeze"})] == ["instant", "instant", "held"]
