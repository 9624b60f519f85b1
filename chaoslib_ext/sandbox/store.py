"""The keeper's part of the store: its nodes, links, controller and health as children, what the roster says of them, and what is asked about them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from chaoslib_ext.process.client import start_ticks
from chaoslib_ext.process.store import segment_of, sweep
from chaoslib_ext.sandbox.child import Child, Gate, Program
from chaoslib_ext.sandbox.control import Declined, ask, text_field
from chaoslib_ext.sandbox.launch import module_command, spawn
from chaoslib_ext.sandbox.store_disk import disk_folder, mount, source, unmount
from chaoslib_ext.sandbox.store_setup import dsn, node_command, write_dsn
from chaoslib_ext.sandbox.weaknesses import Weaknesses

ZONES = ("a", "b", "c")
_DETECTION_S = 1.0
_SLOW_LINKS_MS = 50.0
_REJOIN_TRIES = 300  # a controller that is busy, or has still to notice that the node is lost, is asked again, five times a second
_REJOIN_PAUSE_S = 0.2


class Store:
    """Three nodes, the first of them the primary. The keeper sets `holder`, which says what fault holds a zone, and `changed`, which writes the roster."""

    def __init__(self, record: dict[str, Any], folder: Path, weak: Weaknesses, reserve: Callable[[], int]) -> None:
        self._folder, self._identity, self._weak = folder, str(record["identity"]), weak
        self._place = folder / "store"
        sockets = Path(record["sockets"])
        self._keeper = str(sockets / "keeper.sock")
        self._sockets = {zone: str(sockets / f"store-{zone}.sock") for zone in ZONES} | {"controller": str(sockets / "store.sock")}
        self._ports, self._link_ports = {zone: reserve() for zone in ZONES}, {zone: reserve() for zone in ZONES}
        self._health_port = reserve()
        self._roles = dict(zip(map(name_of, ZONES), ("primary", "standby", "standby"), strict=True))
        self._ready = False
        self.holder: Callable[[str], str | None] = lambda zone: None  # noqa: ARG005
        self.changed: Callable[[], None] = lambda: None
        self._gate = Gate(is_open=False)
        self._nodes = {name_of(zone): Child(self._node(zone), self._gate, self._tell) for zone in ZONES}
        self._links = Child(self._links_program(), Gate(), self._tell)
        self._controller = Child(self._controller_program(), self._gate, self._tell)
        self._health = Child(self._health_program(), Gate(), self._tell)

    def _tell(self) -> None:
        self.changed()

    # its programs

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.err"

    def _python(self, module: str, settings: dict[str, Any]) -> Program:
        return Program(module_command(f"chaoslib_ext.sandbox.{module}", json.dumps({"parent": os.getpid(), **settings})), self._log(module.replace("_", "-")))

    def _node(self, zone: str) -> Program:
        name = name_of(zone)
        return Program(node_command(self._place, name, self._ports[zone], self._link_ports[zone]), self._log(name), restarts=False)

    def _links_program(self) -> Program:
        zones = {zone: {"port": self._link_ports[zone], "node": self._ports[zone], "control": self._sockets[zone]} for zone in ZONES}
        base_ms = _SLOW_LINKS_MS if self._weak.store_async_50ms else 0.0
        about = {"identity": self._identity, "base_ms": base_ms, "enforced": not self._weak.unenforced}
        return self._python("store_links", {**about, "primary": ZONES[0], "zones": zones})

    def _controller_program(self) -> Program:
        nodes = {name_of(zone): {"zone": zone, "port": self._ports[zone]} for zone in ZONES}
        where = {"identity": self._identity, "folder": str(self._folder), "control": self._sockets["controller"], "keeper": self._keeper}
        how = {"detection_s": _DETECTION_S, "fencing": not self._weak.no_fencing, "demotion": not self._weak.no_demotion}
        return self._python("store_controller", {**where, "link": self._sockets[ZONES[0]], "nodes": nodes, **how})

    def _health_program(self) -> Program:
        keeper = {"keeper": os.getpid(), "ticks": start_ticks(os.getpid())}
        return self._python("store_health", {**keeper, "folder": str(self._folder), "port": self._health_port})

    # its life

    def children(self) -> list[Child]:
        """Everything that the keeper keeps running; the nodes are not started again by themselves."""
        return [self._links, self._health, self._controller, *self._nodes.values()]

    async def open(self) -> None:
        """Makes the data folders, then lets the nodes and the controller start. Raises RuntimeError when that fails."""
        settings = {"parent": os.getpid(), "folder": str(self._place), "names": list(self._nodes), "sync": self._weak.store_sync}
        settings |= {"fsync": self._weak.store_fsync, "small": self._weak.store_small_disk}
        if self._weak.store_small_disk:
            mount(self._place, self._nodes, self._identity)
        making = spawn(module_command("chaoslib_ext.sandbox.store_setup", json.dumps(settings)), self._log("store-setup"))
        if await asyncio.to_thread(making.wait) != 0:
            raise RuntimeError("the store's data folders could not be made; logs/store-setup.err says why")
        self._gate.event.set()

    def close(self) -> None:
        """Ends the nodes at once: an orderly shutdown would wait for those that are stopped. Their segments go too."""
        for node in self._nodes.values():
            node.signal(signal.SIGKILL)
        sweep(str(self._place))
        if self._weak.store_small_disk:
            unmount(self._place, self._nodes)

    @property
    def links(self) -> list[str]:
        """The control sockets of its links."""
        return [self._sockets[zone] for zone in ZONES]

    def released(self, zone: str) -> Coroutine[Any, Any, None]:
        """Has the node of a zone that is given back brought back too."""
        return self._rejoin(name_of(zone))

    async def _rejoin(self, name: str) -> None:
        for _ in range(_REJOIN_TRIES):
            if (self._nodes[name].running and self._roles[name] in ("primary", "standby")) or self.holder(name[-1]) is not None:
                return
            with contextlib.suppress(OSError, TimeoutError):  # the controller is being started again
                await ask(self._sockets["controller"], {"op": "rejoin", "node": name}, 1.0)
            await asyncio.sleep(_REJOIN_PAUSE_S)

    # what is asked about it

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does one request of the controller. Raises Declined."""
        match request.get("do"):
            case "status":
                pass
            case "may_start":
                self._startable(request)
            case "start":
                node = self._startable(request)
                if not node.running:
                    node.revive()
            case "roles":
                self._roles |= {name: role for name, role in dict(request.get("roles") or {}).items() if name in self._roles}
                self._ready = True
                self._tell()
            case other:
                raise Declined(f"do: got {other!r}, expected status, may_start, start or roles")
        return {"store": self.row()}

    def _startable(self, request: dict[str, Any]) -> Child:
        name = text_field(request, "node")
        if name not in self._nodes:
            raise Declined(f"node: got {name!r}, expected {', '.join(self._nodes)}")
        holder = self.holder(name[-1])
        if holder is not None:
            raise Declined(f"zone {name[-1]} is held by {holder}")
        return self._nodes[name]

    def row(self) -> dict[str, Any]:
        """What the roster says of the store."""
        nodes = []
        for zone, (name, child) in zip(ZONES, self._nodes.items(), strict=True):
            about = {"name": name, "zone": zone, "pid": child.pid, "start_ticks": child.ticks, "uid": child.uid, "port": self._ports[zone]}
            role = self._roles[name] if child.running or self._roles[name] == "fenced" else "down"
            nodes.append({**about, "role": role, "dsn": dsn(self._place, self._ports[zone]), "folder": str(self._place / name), **self._disk(name)})
        process = {"pid": self._links.pid, "start_ticks": self._links.ticks}
        base_ms = _SLOW_LINKS_MS if self._weak.store_async_50ms else 0.0
        links = {
            zone: {"control": self._sockets[zone], "port": self._link_ports[zone], "uid": f"{self._links.uid}/{zone}", "base_ms": base_ms, **process}
            for zone in ZONES
        }
        return {
            "mode": "sync" if self._weak.store_sync else "async",
            "ready": self._ready,
            "fsync": self._weak.store_fsync,
            "nodes": nodes,
            "links": links,
            "controller": {"control": self._sockets["controller"], "pid": self._controller.pid, "start_ticks": self._controller.ticks},
            "health": {"address": ["127.0.0.1", self._health_port], "pid": self._health.pid, "start_ticks": self._health.ticks},
            "write_dsn": write_dsn(self._place, list(self._ports.values())),
        }

    def _disk(self, name: str) -> dict[str, Any]:
        """What only those who share the keeper's mounts can see of a node: where its disk is, and which segment its postmaster made."""
        if not self._weak.store_small_disk:
            return {}
        through = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
        disk = {"folder": str(disk_folder(self._place, name)), "source": source(self._identity), "through": through}
        return {"disk": disk, "segment": segment_of(str(self._place / name))}

    def shop_settings(self) -> dict[str, Any]:
        """What a replica of the shop needs to reach the store."""
        nodes = {name_of(zone): dsn(self._place, port) for zone, port in self._ports.items()}
        return {"write_dsn": write_dsn(self._place, list(self._ports.values())), "nodes": nodes, "write_behind": self._weak.write_behind}


def name_of(zone: str) -> str:
    """The name of the store's node in a zone."""
    return f"store-{zone}"
