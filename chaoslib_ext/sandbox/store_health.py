"""
The store's health as HTTP, looked at from outside the nodes; and the warden that buries them when the keeper is gone.

`python -m chaoslib_ext.sandbox.store_health '{"keeper", "ticks", "folder", "port"}'`. Each request makes one look of its
own: GET /node/store-a (a Postgres answers), /primary (the node with that role, or the standby just promoted, takes logins and writes), /link/b
(a Postgres answers through that replication link) and /link/b/within/MS (and does so within so many milliseconds).
/node/store-a/room/MS has the node write 168 kB that it forgets again, /node/store-a/commit/MS has it commit a record of
its log that means nothing; both wait for so many milliseconds. 200 with X-Incarnation, a uid; asked for room, 507 where the
node says that its disk is full and 503 where it refuses for another reason; a node that refuses otherwise, or has
ended, is a connection closed without an answer; a silent one is silence.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from chaoslib_ext.process.store import sweep
from chaoslib_ext.sandbox.folder import read_json
from chaoslib_ext.sandbox.owner import owner_gone
from chaoslib_ext.sandbox.ports import listener
from chaoslib_ext.sandbox.store_look import answers, ask, told

_SILENT_S = 0.4  # then a silent look is let go; the prober waits for less
_QUERIES = {
    # a result of 168 kB with the smallest memory goes to a temporary file, on a standby too, and leaves nothing behind
    "room": "set work_mem = '64kB'; select count(*) from generate_series(1, 12000)",
    "commit": "select pg_logical_emit_message(true, 'chaosx', '')",
}
_STATUS = {"": "200 OK", "53100": "507 Insufficient Storage"}  # by SQLSTATE; 53100 is disk_full
_OTHERWISE = "503 Service Unavailable"  # it refuses, but says nothing about its disk


class Health:
    """The looks, and the roster that says where and who."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "roster.json"
        self._version: tuple[int, int] = (0, 0)
        self._store: dict[str, Any] = {}

    def _roster(self) -> dict[str, Any]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return {}
        if (found.st_ino, found.st_mtime_ns) != self._version:
            self._version = (found.st_ino, found.st_mtime_ns)
            self._store = read_json(self._path).get("store", {})
        return self._store

    async def answer(self, path: str) -> tuple[str, str] | None:
        """The status and uid of what answers as the path asks; None when it refuses. Raises TimeoutError when it is silent, LookupError for another path."""
        match path.strip("/").split("/"):
            case ["node", name, ("room" | "commit") as what, limit]:
                node = {node["name"]: node for node in self._roster()["nodes"]}[name]
                found = await asyncio.wait_for(told(node["port"], _QUERIES[what]), float(limit) / 1000.0)
                if found is None or (what == "commit" and found.refused):
                    return None
                return _STATUS.get(found.refused, _OTHERWISE), node["uid"]
        uid = await self.look(path)
        return None if uid is None else (_STATUS[""], uid)

    async def look(self, path: str) -> str | None:
        """The uid of what answers as the path asks; None when it refuses. Raises TimeoutError when it is silent, LookupError for another path."""
        store = self._roster()
        match path.strip("/").split("/"):
            case ["node", name]:
                node = {node["name"]: node for node in store["nodes"]}[name]
                return node["uid"] if await asyncio.wait_for(answers(node["port"]), _SILENT_S) else None
            case ["primary"]:
                for node in primaries(store["nodes"]):
                    found = await asyncio.wait_for(ask(node["port"]), _SILENT_S)
                    if found is not None and found.writable:
                        return str(node["uid"])
                return None
            case ["link", zone]:
                link = store["links"][zone]
                return link["uid"] if await asyncio.wait_for(answers(link["port"]), _SILENT_S) else None
            case ["link", zone, "within", limit]:
                link = store["links"][zone]
                return link["uid"] if await _in_time(answers(link["port"]), float(limit) / 1000.0) else None
        raise LookupError(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _SILENT_S)
            found = await self.answer(head.split(b" ", 2)[1].decode())
            if found is not None:
                status, uid = found
                writer.write(f"HTTP/1.1 {status}\r\nX-Incarnation: {uid}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        except (LookupError, ValueError):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except (OSError, EOFError, TimeoutError):
            pass  # whoever asked went away, or the node stayed silent longer than anybody waits
        finally:
            writer.close()


def primaries(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The nodes that may be the primary; the first of them that takes writes is.

    A standby that is promoted loses its standby.signal a moment before it takes writes, and both before the controller tells anybody.
    Until then the old one, if it lives, is the primary still.
    """
    promoted = [node for node in nodes if node["role"] == "standby" and not (Path(node["folder"]) / "standby.signal").exists()]
    return promoted + [node for node in nodes if node["role"] == "primary"]


async def _in_time(look: Coroutine[Any, Any, bool], limit_s: float) -> bool:
    try:
        return await asyncio.wait_for(look, limit_s)
    except TimeoutError:
        return False


async def _run(settings: dict[str, Any]) -> None:
    folder = Path(settings["folder"])
    server = await asyncio.start_server(Health(folder).serve, sock=listener(settings["port"]), backlog=512)
    await owner_gone({"pid": settings["keeper"], "start_ticks": settings["ticks"]})
    server.close()
    # The kernel kills the postmasters with the keeper, and their backends follow; those that are stopped do not.
    sweep(str(folder / "store"))


def main() -> None:
    """Serves until it is killed, or until the keeper is gone and every node with it."""
    asyncio.run(_run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
