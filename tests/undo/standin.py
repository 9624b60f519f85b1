"""
A stand-in for a sandbox: replicas as processes, and one process that is their keeper and the links of all zones.

`standin.py FOLDER` writes FOLDER/roster.json. It differs from the sandbox: no proxy in front, a link swallows
only new connections, there is no delay mode, a replica is ready when it was started, and `{"op": "deaf"}` on the
keeper's socket makes the links refuse every `clear` and the keeper every `release` (a target that cannot be healed).
`standin.py FOLDER guarded` has a keeper that holds fuses and the lock, by the sandbox's own code.
`standin.py replica NAME ZONE PORT` is one replica.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from chaoslib_ext.children import die_with_parent
from chaoslib_ext.process.client import start_ticks, uid
from chaoslib_ext.sandbox.control import Declined
from chaoslib_ext.sandbox.fuse_box import FuseBox
from chaoslib_ext.sandbox.lock_box import LockBox, refuse_below

ZONES = ("a", "b", "c")


def replica(name: str, zone: str, port: int, parent: int) -> None:
    die_with_parent(parent)
    own = uid(os.getpid(), start_ticks(os.getpid()) or 0)
    head = f"HTTP/1.1 200 OK\r\nX-Zone: {zone}\r\nX-Replica: {name}\r\nX-Incarnation: {own}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                if connection.recv(4096):
                    connection.sendall(head)
            except OSError:
                continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Room:
    def __init__(self, folder: Path, guarded: bool) -> None:
        self.folder, self.identity, self.deaf = folder, os.urandom(8).hex(), False
        self.guarded, self.fence = guarded, dict.fromkeys(ZONES, 0)
        self.fuses, self.lock = FuseBox(folder, self.identity), LockBox(folder)
        self.owner: dict[str, str | None] = dict.fromkeys(ZONES)
        self.mode = dict.fromkeys(ZONES, "pass")
        self.held: dict[str, str | None] = dict.fromkeys(ZONES)
        self.rows: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        burning = asyncio.create_task(self.fuses.burn())
        for zone in ZONES:
            name = f"shop-{zone}1"
            port, link = free_port(), socket.socket()
            link.bind(("127.0.0.1", 0))
            where = {"address": ["127.0.0.1", port], "link": list(link.getsockname()), "health": "/healthz"}
            self.rows[name] = {"name": name, "service": "shop", "zone": zone, "restarts": 0, **where}
            await asyncio.start_server(lambda r, w, zone=zone, port=port: self.relay(zone, port, r, w), sock=link, backlog=256)
            await asyncio.start_unix_server(lambda r, w, zone=zone: self.talk(r, w, lambda q: self.link(zone, q)), str(self.folder / f"links-{zone}.sock"))
        await asyncio.start_unix_server(lambda r, w: self.talk(r, w, self.keeper), str(self.folder / "keeper.sock"))
        await asyncio.gather(burning, *(self.keep(row) for row in self.rows.values()))

    async def relay(self, zone: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.mode[zone] == "swallow":
                await reader.read(-1)
                return
            up, down = await asyncio.open_connection("127.0.0.1", port)
            down.write(await reader.read(4096))
            writer.write(await up.read(4096))
            await writer.drain()
            down.close()
        except OSError:
            pass
        finally:
            writer.transport.abort() if self.mode[zone] == "swallow" else writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Any) -> None:
        try:
            writer.write(json.dumps({**self.answered(answer, json.loads(await reader.readline())), "identity": self.identity}).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass
        writer.close()

    @staticmethod
    def answered(answer: Any, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(answer(request))
        except Declined as declined:
            return {"error": str(declined)}

    def link(self, zone: str, request: dict[str, Any]) -> dict[str, Any]:
        owner, op = request.get("owner"), request["op"]
        if op in ("set", "clear") and (self.owner[zone] not in (None, owner) or (op == "clear" and self.deaf)):
            return {"error": f"the link belongs to {self.owner[zone]}"}
        if op in ("set", "fence"):
            self.fence[zone] = refuse_below(request, self.fence[zone])
        if op == "set":
            self.mode[zone], self.owner[zone] = request["mode"], owner
        if op == "clear":
            self.mode[zone], self.owner[zone] = "pass", None
        return {"mode": self.mode[zone], "delay_ms": 0, "owner": self.owner[zone]}

    def keeper(self, request: dict[str, Any]) -> dict[str, Any]:
        zone, owner, op = request.get("zone", ""), request.get("owner"), request["op"]
        if op in ("fuse", "lock"):
            told = self.fuses.answer(request) if op == "fuse" else self.lock.answer(request)
            if request.get("do") == "release":
                self.fuses.forget(request["run"])
            return told
        if op == "hold":
            self.lock.check(request)
        if op == "deaf":
            self.deaf = bool(request["on"])
        if op in ("hold", "release") and (self.held[zone] not in (None, owner) or (op == "release" and self.deaf)):
            return {"error": f"zone {zone} is held by {self.held[zone]}"}
        if op in ("hold", "release"):
            self.held[zone] = owner if op == "hold" else None
        return {"zones": {name: {"held_by": held} for name, held in self.held.items()}, "replicas": list(self.rows.values())}

    async def keep(self, row: dict[str, Any]) -> None:
        while True:
            while self.held[row["zone"]]:
                await asyncio.sleep(0.02)
            arguments = ["replica", row["name"], row["zone"], str(row["address"][1]), str(os.getpid())]
            child = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
            ticks = start_ticks(child.pid)
            row.update(pid=child.pid, start_ticks=ticks, uid=uid(child.pid, ticks or 0), ready=True)
            self.write()
            await child.wait()
            row["restarts"] += 1
            row["ready"] = False
            self.write()

    def write(self) -> None:
        if all("pid" in row for row in self.rows.values()):
            links = {zone: {"control": str(self.folder / f"links-{zone}.sock")} for zone in ZONES}
            keeper = {"control": str(self.folder / "keeper.sock"), "fuses": self.guarded, "locks": self.guarded}
            keeper |= {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
            fresh = self.folder / ".roster"
            about = {"identity": self.identity, "zones": list(ZONES), "keeper": keeper, "links": links}
            fresh.write_text(json.dumps({**about, "replicas": list(self.rows.values())}))
            fresh.rename(self.folder / "roster.json")


if __name__ == "__main__":
    if sys.argv[1] == "replica":
        replica(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(Room(Path(sys.argv[1]), "guarded" in sys.argv[2:]).run())
