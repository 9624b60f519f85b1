"""A plan names exactly what would be hit, by uid, and refuses to select nothing."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.faults import actions, planning


def roster(folder: Path, *names: str, **more: dict[str, Any]) -> Path:
    """A roster file; a name is service-zone-number, and `more` changes single replicas (with _ for -)."""
    replicas = []
    for number, name in enumerate(names, start=100):
        service, zone, _ = name.split("-")
        row = {"name": name, "service": service, "zone": zone, "pid": number, "start_ticks": 7, "uid": f"00000000-{number}-7", "ready": True}
        replicas.append({**row, "link": ["127.0.0.1", number], "health": "/healthz", **more.get(name.replace("-", "_"), {})})
    links = {zone: {"control": f"/links-{zone}.sock"} for zone in "abc"}
    path = folder / "roster.json"
    path.write_text(json.dumps({"identity": "it", "zones": list("abc"), "keeper": {"control": "/keeper.sock"}, "links": links, "replicas": replicas}))
    return path


SHOP = ("shop-a-1", "shop-a-2", "shop-b-1", "shop-b-2", "shop-c-1", "shop-c-2")


def environment(path: Path, **more: Any) -> Environment:
    return Environment("test", **{"identity": {"sandbox": "it"}, "services": {"shop": Service("shop", processes={"roster": str(path)})}, **more})


def plan(env: Environment, func: str, caps: dict[str, float] | None = None, seed: int = 1, **arguments: Any) -> dict[str, Any]:
    activity = {"type": "action", "name": "f", "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}}
    return planning.resolve(activity, env, caps or {}, seed)


def names(row: dict[str, Any]) -> list[str]:
    return [target["name"] for target in row["targets"]]


def test_the_planner_knows_exactly_the_parameters_of_the_actions() -> None:
    for func in actions.__all__:
        signature = inspect.signature(getattr(actions, func))
        known = {name: planning.REQUIRED if one.default is inspect.Parameter.empty else one.default for name, one in signature.parameters.items()}
        assert known == planning.PARAMETERS[func]
        assert all(one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for one in signature.parameters.values())
        assert all(not isinstance(one.annotation, str) for one in signature.parameters.values()), "chaos discover loses types that are texts"


def test_a_lost_zone_is_its_link_and_its_replicas_and_the_rest_survives(tmp_path: Path) -> None:
    row = plan(environment(roster(tmp_path, *SHOP)), "lose_zone", zone="b", duration="40s")
    assert names(row) == ["link b", "shop-b-1", "shop-b-2"]
    assert row["of"] == {"shop": {"total": 6, "hit": 2}}
    assert row["survivors"] == {"a": 2, "c": 2}
    assert (row["kind"], row["duration_s"], row["reversible"]) == ("held", 40.0, True)
    assert row["targets"][1]["probe"] == {"host": "127.0.0.1", "port": 102, "path": "/healthz"}
    assert json.loads(json.dumps(row)) == row


def test_a_crashed_zone_is_held_by_the_keeper_and_an_isolated_one_only_by_its_link(tmp_path: Path) -> None:
    env = environment(roster(tmp_path, *SHOP))
    assert names(plan(env, "lose_zone", zone="b", duration="1s", how="crash"))[0] == "zone b"
    assert names(plan(env, "lose_zone", zone="b", duration="1s", how="isolate"))[0] == "link b"


def test_a_zone_s_name_in_the_environment_leads_to_its_name_in_the_target(tmp_path: Path) -> None:
    row = plan(environment(roster(tmp_path, *SHOP), zones={"zone-b": "b"}), "lose_zone", zone="zone-b", duration="1s")
    assert row["zone"] == "b"


def test_losing_one_service_of_a_shared_zone_leaves_the_link_alone(tmp_path: Path) -> None:
    env = environment(roster(tmp_path, *SHOP, "cart-b-1"))
    assert names(plan(env, "lose_zone", zone="b", duration="1s", service="shop")) == ["shop-b-1", "shop-b-2"]
    with pytest.raises(UsageError, match="other services live in it"):
        plan(env, "lose_zone", zone="b", duration="1s", service="shop", how="isolate")


def test_the_same_seed_draws_the_same_replicas_and_seeds_draw_different_ones(tmp_path: Path) -> None:
    env = environment(roster(tmp_path, *SHOP))
    drawn = [tuple(names(plan(env, "kill_replicas", seed=seed, service="shop", count=2))) for seed in range(50)]
    assert drawn == [tuple(names(plan(env, "kill_replicas", seed=seed, service="shop", count=2))) for seed in range(50)]
    assert len(set(drawn)) > 5
    assert {name for two in drawn for name in two} == set(SHOP)


def test_a_share_is_rounded_down_and_only_ready_replicas_are_drawn(tmp_path: Path) -> None:
    env = environment(roster(tmp_path, *SHOP, shop_a_1={"ready": False}))
    row = plan(env, "kill_replicas", service="shop", share="50%")
    assert len(row["targets"]) == 2
    assert "shop-a-1" not in names(row)
    assert (row["kind"], row["duration_s"]) == ("instant", None)


@pytest.mark.parametrize(
    ("func", "arguments", "text"),
    [
        pytest.param("kill_replicas", {"service": "chekout", "count": 1}, r"service 'chekout' matches nothing \(there are: shop\)", id="no such service"),
        pytest.param("kill_replicas", {"service": "shop", "count": 1, "zone": "d"}, r"zone 'd' matches nothing \(there are: a, b, c\)", id="no such zone"),
        pytest.param("lose_zone", {"zone": "d", "duration": "1s"}, r"zone 'd' matches nothing \(there are: a, b, c\)", id="no such zone to lose"),
        pytest.param("kill_replicas", {"service": "shop", "share": "10%"}, "rounded down, is none", id="a share of none"),
        pytest.param("kill_replicas", {"service": "shop", "count": 7}, "expected 1 to 6", id="more than there are"),
        pytest.param("kill_replicas", {"service": "shop"}, "neither share nor count", id="how many is not said"),
        pytest.param("kill_replicas", {"service": "shop", "count": 1, "share": "50%"}, "both share and count", id="said twice"),
        pytest.param("kill_replicas", {"service": "shop", "share": 50}, 'write 0.5 or "50%"', id="a percentage without its sign"),
        pytest.param("lose_zone", {"zone": "b", "duration": 40}, "expected a duration with its unit", id="a duration without its unit"),
        pytest.param("lose_zone", {"zone": "b"}, "argument 'duration' is missing", id="no duration"),
        pytest.param("lose_zone", {"zone": "b", "duration": "1s", "hwo": "crash"}, "unknown argument 'hwo'; it takes zone, duration", id="a slip"),
        pytest.param("lose_zone", {"zone": "b", "duration": "1s", "how": "loud"}, "expected silent, isolate, crash", id="no such loss"),
        pytest.param("lose_everything", {}, "expected one of kill_replicas, lose_zone", id="no such fault"),
        pytest.param("lose_zone", {"zone": "b", "duration": "1s", "timeout_s": 0}, "timeout_s", id="no time to see it"),
    ],
)
def test_a_wrong_or_empty_selection_is_an_error_that_names_what_exists(func: str, arguments: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        plan(environment(roster(tmp_path, *SHOP)), func, **arguments)


def test_more_than_the_caps_allow_is_refused(tmp_path: Path) -> None:
    env = environment(roster(tmp_path, *SHOP))
    assert plan(env, "lose_zone", {"zones": 1, "per_owner": 0.34}, zone="b", duration="1s")
    with pytest.raises(Refused, match=r"2 of 6 replicas of shop \(33%\) would be hit, the cap is 30%") as refused:
        plan(env, "lose_zone", {"per_owner": 0.3}, zone="b", duration="1s")
    assert refused.value.reason == "CAPS_EXCEEDED"
    with pytest.raises(Refused, match="1 zones would be lost"):
        plan(env, "lose_zone", {"zones": 0}, zone="b", duration="1s")
    with pytest.raises(Refused, match="never to touch shop-b-1"):
        plan(environment(roster(tmp_path, *SHOP), never={"names": ["shop-b-1"]}), "lose_zone", zone="b", duration="1s")


def test_another_target_than_the_environment_s_is_refused(tmp_path: Path) -> None:
    path = roster(tmp_path, *SHOP)
    with pytest.raises(Refused, match="belongs to it, not to environment test"):
        plan(environment(path, identity={"sandbox": "another"}), "lose_zone", zone="b", duration="1s")
    path.unlink()
    with pytest.raises(Refused, match="its roster cannot be read"):
        plan(environment(path), "lose_zone", zone="b", duration="1s")


def test_only_actions_of_our_module_are_ours() -> None:
    def of(kind: str, module: str) -> dict[str, Any]:
        return {"type": kind, "name": "x", "provider": {"type": "python", "module": module, "func": "lose_zone"}}

    assert planning.is_ours(of("action", "chaoslib_ext.faults"))
    assert planning.is_ours(of("action", "chaoslib_ext.faults.actions"))
    assert not planning.is_ours(of("probe", "chaoslib_ext.faults"))
    assert not planning.is_ours(of("action", "chaosk8s.pod.actions"))
    assert not planning.is_ours({"type": "action", "name": "x", "provider": {"type": "process", "path": "kill"}})
