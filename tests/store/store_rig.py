"""What the store tests share: a sandbox with a store, its nodes and links as they are now, and writers that note what was acknowledged."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext import sandbox
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import alive, control, read_roster
from chaoslib_ext.process.store import continue_node, freeze_node, kill_node, node_processes

DEADLINE_S = 60.0  # a busy machine; nothing is asserted about how long it really takes
ZONES = ("a", "b", "c")


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition; fails when there is none in time."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not in {DEADLINE_S:g} s: {what}")


class Box:
    """A running sandbox with a store."""

    def __init__(self, name: str, *switches: str) -> None:
        self.name = name
        self.info = sandbox.up(name, switches, os.getpid(), timeout_s=120.0)
        self.port = int(self.info.url.rsplit(":", 1)[1])

    def store(self) -> dict[str, Any]:
        return dict(read_roster(self.info.roster)["store"])

    def node(self, name: str) -> dict[str, Any]:
        return next(node for node in self.store()["nodes"] if node["name"] == name)

    def roles(self) -> dict[str, str]:
        return {node["name"]: node["role"] for node in self.store()["nodes"]}

    def primary(self) -> str:
        return next((name for name, role in self.roles().items() if role == "primary"), "")

    def controller(self, **request: Any) -> dict[str, Any]:
        return control(self.store()["controller"]["control"], {"op": "status", **request}, 5.0)

    def keeper(self, **request: Any) -> dict[str, Any]:
        return control(read_roster(self.info.roster)["keeper"]["control"], {"op": "status", **request}, 5.0)

    def link(self, zone: str, **request: Any) -> dict[str, Any]:
        return control(self.store()["links"][zone]["control"], {"op": "status", **request}, 5.0)

    def asked(self, **request: Any) -> None:
        """Begins what the controller does, when it is free, and waits until it is done."""
        until(lambda: self._begun(request), f"the controller takes {request}")
        until(lambda: not self.controller()["busy"], f"{request} done")

    def _begun(self, request: dict[str, Any]) -> bool:
        try:
            return bool(self.controller(**request))
        except FaultFailed as error:
            if "busy" in str(error):
                return False
            raise

    def kill(self, name: str) -> None:
        """Kills a node as `lose_primary` does: with what was on its links."""
        node = self.node(name)
        assert kill_node(node["folder"])
        self.link(node["zone"], op="drop")

    def freeze(self, name: str) -> None:
        node = self.node(name)
        assert freeze_node(node["uid"], node["folder"])

    def thaw(self, name: str) -> None:
        assert continue_node(self.node(name)["folder"])

    def promoted(self, old: str) -> str:
        """The new primary, when there is one."""
        return str(until(lambda: self.primary() not in ("", old) and not self.controller()["busy"] and self.primary(), f"another primary than {old}"))

    def sound(self) -> None:
        """Brings every node back: one primary, two standbys that stream, links that pass."""
        for zone in ZONES:
            owner = self.link(zone)["owner"]
            if owner:
                self.link(zone, op="clear", owner=owner)
        until(self.primary, "a primary")
        for name, role in self.roles().items():
            if role != "primary":
                self.asked(op="rejoin", node=name)
        until(lambda: sorted(self.roles().values()) == ["primary", "standby", "standby"], "one primary and two standbys")
        mark = f"sound:{time.monotonic_ns()}"
        until(lambda: self.order(mark) == 201, "a write")
        for name in self.roles():
            until(lambda name=name: mark in self.ids(name, mark), f"the write on {name}")  # type: ignore[misc]

    def send(self, method: str, path: str, body: Any = None, port: int = 0) -> tuple[int, Any]:
        """One request through the proxy, or to a replica's own port: status and JSON body."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30.0)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {}
        finally:
            connection.close()

    def order(self, order: str, port: int = 0) -> int:
        return self.send("POST", "/orders", {"id": order}, port)[0]

    def ids(self, node: str, prefix: str) -> list[str]:
        """The orders on one node; empty when it cannot be read."""
        status, content = self.send("GET", f"/orders?prefix={prefix}&node={node}")
        return list(content["ids"]) if status == 200 else []

    def read(self, node: str, prefix: str) -> list[str]:
        """The orders on one node, once it can be read."""
        found: list[Any] = until(lambda: [one for one in [self.send("GET", f"/orders?prefix={prefix}&node={node}")] if one[0] == 200], f"{node} read")
        return list(found[0][1]["ids"])

    def look(self, path: str) -> tuple[int, str] | None:
        """One look of the health service: status and uid; None when it is closed or silent."""
        connection = http.client.HTTPConnection(*self.store()["health"]["address"], timeout=0.35)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("X-Incarnation", "")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def processes(self) -> list[tuple[int, int]]:
        """Everything that belongs to the sandbox, the keeper first."""
        roster, store = read_roster(self.info.roster), self.store()
        record = json.loads((Path(self.info.dir) / "sandbox.json").read_text())
        rows = [record["keeper"], roster["envoy"], *roster["links"].values(), *roster["replicas"], store["controller"], store["health"], store["links"]["a"]]
        found = [(row["pid"], row["start_ticks"]) for row in rows]
        return found + [process for node in store["nodes"] for process in node_processes(node["folder"])]

    def segments(self) -> set[str]:
        """The System V segments of its nodes, as each one's postmaster.pid names them."""
        files = [Path(node["folder"]) / "postmaster.pid" for node in self.store()["nodes"]]
        found = {file.read_text().splitlines()[6].split()[1] for file in files}
        assert there(found) == found
        return found

    def down(self) -> None:
        sandbox.down(self.name)


def gone(found: list[tuple[int, int]]) -> bool:
    """Whether none of these incarnations runs."""
    return not any(alive(pid, ticks) for pid, ticks in found)


def _in_shared_memory() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").iterdir() if entry.name.startswith("PostgreSQL")}


_STRANGERS = _in_shared_memory()


def there(segments: set[str]) -> set[str]:
    """Which of these System V segments exist; and whatever a Postgres has put into /dev/shm since the tests began, where none of ours may."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {row[1] for row in rows} & segments | _in_shared_memory() - _STRANGERS


class Writers:
    """A few writers, each sending one order after another with a pause; `acknowledged` maps an order to when its answer came."""

    def __init__(self, box: Box, prefix: str, number: int = 4, pause_s: float = 0.005) -> None:
        self.acknowledged: dict[str, float] = {}
        self.sent = 0
        self._box, self._prefix, self._pause_s = box, prefix, pause_s
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(worker,)) for worker in range(number)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, worker: int) -> None:
        for number in itertools.count():
            if self._ended.wait(self._pause_s):
                return
            order = f"{self._prefix}:{worker}:{number}"
            self.sent += 1
            try:
                if self._box.order(order) == 201:
                    self.acknowledged[order] = time.monotonic()
            except OSError:
                continue

    def since(self, began_s: float) -> int:
        """How many were acknowledged after a moment."""
        return sum(at > began_s for at in list(self.acknowledged.values()))

    def lost(self, node: str) -> list[str]:
        """The acknowledged orders that a node does not have."""
        kept = set(self._box.read(node, f"{self._prefix}:"))
        return sorted(set(self.acknowledged) - kept)
