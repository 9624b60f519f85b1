"""
The only door to an Envoy: its admin socket, and the file in which its routes lie.

The file is replaced by rename under a lock of the file itself; a write in place is not noticed by Envoy. A new version is
in use when Envoy says so on its admin socket; whether the traffic shows it, only a look from outside can tell.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.mesh.routes import Document, owner_of, table_of

CALL_S = 2.0  # one question to an admin socket; on one machine it takes a millisecond
LOCK_S = 2.0  # chosen by feel: a write takes milliseconds; longer means that its writer is stopped
ACKNOWLEDGED_S = 3.0  # Envoy takes a new file within milliseconds
_POLL_S = 0.005


class HasAdmin(Protocol):
    """Whatever knows the path of an admin socket, such as a SandboxInfo."""

    @property
    def admin(self) -> str:
        """The path of Envoy's admin socket."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`, which may hold what no name of a host may."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("admin", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connects to the socket instead of to an address."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_admin(admin: str, path: str, timeout_s: float = CALL_S, method: str = "GET") -> bytes:
    """The body of an answer of Envoy's admin socket. Raises OSError when it does not answer, or not with 200 (PermissionError: 401, 403)."""
    connection = _UnixConnection(admin, timeout_s)
    try:
        connection.request(method, path, headers={"Host": "admin"})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{admin}: {error!r}") from error
    finally:
        connection.close()
    if answer.status in (401, 403):
        raise PermissionError(f"{admin}: {path} answered {answer.status}")
    if answer.status != 200:
        raise OSError(f"{admin}: {path} answered {answer.status}")
    return body


def counters(info: HasAdmin) -> dict[str, int]:
    """
    Every counter and gauge of the proxy by name, such as `http.ingress.downstream_rq_completed`.

    Raises OSError when the admin socket does not answer.
    """
    entries = json.loads(ask_admin(info.admin, "/stats?format=json"))["stats"]
    return {entry["name"]: entry["value"] for entry in entries if type(entry.get("value")) is int}


@dataclass(frozen=True, slots=True)
class Envoy:
    """One Envoy: the path of its admin socket and that of its file of routes."""

    admin: str
    config: str


@dataclass(frozen=True, slots=True)
class Running:
    """What an Envoy says of its routes: the version in use, and how many versions it has rejected so far."""

    version: str
    rejected: int


def running(envoy: Envoy, table: str) -> Running:
    """What an Envoy says of the route table of this name. Raises OSError when it does not answer, FaultFailed when it has none."""
    text = ask_admin(envoy.admin, f"/stats?filter=rds%5C.{table}%5C.(version_text%7Cupdate_rejected)$").decode()
    found = dict(line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)
    versions = {value.strip('"') for name, value in found.items() if name.endswith(".version_text")}
    rejected = sum(int(value) for name, value in found.items() if name.endswith(".update_rejected"))
    if not versions:
        raise FaultFailed(f"{envoy.admin}: this Envoy has no route table {table!r} from a file")
    return Running(versions.pop() if len(versions) == 1 else "", rejected)  # listeners that disagree use no version in common


def read(envoy: Envoy) -> Document:
    """The file of routes. Raises OSError when it cannot be read and FaultFailed when it is no JSON file of one route table."""
    try:
        text = Path(envoy.config).read_text(encoding="utf-8")
        document = json.loads(text)
        table_of(document)
    except ValueError as error:
        raise FaultFailed(f"{envoy.config}: {error}") from error
    return dict(document)


def edit(envoy: Envoy, change: Callable[[Document], Document | None]) -> tuple[Document, bool]:
    """
    Replaces the file by what `change` makes of it, and returns what is in the file now and whether it was replaced.

    Where `change` gives None, nothing is written. Raises FaultFailed when the file is no route table or `change` refuses
    (ValueError), TimeoutError when somebody else holds its lock, or goes on changing it without, for 2 s, else OSError; in
    all cases nothing was written. Whoever takes the lock too is never overwritten; whoever does not, only when their write
    falls into the microseconds between the last look at the file and its replacement.
    """
    path, deadline_s = Path(envoy.config), time.monotonic() + LOCK_S
    while True:
        with _locked(path):
            _sweep(path)
            before = _version(path)
            document = read(envoy)
            try:
                changed = change(document)
            except ValueError as error:
                raise FaultFailed(f"{envoy.config}: {error}") from error
            if changed is None:
                return document, False
            if _replace(path, changed, before):
                return changed, True
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{path}: somebody has gone on changing it without its lock for {LOCK_S:g} s")


def _version(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _sweep(path: Path) -> None:
    """Removes what a writer that was killed has left: whoever has the lock is the only writer."""
    for stale in path.parent.glob(f".{path.name}.chaosx-*"):
        stale.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of the file that is there under this name, which may be another one by the time it is free."""
    deadline_s = time.monotonic() + LOCK_S
    while True:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _try_lock(fd) and os.path.samestat(os.fstat(fd), path.stat()):
                yield
                return
        finally:
            os.close(fd)  # also unlocks
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{path}: another process has held its lock for {LOCK_S:g} s")
        time.sleep(_POLL_S)  # flock has no deadline of its own


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, document: Document, before: tuple[int, int, int, int]) -> bool:
    """Replaces the file, if it is still the one that was read; whether it did."""
    fresh = path.with_name(f".{path.name}.chaosx-{os.getpid()}")
    mode = path.stat().st_mode & 0o777
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        if _version(path) != before:
            fresh.unlink()
            return False
        fresh.replace(path)
        return True
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def acknowledged(envoy: Envoy, document: Document, rejected_before: int) -> bool:
    """
    Waits until the Envoy uses the version of this document: True; False when it has rejected a version since.

    Raises OSError when it does not answer, and TimeoutError when it does neither within 3 s.
    """
    table, version = str(table_of(document)["name"]), str(document["version_info"])
    deadline_s = time.monotonic() + ACKNOWLEDGED_S
    while True:
        now = running(envoy, table)
        if now.version == version:
            return True
        if now.rejected > rejected_before:
            return False
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{envoy.admin}: uses version {now.version!r} of {table}, not {version!r}, {ACKNOWLEDGED_S:g} s after it was written")
        time.sleep(_POLL_S)  # Envoy tells nobody that it has taken a file


def owners_in_force(envoy: Envoy) -> set[str]:
    """Whose faults, by our kind of mark, the Envoy has in the routes that it uses now. Raises OSError when it does not answer."""
    text = ask_admin(envoy.admin, "/config_dump?resource=dynamic_route_configs")
    try:
        dump = json.loads(text)
    except ValueError as error:
        raise OSError(f"{envoy.admin}: its answer is no JSON: {error}") from error
    tables = [one.get("route_config") or {} for one in dump.get("configs") or []]
    routes = [route for table in tables for host in table.get("virtual_hosts") or [] for route in host.get("routes") or []]
    return {owner for route in routes if (owner := owner_of(route)) is not None}
