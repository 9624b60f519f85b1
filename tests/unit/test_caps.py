"""Caps hold on the frozen list, exactly: no share is ever rounded past them, and what is down or held already counts."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.faults import planning
from chaoslib_ext.faults.caps import exceeded, members, most
from chaoslib_ext.formats.quantities import parse_ratio
from chaoslib_ext.runner.plan import make_plan

SHARES = ["1%", "33%", "34%", "50%", "100%"]


def replicas(count: int, service: str = "shop", zones: str = "abc", **more: dict[str, Any]) -> list[dict[str, Any]]:
    """So many ready replicas, spread over the zones in turn; `more` changes single ones, by number (`n2={…}`)."""
    made = []
    for at in range(count):
        name, zone = f"{service}-{at}", zones[at % len(zones)]
        row = {"name": name, "service": service, "zone": zone, "pid": 100 + at, "start_ticks": 7, "uid": f"0-{service}-{at}", "ready": True}
        made.append({**row, "link": ["127.0.0.1", 100 + at], "health": "/healthz", **more.get(f"n{at}", {})})
    return made


def nodes(count: int, *down: int) -> dict[str, Any]:
    """A store of so many nodes, the first one its primary; those `down` do not serve."""
    made = []
    for at in range(count):
        role = "down" if at in down else "primary" if at == min(set(range(count)) - set(down)) else "standby"
        made.append({"name": f"store-{at}", "zone": "abcdefg"[at], "pid": 10, "uid": f"0-10-{at}", "role": role, "folder": "/s", "port": 1})
    links = {"abcdefg"[at]: {"control": "/l", "uid": f"l{at}"} for at in range(count)}
    return {"nodes": made, "links": links, "controller": {"control": "/c"}, "health": {"address": ["127.0.0.1", 1]}}


def environment(folder: Path, rows: list[dict[str, Any]], store: dict[str, Any] | None = None, **more: Any) -> Environment:
    links = {zone: {"control": f"/l-{zone}"} for zone in "abcdefg"}
    roster = {"identity": "it", "zones": list("abc"), "keeper": {"control": "/k"}, "links": links, "replicas": rows, **({"store": store} if store else {})}
    (folder / "roster.json").write_text(json.dumps(roster))
    services = {name: Service(name, processes={"roster": str(folder / "roster.json")}) for name in sorted({one["service"] for one in rows} | {"shop"})}
    return Environment("test", **{"identity": {"sandbox": "it"}, "services": services, **more})


def plan(env: Environment, func: str, caps: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}
    return planning.resolve({"type": "action", "name": "f", "provider": provider}, env, caps or {}, 1)


@pytest.mark.parametrize("cap", SHARES)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_of_any_number_no_share_takes_more_than_itself_or_the_cap(tmp_path: Path, count: int, share: str, cap: str) -> None:
    env = environment(tmp_path, replicas(count))
    wanted, allowed = (math.floor(Fraction(int(text[:-1]), 100) * count) for text in (share, cap))
    try:
        row = plan(env, "kill_replicas", {"per_owner": parse_ratio(cap)}, service="shop", share=share)
    except UsageError:
        assert wanted == 0, "a share of none is an error, never rounded up to one"
    except Refused as refused:
        assert (refused.reason, wanted > allowed) == ("CAPS_EXCEEDED", True)
    else:
        assert len(row["targets"]) == row["of"]["shop"]["hit"] == wanted <= allowed


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(st.integers(1, 400), st.integers(0, 10_000))
def test_a_share_is_never_rounded_past_itself(total: int, basis_points: int) -> None:
    allowed = most(parse_ratio(f"{basis_points / 100:.2f}%"), total)
    assert allowed * 10_000 <= basis_points * total < (allowed + 1) * 10_000


def test_a_share_a_hair_below_one_replica_takes_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rounded down, is none"):
        plan(environment(tmp_path, replicas(3)), "kill_replicas", service="shop", share="33.33333333%")


@pytest.mark.parametrize(
    ("rows", "caps", "arguments", "said"),
    [
        pytest.param(replicas(6), {"per_owner": 0.34}, {"count": 2}, None, id="two of six"),
        pytest.param(replicas(6), {"per_owner": 0.33}, {"count": 2}, r"2 of 6 replicas of shop \(33%\) would be hit, the cap is 33%", id="a hair too many"),
        pytest.param(
            replicas(6, n0={"ready": False}), {"per_owner": 0.34}, {"count": 2}, "(50%) would be hit, 1 more is down or held already", id="one is down"
        ),
        pytest.param(replicas(6, n0={"pid": None}), {"per_owner": 0.34}, {"count": 2}, "1 more is down", id="one has no process"),
        pytest.param(replicas(6, n0={"ready": False}), {"per_owner": 0.34}, {"count": 1}, None, id="near miss: one is down and one more is within the cap"),
        pytest.param(replicas(6), {"per_zone": 0.5}, {"count": 1}, None, id="half a zone"),
        pytest.param(replicas(6), {"per_zone": 0.49}, {"count": 1}, "1 of 2 replicas of shop in zone", id="more of a zone than allowed"),
        pytest.param(
            replicas(6), {"per_zone": 0.5}, {"count": 2, "zone": "b"}, r"2 of 2 replicas of shop in zone b \(100%\)", id="a whole zone by its replicas"
        ),
        pytest.param(replicas(6), {"zones": 0}, {"count": 2, "zone": "b"}, r"1 zones would be lost \(b\), the cap is 0", id="a zone is lost by its replicas"),
        pytest.param(
            replicas(6, n0={"ready": False}, n3={"ready": False}), {"zones": 1}, {"count": 2, "zone": "b"}, r"2 zones would be lost \(a, b\)", id="one is lost"
        ),
        pytest.param(replicas(6, n0={"ready": False}, n3={"ready": False}), {"zones": 0}, {"count": 1, "zone": "b"}, None, id="near miss: another zone's loss"),
        pytest.param(replicas(6) + replicas(1, "cart"), {"per_owner": 0.34}, {"count": 2}, None, id="each owner for itself"),
        pytest.param(replicas(3), {"per_owner": 0.0}, {"count": 1}, "the cap is 0%", id="none at all"),
        pytest.param(replicas(3), {}, {"count": 3}, None, id="no cap"),
    ],
)
def test_what_a_fault_takes_is_held_against_the_caps(
    tmp_path: Path, rows: list[dict[str, Any]], caps: dict[str, Any], arguments: dict[str, Any], said: str | None
) -> None:
    env = environment(tmp_path, rows)
    if said is None:
        assert plan(env, "kill_replicas", caps, service="shop", **arguments)["caps"] == caps
        return
    with pytest.raises(Refused, match=said.replace("(50%)", r"\(50%\)")) as refused:
        plan(env, "kill_replicas", caps, service="shop", **arguments)
    assert refused.value.reason == "CAPS_EXCEEDED"


def test_what_another_fault_holds_counts_too(tmp_path: Path) -> None:
    rows = replicas(6)
    row = plan(environment(tmp_path, rows), "lose_zone", {"per_owner": 0.34, "zones": 1}, zone="b", duration="9s")
    there = members([{"replicas": rows}])
    assert exceeded(row, row["caps"], there) == []
    [by_zone, by_owner] = exceeded(row, row["caps"], there, {"0-shop-0", "0-shop-3"})
    assert "2 zones would be lost (a, b), the cap is 1" in by_zone
    assert "2 of 6 replicas of shop (67%) would be hit, 2 more are down or held already" in by_owner


@pytest.mark.parametrize(
    ("count", "down", "caps", "allowed"),
    [
        pytest.param(2, (), {}, True, id="one of two"),
        pytest.param(3, (), {}, True, id="one of three"),
        pytest.param(3, (2,), {}, False, id="one of three, and one is down"),
        pytest.param(4, (3,), {}, True, id="near miss: two of four are no majority"),
        pytest.param(5, (3, 4), {}, False, id="three of five"),
        pytest.param(7, (5, 6), {}, True, id="near miss: three of seven"),
        pytest.param(3, (2,), {"majority": 1.0}, True, id="the fault's own caps say so"),
        pytest.param(3, (2,), {"majority": 0.5}, False, id="the fault's own caps say less"),
        pytest.param(3, (2,), {"per_owner": 1.0}, False, id="the environment's caps do not lift it"),
    ],
)
def test_a_store_keeps_its_majority_unless_the_fault_s_own_caps_say_otherwise(
    tmp_path: Path, count: int, down: tuple[int, ...], caps: dict[str, Any], allowed: bool
) -> None:
    env = environment(tmp_path, replicas(3), nodes(count, *down))
    if allowed:
        assert plan(env, "lose_primary", caps)["of"]["store"]["hit"] == 1
        return
    with pytest.raises(Refused, match=r"of . nodes of store would be gone, its majority"):
        plan(env, "lose_primary", caps)


def test_a_planned_change_of_the_primary_loses_no_node(tmp_path: Path) -> None:
    assert plan(environment(tmp_path, replicas(3), nodes(3, 2)), "lose_primary", {"per_owner": 0.34}, how="switchover")


PROVIDER = "provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: %s, duration: 20s}}"
LOSE = "- {type: action, name: lose %s, pauses: {after: %d}, " + PROVIDER + "}\n"
BLOCK = "extensions:\n- {name: chaoslib_ext, version: 1, faults: {lose b: {caps: %s}}}\n"


def experiment(folder: Path, caps: str, pause: int) -> Any:
    (folder / "x.yaml").write_text("title: t\nmethod:\n" + LOSE % ("a", pause, "a") + LOSE % ("b", 0, "b") + BLOCK % caps)
    return read_experiment(folder / "x.yaml")


@pytest.mark.parametrize(
    ("caps", "pause", "refused"),
    [
        pytest.param("{zones: 1}", 0, True, id="both at once"),
        pytest.param("{zones: 1}", 19, True, id="the first is still held"),
        pytest.param("{zones: 1}", 20, False, id="near miss: the first is over"),
        pytest.param("{zones: 2}", 0, False, id="near miss: two are allowed"),
        pytest.param("{per_owner: 50%}", 0, True, id="four of six replicas"),
    ],
)
def test_faults_that_are_held_at_the_same_time_count_together(tmp_path: Path, caps: str, pause: int, refused: bool) -> None:
    env, told = environment(tmp_path, replicas(6)), experiment(tmp_path, caps, pause)
    if not refused:
        assert len(make_plan(told, env, 1)["resolved"]) == 2
        return
    with pytest.raises(Refused, match="lose b: while lose a is still held: ") as error:
        make_plan(told, env, 1)
    assert error.value.reason == "CAPS_EXCEEDED"


@pytest.mark.parametrize("own", ["{per_owner: 100%}", "{per_owner: 10%}"])
def test_an_experiment_cannot_loosen_the_caps_of_its_environment(tmp_path: Path, own: str) -> None:
    env = environment(tmp_path, replicas(6), caps={"per_owner": 0.1})
    (tmp_path / "x.yaml").write_text("title: t\nmethod:\n" + LOSE % ("b", 0, "b") + BLOCK % own)
    with pytest.raises(Refused, match=r"lose b: 2 of 6 replicas of shop .* the cap is 10%"):
        make_plan(read_experiment(tmp_path / "x.yaml"), env, 1)


@pytest.mark.parametrize(("own", "allowed"), [("{per_owner: 67%}", True), ("{per_owner: 66%}", False), ("{zones: 3}", False)])
def test_only_a_fault_s_own_caps_give_up_the_majority_of_a_store(tmp_path: Path, own: str, allowed: bool) -> None:
    env = environment(tmp_path, replicas(3), nodes(3, 2), caps={"per_owner": 1.0})
    kill = "- {type: action, name: lose b, provider: {type: python, module: chaoslib_ext.faults, func: lose_primary, arguments: {}}}\n"
    (tmp_path / "x.yaml").write_text("title: t\nmethod:\n" + kill + BLOCK % own)
    told = read_experiment(tmp_path / "x.yaml")
    if allowed:
        assert make_plan(told, env, 1)
        return
    with pytest.raises(Refused, match=r"2 of 3 (nodes of store would be gone|replicas of store)|1 of 3 replicas of store"):
        make_plan(told, env, 1)


PROFILE = """apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 10/s}]
journeys:
- {name: buy, weight: 1, steps: [{request: POST /orders, json: {id: "${write_id}"}, write: orders}]}
- {name: look, weight: 3, steps: [{request: GET /x}]}
writes: {orders: {acknowledged: {status: 201}}}
"""


@pytest.mark.parametrize(("cap", "refused"), [(274, True), (275, False), (0, True)])
def test_a_load_that_would_write_more_than_the_environment_allows_is_refused(tmp_path: Path, cap: int, refused: bool) -> None:
    # warm-up 5 s, baseline 15 s, at most 10 s until the fault is seen, its hold of 20 s, recovery of at most 60 s: a quarter of 10/s writes
    (tmp_path / "load.yaml").write_text(PROFILE)
    method = "title: t\nmethod:\n" + LOSE % ("b", 0, "b")
    (tmp_path / "x.yaml").write_text(method + "extensions:\n- {name: chaoslib_ext, version: 1, load: load.yaml}\n")
    told, env = read_experiment(tmp_path / "x.yaml"), environment(tmp_path, replicas(6), caps={"writes": cap})
    if not refused:
        assert make_plan(told, env, 1)
        return
    with pytest.raises(Refused, match=rf"about 2\d\d times in .*, environment test allows {cap} writes for a run"):
        make_plan(told, env, 1)
