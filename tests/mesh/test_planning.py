"""What is planned for the traffic of a service: the right Envoys by uid, nothing killed, and everything wrong refused before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from undo_rig import activity

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.faults import planning
from chaoslib_ext.formats.argument_checks import argument_problems
from chaoslib_ext.mesh.parts import parts
from chaoslib_ext.mesh.routes import MARK, Traffic, stanza, with_fault
from chaoslib_ext.process.client import boot8
from chaoslib_ext.sandbox import Weaknesses, envoy, sidecar


class Paper:
    """A mesh on paper: a roster and files of routes, and no process at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [self._replica(f"shop-{zone}{number}", zone) for zone in "abc" for number in (1, 2)]
        rows.append({**self._replica("cart-a1", "a"), "service": "cart", "sidecar": None})
        self.roster = {"identity": "me", "zones": ["a", "b", "c"], "keeper": {"control": "/keeper"}, "links": {}, "replicas": rows}
        self.roster["ingress"] = self._door("ingress", 900, envoy.routes(Weaknesses(mesh=True)))
        self.write()

    def _door(self, name: str, pid: int, routes: dict[str, Any]) -> dict[str, Any]:
        config = self.folder / f"{name}.json"
        config.write_text(json.dumps(routes))
        return {"config": str(config), "admin": f"/{name}.sock", "address": ["127.0.0.1", pid], "pid": pid, "start_ticks": 7}

    def _replica(self, name: str, zone: str) -> dict[str, Any]:
        pid = 100 * "abc".index(zone) + int(name[-1])
        row = {"name": name, "service": "shop", "zone": zone, "pid": pid, "start_ticks": 5, "uid": f"0-{pid}-5", "link": ["127.0.0.1", 1]}
        return {**row, "health": "/healthz", "ready": True, "sidecar": self._door(name, 500 + pid, sidecar.routes())}

    def write(self) -> None:
        (self.folder / "roster.json").write_text(json.dumps(self.roster))

    def plan(self, func: str, caps: dict[str, float] | None = None, **arguments: Any) -> dict[str, Any]:
        services = {name: Service(name, processes={"roster": str(self.folder / "roster.json")}) for name in ("shop", "cart")}
        environment = Environment("paper", identity={"sandbox": "me"}, services=services)
        given = {"service": "shop", "duration": "9s", **({"delay": "200ms"} if func == "delay_traffic" else {}), **arguments}
        return planning.resolve(activity("the fault", func, **given), environment, caps or {}, 1)


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def test_the_targets_are_the_sidecars_of_a_zone_by_uid_and_no_replica_is_hit(paper: Paper) -> None:
    row = paper.plan("delay_traffic", caps={"zones": 0, "per_owner": 0.0}, zone="b", share="20%")
    assert [(target["name"], target["uid"], target["kind"], target["zone"]) for target in row["targets"]] == [
        ("sidecar of shop-b1", f"{boot8()}-601-7", "envoy", "b"),
        ("sidecar of shop-b2", f"{boot8()}-602-7", "envoy", "b"),
    ]
    assert (row["how"], row["kind"], row["duration_s"], row["traffic"]) == ("delay", "held", 9.0, {"share": 0.2, "delay_s": 0.2, "status": 0})
    assert (row["of"], row["zones_lost"], row["survivors"]) == ({"shop": {"total": 6, "hit": 0}}, [], {"a": 2, "b": 2, "c": 2})
    assert row["targets"][0]["probe"] == {"host": "127.0.0.1", "port": 601, "path": "/catalog/0"}
    assert row["targets"][0]["data"]["routes"] == ["catalog", "shop"]


def test_without_a_zone_all_sidecars_are_targets_and_at_the_ingress_there_is_one(paper: Paper) -> None:
    assert len(paper.plan("abort_traffic")["targets"]) == 6
    (one,) = paper.plan("abort_traffic", where="ingress", route="catalog", share="1%")["targets"]
    assert (one["name"], one["zone"], one["data"]["routes"]) == ("ingress", "", ["catalog"])


@pytest.mark.parametrize(
    ("arguments", "lost", "survivors"),
    [
        pytest.param({"zone": "b"}, ["b"], {"a": 2, "c": 2}, id="all requests of a zone"),
        pytest.param({}, ["a", "b", "c"], {}, id="all requests"),
        pytest.param({"where": "ingress"}, ["a", "b", "c"], {}, id="all requests, at the ingress"),
        pytest.param({"zone": "b", "share": "99%"}, [], {"a": 2, "b": 2, "c": 2}, id="some pass"),
        pytest.param({"zone": "b", "route": "catalog"}, [], {"a": 2, "b": 2, "c": 2}, id="another route passes"),
        pytest.param({"zone": "b", "status": 200}, [], {"a": 2, "b": 2, "c": 2}, id="no error"),
    ],
)
def test_a_zone_that_answers_nothing_but_errors_counts_as_lost(paper: Paper, arguments: dict[str, Any], lost: list[str], survivors: dict[str, int]) -> None:
    row = paper.plan("abort_traffic", **arguments)
    assert (row["zones_lost"], row["survivors"]) == (lost, survivors)
    if lost:
        with pytest.raises(Refused, match="zones would be lost"):
            paper.plan("abort_traffic", caps={"zones": 0}, **arguments)


@pytest.mark.parametrize(
    ("func", "arguments", "what"),
    [
        pytest.param("abort_traffic", {"share": "0%"}, "share: got 0.0", id="nobody"),
        pytest.param("abort_traffic", {"share": "150%"}, "share: got", id="more than all"),
        pytest.param("abort_traffic", {"share": 20}, "share: got 20", id="a bare number"),
        pytest.param("abort_traffic", {"status": 600}, "status: got 600", id="no such status"),
        pytest.param("abort_traffic", {"status": 503.0}, "status: got 503.0", id="no whole status"),
        pytest.param("delay_traffic", {"delay": "0s"}, "expected either a delay", id="no delay"),
        pytest.param("delay_traffic", {"delay": 200}, "delay: got 200", id="a delay without unit"),
        pytest.param("delay_traffic", {"delay": "10s"}, "cannot be seen within timeout_s", id="a delay that outlasts the look for it"),
        pytest.param("delay_traffic", {"duration": "0s"}, "duration: got '0s'", id="no duration"),
        pytest.param("delay_traffic", {"duration": "soon"}, "duration: got 'soon'", id="no duration at all"),
        pytest.param("delay_traffic", {"where": "gateway"}, "where: got 'gateway', expected sidecar, ingress", id="nowhere"),
        pytest.param("delay_traffic", {"where": "ingress", "zone": "b"}, "the ingress stands in no zone", id="a zone of the ingress"),
        pytest.param("delay_traffic", {"service": "shoop"}, r"'shoop' matches nothing \(there are: cart, shop\)", id="no such service"),
        pytest.param("delay_traffic", {"zone": "d"}, r"'d' matches nothing \(there are: a, b, c\)", id="no such zone"),
        pytest.param("delay_traffic", {"service": "cart"}, "no sidecar of cart is an Envoy", id="a service without sidecars"),
        pytest.param("delay_traffic", {"route": "x"}, r"route 'x' is not there once in sidecar of shop-a1 \(there are: catalog, shop\)", id="no such route"),
        pytest.param("delay_traffic", {"percent": 3}, "unknown argument 'percent'", id="an unknown argument"),
    ],
)
def test_what_is_wrong_is_refused_with_what_was_expected(paper: Paper, func: str, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        paper.plan(func, **arguments)


def test_a_fault_that_is_there_already_is_refused_by_the_plan(paper: Paper) -> None:
    config = Path(paper.roster["replicas"][3]["sidecar"]["config"])
    config.write_text(json.dumps(with_fault(sidecar.routes(), ["catalog"], "somebody", stanza(Traffic(1.0, status=503), []))))
    with pytest.raises(Refused, match="sidecar of shop-b2: a fault of somebody is on catalog, shop already; nothing was touched") as caught:
        paper.plan("delay_traffic", zone="b")
    assert caught.value.reason == "PREFLIGHT_FAILED"
    assert paper.plan("delay_traffic", zone="b", route="shop")["targets"]


def test_routes_that_cannot_be_read_are_refused_by_the_plan(paper: Paper) -> None:
    Path(paper.roster["replicas"][0]["sidecar"]["config"]).write_text("{")
    with pytest.raises(Refused, match="sidecar of shop-a1: its routes cannot be read"):
        paper.plan("delay_traffic")


def test_every_part_has_its_way_back_and_the_first_one_checks_all_envoys(paper: Paper) -> None:
    row = paper.plan("abort_traffic", zone="b", share="50%")
    made = parts(row, "run--the fault", lambda folder: folder / "markers" / "x.json")
    assert [(part.handler, part.kind, part.target.uid) for part in made] == [("mesh.strip_fault", "held", target["uid"]) for target in row["targets"]]
    assert made[0].ours == {
        "owner": "run--the fault",
        "marker": str(paper.folder / "markers" / "x.json"),
        "keeper": "/keeper",
        "admin": "/shop-b1.sock",
        "config": str(paper.folder / "shop-b1.json"),
        "routes": ["catalog", "shop"],
    }
    assert MARK not in (paper.folder / "shop-b1.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        pytest.param({"delay": "200"}, "expected a duration with its unit", id="no unit"),
        pytest.param({"delay": 0.2}, 'expected a duration with its unit, like "40s"', id="a number"),
        pytest.param({"delay": "0s"}, "expected more than 0s", id="none"),
        pytest.param({}, "needs the argument `delay`", id="left out"),
    ],
)
def test_a_wrong_delay_is_told_before_there_is_any_environment(arguments: dict[str, Any], what: str) -> None:
    ((_, text),) = argument_problems("chaoslib_ext.faults", "delay_traffic", {"service": "shop", "duration": "9s", **arguments})
    assert what in text
