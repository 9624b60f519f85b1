"""What must never be touched, and what alone may be, is asked at the plan and right before the write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import state
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.faults import planning
from chaoslib_ext.faults.protection import FORBIDDEN, refusals
from chaoslib_ext.faults.rechecks import refuse_changed

LOSE = {"zone": "b", "duration": "60s"}


class Paper:
    """A roster on paper, and a run on it: no process at all."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "roster.json"
        names = ["shop-a1", "shop-b1", "shop-c1"]
        rows = [{"name": name, "service": "shop", "zone": name[5], "pid": 9, "uid": f"0-{name}", "ready": True, "link": ["127.0.0.1", 1]} for name in names]
        links = {zone: {"control": f"/l-{zone}"} for zone in "abc"}
        self.roster: dict[str, Any] = {"identity": "it", "zones": list("abc"), "keeper": {"control": "/k"}, "links": links, "replicas": rows}
        self.label()
        self.environment = Environment("standin", identity={"sandbox": "it"}, services={"shop": Service("shop", processes={"roster": str(self.path)})})

    def label(self, **labels: Any) -> None:
        """Labels some of it: by a replica's or a zone's name, or `all_` for the whole target."""
        for one in self.roster["replicas"]:
            one["labels"] = labels.get(one["name"].replace("-", "_"), {})
        for zone, link in self.roster["links"].items():
            link["labels"] = labels.get(f"zone_{zone}", {})
        self.roster["labels"] = labels.get("all_", {})
        self.path.write_text(json.dumps(self.roster))

    def plan(self, func: str, environment: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        provider = {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": arguments}
        return planning.resolve({"type": "action", "name": "lose", "provider": provider}, replace(self.environment, **environment or {}), {}, 1)

    def run(self, row: dict[str, Any], environment: dict[str, Any]) -> Path:
        """The state folder of a run that is about to inject a row."""
        folder = state.create_run("20250101-000000-paper-0000", {"run": "20250101-000000-paper-0000", "t0_ns": 0})
        told = replace(self.environment, **environment).to_json()
        state.write_json(folder / state.SPEC, {"environment": told, "plan": {"resolved": [row]}})
        return folder


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paper:
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    return Paper(tmp_path)


AFTER_THE_PLAN = [
    pytest.param({"shop_b1": {FORBIDDEN: "true"}}, {}, f"shop-b1 carries the label {FORBIDDEN}", id="the label that no environment may touch"),
    pytest.param({"zone_b": {FORBIDDEN: ""}}, {}, f"link b carries the label {FORBIDDEN}", id="on its zone"),
    pytest.param({"all_": {FORBIDDEN: "yes"}}, {}, f"shop-b1 carries the label {FORBIDDEN}", id="on the whole target"),
    pytest.param({"shop_b1": {"tier": "gold"}}, {"never": {"labels": ["tier=gold"]}}, "shop-b1 carries the label tier=gold", id="a label with its value"),
    pytest.param({"shop_b1": {"tier": "gold"}}, {"never": {"labels": ["tier"]}}, "shop-b1 carries the label tier", id="a label with any value"),
    pytest.param({"shop_b1": ["tier"]}, {}, "shop-b1 carries the label", id="labels that cannot be read protect"),
    pytest.param({}, {"never": {"names": ["shop-b1"]}}, "says never to touch shop-b1", id="a name"),
    pytest.param({}, {"never": {"names": ["shop"]}}, r"says never to touch shop (shop-b1)", id="a service's name"),
    pytest.param({}, {"allow": {"zones": ["a", "c"]}}, "allows the zones a, c only, and shop-b1 is in zone b", id="a zone that is not allowed"),
    pytest.param({}, {"allow": {"services": ["cart"]}}, "allows the services cart only, and shop-b1 is in service shop", id="a service that is not allowed"),
    pytest.param({}, {"allow": {"hosts": ["10.0.0.1"]}}, "allows the hosts 10.0.0.1 only, and shop-b1 is on host 127.0.0.1", id="a host that is not allowed"),
]
NEAR_MISSES = [
    pytest.param({"shop_c1": {FORBIDDEN: "true"}, "zone_a": {FORBIDDEN: ""}}, {}, id="labels on others"),
    pytest.param({"shop_b1": {"tier": "silver"}}, {"never": {"labels": ["tier=gold", "gold"]}}, id="another value"),
    pytest.param({}, {"never": {"names": ["shop-b"]}}, id="a part of a name"),
    pytest.param({}, {"zones": {"second": "b"}, "allow": {"zones": ["second"], "services": ["shop"], "hosts": ["127.0.0.1"]}}, id="all that it is, allowed"),
]


@pytest.mark.parametrize(("labels", "environment", "said"), AFTER_THE_PLAN)
def test_what_is_protected_after_the_plan_is_refused_right_before_the_write(
    paper: Paper, labels: dict[str, Any], environment: dict[str, Any], said: str
) -> None:
    row = paper.plan("lose_zone", **LOSE)
    folder = paper.run(row, environment)
    paper.label(**labels)
    with pytest.raises(FaultFailed) as error:
        refuse_changed(row, folder)
    assert str(error.value).startswith("PROTECTED: lose: ")
    assert said in str(error.value)


@pytest.mark.parametrize(("labels", "environment", "said"), AFTER_THE_PLAN)
def test_what_is_protected_is_refused_by_the_plan(paper: Paper, labels: dict[str, Any], environment: dict[str, Any], said: str) -> None:
    paper.label(**labels)
    with pytest.raises(Refused) as error:
        paper.plan("lose_zone", environment, **LOSE)
    assert error.value.reason == "PROTECTED"
    assert said in str(error.value)


@pytest.mark.parametrize(("labels", "environment"), NEAR_MISSES)
def test_near_miss_what_is_not_meant_is_not_refused(paper: Paper, labels: dict[str, Any], environment: dict[str, Any]) -> None:
    paper.label(**labels)
    row = paper.plan("lose_zone", environment, **LOSE)
    refuse_changed(row, paper.run(row, environment))


def test_a_protected_replica_is_never_drawn(paper: Paper) -> None:
    paper.label(shop_b1={FORBIDDEN: "true"})
    never = {"never": {"names": ["shop-c1"]}}
    row = paper.plan("kill_replicas", never, service="shop", count=1)
    assert [target["name"] for target in row["targets"]] == ["shop-a1"]
    with pytest.raises(UsageError, match=r"expected 1 to 1 \(that many match, are ready and may be touched\)"):
        paper.plan("kill_replicas", never, service="shop", count=2)


def envoy(name: str, service: str, admin: str) -> dict[str, Any]:
    return {"kind": "envoy", "name": name, "ns": service, "zone": "", "uid": "u", "data": {"roster": "r", "admin": admin}}


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        pytest.param(envoy("sidecar of shop-b1", "shop", "/b"), True, id="a sidecar reaches its replica"),
        pytest.param(envoy("sidecar of shop-a1", "shop", "/a"), False, id="near miss: another one's sidecar"),
        pytest.param(envoy("ingress", "shop", "/i"), True, id="an ingress reaches all replicas of its service"),
        pytest.param(envoy("ingress", "cart", "/i"), False, id="near miss: another service's ingress"),
        pytest.param({"kind": "store-link", "name": "replication link b", "ns": "store", "zone": "b", "data": {"roster": "r"}}, True, id="a replication link"),
        pytest.param({"kind": "store-link", "name": "replication link c", "ns": "store", "zone": "c", "data": {"roster": "r"}}, False, id="near miss: another"),
        pytest.param({"kind": "store-node", "name": "store-b", "ns": "store", "zone": "b", "data": {"roster": "r"}}, True, id="a node"),
        pytest.param({"kind": "link", "name": "link b", "ns": "", "zone": "b", "data": {"roster": "r"}}, True, id="a link reaches the zone"),
        pytest.param({"kind": "link", "name": "link a", "ns": "", "zone": "a", "data": {"roster": "r"}}, False, id="near miss: another zone's link"),
    ],
)
def test_a_fault_reaches_what_stands_behind_its_target(paper: Paper, target: dict[str, Any], refused: bool) -> None:
    for one in paper.roster["replicas"]:
        one["sidecar"] = {"admin": f"/{one['zone']}"}
    paper.roster["store"] = {"nodes": [{"name": f"store-{zone}", "zone": zone, "labels": {FORBIDDEN: ""} if zone == "b" else {}} for zone in "abc"]}
    paper.label(shop_b1={FORBIDDEN: ""})
    assert bool(refusals([target], {"r": paper.roster}, paper.environment.to_json())) == refused
