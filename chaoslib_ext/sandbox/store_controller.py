"""
The failover controller of the store: finds the primary dead, fences it, and promotes the standby that has most.

`python -m chaoslib_ext.sandbox.store_controller '{"parent", "identity", "folder", "control", "keeper", "link", "nodes",
"detection_s", "fencing", "demotion"}'`. Ops on its socket: status, set (detection_s, fencing), switchover, rejoin
(node). Those that take a while are begun and answered at once; `busy` of the status says what is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from chaoslib_ext.clock import boot_ns
from chaoslib_ext.sandbox.control import Declined, serve, text_field
from chaoslib_ext.sandbox.launch import die_with
from chaoslib_ext.sandbox.store_look import answers
from chaoslib_ext.sandbox.store_nodes import LOOK_S, Nodes, NotDone

_PAUSE_S = 0.1  # between two looks at the primary
_STALE_S = 3.0  # how long a second primary goes unnoticed where nothing demotes or fences it
_DRAINED_S = 1.0
_UP_S = 30.0


class Controller:
    """Who is the primary, and what is being done about it."""

    def __init__(self, nodes: Nodes, settings: dict[str, Any]) -> None:
        self._nodes = nodes
        self._detection_s: float = settings["detection_s"]
        self._fencing: bool = settings["fencing"]
        self._demotion: bool = settings["demotion"]
        self._roles: dict[str, str] = {}
        self._busy = ""
        self._last = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def primary(self) -> str | None:
        """The name of the node that is the primary; None while there is none."""
        return next((name for name, role in self._roles.items() if role == "primary"), None)

    # what is asked of it

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does or begins one control request. Raises Declined for what is not possible now."""
        match request.get("op"):
            case "status":
                pass
            case "set":
                self._set(request)
            case "switchover":
                if boot_ns() > request.get("until_ns", boot_ns()):
                    raise Declined("whoever asked for it waits no longer")
                if self.primary is None:
                    raise Declined("there is no primary to switch over from")
                self._begin("switchover", self._switch_over(self.primary))
            case "rejoin":
                node = text_field(request, "node")
                if self._roles.get(node) is None:
                    raise Declined(f"node: got {node!r}, expected {', '.join(self._roles) or 'a node, once the store is up'}")
                self._begin(f"rejoin {node}", self._rejoin(node))
            case other:
                raise Declined(f"op: got {other!r}, expected status, set, switchover or rejoin")
        told = {"nodes": self._roles, "primary": self.primary, "busy": self._busy, "last": self._last}
        return {**told, "detection_s": self._detection_s, "fencing": self._fencing}

    def _set(self, request: dict[str, Any]) -> None:
        detection_s, fencing = request.get("detection_s", self._detection_s), request.get("fencing", self._fencing)
        if isinstance(detection_s, bool) or not isinstance(detection_s, int | float) or not 0.1 <= detection_s <= 3600:
            raise Declined(f"detection_s: got {detection_s!r}, expected seconds from 0.1 to 3600")
        if not isinstance(fencing, bool):
            raise Declined(f"fencing: got {fencing!r}, expected true or false")
        self._detection_s, self._fencing = float(detection_s), fencing

    def _begin(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        if self._busy:
            work.close()
            raise Declined(f"busy: {self._busy}")
        self._busy = what
        self._task = asyncio.get_running_loop().create_task(self._carried_out(what, work))

    async def _carried_out(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            self._last = f"{what}: done"
        except (NotDone, Declined, OSError, TimeoutError) as error:
            self._last = f"{what}: {error or type(error).__name__}"
            print(self._last, file=sys.stderr, flush=True)
        finally:
            self._busy = ""

    # what it watches

    async def run(self) -> None:
        """Takes over the roles that the keeper knows, then watches for ever."""
        await self._take_over()
        await asyncio.gather(self._watch_primary(), self._watch_standbys())

    async def _take_over(self) -> None:
        async def known() -> bool:
            try:
                found = await self._nodes.tell_keeper(do="status")
            except (OSError, TimeoutError, Declined):
                return False
            self._roles = {node["name"]: node["role"] for node in found.get("nodes", []) if node["pid"]}
            return len(self._roles) == len(self._nodes.all)

        await self._nodes.until("the nodes are started", _UP_S, known)
        await self._nodes.streams_from(self.primary)
        standbys = sum(role == "standby" for role in self._roles.values())

        async def streaming() -> bool:
            return self.primary is None or await self._nodes.streaming(self.primary) >= standbys

        await self._nodes.until("the standbys stream", _UP_S, streaming)
        await self._tell_roles()

    async def _tell_roles(self) -> None:
        await self._nodes.tell_keeper(do="roles", roles=self._roles)

    async def _role(self, name: str, role: str) -> None:
        self._roles[name] = role
        await self._tell_roles()

    async def _watch_primary(self) -> None:
        loop = asyncio.get_running_loop()
        heard_s, watched = loop.time(), self.primary
        while True:
            primary = self.primary
            if primary is None or self._busy or primary != watched:
                heard_s, watched = loop.time(), primary
            elif await self._heard(primary, heard_s + self._detection_s - loop.time()):
                heard_s = loop.time()
            elif loop.time() - heard_s >= self._detection_s and not self._busy:
                self._begin("failover", self._fail_over(primary))
            await asyncio.sleep(min(_PAUSE_S, self._detection_s / 4))

    async def _heard(self, name: str, left_s: float) -> bool:
        try:
            return await asyncio.wait_for(answers(self._nodes.all[name].port), max(0.02, min(LOOK_S, left_s)))
        except TimeoutError:
            return False

    async def _watch_standbys(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self.primary is not None and not self._busy:
                with contextlib.suppress(OSError, TimeoutError):  # links that were started again do not know yet
                    await self._nodes.streams_from(self.primary)
            for name, role in list(self._roles.items()):
                if role not in ("standby", "down") or self._busy:
                    continue
                found = await self._nodes.look(name)
                now = "standby" if found is not None and not found.writable else "down"
                if now != role and self._roles[name] == role and not self._busy:
                    await self._role(name, now)

    # what it does

    async def _fail_over(self, lost: str) -> None:
        """The primary is lost: it is fenced, and the standby that has most takes over. Tried again by the watch while there is none."""
        await self._nodes.streams_from(None)
        if self._fencing:
            await self._nodes.kill(lost)
        best = await self._most_advanced()
        if best is None:
            raise NotDone("no standby can be asked")
        await self._take_primacy(best)
        self._roles[lost] = "fenced" if self._fencing else "down"
        await self._role(best, "primary")

    async def _most_advanced(self) -> str | None:
        """The reachable standby whose log reaches furthest, once nothing comes in any more; the first by name where equal."""
        names = sorted(name for name in self._nodes.all if name != self.primary)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _DRAINED_S
        while True:
            found = dict(zip(names, await asyncio.gather(*(self._nodes.received(name) for name in names)), strict=True))
            known = {name: one for name, one in found.items() if one is not None}
            if not any(streams for _, streams in known.values()) or loop.time() > deadline_s:
                return max(known, key=lambda name: known[name][0], default=None)

    async def _take_primacy(self, best: str) -> None:
        await self._nodes.promote(best)
        await self._nodes.streams_from(best)

    async def _switch_over(self, old: str) -> None:
        """A planned change of the primary: the old one is demoted first, and loses nothing; without demotion it goes on for 3 s."""
        if await self._nodes.streaming(old) == 0:
            raise NotDone("no standby streams from the primary")
        if self._demotion:
            await self._nodes.shut_down(old)
        await self._nodes.streams_from(None)  # else the standby that is not chosen may get ahead of the one that is, and can never follow it
        best = await self._most_advanced()
        if best is None:
            raise NotDone("no standby can be asked")
        await self._take_primacy(best)
        self._roles[old] = "down"
        await self._role(best, "primary")
        if self._demotion:
            (self._nodes.all[old].folder / "standby.signal").touch()  # it was shut down with everything sent: it may follow
        else:
            await asyncio.sleep(_STALE_S)
        await self._bring_back(old)

    async def _rejoin(self, name: str) -> None:
        """Makes a node that is down, fenced or a second primary a standby again; nothing for one that is as it should be."""
        if name == self.primary:
            return
        found = await self._nodes.look(name)
        if found is not None and not found.writable and self._nodes.is_standby(name):
            return await self._role(name, "standby")
        if found is not None and found.writable and not self._fencing:
            await asyncio.sleep(_STALE_S)  # without fencing nobody notices the second primary at once
        await self._bring_back(name)

    async def _bring_back(self, name: str) -> None:
        if self.primary is None:
            raise NotDone("there is no primary to follow")
        await self._nodes.tell_keeper(do="may_start", node=name)
        await self._nodes.kill(name)
        if self._nodes.is_standby(name):
            try:
                await self._nodes.start(name)
                return await self._role(name, "standby")
            except NotDone:
                await self._nodes.kill(name)  # its history is another one: only a copy helps
        await self._nodes.copy(name, self.primary)
        await self._nodes.start(name)
        await self._role(name, "standby")


async def _run(settings: dict[str, Any]) -> None:
    controller = Controller(Nodes(Path(settings["folder"]), settings), settings)
    await serve(settings["control"], settings["identity"], controller.answer)
    await controller.run()


def main() -> None:
    """Controls until it is killed, or until the keeper is gone."""
    settings = json.loads(sys.argv[1])
    die_with(settings["parent"])
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
