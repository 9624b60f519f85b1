"""
A target whose every interface can be made to fail: a zone's replicas, links, keeper, sidecars, and a replicated store.

It lives in a thread of whoever tests, and ends with it. The links, the fuses and the fences are the sandbox's own code; replicas and nodes are
processes that do nothing, an Envoy is a server that reads its file of routes at each question (and rejects a table with the field
`bad`), the failover controller knows roles and nothing else. All of it is reached through the fronts of `wire`.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from wire import Background, Front, Plan, deliver

from chaoslib_ext.clock import boot_ns
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.process.client import alive, process_state, start_ticks, uid
from chaoslib_ext.sandbox.control import Declined, serve
from chaoslib_ext.sandbox.ended import Ended
from chaoslib_ext.sandbox.fuse_box import FuseBox
from chaoslib_ext.sandbox.links import Link
from chaoslib_ext.sandbox.lock_box import LockBox
from chaoslib_ext.sandbox.store_links import Links

ZONES = ("a", "b", "c")
ROUTES = [
    {"name": "catalog", "match": {"prefix": "/catalog"}, "route": {"cluster": "local"}},
    {"name": "shop", "match": {"prefix": "/"}, "route": {"cluster": "local", "timeout": "2.0s"}},
]


def routes_document() -> dict[str, Any]:
    host = {"name": "all", "domains": ["*"], "routes": ROUTES}
    return {
        "version_info": "1-00000000",
        "resources": [{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "shop", "virtual_hosts": [host]}],
    }


class Envoy:
    """What an Envoy says on its admin socket of the file that it reads."""

    def __init__(self, config: Path) -> None:
        self.config, self.table, self.version, self.rejected, self._seen = config, {}, "", 0, ""

    def look(self) -> None:
        try:
            found = json.loads(self.config.read_text())
            table, version = found["resources"][0], str(found["version_info"])
        except (OSError, ValueError, LookupError):
            return
        if version != self._seen:
            self._seen = version
            if table.get("bad"):
                self.rejected += 1
            else:
                self.table, self.version = table, version

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.look()
        if head.startswith(b"GET /stats"):
            body = f'http.in.rds.shop.version_text: "{self.version}"\nhttp.in.rds.shop.update_rejected: {self.rejected}\n'
        else:
            body = json.dumps({"configs": [{"route_config": self.table}]})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        writer.close()


class ApiRoom:
    """One room in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        for name in ("real", "logs", "markers", *(f"node-{zone}" for zone in ZONES)):
            (folder / name).mkdir(mode=0o700)
        self.folder, self.identity, self.plan = folder, os.urandom(8).hex(), Plan()
        self.fuses, self.lock = FuseBox(folder, self.identity), LockBox(folder)
        self.links = {zone: Link(zone, True) for zone in ZONES}
        self.held: dict[str, str | None] = dict.fromkeys(ZONES)
        self.ended = {zone: Ended() for zone in ZONES}
        self.roles = {"store-a": "primary", "store-b": "standby", "store-c": "standby"}
        self.envoys: dict[str, Envoy] = {}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._silence = os.pipe()
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[asyncio.Server] = []
        self._back = Background()
        self._back.do(self._open())

    # what is there

    async def _open(self) -> None:
        self.store_links = Links(dict.fromkeys(ZONES, 1), "a", 2.0, True)
        for zone in ZONES:
            await self._front(f"link-{zone}", self.links[zone].answer)
            await self._front(f"repl-{zone}", lambda request, zone=zone: self.store_links.answer(zone, request))
            config = self.folder / f"routes-{zone}.json"
            config.write_text(json.dumps(routes_document(), indent=1, ensure_ascii=False) + "\n")
            self.envoys[zone] = Envoy(config)
            real = str(self.folder / "real" / f"admin-{zone}")
            self._servers.append(await asyncio.start_unix_server(self.envoys[zone].connection, real))
            self._servers.append(await Front(self.plan, f"admin-{zone}", real, "http").serve(str(self.folder / f"admin-{zone}")))
            for name, where in ((f"shop-{zone}1", "/"), (f"store-{zone}", str(self.folder / f"node-{zone}"))):
                self._tasks.append(asyncio.create_task(self._keep(name, zone, where)))
        await self._front("keeper", self._keeper)
        await self._front("controller", self._controller)
        while len(self.processes) < 2 * len(ZONES):
            await asyncio.sleep(0.005)
        self._write_roster()

    async def _front(self, name: str, answer: Any) -> None:
        real = str(self.folder / "real" / name)
        self._servers.append(await serve(real, self.identity, answer))
        self._servers.append(await Front(self.plan, name, real, "line").serve(str(self.folder / name)))

    async def _keep(self, name: str, zone: str, where: str) -> None:
        while True:
            while self.held[zone]:
                await asyncio.sleep(0.005)
            # it reads what nobody writes, and ends when this process does
            child = await asyncio.create_subprocess_exec("cat", cwd=where, stdin=self._silence[0], stdout=asyncio.subprocess.DEVNULL, start_new_session=True)
            self.processes[name] = child
            self._write_roster()
            await child.wait()

    def _keeper(self, request: dict[str, Any]) -> dict[str, Any]:
        op, zone, owner = request["op"], request.get("zone", ""), request.get("owner")
        if op == "fuse":
            return self.fuses.answer(request)
        if op == "lock":
            found = self.lock.answer(request)
            if request["do"] == "release":
                self.fuses.forget(request["run"])
            return found
        told = {}
        if op in ("hold", "release"):
            self.ended[zone].note(request)
            if self.held[zone] not in (None, owner):
                raise Declined(f"zone {zone} is held by {self.held[zone]}")
            if op == "hold":
                self.lock.check(request)
                self.ended[zone].refuse(str(owner))
            self.held[zone] = owner if op == "hold" else None
            told = self.ended[zone].told(request)
        return {"zones": {name: {"held_by": held} for name, held in self.held.items()}, **told}

    def _controller(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "switchover":
            if boot_ns() > request["until_ns"]:
                raise Declined("whoever asked for it waits no longer")
            self.fail_over("standby")
        if request["op"] == "rejoin":
            self.roles[request["node"]] = "standby"
        return {"nodes": self.roles}

    def fail_over(self, old: str) -> None:
        """Another node becomes the primary; the old one is then `old`."""
        lost = next(name for name, role in self.roles.items() if role == "primary")
        best = next(name for name, role in self.roles.items() if role == "standby")
        self.roles.update({lost: old, best: "primary"})
        self._write_roster()

    # what can be known of it

    def environment(self) -> Environment:
        services = {"shop": Service("shop", processes={"roster": str(self.folder / "roster.json")})}
        return Environment("api", identity={"sandbox": self.identity}, services=services, retry={"base_s": 0.02, "deadline_s": 30.0})

    def _write_roster(self) -> None:
        if len(self.processes) < 2 * len(ZONES):
            return
        at, where = {name: (child.pid, start_ticks(child.pid) or 0) for name, child in self.processes.items()}, str(self.folder)
        told: dict[str, Any] = {"identity": self.identity, "zones": list(ZONES), "keeper": {"control": f"{where}/keeper", "fuses": True, "locks": True}}
        told["links"] = {zone: {"control": f"{where}/link-{zone}"} for zone in ZONES}
        told["replicas"] = [_replica(zone, *at[f"shop-{zone}1"], where) for zone in ZONES]
        nodes = [(f"store-{zone}", zone, *at[f"store-{zone}"]) for zone in ZONES]
        rows = [{"name": n, "zone": z, "role": self.roles[n], "pid": p, "uid": uid(p, t), "folder": f"{where}/node-{z}"} for n, z, p, t in nodes]
        links = {zone: {"uid": f"{self.identity}/repl/{zone}", "control": f"{where}/repl-{zone}", "base_ms": 2.0} for zone in ZONES}
        told["store"] = {"nodes": rows, "links": links, "health": {"address": ["127.0.0.1", 9]}, "controller": {"control": f"{where}/controller"}}
        fresh = self.folder / ".roster"
        fresh.write_text(json.dumps(told))
        fresh.rename(self.folder / "roster.json")

    def state(self) -> dict[str, Any]:
        """Everything that a fault could leave behind, asked past the fronts; versions of files aside."""

        async def look() -> dict[str, Any]:
            documents = {zone: json.loads(envoy.config.read_text()) for zone, envoy in self.envoys.items()}
            for zone, envoy in self.envoys.items():
                envoy.look()
                documents[zone].pop("version_info")
            return {
                "links": {zone: link.answer({"op": "status"}) for zone, link in self.links.items()},
                "replication": {zone: self.store_links.answer(zone, {"op": "status"}) for zone in ZONES},
                "held": dict(self.held),
                "routes": documents,
                "in use": {zone: envoy.table for zone, envoy in self.envoys.items()},
                "stopped": sorted(name for name, child in self.processes.items() if process_state(child.pid) in ("T", "t")),
                "down": sorted(name for name, child in self.processes.items() if not alive(child.pid, start_ticks(child.pid) or -1)),
                "files": sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()),
                "roles": sorted(self.roles.values()),
            }

        return self._back.do(look())

    def deliver(self) -> list[dict[str, Any] | str]:
        """What was held back lands; what it was answered."""
        return self._back.do(deliver(self.plan))

    def begin_anew(self) -> None:
        """The roles as they were at first."""
        self.roles = {"store-a": "primary", "store-b": "standby", "store-c": "standby"}
        self._write_roster()

    def close(self) -> None:
        self._back.do(self._close())
        self._back.close()
        for end in self._silence:
            os.close(end)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        for child in self.processes.values():
            if child.returncode is None:
                child.kill()
            await child.wait()


def _replica(zone: str, pid: int, ticks: int, where: str) -> dict[str, Any]:
    sidecar = {"admin": f"{where}/admin-{zone}", "config": f"{where}/routes-{zone}.json", "address": ["127.0.0.1", 9], "pid": pid, "start_ticks": ticks}
    about = {"name": f"shop-{zone}1", "service": "shop", "zone": zone, "address": ["127.0.0.1", 9], "link": ["127.0.0.1", 9], "health": "/healthz"}
    return {**about, "pid": pid, "start_ticks": ticks, "uid": uid(pid, ticks), "ready": True, "sidecar": sidecar}
