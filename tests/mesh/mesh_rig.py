"""A sandbox with a mesh as these tests look at it: its Envoys, their counters and files, and requests through them."""

from __future__ import annotations

import http.client
import json
import math
import time
from pathlib import Path
from typing import Any

from undo_rig import until

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import names, owner_of, table_of, without_fault
from chaoslib_ext.process.client import read_roster
from chaoslib_ext.sandbox import SandboxInfo


class Mesh:
    """One sandbox; `sidecar` and `ingress` are the roster's rows."""

    def __init__(self, info: SandboxInfo) -> None:
        self.info = info

    def sidecar(self, name: str = "shop-b1") -> dict[str, Any]:
        row = next(one for one in read_roster(self.info.roster)["replicas"] if one["name"] == name)
        return dict(row["sidecar"])

    def ingress(self) -> dict[str, Any]:
        return dict(read_roster(self.info.roster)["ingress"])

    def doors(self) -> list[dict[str, Any]]:
        roster = read_roster(self.info.roster)
        return [*(one["sidecar"] for one in roster["replicas"]), roster["ingress"]]

    def environment(self) -> Environment:
        services = {"shop": Service("shop", processes={"roster": self.info.roster}, url=self.info.url)}
        return Environment("sandbox", identity={"sandbox": self.info.identity}, services=services)

    def healthy(self) -> int:
        return client.counters(self.info)["cluster.shop.membership_healthy"]

    def untouched(self) -> bool:
        """Whether no Envoy has a fault, neither in its file nor in use, and all replicas are in service."""
        clean = all(not owners(door) and not client.owners_in_force(envoy(door)) for door in self.doors())
        return clean and self.healthy() == 6 and not list((Path(self.info.dir) / "markers").iterdir())

    def clean(self) -> None:
        """Takes out whatever fault a test that failed has left, so that the next one does not fail for it."""
        for door in self.doors():
            for owner in owners(door):
                strip(door, str(owner))

    def until_calm(self) -> None:
        until(self.untouched, "a mesh without a fault")


def envoy(door: dict[str, Any]) -> Envoy:
    return Envoy(door["admin"], door["config"])


def owners(door: dict[str, Any]) -> set[str | None]:
    """The owners of the faults in an Envoy's file."""
    document = client.read(envoy(door))
    routes = [route for host in table_of(document)["virtual_hosts"] for route in host["routes"]]
    assert names(document)
    return {owner_of(route) for route in routes} - {None}


def strip(door: dict[str, Any], owner: str) -> None:
    """Takes a fault out and waits until the Envoy uses the file."""
    document, _ = client.edit(envoy(door), lambda found: without_fault(found, owner))
    assert client.acknowledged(envoy(door), document, client.running(envoy(door), table_of(document)["name"]).rejected)


def injected(door: dict[str, Any], what: str) -> int:
    """The Envoy's own counter: `delays` or `aborts`."""
    text = client.ask_admin(door["admin"], f"/stats?filter={what}_injected").decode()
    return sum(int(line.rsplit(": ", 1)[1]) for line in text.splitlines())


class Caller:
    """A client on one kept-alive connection; `ask` gives status, seconds, and whether a replica answered."""

    def __init__(self, door: dict[str, Any]) -> None:
        self._connection = http.client.HTTPConnection(*door["address"], timeout=20.0)

    def ask(self, path: str = "/catalog/1") -> tuple[int, float, bool]:
        began_s = time.monotonic()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began_s, answer.getheader("X-Incarnation") is not None

    def close(self) -> None:
        self._connection.close()


def ask(door: dict[str, Any], path: str = "/catalog/1") -> tuple[int, float, bool]:
    caller = Caller(door)
    try:
        return caller.ask(path)
    finally:
        caller.close()


def binomial_range(number: int, share: float, level: float = 0.9999) -> range:
    """The counts that a binomial draw gives with this chance: less than half of the rest lies beyond each end."""
    if share == 1.0:
        return range(number, number + 1)
    ways = [math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1) for k in range(number + 1)]
    chances = [math.exp(way + k * math.log(share) + (number - k) * math.log1p(-share)) for k, way in enumerate(ways)]
    beyond, low, high = (1 - level) / 2, 0, number
    below = above = 0.0
    while (below := below + chances[low]) <= beyond:
        low += 1
    while (above := above + chances[high]) <= beyond:
        high -= 1
    return range(low, high + 1)


def written(path: str, document: dict[str, Any]) -> None:
    """What somebody else does to a file of routes: replaces it by rename."""
    fresh = Path(path).with_name(".somebody")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)
