"""
Kill points from outside: a process of ours is traced by the kernel's ptrace, and stopped where it is about to change or to say something.

Between two such system calls nothing that outlives a process changes, so these are all the moments at which a `kill -9` can make
a difference. A point has a name, such as `fsync undo.wal INTENT`; its occurrences are counted. No hook in the package, no program
beside Python: what `strace -e inject=…:signal=KILL:when=N` does in half a second costs milliseconds here.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import re
import signal
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_OPTIONS = 0x1 | 0x8 | 0x100000  # PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL
_SYSCALL, _DETACH, _SEIZE, _INTERRUPT, _SYSCALL_INFO = 24, 17, 0x4206, 0x4207, 0x420E  # linux/ptrace.h
_ENTRY = 1
_AT = signal.SIGTRAP | 0x80
_WALL = 0x40000000

_NUMBERS = {
    "x86_64": {
        1: "write", 18: "pwrite64", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename", 87: "unlink", 83: "mkdir", 84: "rmdir", 257: "openat",
        42: "connect", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 62: "kill", 424: "pidfd_send_signal", 230: "clock_nanosleep", 263: "unlinkat",
        264: "renameat", 285: "fallocate", 316: "renameat2", 3: "close",
    },
    "aarch64": {
        64: "write", 68: "pwrite64", 82: "fsync", 83: "fdatasync", 46: "ftruncate", 38: "renameat", 35: "unlinkat", 34: "mkdirat", 56: "openat",
        203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 129: "kill", 424: "pidfd_send_signal", 115: "clock_nanosleep",
        47: "fallocate", 276: "renameat2", 57: "close",
    },
}  # fmt: skip
_CALLS = _NUMBERS.get(platform.machine(), {})
_PATH_ARGUMENT = {"rename": 0, "unlink": 0, "mkdir": 0, "rmdir": 0, "openat": 1, "unlinkat": 1, "renameat": 1, "mkdirat": 1, "renameat2": 1}
_PAUSE = "clock_nanosleep"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def refusal() -> str:
    """Why no process can be traced here; empty when one can."""
    if not _CALLS:
        return f"no system call numbers are known for {platform.machine()}"
    child = subprocess.Popen(["sleep", "60"])
    try:
        _ptrace(_SEIZE, child.pid, 0, _OPTIONS)
        return ""
    except OSError as error:
        return f"the kernel does not let a process be traced ({error})"
    finally:
        child.kill()
        child.wait()


class Traced:
    """
    A child of this process, the leader of a process group, with all of its threads, stopped at each of its points.

    `points` are those it has come to since `begin`, as `(name, occurrence)`; `status` is how it ended (as `os.waitpid` gives it), None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.points: list[tuple[str, int]] = []
        self.status: int | None = None
        self._met: Counter[str] = Counter()
        self._talks: dict[int, str] = {}
        self._frame = ""
        self._stopped_at = 0
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        _ptrace(_SEIZE, pid, 0, _OPTIONS)
        _ptrace(_INTERRUPT, pid)

    def begin(self) -> None:
        """Counts its points from here on."""
        self.points = []
        self._met.clear()

    def until(self, wanted: Callable[[str, int], bool]) -> bool:
        """Lets it run to the first point that is wanted, and keeps it stopped there, before the call; False when it ends before."""
        if self._stopped_at:
            self._go_on(self._stopped_at)
            self._stopped_at = 0
        while thread := self._next_stop():
            name = self._point(thread)
            if name:
                self._met[name] += 1
                self.points.append((name, self._met[name]))
                if wanted(*self.points[-1]):
                    self._stopped_at = thread
                    return True
            self._go_on(thread)
        return False

    def kill(self) -> None:
        """kill -9, where it is."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            while self._next_stop():
                pass

    def release(self) -> None:
        """Lets it go on untraced, from the point at which it stands."""
        _ptrace(_DETACH, self._stopped_at)
        self._close()

    def freeze(self) -> None:
        """Leaves it stopped as by SIGSTOP, and untraced; what it was about to do is done. For a process with one thread."""
        os.kill(self.pid, signal.SIGSTOP)
        _ptrace(_DETACH, self.pid)
        self._close()

    def _go_on(self, thread: int, signum: int = 0) -> None:
        with suppress(ProcessLookupError):  # it was killed while it was stopped: the next wait says so
            _ptrace(_SYSCALL, thread, 0, signum)

    def _next_stop(self) -> int:
        """Waits until a thread stands at a system call, and says which; 0 when all have ended."""
        while self.status is None:
            thread, status = os.waitpid(-self.pid, _WALL)
            if not os.WIFSTOPPED(status):
                if thread == self.pid:  # the kernel tells of it last
                    self.status = status
                    self._close()
            elif os.WSTOPSIG(status) == _AT:
                return thread
            else:
                self._go_on(thread, 0 if status >> 16 else os.WSTOPSIG(status))  # an event of ptrace itself, or a signal that it is to get
        return 0

    def _close(self) -> None:
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    # what it is about to do

    def _point(self, thread: int) -> str:
        """The name of the call a thread is about to make; empty for one that changes nothing and tells nobody anything."""
        info = ctypes.create_string_buffer(88)
        if _libc.ptrace(_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info)) == -1:
            return ""
        if info.raw[0] != _ENTRY:
            return ""
        number, *arguments = struct.unpack_from("<7Q", info.raw, 24)
        call = _CALLS.get(number)
        return self._named(call, arguments) if call else ""

    def _named(self, call: str, arguments: list[int]) -> str:
        if call == "close":
            self._talks.pop(arguments[0], None)
            return ""
        if call == _PAUSE:
            return "pause"
        if call in _PATH_ARGUMENT:
            if call == "openat" and not arguments[2] & os.O_CREAT:
                return ""
            path = self._text(arguments[_PATH_ARGUMENT[call]])
            return f"{'create' if call == 'openat' else call.removesuffix('at').removesuffix('at2')} {_tidy(path)}"
        if call in ("kill", "pidfd_send_signal"):
            return f"signal {signal.Signals(arguments[1]).name}" if arguments[1] else ""
        if call in ("connect", "sendto", "recvfrom", "sendmsg"):
            return self._talk(call, arguments)
        where = _tidy(self._target(arguments[0]))
        if call in ("write", "pwrite64"):
            self._frame = _record(self._bytes(arguments[1], min(arguments[2], 4096))) if where == "undo.wal" else ""
            call = "write"
        return f"{call} {where} {self._frame}".rstrip() if where == "undo.wal" and call != "fallocate" else f"{call} {where}"

    def _talk(self, call: str, arguments: list[int]) -> str:
        fd = arguments[0]
        if call == "connect":
            self._talks[fd] = _tidy(self._bytes(arguments[1], min(arguments[2], 110))[2:].split(b"\0")[0].decode(errors="replace"))
            return f"connect {self._talks[fd]}"
        if call == "sendto":
            self._talks[fd] = f"{self._talks.get(fd, 'socket').split(' ')[0]} {_said(self._bytes(arguments[1], min(arguments[2], 4096)))}"
        return f"{'send' if call.startswith('send') else 'receive'} {self._talks.get(fd, 'socket')}"

    def _target(self, fd: int) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}")  # noqa: PTH115
        except OSError:
            return "nothing"

    def _bytes(self, address: int, length: int) -> bytes:
        try:
            return os.pread(self._memory, length, address)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def _text(self, address: int) -> str:
        found = b""
        while b"\0" not in found and len(found) < 4096:
            part = self._bytes(address + len(found), 256 - (address + len(found)) % 256)
            if not part:
                break
            found += part
        return found.split(b"\0")[0].decode(errors="replace")


def _record(data: bytes) -> str:
    found = re.search(rb'"rec":"([A-Z_]+)"', data)
    return found[1].decode() if found else "zeros"


def _said(data: bytes) -> str:
    """What is asked in a request: `set`, `fuse arm`, or the path of an HTTP request."""
    if data.startswith((b"GET ", b"POST ")):
        return data.split(b" ")[1].split(b"?")[0].decode(errors="replace")
    try:
        request = json.loads(data)
    except ValueError:
        return "bytes"
    return " ".join(str(request[key]) for key in ("op", "do") if key in request)


def _tidy(path: str) -> str:
    """A path as it is called in a name: without what differs from run to run."""
    name, folder = Path(path).name, Path(path).parent.name
    if path.startswith(("pipe:", "/dev/")):
        return "pipe"
    if folder == "markers" or re.search(r"--.*-[0-9a-f]{8}\.json", name):
        return "marker~" if name.startswith(".") else "marker"
    if ".chaosx-" in name:
        return "routes~"
    if name == "rds.json":
        return "routes"
    if re.fullmatch(r"\..*\.[0-9]+", name):
        return f"{name[1:].rsplit('.', 1)[0]}~"
    if name.endswith(".sock"):
        return re.sub(r"^s-.*|^admin", "admin", re.sub(r"-[abc]$", "", name.removesuffix(".sock")))
    if name.startswith("ballast-"):
        return "ballast"
    if name.startswith(".new-"):
        return "new run"
    if folder == "runs":
        return "run folder"
    return name if "." in name else f"folder {name}" if name in ("markers", "fuses", "runs") else name
