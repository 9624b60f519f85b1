"""
The folder of a sandbox on disk: where it is, what is written there, and whether anybody still lives in it.

`$CHAOSX_SANDBOX/<name>/` (or the user's cache folder), mode 0700: sandbox.json, roster.json, envoy.json, rds.json,
access.log, lock.json, logs/, markers/, fuses/, mesh/, store/ and the sockets, which move to a short folder when their paths would not fit.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import UsageError
from chaoslib_ext.process.client import alive, signal_exact
from chaoslib_ext.process.store import remove_unused, sweep

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SOCKET_LIMIT = 100  # bytes; sockaddr_un holds 108 and not every reader of a path uses all of them
_LONGEST_SOCKET = "s-shop-a1.sock"
_SHORT = "chaosx-"


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """
    A sandbox as its users see it.

    `url` is the proxy's, `admin` the path of the proxy's admin socket, `roster` the path of roster.json,
    `identity` what every answer of its control sockets carries.
    """

    name: str
    identity: str
    url: str
    admin: str
    roster: str
    dir: str
    switches: tuple[str, ...]
    zones: tuple[str, ...]


def root() -> Path:
    """The folder that holds one folder per sandbox; it may not exist yet."""
    chosen = os.environ.get("CHAOSX_SANDBOX")
    if chosen:
        return Path(chosen).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("chaosx", appauthor=False)) / "sandboxes"


def folder_of(name: str) -> Path:
    """The folder of the sandbox with this name. Raises UsageError when it is no name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"sandbox name: got {name!r}, expected small letters, digits, dots and dashes, at most 64")
    return root() / name


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replaces a file by rename, so that no reader ever sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no such file or it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def sockets_folder(folder: Path) -> Path:
    """A private folder short enough for socket paths: the sandbox's own, or a new one in the runtime or temporary folder."""
    if len(os.fsencode(folder / _LONGEST_SOCKET)) <= _SOCKET_LIMIT:
        return folder
    for place in filter(None, [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]):
        if os.access(place, os.W_OK) and len(os.fsencode(place)) + len(f"/{_SHORT}12345678/" + _LONGEST_SOCKET) <= _SOCKET_LIMIT:
            return Path(tempfile.mkdtemp(prefix=_SHORT, dir=place))
    raise UsageError(f"{folder}: too long for Unix sockets; set CHAOSX_SANDBOX to a shorter folder")


def info(folder: Path) -> SandboxInfo | None:
    """The sandbox that lives in a folder; None when it is not running (yet, or any more)."""
    record = read_json(folder / "sandbox.json")
    if not record.get("url") or not runs(record.get("keeper")):
        return None
    return SandboxInfo(
        name=record["name"],
        identity=record["identity"],
        url=record["url"],
        admin=record["admin"],
        roster=str(folder / "roster.json"),
        dir=str(folder),
        switches=tuple(record["switches"]),
        zones=tuple(record["zones"]),
    )


def runs(process: Any) -> bool:
    """Whether a process recorded as {pid, start_ticks} still runs; a zombie does not."""
    return isinstance(process, dict) and bool(process.get("pid")) and alive(process["pid"], process["start_ticks"])


def record_of(folder: Path) -> dict[str, Any]:
    """What sandbox.json of a folder says; empty when the folder is not, or not recognisably, a sandbox's."""
    record = read_json(folder / "sandbox.json")
    return record if {"name", "identity", "sockets", "starter", "keeper"} <= record.keys() else {}


def inhabited(folder: Path) -> bool:
    """Whether a keeper lives in a folder, or somebody is just bringing one up."""
    record = record_of(folder)
    return runs(record.get("keeper") or record.get("starter"))


def remove(folder: Path) -> None:
    """
    Ends whatever is recorded in a sandbox's folder and removes it with its sockets. For one whose keeper is gone.

    The children of a dead keeper were killed by the kernel; the recorded ones are tried again in case it could not.
    """
    for process in _recorded(read_json(folder / "roster.json")):
        if runs(process):
            signal_exact(process["pid"], process["start_ticks"], signal.SIGKILL)
    sweep(str(folder / "store"))
    for node in (read_json(folder / "roster.json").get("store") or {}).get("nodes", []):
        if node.get("segment"):  # its data folder was on a disk that went with the keeper
            remove_unused(*node["segment"])
    erase(folder)


def erase(folder: Path) -> None:
    """
    Removes a sandbox's folder and sockets; sandbox.json last, so that a rest left by a crash is still known as ours.

    A folder that is not recognisably a sandbox's is left alone: $CHAOSX_SANDBOX may point anywhere.
    """
    record = record_of(folder)
    if not record:
        return
    sockets = Path(record["sockets"])
    if sockets != folder and sockets.name.startswith(_SHORT):
        shutil.rmtree(sockets, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):  # somebody else is erasing it too
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != "sandbox.json":
                entry.unlink(missing_ok=True)
    (folder / "sandbox.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _recorded(roster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from roster.get("replicas", [])
    yield from (replica.get("sidecar") or {} for replica in roster.get("replicas", []))
    yield from roster.get("links", {}).values()
    yield roster.get("envoy", {})
    store = roster.get("store") or {}
    yield from (*store.get("nodes", []), *store.get("links", {}).values(), store.get("controller", {}), store.get("health", {}))


def sandbox_folders() -> list[Path]:
    """Every folder that is a sandbox's, running or stale; whatever else lies there is not ours."""
    place = root()
    return [folder for folder in sorted(place.iterdir()) if record_of(folder)] if place.is_dir() else []


def remove_stale() -> list[str]:
    """Removes every sandbox whose keeper is gone and returns their names."""
    stale = [folder for folder in sandbox_folders() if not inhabited(folder)]
    for folder in stale:
        remove(folder)
    return [folder.name for folder in stale]
