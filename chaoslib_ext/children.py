"""
The child processes of a run: started so that they can be found again, ended so that no stranger is hit.

children.json in the state folder of the run names them by process id and start ticks.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.errors import ChaosxError
from chaoslib_ext.process.client import alive, signal_exact, start_ticks
from chaoslib_ext.process.death import die_when_parent_ends

READY_S = 20.0  # chosen by feel: a loaded CI machine starts Python in seconds


def die_with_parent(expected_ppid: int) -> None:
    """
    Makes this process die (SIGKILL) when the thread that started it ends; ends it at once when that has happened already.

    Linux only; elsewhere nothing is done, and the healer's record of children does the killing.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError):  # where the kernel refuses, the healer's record of children does the killing
        die_when_parent_ends()
    if os.getppid() != expected_ppid:
        os.kill(os.getpid(), signal.SIGKILL)


def start_healer(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    """
    Starts the healer of a run for this process, and returns when it is ready.

    Its pipes are `stdin` and `stdout`; it has a session of its own, lives on when this process dies, and
    writes errors to healer.err. The flag `plain` tells it to expect no heartbeat. Raises ChaosxError when it does not come up.
    """
    pid = os.getpid()
    argv = [sys.executable, "-m", "chaoslib_ext.healer", str(folder), str(pid), str(start_ticks(pid)), *flags]
    healer = _start(argv, folder, "healer", subprocess.PIPE)
    _await_ready(healer, folder)
    return healer


def start_prober(folder: Path, out: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Starts the prober of a run; its lines go to `out`, and it ends when its stdin is closed, by this process or its death."""
    return _start([sys.executable, "-m", "chaoslib_ext.prober", str(folder)], folder, "prober", out)


def _start(argv: list[str], folder: Path, name: str, out: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "CHAOSX_RUN": str(folder), "RUNNER_TRACKING_ID": ""}  # CI runners hunt down what carries theirs
    fd = os.open(folder / f"{name}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=fd, env=environment, cwd="/", start_new_session=True)
    finally:
        os.close(fd)
    record(folder, name, child.pid)
    return child


def _await_ready(healer: subprocess.Popen[bytes], folder: Path) -> None:
    assert healer.stdout is not None
    deadline, data = time.monotonic() + READY_S, b""
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([healer.stdout], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(healer.stdout.fileno(), 4096) if ready else b""
        if not part:
            healer.kill()
            healer.wait()
            raise ChaosxError(f"the healer did not come up within {READY_S:g} s; see {folder / 'healer.err'}; nothing was injected")
        data += part


def record(folder: Path, name: str, pid: int) -> None:
    """Notes a child in children.json. There is one writer: the process that starts the children."""
    known = state.read_json(folder / state.CHILDREN)
    state.write_json(folder / state.CHILDREN, {**known, name: {"pid": pid, "start_ticks": start_ticks(pid)}})


def recorded(folder: Path) -> dict[str, Any]:
    """What children.json says; empty when it is missing or unreadable (it is replaced by rename, never half written)."""
    try:
        found = state.read_json(folder / state.CHILDREN)
    except (OSError, json.JSONDecodeError, ValueError):
        return {}
    return {name: child for name, child in found.items() if isinstance(child, dict) and type(child.get("pid")) is type(child.get("start_ticks")) is int}


def kill_recorded(folder: Path, names: Collection[str] | None, wait_s: float = 5.0, remembered: Mapping[str, Any] | None = None) -> list[str]:
    """
    SIGKILL to recorded children with their process groups; the names of those that still run `wait_s` seconds later.

    `names` None means all except the healer; `remembered` are children that were on record before. A child that is gone, or whose process id has another start
    time, is left alone; so is every process that does not carry this run in its environment.
    """
    known = {name: child for name, child in {**(remembered or {}), **recorded(folder)}.items() if (name != "healer" if names is None else name in names)}
    deadline = time.monotonic() + wait_s
    while True:
        left = [name for name, child in known.items() if not _killed(folder, child)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.005)  # the kernel tells nobody but the parent that a process has ended


def _killed(folder: Path, child: Any) -> bool:
    """Sends the kill again, as a group may have forked meanwhile; True when nothing of it was alive."""
    try:
        pid, ticks = int(child["pid"]), int(child["start_ticks"])
    except (KeyError, TypeError, ValueError):
        return True  # it was recorded without an identity: nothing can be killed exactly
    if pid == os.getpid():
        return True
    found = {pid: ticks} if alive(pid, ticks) else {}
    found |= _group(pid, str(folder))
    for member, member_ticks in found.items():
        signal_exact(member, member_ticks, signal.SIGKILL)
    return not found


def _group(leader: int, folder: str) -> dict[int, int]:
    """The living processes of a group that carry `CHAOSX_RUN=folder`, with their start ticks."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        ticks = start_ticks(pid)
        try:
            if ticks is not None and os.getpgid(pid) == leader and alive(pid, ticks) and _of_run(entry.path, folder):
                found[pid] = ticks
        except OSError:  # it ended, or belongs to somebody else
            continue
    return found


def kill_holders(folder: Path, lock_fd: int) -> None:
    """
    SIGKILL to every process that holds the open file `lock_fd` locked as one who injects does, shared, and carries this run in its environment.

    That is what a child has forked off into a session of its own, and nobody has recorded. Linux only.
    """
    wanted = os.fstat(lock_fd)
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        ticks = start_ticks(int(entry.name))
        with suppress(OSError):  # it ended, or belongs to somebody else
            if ticks is not None and _of_run(entry.path, str(folder)) and _shares(entry.path, wanted):
                signal_exact(int(entry.name), ticks, signal.SIGKILL)


def _of_run(process: str, folder: str) -> bool:
    return b"CHAOSX_RUN=" + os.fsencode(folder) in Path(process, "environ").read_bytes().split(b"\0")


def _shares(process: str, wanted: os.stat_result) -> bool:
    """Whether one of the open files of a process is that one, and is locked shared through it. Raises OSError."""
    for number in os.listdir(f"{process}/fd"):  # noqa: PTH208 - their names are all that is wanted
        with suppress(FileNotFoundError):  # it has just been closed
            seen = os.stat(f"{process}/fd/{number}")  # noqa: PTH116
            if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino) and "FLOCK  ADVISORY  READ" in Path(process, "fdinfo", number).read_text():
                return True
    return False
