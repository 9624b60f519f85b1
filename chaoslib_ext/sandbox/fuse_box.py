"""
The fuses that a keeper holds: one file each, beside the markers, and a process that takes the fault back when one is due.

A fuse that is taken out in time leaves nothing; one that fires is gone when `firing` has proven its fault taken back.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.process.fuse import digest
from chaoslib_ext.sandbox.control import Declined, text_field
from chaoslib_ext.sandbox.launch import module_command, spawn

FOLDER = "fuses"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,120}\.json")
_LOOK_S = 0.5  # how late a fuse may fire
_AGAIN_NS = 5 * NS  # pause before a firing that did not end clean is tried again; chosen by feel

Json = dict[str, Any]


class FuseBox:
    """The fuses of one sandbox; what lies on disk already is known again."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._place, self._log, self._identity = folder / FOLDER, folder / "logs" / "fuses.err", identity
        self._due: dict[str, int] = {}
        self._over: set[str] = set()  # fuses taken out and runs that are over: what was in flight then is not armed any more
        self._firing: dict[str, subprocess.Popen[bytes]] = {}
        self._changed = asyncio.Event()
        for path in sorted(self._place.glob("*.json")):
            self._due[path.name] = int(state.read_json(path)["expires_ns"])

    # what is asked of it

    def answer(self, request: Json) -> Json:
        """Does one request: arm, look or disarm. Raises Declined for what is not allowed or not known."""
        name = text_field(request, "name")
        if request.get("identity") != self._identity:
            raise Declined(f"identity: got {request.get('identity')!r}, this sandbox is {self._identity}")
        if not _NAME.fullmatch(name):
            raise Declined(f"name: got {name!r}, expected the name of a marker, like run--fault-1a2b3c4d.json")
        match request.get("do"):
            case "arm":
                self._arm(name, request.get("record"))
            case "look":
                pass
            case "disarm":
                self.take_out(name)
            case other:
                raise Declined(f"do: got {other!r}, expected arm, look or disarm")
        return {"fuse": self._look(name)}

    def _arm(self, name: str, record: object) -> None:
        if not isinstance(record, dict) or not isinstance(record.get("expires_ns"), int) or not record.get("parts") or not record.get("owner"):
            raise Declined("record: expected {run, fault, owner, marker, parts, expires_ns}")
        if {name, str(record.get("run"))} & self._over:
            raise Declined(f"{name}: it was taken out, or its run is over: it is not armed again")
        other = state.read_json(self._place / name).get("owner")
        if other not in (None, record["owner"]):
            raise Declined(f"{name}: there is a fuse of {other} already")
        self._place.mkdir(mode=0o700, exist_ok=True)
        state.write_json(self._place / name, record)
        self._due[name] = record["expires_ns"]
        self._changed.set()

    def _look(self, name: str) -> Json | None:
        """What is on disk, not what is remembered: that is what will be done."""
        record = state.read_json(self._place / name)
        return {"owner": record["owner"], "expires_ns": record["expires_ns"], "sha256": digest(record)} if record else None

    def take_out(self, name: str) -> None:
        """Removes a fuse for good; one that is just firing is stopped first."""
        self._over.add(name)
        process = self._firing.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()
        for path in (self._place / name, (self._place / name).with_suffix(".wal")):
            path.unlink(missing_ok=True)
        self._due.pop(name, None)

    def forget(self, run: str) -> None:
        """Takes out whatever a run that is over has left, and takes no more of it."""
        self._over.add(run)
        for name in [name for name in self._due if state.read_json(self._place / name).get("run") == run]:
            self.take_out(name)

    # what it does by itself

    async def burn(self) -> None:
        """Fires what is due, for ever."""
        while True:
            if not self._due:
                self._changed.clear()
                await self._changed.wait()
            for name in list(self._due):
                self._tend(name)
            await asyncio.sleep(_LOOK_S)  # the boot clock goes on while the machine sleeps; a timer of the loop does not

    def _tend(self, name: str) -> None:
        process = self._firing.get(name)
        if process is not None and process.poll() is not None:
            del self._firing[name]
            if not (self._place / name).exists():
                self.take_out(name)
                return
            self._due[name] = boot_ns() + _AGAIN_NS
        if name not in self._firing and boot_ns() >= self._due[name]:
            command = module_command("chaoslib_ext.firing", str(self._place / name), str(os.getpid()))
            self._firing[name] = spawn(command, self._log)

    def close(self) -> None:
        """Stops what is firing: the sandbox ends, and every fault with it."""
        for process in self._firing.values():
            process.kill()
            process.wait()
