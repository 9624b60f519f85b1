"""Processes of a rig: started in sessions of their own, known by pid and start time, ended by pid and awaited."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rig.places import MARK, RigError


@dataclass(frozen=True, slots=True)
class Process:
    """One process: a pid means it only together with its start time (clock ticks since boot)."""

    name: str
    pid: int
    started: int


def start_of(pid: int) -> int:
    """When the process was started, in clock ticks since boot; 0 when there is none (or only its corpse)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def is_alive(process: Process) -> bool:
    """Whether it is still that process."""
    return start_of(process.pid) == process.started != 0


def spawn(name: str, command: list[str], rig: str, log: Path, socket: int | None = None) -> Process:
    """Starts a program in a session of its own, output to `log`, carrying the rig's mark; `socket` becomes its descriptor 3."""
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    if (program := shutil.which(command[0], path=path)) is None:
        raise RigError(f"{command[0]}: not found in {path}")
    actions: list[tuple[int, ...] | tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if socket is not None:
        actions.append((os.POSIX_SPAWN_DUP2, socket, 3))
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/root"), MARK: rig}
    pid = os.posix_spawn(program, command, environment, file_actions=actions, setsid=True)
    return Process(name, pid, start_of(pid))


def marked(rig: str) -> list[Process]:
    """All living processes whose environment carries this rig's mark, recorded or not."""
    wanted = f"{MARK}={rig}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(Process((folder / "comm").read_text().strip(), int(folder.name), start_of(int(folder.name))))
            except OSError:  # it ended meanwhile, or is the kernel's
                continue
    return [process for process in found if process.started]


def end(processes: Iterable[Process], timeout_s: float = 60.0) -> None:
    """Kills each (SIGKILL, through a pidfd that cannot mean another) and waits until it is gone; RigError when one stays."""
    deadline_s = time.monotonic() + timeout_s
    waiting: list[tuple[Process, int]] = []
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        if start_of(process.pid) == process.started:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            waiting.append((process, handle))
        else:
            os.close(handle)
    stays = []
    for process, handle in waiting:
        gone, _, _ = select.select([handle], [], [], max(0.0, deadline_s - time.monotonic()))
        os.close(handle)
        _reap(process.pid)
        if not gone:
            stays.append(f"{process.name} ({process.pid})")
    if stays:
        raise RigError(f"killed {timeout_s:g} s ago and still there: {', '.join(stays)}; look at /proc/PID/stack")


def _reap(pid: int) -> None:
    """Takes the corpse when it is our own child's."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
