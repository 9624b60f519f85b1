"""
Slows down every flush of a node of the store, by strace: it holds each fsync and fdatasync back, and has a time of its own.

`python -m chaoslib_ext.process.tracer '{"owner", "folder", "delay_us", "until_ns"}' PARENT_PID`. It follows every process
that works in the folder, also those to come, and says `ready` once all are followed; until then it dies with its
parent. It ends by itself at `until_ns` of the boot clock, on SIGTERM, and when nothing is left to follow. strace dies
with it, by the kernel; and whichever way strace ends, the kernel lets the processes go on.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import alive, process_state, signal_exact, start_ticks
from chaoslib_ext.process.death import die_when_parent_ends, outlive_parent
from chaoslib_ext.process.store import node_processes

MODULE = "chaoslib_ext.process.tracer"
_READY_S = 20.0  # until all are followed; it takes 10 ms, and a busy machine longer
_END_S = 3.0
_POLL_S = 0.005
_SETTLE_S = 0.1
_TRIES = 5
_SLICE_S = 1.0  # the boot clock goes on while the machine sleeps, waiting does not
_SEIZE = 0x4206  # linux/ptrace.h; it stops nothing
_TRIAL = f"import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); sys.exit(ctypes.get_errno() if c.ptrace({_SEIZE}, int(sys.argv[1]), 0, 0) else 0)"


def refusal(pid: int) -> str:
    """
    Why a process cannot be followed here, as a sentence; empty when it can.

    Tried out on it by a process that ends at once: the kernel lets go of it, and nothing of it was stopped.
    """
    if which("strace") is None:
        return "this machine cannot slow down a disk: strace is missing; install it, as by: apt-get install strace"
    tried = subprocess.run([sys.executable, "-I", "-S", "-c", _TRIAL, str(pid)], check=False, cwd="/").returncode
    if tried == 0:
        return ""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    seen = f"kernel.yama.ptrace_scope is {scope.read_text(encoding='ascii').strip()}" if scope.exists() else "a container or a security module forbids it"
    follow = tracer_of(pid)
    if follow:
        return f"process {pid} is already followed by process {follow}; end that first"
    return (
        f"this machine cannot slow down a disk: process {pid} may not be traced ({os.strerror(tried)}; {seen});"
        " allow it by CAP_SYS_PTRACE, or by: sysctl kernel.yama.ptrace_scope=0"
    )


def tracer_of(pid: int) -> int:
    """The process that follows a process; 0 when none does, or when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("TracerPid:")), 0)


def followed(folder: str) -> dict[int, int]:
    """Which processes of a node are followed, and by whom."""
    return {pid: tracer for pid, _ in node_processes(folder) if (tracer := tracer_of(pid))}


def start(settings: dict[str, Any]) -> None:
    """
    Starts the tracer of a fault and returns once it follows everything; it lives on when this process ends.

    Raises FaultFailed when it said that it could not, after which nothing of it runs, and OSError when it said nothing.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        argv = [sys.executable, "-P", "-m", MODULE, json.dumps(settings), str(os.getpid())]
        quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 2)]
        root = str(Path(__file__).resolve().parents[2])
        given = {name: value for name, value in os.environ.items() if name != "CHAOSX_RUN"}  # it is no child of the run: it outlives it if need be
        given |= {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])), "RUNNER_TRACKING_ID": ""}
        os.posix_spawn(sys.executable, argv, given, file_actions=[*quiet, (os.POSIX_SPAWN_DUP2, write, 1)], setsid=True)
    finally:
        os.close(write)
    try:
        said = _line(read, time.monotonic() + 2 * _READY_S)
    finally:
        os.close(read)
    if said != "ready":
        gone = end(str(settings["owner"]))
        raise (FaultFailed if gone and said else OSError)(said or "the tracer said nothing")


def _line(fd: int, deadline_s: float) -> str:
    data = b""
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline_s - time.monotonic()))
        part = os.read(fd, 4096) if ready else b""
        if not part:
            break
        data += part
    return data.decode(errors="replace").strip()


def running(owner: str) -> list[tuple[int, int]]:
    """The tracer and the strace of a fault, as process id and start ticks: both carry its owner in their command line."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of entries
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            mine = Path(f"/proc/{name}").stat().st_uid == os.geteuid()
        except OSError:
            continue
        ticks = start_ticks(int(name))
        if mine and ticks is not None and _carries(words, owner) and alive(int(name), ticks):
            found.append((int(name), ticks))
    return found


def _carries(words: list[bytes], owner: str) -> bool:
    if words[0] == _title(owner).encode():
        return True
    if MODULE.encode() not in words:
        return False
    try:
        return bool(json.loads(words[words.index(MODULE.encode()) + 1])["owner"] == owner)
    except (IndexError, KeyError, TypeError, ValueError):
        return False


def _title(owner: str) -> str:
    """What strace calls itself, so that its owner is seen from outside."""
    return f"strace of {owner}"


def end(owner: str) -> bool:
    """Ends the tracer of a fault and its strace, asking first; False when one of them is still there."""
    for signum, limit_s in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
        deadline_s = time.monotonic() + limit_s
        while left := running(owner):
            if time.monotonic() > deadline_s:
                break
            for pid, ticks in left:
                signal_exact(pid, ticks, signum)
            time.sleep(_POLL_S)
        if not left:
            return True
    return False


def still_held(folder: str) -> list[int]:
    """The processes of a node that stand still for a tracer though nobody follows them any more; none, unless the kernel erred."""
    return [pid for pid, _ in node_processes(folder) if process_state(pid) == "t" and not tracer_of(pid)]


# the process


def _ready_strace(parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    die_when_parent_ends()
    if os.getppid() != parent:
        os._exit(1)


def _strace(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    calls, pids = "fsync,fdatasync", [pid for pid, _ in node_processes(settings["folder"])]
    inject = f"inject={calls}:delay_exit={settings['delay_us']}"
    options = [word for pid in pids for word in ("-p", str(pid))]
    argv = [_title(settings["owner"]), "-qq", "-f", "-e", f"trace={calls}", "-e", inject, "-o", os.devnull, *options]
    return subprocess.Popen(argv, executable=which("strace"), stdin=subprocess.DEVNULL, stdout=2, preexec_fn=partial(_ready_strace, os.getpid()))  # noqa: PLW1509 - one thread


def _follows_all(strace: subprocess.Popen[bytes], folder: str, deadline_s: float) -> bool:
    """A process that was forked while the list was made is not followed: where one stays, strace has to begin anew."""
    missed: set[int] = set()
    while strace.poll() is None and time.monotonic() < deadline_s:
        there = {pid for pid, _ in node_processes(folder)}
        free = {pid for pid in there if tracer_of(pid) != strace.pid}
        if there and not free:
            return True
        if free == missed and free != there:
            return False
        missed = free
        time.sleep(_SETTLE_S)
    return False


def _stop(strace: subprocess.Popen[bytes]) -> None:
    strace.terminate()
    try:
        strace.wait(_END_S)
    except subprocess.TimeoutExpired:
        strace.kill()
        strace.wait()


def _attached(settings: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    deadline_s = time.monotonic() + _READY_S
    for _ in range(_TRIES):
        strace = _strace(settings)
        if _follows_all(strace, settings["folder"], deadline_s):
            return strace
        _stop(strace)
    return None


def main(argv: list[str]) -> int:
    """The process."""
    settings, parent = json.loads(argv[1]), int(argv[2])
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP})
    die_when_parent_ends()
    if os.getppid() != parent:
        return 1  # whoever wanted it was killed before it could be seen here
    strace = _attached(settings)
    if strace is None:
        os.write(1, b"strace does not follow all processes of the node; nothing is slowed down\n")
        return 1
    outlive_parent()
    os.write(1, b"ready\n")
    os.close(1)
    while strace.poll() is None and (left_ns := settings["until_ns"] - boot_ns()) > 0:
        told = signal.sigtimedwait({signal.SIGTERM, signal.SIGCHLD}, min(left_ns / NS, _SLICE_S))
        if told is not None and told.si_signo == signal.SIGTERM:
            break
    _stop(strace)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
