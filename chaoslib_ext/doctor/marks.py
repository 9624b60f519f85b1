"""
What in the targets carries a mark of ours: links, holds, routes, marker files, fuses, locks, and processes that stand still.

Every configured environment is looked at: the chosen one, all of `environments/`, and every sandbox that runs. It asks and
reads; it changes nothing, and takes no lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoslib_ext import locks, recover, state
from chaoslib_ext.doctor.check import Check
from chaoslib_ext.doctor.reach import reachable
from chaoslib_ext.environment import EnvChoice, Environment, read_environment
from chaoslib_ext.errors import ChaosxError, InvalidFile, UsageError
from chaoslib_ext.mesh import client as mesh
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import owners_in
from chaoslib_ext.process.client import control, process_state, read_roster
from chaoslib_ext.sandbox import folder as rooms
from chaoslib_ext.sandbox.life import environment_json

CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something of ours in a target, `owner` as it stands there: `<run>--<fault>`, for a lock the run. `written_s` is Unix time, None when not known."""

    what: str
    owner: str
    written_s: float | None = None

    @property
    def run(self) -> str:
        """The run that the owner names."""
        return self.owner.partition("--")[0]

    @property
    def age_s(self) -> float | None:
        """How old it is: since it was written, else since its run began, which its id says."""
        begun_s = self.written_s
        if begun_s is None:
            try:
                begun_s = datetime.strptime(self.run[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
            except ValueError:
                return None
        return max(0.0, time.time() - begun_s)


def in_targets(choice: EnvChoice) -> Iterator[Check]:
    """One check for each mark, and for each environment that cannot be looked at or undone in."""
    seen: set[str] = set()
    for name, environment in configured(choice):
        for roster in sorted({service.processes["roster"] for service in environment.services.values() if service.processes} - seen):
            seen.add(roster)
            yield from _one_target(name, environment, roster, chosen=name == _chosen(choice))


def _chosen(choice: EnvChoice) -> str:
    return str(choice.path) if choice.path is not None else f"sandbox@{choice.name}"


def configured(choice: EnvChoice) -> Iterator[tuple[str, Environment]]:
    """Every environment that can be read, by what `--env` calls it; the chosen one first. A file that is none, `validate` tells of."""
    paths = dict.fromkeys([*([choice.path] if choice.path is not None else []), *sorted(Path("environments").glob("*.yaml"))])
    for path in paths:
        try:
            yield str(path), read_environment(path)
        except InvalidFile:
            continue
    for folder in rooms.sandbox_folders():
        info = rooms.info(folder)
        if info is not None:
            yield f"sandbox@{info.name}", Environment.from_json(environment_json(info))


def _one_target(name: str, environment: Environment, path: str, chosen: bool) -> Iterator[Check]:
    try:
        roster = read_roster(path)
    except (OSError, ChaosxError) as error:
        if not chosen:  # the chosen one's own checks say so
            yield Check(f"marks in {name}", "note", f"cannot be looked for: {error}")
        return
    yield from reachable(name, roster)
    found: list[Mark] = []
    for looking in (_sockets, _routes, _files, _locks):
        try:
            found += looking(environment, Path(path).parent, roster)
        except (OSError, ChaosxError, ValueError, KeyError, TypeError, AttributeError) as error:
            yield Check(f"marks in {name}", "missing", f"cannot all be looked for: {error}", "look whether what writes the roster still runs")
    yield from (_told(name, mark) for mark in found)
    yield from _still(name, roster, found)
    if not found:
        yield Check(f"marks in {name}", "ok", "none")


def _told(name: str, mark: Mark) -> Check:
    age = "unknown age" if mark.age_s is None else f"{age_of(mark.age_s)} old"
    text = f"{mark.what}: owned by {mark.owner}, {age}"
    folder = _state_of(mark.run)
    if folder is not None and recover.owner_alive(folder):
        return Check(f"mark in {name}", "note", f"{text}; its run is under way", "", mark.owner, mark.age_s)
    known = folder is not None and not (folder / state.CLOSED).exists()
    return Check(f"mark in {name}", "left", text, f"chaosx recover {f'--run {mark.run}' if known else f'--env {name}'}", mark.owner, mark.age_s)


def _state_of(run: str) -> Path | None:
    try:
        folder = state.run_dir(run)
    except UsageError:
        return None
    return folder if folder.is_dir() else None


def age_of(seconds: float) -> str:
    """A length of time, roughly."""
    return next((f"{seconds / size:.0f} {unit}" for unit, size in (("d", 86400), ("h", 3600), ("min", 60)) if seconds >= 2 * size), f"{seconds:.0f} s")


# where to look -----------------------------------------------------------------------------------------------------------


def _ask(path: str) -> Json:
    try:
        return control(path, {"op": "status"}, CALL_S)
    except (FileNotFoundError, ConnectionRefusedError):
        return {}  # a link or a hold lives in memory and has ended with its process


def _sockets(_environment: Environment, _folder: Path, roster: Json) -> list[Mark]:
    found = []
    for kind, links in (("link", roster.get("links") or {}), ("link of the store", (roster.get("store") or {}).get("links") or {})):
        for zone, link in links.items():
            status = _ask(str(link["control"]))
            if status.get("owner"):
                found.append(Mark(f"{kind} {zone}, told to {status.get('mode')}", str(status["owner"])))
    held = _ask(str(roster["keeper"]["control"])).get("zones", {}) if roster.get("keeper") else {}
    return found + [Mark(f"zone {zone}, held down", str(one["held_by"])) for zone, one in held.items() if one.get("held_by")]


def _routes(_environment: Environment, _folder: Path, roster: Json) -> list[Mark]:
    there = [(f"sidecar of {one['name']}", one["sidecar"]) for one in roster["replicas"] if one.get("sidecar")]
    there += [("ingress", roster["ingress"])] if roster.get("ingress") else []
    found = []
    for called, one in there:
        if Path(str(one["config"])).exists():
            document = mesh.read(Envoy(str(one["admin"]), str(one["config"])))
            found += [Mark(f"a route of the {called}", owner) for owner in owners_in(document)]
    return found


def _files(_environment: Environment, folder: Path, _roster: Json) -> list[Mark]:
    found = []
    for kind in ("markers", "fuses"):
        for path in sorted((folder / kind).glob("*.json")):
            record = state.read_json(path)
            parts = ", ".join(f"{part['target']['kind']} {part['target']['name']}" for part in record.get("parts") or [])
            found.append(Mark(f"{kind[:-1]} {path.name} ({parts})", str(record.get("owner")), path.stat().st_mtime))
    return found


def _locks(environment: Environment, _folder: Path, _roster: Json) -> list[Mark]:
    return [Mark(f"lock ({kind})", str(holder.run)) for kind, _, holder in locks.look(environment) if holder.run is not None and not holder.alive]


def _still(name: str, roster: Json, found: list[Mark]) -> Iterator[Check]:
    """Processes that are stopped: by a fault of ours when a marker names them, else by somebody else."""
    told = " ".join(mark.what for mark in found)
    for one in roster["replicas"]:
        if one.get("pid") and process_state(one["pid"]) in ("T", "t") and one["name"] not in told:
            text = f"{one['name']} (process {one['pid']}) stands still, and no mark says that it was us"
            yield Check(f"stopped in {name}", "note", text, f"kill -CONT {one['pid']}  continues it, if nobody wants it so")
