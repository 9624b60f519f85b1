"""
The processes of one node of the store, found by the folder they work in: stopped, continued and killed together.

Postgres makes every backend a session of its own, and orphans survive their postmaster for a moment; what all of
them share, and nobody else has, is the data folder as their working directory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from chaoslib_ext.process.client import process_state, signal_exact, signal_uid, start_ticks

_ALL_S = 5.0  # how long until every process of a node has got its signal; it takes milliseconds
_STOPPED = ("T", "t")
_GONE = (None, "Z", "X")
_IPC_RMID = 0  # linux/ipc.h


def node_processes(folder: str) -> list[tuple[int, int]]:
    """Process ids and start ticks of everything that works in a data folder, also one that was removed meanwhile."""
    mine = (os.path.realpath(folder), f"{os.path.realpath(folder)} (deleted)")
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of entries, many times a second
        if not name.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{name}/cwd") not in mine:  # noqa: PTH115
                continue
        except OSError:  # it has ended, or is somebody else's
            continue
        ticks = start_ticks(int(name))
        if ticks is not None:
            found.append((int(name), ticks))
    return found


def freeze_node(uid: str, folder: str) -> bool:
    """Stops the postmaster with this uid first, so that it forks no more, then all of its backends; False when it has ended."""
    if not signal_uid(uid, signal.SIGSTOP):
        return False
    return _all(folder, signal.SIGSTOP, lambda state: state in (*_STOPPED, *_GONE))


def continue_node(folder: str) -> bool:
    """Continues whatever of a node is stopped; False when something stays stopped."""
    return _all(folder, signal.SIGCONT, lambda state: state not in _STOPPED)


def kill_node(folder: str, at_once: Callable[[], object] | None = None) -> bool:
    """
    Kills everything of a node, stopped or not; False when something does not end.

    `at_once` is called when all have got their signal, before their ends are waited for: on a busy machine that takes a while.
    """
    return _all(folder, signal.SIGKILL, lambda state: state in _GONE, at_once)


def frozen(folder: str) -> bool:
    """Whether any process of a node is stopped."""
    return any(process_state(pid) in _STOPPED for pid, _ in node_processes(folder))


def _all(folder: str, signum: int, done: Callable[[str | None], bool], at_once: Callable[[], object] | None = None) -> bool:
    deadline_s = time.monotonic() + _ALL_S
    while open_ := [one for one in node_processes(folder) if not done(process_state(one[0]))]:
        if time.monotonic() > deadline_s:
            return False
        for pid, ticks in open_:
            signal_exact(pid, ticks, signum)
        if at_once is not None:
            at_once()
            at_once = None
        time.sleep(0.001)  # a signal takes effect a moment later
    return True


def remove_segment(folder: str) -> None:
    """
    Removes the System V segment that a killed postmaster left behind; nothing when there is none.

    Postgres keeps a few bytes of it as a lock, names it in postmaster.pid, and a kill -9 leaves it until the next
    start in the same folder. Only one that this very postmaster made and nobody uses any more is removed.
    """
    made = segment_of(folder)
    if made is not None:
        remove_unused(*made)


def segment_of(folder: str) -> tuple[int, int] | None:
    """The postmaster and the System V segment that it made, as postmaster.pid in a data folder names them; None when it does not."""
    try:
        lines = (Path(folder) / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[0].strip().lstrip("-")), int(lines[6].split()[1])  # a session of its own (`--single`) has a minus
    except (OSError, IndexError, ValueError):
        return None


def remove_unused(pid: int, segment: int) -> None:
    """Removes a System V segment if that process made it and nobody uses it any more."""
    try:
        table = [line.split() for line in Path("/proc/sysvipc/shm").read_text(encoding="utf-8").splitlines()[1:]]
    except OSError:
        return
    # columns of /proc/sysvipc/shm: key shmid perms size cpid lpid nattch …
    if any((row[1], row[4], row[6]) == (str(segment), str(pid), "0") for row in table):
        ctypes.CDLL(None, use_errno=True).shmctl(segment, _IPC_RMID, None)


def sweep(store: str) -> None:
    """Ends everything that works in a data folder below `store`, and removes what it left in the kernel."""
    place = Path(store)
    for folder in place.iterdir() if place.is_dir() else ():
        if folder.is_dir():
            kill_node(str(folder))
            remove_segment(str(folder))
