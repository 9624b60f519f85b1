"""
Locks: two runs on overlapping targets never mix. The lock lives in the target, with a token that grows with every acquire.

A lock is never taken over because it is old: its run must be sealed or recovered. A file is the lock of local processes
alone, and remembers which run had it last. Undoing asks for no lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chaoslib_ext import state
from chaoslib_ext.clock import boot_id
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.process import lock as process
from chaoslib_ext.process.client import alive, read_roster, start_ticks

SILENT_S = 60.0  # a run on another machine that has not renewed its lock for so long counts as dead; renewed every 5 s
HELD = "locks"  # where the run.json of the state folder names them

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that a run has: its kind, what it is the lock of, and its fencing token. Plain data, in the run's run.json."""

    kind: str
    scope: dict[str, str]
    run: str
    token: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock; `run` is None when it is free. `alive` says whether that run still goes on, as far as can be told."""

    run: str | None
    token: int
    owner: Json
    alive: bool


class Lock(NamedTuple):
    """How a kind of lock is acquired (the answer says whose it is now), renewed (empty while it is ours), released, looked at."""

    acquire: Callable[[Json, str, Json], Json]
    renew: Callable[[Json, str, int], str]
    release: Callable[[Json, str], None]
    holder: Callable[[Json], Json]


# a file, for local processes -------------------------------------------------------------------------------------

_open: dict[str, int] = {}  # the kernel gives a file lock back with its descriptor, which lives as long as the run's process


def _file_acquire(scope: Json, run: str, owner: Json) -> Json:
    fd = os.open(scope["path"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return _file_holder(scope)
    last = _read(fd)
    if last.get("run") not in (None, run):
        os.close(fd)
        return last
    mine = {"token": int(last.get("token") or 0) + 1, "run": run, "owner": owner}
    _write(fd, mine)
    _open[scope["path"]] = fd
    return mine


def _file_renew(scope: Json, run: str, _token: int) -> str:
    return "" if scope["path"] in _open else f"{scope['path']} is not locked by {run}"


def _file_release(scope: Json, run: str) -> None:
    fd = _open.pop(scope["path"], None)
    try:
        if fd is None:
            fd = os.open(scope["path"], os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (last := _read(fd)).get("run") == run:
            _write(fd, {**last, "run": None})
    except (FileNotFoundError, BlockingIOError):
        return  # gone with its folder, or somebody else has it
    finally:
        if fd is not None:
            os.close(fd)


def _file_holder(scope: Json) -> Json:
    try:
        fd = os.open(scope["path"], os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {"token": 0, "run": None}
    try:
        found = {"token": 0, "run": None, "owner": {}, **_read(fd)}
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # gone with the descriptor, a few microseconds later
        except BlockingIOError:
            return {**found, "run": found["run"] or "unknown", "alive": True}
        return found
    finally:
        os.close(fd)


def _read(fd: int) -> Json:
    try:
        found = json.loads(os.pread(fd, 65536, 0) or b"{}")
    except ValueError:  # torn by a power cut, and no local process outlives that
        return {}
    return found if isinstance(found, dict) else {}


def _write(fd: int, content: Json) -> None:
    data = json.dumps(content).encode() + b"\n"
    os.pwrite(fd, data, 0)
    os.ftruncate(fd, len(data))
    os.fsync(fd)


LOCKS: dict[str, Lock] = {
    process.KIND: Lock(process.acquire, process.renew, process.release, process.holder),
    "file": Lock(_file_acquire, _file_renew, _file_release, _file_holder),
}


# what a run does with them -------------------------------------------------------------------------------------------


def scopes(environment: Environment) -> list[tuple[str, Json]]:
    """The locks of an environment: those in its targets, by identity, and its file. What cannot be read has none."""
    found: dict[str, Json] = {}
    for path in sorted({service.processes["roster"] for service in environment.services.values() if service.processes}):
        try:
            roster = read_roster(path)
        except (OSError, FaultFailed):
            continue  # planning says so
        if process.offered(roster.get("keeper") or {}):
            found[roster["identity"]] = {"control": roster["keeper"]["control"], "identity": roster["identity"], "roster": path}
    file = (environment.lock or {}).get("file")
    own = [(process.KIND, found[identity]) for identity in sorted(found)]
    return [*own, *([("file", {"path": file})] if file else [])]


def myself() -> Json:
    """This process, as a lock names whoever has it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it is no path
    except OSError:
        namespace = ""
    own = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": boot_id()}
    return {**own, "namespace": namespace, "host": socket.gethostname()}


def take(environment: Environment, run: str) -> tuple[Held, ...]:
    """
    Takes all locks of an environment for a run.

    Raises Refused: LOCK_HELD when a living run has one, EARLIER_RUN_DIRTY when a dead one has that is neither sealed nor
    recovered, PREFLIGHT_FAILED when a target does not answer. Then none is held.
    """
    taken: list[Held] = []
    try:
        for kind, scope in scopes(environment):
            taken.append(_take(environment, kind, scope, run))
    except BaseException:
        give_back(taken)
        raise
    return tuple(taken)


def _take(environment: Environment, kind: str, scope: Json, run: str) -> Held:
    lock = LOCKS[kind]
    try:
        found = lock.acquire(scope, run, myself())
        if found["run"] != run and _sealed(str(found["run"])):
            lock.release(scope, str(found["run"]))
            found = lock.acquire(scope, run, myself())
    except (OSError, FaultFailed) as error:
        give_back([Held(kind, scope, run, 0)])
        raise Refused("PREFLIGHT_FAILED", f"{environment.name}: its lock cannot be taken: {error}; nothing was touched") from error
    if found["run"] != run:
        raise _refused(environment, _holder(found))
    return Held(kind, scope, run, int(found["token"]))


def look(environment: Environment) -> list[tuple[str, Json, Holder]]:
    """Who has the locks of an environment now, free ones included; nothing is taken. Raises OSError and FaultFailed."""
    return [(kind, scope, _holder(LOCKS[kind].holder(scope))) for kind, scope in scopes(environment)]


def refuse_held(environment: Environment) -> None:
    """Raises Refused as `take` would, without taking anything."""
    try:
        found = look(environment)
    except (OSError, FaultFailed) as error:
        raise Refused("PREFLIGHT_FAILED", f"{environment.name}: its lock cannot be read: {error}") from error
    for _, _, holder in found:
        if holder.run is not None and not _sealed(holder.run):
            raise _refused(environment, holder)


def _holder(found: Json) -> Holder:
    owner = dict(found.get("owner") or {})
    lives = bool(found["alive"]) if "alive" in found else _alive(owner, float(found.get("age_s") or 0.0))
    return Holder(found["run"], int(found["token"]), owner, found["run"] is not None and lives)


def _alive(owner: Json, age_s: float) -> bool:
    """Exactly, for a process of this machine; of another one only its last renewal is known."""
    mine = myself()
    if owner.get("boot_id") == mine["boot_id"] and owner.get("namespace") == mine["namespace"]:
        return alive(int(owner.get("pid") or 0), int(owner.get("start_ticks") or 0))
    return age_s < SILENT_S


def _sealed(run: str) -> bool:
    """Whether a run is closed here, clean: it has only not come to giving its lock back."""
    try:
        return bool(state.read_json(state.run_dir(run) / state.CLOSED).get("clean"))
    except (UsageError, OSError, ValueError):
        return False


def _refused(environment: Environment, holder: Holder) -> Refused:
    where = f"--env {environment.source or environment.name}"
    process_ = f"process {holder.owner.get('pid', 'unknown')} on {holder.owner.get('host', 'an unknown machine')}"
    if holder.alive:
        text = f"{environment.name}: run {holder.run} ({process_}) holds it; look: chaosx recover {where} --dry-run"
        return Refused("LOCK_HELD", text)
    known = _known(str(holder.run))
    command = f"chaosx recover --run {holder.run}" if known else f"chaosx recover {where}"
    return Refused("EARLIER_RUN_DIRTY", f"{environment.name}: run {holder.run} ({process_}, dead) is neither sealed nor recovered; run: {command}")


def _known(run: str) -> bool:
    try:
        return state.run_dir(run).is_dir()
    except UsageError:
        return False


def to_json(held: Iterable[Held]) -> list[Json]:
    """Plain data, for the run's run.json."""
    return [asdict(one) for one in held]


def of_run(folder: Path) -> list[Held]:
    """The locks that the run of a state folder has, or had."""
    try:
        return [Held(**one) for one in state.header(folder).get(HELD) or []]
    except TypeError:  # a run.json that somebody damaged names no locks; `recover --env` frees them
        return []


def lost(held: Iterable[Held]) -> str:
    """Empty while all of these locks are ours; else which is not, and whose it is. What cannot be told now counts as ours."""
    for one in held:
        try:
            if why := LOCKS[one.kind].renew(one.scope, one.run, one.token):
                return why
        except OSError:  # the keeper is slow; what it does not know of is fenced all the same
            continue
    return ""


def give_back(held: Iterable[Held]) -> list[str]:
    """Gives locks back, as often as one likes; what could not be given back, and why."""
    failed = []
    for one in held:
        try:
            LOCKS[one.kind].release(one.scope, one.run)
        except OSError as error:
            failed.append(f"the lock of {one.scope.get('identity') or one.scope.get('path')} could not be given back: {error}")
    return failed
