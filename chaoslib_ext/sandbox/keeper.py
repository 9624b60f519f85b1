"""
The keeper of a sandbox: starts its replicas, links, sidecars and proxy, restarts them as a kubelet does, and ends them.

`python -m chaoslib_ext.sandbox.keeper FOLDER`, where `up` has left sandbox.json. It detaches, lives until it is
told `down`, gets SIGTERM or loses its owner, and takes everything with it, whatever way it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from chaoslib_ext.process.client import start_ticks
from chaoslib_ext.sandbox.child import Child, Gate
from chaoslib_ext.sandbox.control import Declined, serve, text_field
from chaoslib_ext.sandbox.crew import Crew, Member, healthz
from chaoslib_ext.sandbox.ended import Ended
from chaoslib_ext.sandbox.folder import erase, read_json, write_json
from chaoslib_ext.sandbox.fuse_box import FuseBox
from chaoslib_ext.sandbox.lock_box import LockBox
from chaoslib_ext.sandbox.owner import faults_healed, marked, owned_links, owner_gone
from chaoslib_ext.sandbox.store_disk import leave_mounts

_TERM_GRACE_S = 1.0
_READY_POLL_S = 0.1
_HEALTH_PERIOD_S = 1.0
_UNREADY_AFTER = 2  # failed health checks in a row


class Zone:
    """Whether a zone's replicas may be started, and which fault says no."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.held_by: str | None = None
        self.ended = Ended()


class Keeper:
    """One sandbox while it lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record = read_json(folder / "sandbox.json")
        self._identity = str(self._record["identity"])
        self._ending = asyncio.Event()
        self._proxy_gate = Gate(is_open=False)
        self._closed = False
        self._crew = Crew(folder, self._record)
        self._zones = {zone: Zone() for zone in self._crew.zones}
        self._members = {member.name: Child(self._crew.replica(member), self._zones[member.zone].gate, self._write_roster) for member in self._crew.members}
        self._links = {zone: Child(self._crew.link(zone), Gate(), self._write_roster) for zone in self._zones}
        self._proxy = Child(self._crew.proxy(), self._proxy_gate, self._write_roster)
        beside = self._crew.members if self._crew.mesh else []
        self._store = self._crew.store
        if self._store is not None:
            self._store.holder = lambda zone: self._zones[zone].held_by
            self._store.changed = self._write_roster
        self._rejoining: set[asyncio.Task[None]] = set()
        self._fuses, self._lock = FuseBox(folder, self._identity), LockBox(folder)
        self._sidecars = {member.name: Child(self._crew.sidecar(member), Gate(), self._write_roster) for member in beside}

    async def run(self) -> None:
        """Brings everything up, keeps it until the end, and removes every trace."""
        self._crew.write_configuration()
        write_json(self._folder / "sandbox.json", self._described())
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, self._ending.set)
        server = await serve(self._crew.sockets["keeper"], self._identity, self._answer)
        opening = [] if self._store is None else [asyncio.create_task(self._store.open())]  # first: it takes longest
        tasks = [*opening, *(asyncio.create_task(child.keep()) for child in self._children())]
        tasks += [asyncio.create_task(self._watch(member)) for member in self._crew.members]
        tasks.append(asyncio.create_task(self._open_proxy()))
        tasks += [asyncio.create_task(self._watch_owner()), asyncio.create_task(self._fuses.burn())]
        await self._until_the_end(tasks)
        server.close()
        await self._stop(tasks)
        self._remove()

    def _children(self) -> list[Child]:
        return [*self._links.values(), *self._sidecars.values(), *self._members.values(), self._proxy, *(self._store.children() if self._store else [])]

    def _described(self) -> dict[str, Any]:
        keeper = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
        return {**self._record, **self._crew.addresses(), "keeper": keeper, "dir": str(self._folder)}

    async def _until_the_end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Waits for the end. A task that fails is our own failure: it is raised, and the kernel ends the children."""
        ending = asyncio.create_task(self._ending.wait())
        waited: set[asyncio.Task[Any]] = {ending, *tasks}
        while not ending.done():
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    # what is asked of it

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("op"):
            case "status":
                pass
            case "hold":
                self._lock.check(request)
                self._hold(request)
            case "release":
                self._release(request)
            case "store" if self._store is not None:
                return self._store.answer(request)
            case "fuse":
                return self._fuses.answer(request)
            case "lock":
                return self._locked(request)
            case "down":
                self._ending.set()
            case other:
                raise Declined(f"op: got {other!r}, expected status, hold, release, fuse, lock or down")
        zones = {name: {"held_by": zone.held_by} for name, zone in self._zones.items()}
        over = self._zones[request["zone"]].ended.told(request) if request["op"] == "release" else {}
        return {"zones": zones, "replicas": self._rows(), **over}

    def _locked(self, request: dict[str, Any]) -> dict[str, Any]:
        told = self._lock.answer(request)
        if request.get("do") == "release":
            self._fuses.forget(str(request["run"]))  # its run is over
        return told

    def _zone(self, request: dict[str, Any], owner: str) -> Zone:
        name = text_field(request, "zone")
        if name not in self._zones:
            raise Declined(f"zone: got {name!r}, expected {', '.join(self._zones)}")
        self._zones[name].ended.note(request)
        if self._zones[name].held_by not in (None, owner):
            raise Declined(f"zone {name} is held by {self._zones[name].held_by}")
        return self._zones[name]

    def _hold(self, request: dict[str, Any]) -> None:
        owner = text_field(request, "owner")
        zone = self._zone(request, owner)
        zone.ended.refuse(owner)
        zone.held_by = owner
        zone.gate.event.clear()

    def _release(self, request: dict[str, Any]) -> None:
        zone = self._zone(request, text_field(request, "owner"))
        if zone.held_by is None:
            return
        zone.held_by = None
        zone.gate.event.set()
        for member in self._crew.members:
            child = self._members[member.name]
            if self._zones[member.zone] is zone and not child.running:
                child.revive()

        if self._store is not None:
            task = asyncio.create_task(self._store.released(str(request["zone"])))
            self._rejoining.add(task)
            task.add_done_callback(self._rejoining.discard)

    # what it watches

    async def _watch(self, member: Member) -> None:
        """Reads a replica's health as a kubelet's readiness probe does, and keeps the roster true."""
        child, failed = self._members[member.name], 0
        while True:
            status = await healthz(member.port) if child.running else None
            failed = 0 if status == 200 else failed + 1
            ready = child.running and (status == 200 or (child.ready and failed < _UNREADY_AFTER))
            if ready != child.ready:
                child.ready = ready
                self._write_roster()
            self._crew.heard(member, status)
            await asyncio.sleep(_HEALTH_PERIOD_S if ready else _READY_POLL_S)

    async def _open_proxy(self) -> None:
        """Starts the proxy once all replicas listen, so that its first health checks already succeed."""
        await self._crew.all_heard()
        self._proxy_gate.event.set()

    async def _watch_owner(self) -> None:
        owner = self._record.get("owner")
        if not owner:
            return
        await owner_gone(owner)
        await faults_healed(self._faulty)
        self._ending.set()

    async def _faulty(self) -> bool:
        links = [*(self._crew.sockets[zone] for zone in self._zones), *(self._store.links if self._store else [])]
        held = any(zone.held_by for zone in self._zones.values())
        return held or marked(self._folder / "markers") or await owned_links(links)

    # what it writes

    def _rows(self) -> list[dict[str, Any]]:
        return [self._crew.row(member, self._members[member.name], self._sidecars.get(member.name)) for member in self._crew.members]

    def _write_roster(self) -> None:
        if self._closed or not all(child.pid for child in [*self._members.values(), *self._sidecars.values()]):
            return
        links = {zone: {"control": self._crew.sockets[zone], "pid": link.pid, "start_ticks": link.ticks} for zone, link in self._links.items()}
        proxy = {"pid": self._proxy.pid, "start_ticks": self._proxy.ticks}
        keeper = {"control": self._crew.sockets["keeper"], "fuses": True, "locks": True, "pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
        roster = {"identity": self._identity, "zones": list(self._zones), "keeper": keeper}
        beside = {**self._crew.ingress(self._proxy), **({} if self._store is None else {"store": self._store.row()})}
        write_json(self._folder / "roster.json", {**roster, "links": links, "replicas": self._rows(), "envoy": proxy, **beside})

    # how it ends

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Nothing is restarted any more; everything is asked to end, then made to."""
        self._closed = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._store is not None:
            self._store.close()
        self._fuses.close()
        children = [child for child in self._children() if child.running]
        for child in children:
            child.signal(signal.SIGTERM)
        ends = [asyncio.create_task(child.gone()) for child in children]
        if ends:
            await asyncio.wait(ends, timeout=_TERM_GRACE_S)
        for child in children:
            child.signal(signal.SIGKILL)
        await asyncio.gather(*ends)

    def _remove(self) -> None:
        self._crew.release_ports()
        erase(self._folder)


async def _main(folder: Path) -> None:
    await Keeper(folder).run()


def main() -> None:
    """Detaches from whoever started it, so that nobody but init has to reap it, and keeps the sandbox."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if "store_small_disk" in read_json(Path(sys.argv[1]) / "sandbox.json")["switches"]:
        leave_mounts()  # before anything runs here: only a process with one thread can
    asyncio.run(_main(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
