"""What the failover controller can do to the nodes of the store: look, stop, kill, promote, copy and start."""

from __future__ import annotations

import asyncio
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.process.client import signal_exact
from chaoslib_ext.process.store import kill_node, node_processes, remove_segment
from chaoslib_ext.sandbox.control import Declined, ask
from chaoslib_ext.sandbox.folder import read_json
from chaoslib_ext.sandbox.launch import environment
from chaoslib_ext.sandbox.store_launch import program
from chaoslib_ext.sandbox.store_look import Answer, asked
from chaoslib_ext.sandbox.store_setup import source

CALL_S = 2.0
LOOK_S = 0.5
_POLL_S = 0.02
_STOP_S = 5.0  # a fast shutdown waits until every standby has all of it
_RECEIVED = "select pg_last_wal_receive_lsn() - '0/0', coalesce((select status from pg_stat_wal_receiver), '')"


class NotDone(Exception):
    """Something of a failover did not come about in time; the text says what."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node's place: its zone, its port and its data folder."""

    name: str
    zone: str
    port: int
    folder: Path


class Nodes:
    """The three nodes, the keeper that starts them and the links between them."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.store = folder / "store"
        self._roster = folder / "roster.json"
        self._keeper: str = settings["keeper"]
        self._link: str = settings["link"]
        self.all = {name: Node(name, place["zone"], place["port"], self.store / name) for name, place in settings["nodes"].items()}

    async def tell_keeper(self, **request: Any) -> dict[str, Any]:
        """One request about the store to the keeper. Raises OSError, TimeoutError or Declined."""
        reply = await ask(self._keeper, {"op": "store", **request}, CALL_S)
        if reply.get("error"):
            raise Declined(str(reply["error"]))
        return dict(reply.get("store") or {})

    async def streams_from(self, name: str | None) -> None:
        """Lets all streams come from one node, or none flow; what was on the wire is lost."""
        await ask(self._link, {"op": "primary", "zone": self.all[name].zone if name else None}, CALL_S)

    async def look(self, name: str, query: str = "", limit_s: float = LOOK_S) -> Answer | None:
        """The node's answer to a login (and a query); None when it gives none."""
        return await asked(self.all[name].port, limit_s, query)

    async def received(self, name: str) -> tuple[int, bool] | None:
        """How far a standby's log reaches, in bytes, and whether more still comes in; None when it cannot be asked."""
        found = await self.look(name, _RECEIVED)
        if found is None or found.writable or not found.rows or not found.rows[0][0]:
            return None
        return int(float(found.rows[0][0])), found.rows[0][1] == "streaming"

    async def streaming(self, primary: str) -> int:
        """How many standbys stream from a primary."""
        found = await self.look(primary, "select count(*) from pg_stat_replication where state = 'streaming'")
        return int(found.rows[0][0]) if found is not None and found.rows else 0

    async def until(self, what: str, limit_s: float, condition: Any) -> None:
        """Returns when the awaitable condition is true. Raises NotDone after the limit."""
        deadline_s = asyncio.get_running_loop().time() + limit_s
        while not await condition():
            if asyncio.get_running_loop().time() > deadline_s:
                raise NotDone(f"not within {limit_s:g} s: {what}")
            await asyncio.sleep(_POLL_S)

    async def kill(self, name: str) -> None:
        """Kills a node, stopped or not: fencing."""
        await asyncio.to_thread(kill_node, str(self.all[name].folder))

    async def shut_down(self, name: str) -> None:
        """A fast shutdown: clients are sent away, standbys get everything. What takes longer than 5 s is killed."""
        row = next((row for row in read_json(self._roster).get("store", {}).get("nodes", []) if row["name"] == name), None)
        if row is not None:
            signal_exact(row["pid"], row["start_ticks"], signal.SIGINT)
        folder = str(self.all[name].folder)

        async def ended() -> bool:
            return not await asyncio.to_thread(node_processes, folder)

        try:
            await self.until(f"{name} shut down", _STOP_S, ended)
        except NotDone:
            await self.kill(name)

    async def promote(self, name: str) -> None:
        """Makes a standby the primary, as `pg_ctl promote` does. Raises NotDone when it does not become one."""
        pid = int((self.all[name].folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        ticks = dict(node_processes(str(self.all[name].folder))).get(pid)
        (self.all[name].folder / "promote").touch()
        if ticks is None or not signal_exact(pid, ticks, signal.SIGUSR1):
            raise NotDone(f"{name} has ended")

        async def writable() -> bool:
            found = await self.look(name)
            return found is not None and found.writable

        await self.until(f"{name} takes writes", 10.0, writable)

    async def start(self, name: str) -> None:
        """Has the keeper start a node and waits until it answers as a standby. Raises NotDone, or Declined while its zone is held."""
        await self.tell_keeper(do="start", node=name)

        async def standby() -> bool:
            found = await self.look(name)
            return found is not None and not found.writable

        await self.until(f"{name} answers as a standby", 10.0, standby)

    def is_standby(self, name: str) -> bool:
        """Whether a data folder is a standby's: promotion makes it another, a copy makes it one again."""
        return (self.all[name].folder / "standby.signal").exists()

    async def copy(self, name: str, primary: str) -> None:
        """Replaces a node's data folder by a fresh copy of the primary's. Raises NotDone when that fails."""
        folder, origin = self.all[name].folder, source(self.store, name, self.all[primary].port)
        await asyncio.to_thread(remove_segment, str(folder))
        await asyncio.to_thread(shutil.rmtree, folder, True)
        command = program("pg_basebackup", "-D", str(folder), "-d", origin, "-X", "stream", "-c", "fast", "--no-sync")
        copying = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, env=environment(), cwd="/")
        if await copying.wait() != 0:
            raise NotDone(f"{name}: pg_basebackup from {primary} failed")
        (folder / "standby.signal").touch()
