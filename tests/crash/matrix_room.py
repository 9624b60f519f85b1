"""
One real sandbox that serves many runs of the kill matrix, and its state as data that is compared before and after each of them.

What no fault may change is compared at once (`marks`, `settings`); what the sandbox itself brings back (restarted replicas, a standby that
catches up) is waited for (`well`), and compared but for incarnations that were replaced.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext import sandbox
from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import table_of
from chaoslib_ext.process.client import control, process_state, read_roster, start_ticks
from chaoslib_ext.process.store import node_processes

DEADLINE_S = 90.0  # a busy machine; nothing is asserted about how long it really takes
CALL_S = 30.0
DETECTION_S = 3600.0  # a frozen primary keeps its place; where a failover belongs to the fault, it is `QUICK_S`
QUICK_S = 2.0
VOLATILE = {"logs", "store", "access.log", "roster.json", "sandbox.json", "lock.json"}
_KEEPERS = re.compile(r"\.(roster|sandbox)\.json\.new|\.lock\.json\.[0-9]+")  # what the keeper is just writing
_VERSION = re.compile(r'("version_info": )"[^"]*"')

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: Callable[[], object]) -> Any:
    """The first true value of the condition; fails when there is none in time."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not in {DEADLINE_S:g} s: {what()}")


class Unsettled(Exception):
    """The system under test did not come back by itself, although nothing of a fault is left in it: a machine that is too busy, or a weak store."""


class MatrixRoom:
    """A sandbox with a mesh and a store, and all that the matrix looks at in it."""

    def __init__(self, name: str, switches: tuple[str, ...]) -> None:
        self.name = name
        self.info = sandbox.up(name, switches, os.getpid(), timeout_s=120.0)
        self.folder = Path(self.info.dir)
        service = Service("shop", processes={"roster": self.info.roster}, url=self.info.url)
        self.environment = Environment(
            "sandbox", identity={"sandbox": self.info.identity}, services={"shop": service}, hosts=["127.0.0.1"], source=f"sandbox@{name}"
        )
        self.detection(DETECTION_S)

    def close(self) -> None:
        sandbox.down(self.name)

    # asking

    def roster(self) -> Json:
        return read_roster(self.info.roster)

    def keeper(self, **request: Any) -> Json:
        return control(self.roster()["keeper"]["control"], {"op": "status", **request}, CALL_S)

    def controller(self, **request: Any) -> Json:
        return control(self.roster()["store"]["controller"]["control"], {"op": "status", **request}, CALL_S)

    def detection(self, seconds: float) -> None:
        """How soon a silent primary is given up."""
        self.controller(op="set", detection_s=seconds)

    def roles(self) -> dict[str, str]:
        return {node["name"]: node["role"] for node in self.roster()["store"]["nodes"]}

    def primary(self) -> str:
        """The zone of the primary."""
        return next((name[-1] for name, role in self.roles().items() if role == "primary"), "")

    def doors(self, roster: Json) -> dict[str, Envoy]:
        found = {one["name"]: one["sidecar"] for one in roster["replicas"]} | {"ingress": roster["ingress"]}
        return {name: Envoy(door["admin"], door["config"]) for name, door in found.items()}

    # its state

    def marks(self) -> Json:
        """What says that a fault is there, or was: markers, fuses, the lock, files that somebody left half-way."""
        names = [str(path.relative_to(self.folder)) for path in self._files()]
        held = self.keeper(op="lock", do="holder")["lock"]["run"]
        return {"files": sorted(names), "lock": held}

    def _files(self) -> list[Path]:
        found = []
        for path in self.folder.iterdir():
            if path.name in VOLATILE or path.is_socket() or _KEEPERS.fullmatch(path.name):
                continue
            found += [path, *path.rglob("*")] if path.is_dir() else [path]
        return [path for path in found if not path.is_socket()]

    def settings(self) -> Json:
        """What a fault sets: links, holds, stopped processes, routes byte for byte and as they are in use, disks, mounts."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                return self._set()
            except TimeoutError:  # a busy machine: it is looked at all the same
                if time.monotonic() > deadline_s:
                    raise

    def _set(self) -> Json:
        roster = self.roster()
        sockets = {f"link {zone}": link["control"] for zone, link in roster["links"].items()}
        sockets |= {f"replication link {zone}": link["control"] for zone, link in roster["store"]["links"].items()}
        links = {name: {key: status[key] for key in ("mode", "delay_ms", "owner")} for name, path in sockets.items() for status in [_status(path)]}
        stopped = [one["name"] for one in roster["replicas"] if process_state(one["pid"]) in ("T", "t")]
        nodes = {node["name"]: node_processes(node["folder"]) for node in roster["store"]["nodes"]}
        stopped += [name for name, found in nodes.items() if any(process_state(pid) == "T" for pid, _ in found)]
        tracers = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if _traces(_content(path), os.fsencode(self.folder))]
        told = {"links": links, "holds": self.keeper()["zones"], "stopped": stopped, "tracers": tracers}
        return {**told, **self._routes(roster), **self._disks(roster)}

    def _routes(self, roster: Json) -> Json:
        files, used = {}, {}
        for name, door in self.doors(roster).items():
            text = Path(door.config).read_text(encoding="utf-8")
            document = json.loads(text)
            files[name] = _VERSION.sub(r'\1"-"', text)
            now = client.running(door, str(table_of(document)["name"]))
            used[name] = {"owners": sorted(client.owners_in_force(door)), "as in the file": now.version == document["version_info"]}
        return {"routes": files, "in use": used}

    def _disks(self, roster: Json) -> Json:
        keeper = json.loads((self.folder / "sandbox.json").read_text())["keeper"]["pid"]
        lines = Path(f"/proc/{keeper}/mountinfo").read_text(encoding="utf-8").splitlines()
        mounts = sorted(line.split(" ", 3)[3] for line in lines if str(self.folder) in line)
        places = {node["name"]: node["disk"]["folder"] for node in roster["store"]["nodes"] if node.get("disk")}
        disks = {name: sorted(path.name for path in Path(f"/proc/{keeper}/root{folder}").iterdir()) for name, folder in places.items()}
        return {"mounts": mounts, "disks": disks}

    def incarnations(self) -> dict[str, str]:
        """Which process stands behind each name: only what a fault kills may be another one afterwards."""
        roster = self.roster()
        found = {one["name"]: one["uid"] for one in [*roster["replicas"], *roster["store"]["nodes"]]}
        doors = {f"sidecar {one['name']}": one["sidecar"] for one in roster["replicas"]} | {"ingress": roster["ingress"]}
        doors |= {f"link {zone}": link for zone, link in roster["links"].items()} | {"store links": roster["store"]["links"]["a"]}
        doors |= {"controller": roster["store"]["controller"], "health": roster["store"]["health"]}
        return found | {name: f"{row['pid']}-{row['start_ticks']}" for name, row in doors.items()}

    def living(self) -> list[str]:
        """The names of all processes that should run and do."""
        return sorted(name for name, text in self.incarnations().items() if _lives(text))

    def well(self) -> bool:
        """Whether all replicas are ready, the controller has nothing to do, and there are one primary and two standbys that run."""
        roster = self.roster()
        roles = sorted(node["role"] for node in roster["store"]["nodes"])
        whole = roles == ["primary", "standby", "standby"] and not self.controller()["busy"]
        return whole and all(one["ready"] for one in roster["replicas"]) and all(map(_lives, self.incarnations().values()))

    # bringing it back

    def settle(self) -> None:
        """Brings back what belongs to the system under test: crashed replicas without their back-off, lost nodes as standbys."""
        down = {one["zone"] for one in self.roster()["replicas"] if process_state(one["pid"]) in (None, "Z")}
        for zone in down if not any(hold["held_by"] for hold in self.keeper()["zones"].values()) else ():
            self.keeper(op="hold", zone=zone, owner="rig")
            self.keeper(op="release", zone=zone, owner="rig")
        patience_s = self.controller()["detection_s"]
        try:
            until(self._settled, lambda: (self.roles(), self.controller(), [(one["name"], one["ready"]) for one in self.roster()["replicas"]]))
        except AssertionError as error:
            raise Unsettled(str(error)) from error
        finally:
            self.detection(patience_s)

    def _settled(self) -> bool:
        if self.well():
            return True
        status = self.controller()
        lost = [name for name, role in self.roles().items() if role in ("down", "fenced")]
        if status["primary"] in lost:  # the node a switchover had just chosen was killed with its zone: somebody else must take over
            self.detection(QUICK_S)
        elif lost and not status["busy"] and status["primary"]:
            try:
                self.controller(op="rejoin", node=lost[0])
            except FaultFailed:
                pass  # it has just become busy
        return False


def _status(path: str) -> Json:
    return control(path, {"op": "status"}, CALL_S)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _traces(command: bytes, folder: bytes) -> bool:
    return folder in command and (b"chaoslib_ext.process.tracer" in command or b"strace" in command)


def _lives(text: str) -> bool:
    *_, pid, ticks = text.split("-")
    return start_ticks(int(pid)) == int(ticks) and process_state(int(pid)) not in ("Z", "X")
