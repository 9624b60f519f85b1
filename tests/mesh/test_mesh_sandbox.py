"""A sandbox with a mesh: who stands in front of whom, who may look, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh_rig import Mesh, ask
from undo_rig import until

from chaoslib_ext import sandbox
from chaoslib_ext.mesh import client
from chaoslib_ext.process.client import alive, control, read_roster, signal_exact
from chaoslib_ext.sandbox import Weaknesses, envoy, sidecar

pytestmark = pytest.mark.slow


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """A mesh for a test that ends it."""
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / "boxes"))
    yield Mesh(sandbox.up("short", ["mesh"], os.getpid(), timeout_s=60.0))
    sandbox.down("short")


def processes(mesh: Mesh) -> list[tuple[int, int]]:
    return [(door["pid"], door["start_ticks"]) for door in mesh.doors()]


def test_a_request_through_the_link_of_a_replica_passes_its_sidecar(calm: Mesh) -> None:
    door = calm.sidecar()
    link = next(one for one in read_roster(calm.info.roster)["replicas"] if one["name"] == "shop-b1")["link"]

    def passed() -> int:
        return int(client.ask_admin(door["admin"], "/stats?filter=http.sidecar.downstream_rq_2xx").decode().rsplit(": ", 1)[1])

    before = passed()
    assert ask({"address": link})[0] == 200
    assert passed() > before


def test_every_envoy_of_the_mesh_is_for_its_owner_only_and_has_a_file_of_its_own(calm: Mesh) -> None:
    doors = calm.doors()
    assert len({door["config"] for door in doors}) == len({door["admin"] for door in doors}) == 7
    assert {stat.S_IMODE(Path(door["admin"]).stat().st_mode) for door in doors} == {0o600}
    assert all(alive(*one) for one in processes(calm))


def test_a_replica_that_is_held_down_is_out_of_service_though_its_sidecar_answers(calm: Mesh) -> None:
    keeper = read_roster(calm.info.roster)["keeper"]["control"]
    control(keeper, {"op": "hold", "zone": "c", "owner": "test"}, 5.0)
    row = next(one for one in read_roster(calm.info.roster)["replicas"] if one["name"] == "shop-c1")
    assert signal_exact(row["pid"], row["start_ticks"], signal.SIGKILL)
    until(lambda: calm.healthy() == 5, "one replica out of service")
    assert ask(row["sidecar"])[0] == 503
    control(keeper, {"op": "release", "zone": "c", "owner": "test"}, 5.0)


def test_down_leaves_no_sidecar(short: Mesh) -> None:
    found = processes(short)
    assert sandbox.down("short") is True
    assert not any(alive(*one) for one in found)
    assert not Path(short.info.dir).exists()


def test_kill_nine_of_the_keeper_leaves_no_sidecar(short: Mesh) -> None:
    found: list[Any] = processes(short)
    keeper = json.loads((Path(short.info.dir) / "sandbox.json").read_text())["keeper"]
    assert signal_exact(keeper["pid"], keeper["start_ticks"], signal.SIGKILL)
    until(lambda: not any(alive(*one) for one in found), "no sidecar left")


def test_without_the_switch_there_is_one_route_and_no_sidecar() -> None:
    def routes(weak: Weaknesses) -> list[str]:
        return [one["name"] for one in envoy.routes(weak)["resources"][0]["virtual_hosts"][0]["routes"]]

    assert routes(Weaknesses()) == ["shop"]
    assert routes(Weaknesses(mesh=True)) == ["catalog", "shop"]
    assert [one["name"] for one in sidecar.routes()["resources"][0]["virtual_hosts"][0]["routes"]] == ["catalog", "shop"]
