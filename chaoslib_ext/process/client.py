"""
The only door to local processes: exact incarnations, signals that cannot hit a stranger, control sockets.

A process id is reused; a process id together with the start time of the process is not. The uid of an
incarnation is therefore `<first 8 hex of the boot id>-<pid>-<start ticks>`, and everything that changes a
process goes through a pidfd whose start ticks were checked while the pidfd was held.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.clock import boot_id
from chaoslib_ext.errors import FaultFailed

NOT_DONE = (FileNotFoundError, ConnectionRefusedError, BlockingIOError, PermissionError)  # of the OSErrors of `control`
MAX_ANSWER = 1 << 20  # bytes; an answer of a control socket is a small status
_SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes


def _stat_fields(pid: int) -> list[bytes] | None:
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # ENOENT, and ESRCH when it ends while being read
        return None
    return data[data.rindex(b")") + 2 :].split()  # the command name may hold spaces and brackets


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process. A zombie still counts."""
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[19])


def process_state(pid: int) -> str | None:
    """The one-letter state of the kernel (R S D T t Z X …); None when there is no such process."""
    fields = _stat_fields(pid)
    return None if fields is None else fields[0].decode("ascii")


def boot8() -> str:
    """The first 8 hex digits of this boot's identity; zeros where the kernel gives none."""
    return boot_id()[:8] or "00000000"


def uid(pid: int, ticks: int) -> str:
    """The identity of one incarnation of a process, never used again: `<boot8>-<pid>-<start ticks>`."""
    return f"{boot8()}-{pid}-{ticks}"


def parse_uid(text: str) -> tuple[str, int, int]:
    """Boot, process id and start ticks of a uid. Raises ValueError when it is none."""
    parts = text.split("-")
    if len(parts) != 3 or not parts[1].isdigit() or not parts[2].isdigit():
        raise ValueError(f"got {text!r}, expected a process uid like 1a2b3c4d-4711-123456")
    return parts[0], int(parts[1]), int(parts[2])


def alive(pid: int, ticks: int) -> bool:
    """Whether exactly that incarnation still runs; a zombie does not, a stopped process does."""
    fields = _stat_fields(pid)
    return fields is not None and int(fields[19]) == ticks and fields[0] not in (b"Z", b"X")


def uid_alive(text: str) -> bool:
    """Whether the incarnation with this uid runs, in this boot. Raises ValueError when it is no process uid."""
    boot, pid, ticks = parse_uid(text)
    return boot == boot8() and alive(pid, ticks)


def signal_exact(pid: int, ticks: int, signum: int) -> bool:
    """
    Sends a signal to exactly that incarnation; False when it is gone (a zombie is gone), and nothing was sent.

    The pidfd is opened first and the start ticks are read afterwards, so a process id that was reused in
    between is never hit. Raises PermissionError when the process belongs to somebody else.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(pid, ticks):
            return False
        signal.pidfd_send_signal(fd, signum)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def signal_uid(text: str, signum: int) -> bool:
    """`signal_exact` by uid; False for a uid of another boot. Raises ValueError when it is no process uid."""
    boot, pid, ticks = parse_uid(text)
    return boot == boot8() and signal_exact(pid, ticks, signum)


def control(socket_path: str | os.PathLike[str], request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """
    One question to a control socket and its answer: a line of JSON each way, on a connection of its own.

    Raises FaultFailed when the other side *refused* (`{"error": …}`): nothing was changed. Raises OSError
    when it was not reached, failed (`"code": "internal"`) or did not answer within `timeout_s` seconds: whether
    anything was changed is not known, except for what is in NOT_DONE: FileNotFoundError and ConnectionRefusedError,
    where nothing was sent, BlockingIOError (`"code": "busy"`, try again) and PermissionError (`"code": "denied"`,
    trying again does not help).
    """
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        _connect(connection, os.fspath(socket_path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        line = _read_line(connection, lambda: deadline - time.monotonic())
    return _answer(line, os.fspath(socket_path))


def _connect(connection: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) < _SOCKET_PATH_LIMIT:
        connection.connect(path)
        return
    folder = os.open(Path(path).parent, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{Path(path).name}")  # a long path does not fit into sockaddr_un
    finally:
        os.close(folder)


def _read_line(connection: socket.socket, left_s: Callable[[], float]) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        if left_s() <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(max(left_s(), 0.001))
        part = connection.recv(65536)
        if not part or len(data) > MAX_ANSWER:
            raise ConnectionError("the connection ended before the answer" if not part else "the answer is too long")
        data += part
    return data


def _answer(line: bytes, where: str) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConnectionError(f"{where}: the answer is no JSON: {line[:80]!r}") from error
    if not isinstance(reply, dict):
        raise ConnectionError(f"{where}: got {line[:80]!r}, expected a JSON object")
    if reply.get("error"):
        raise _refusal(reply, where)
    if not isinstance(reply.get("identity"), str):
        raise ConnectionError(f"{where}: got {line[:80]!r}, which says not who answers: it is no answer of a control socket")
    return reply


def _refusal(reply: dict[str, Any], where: str) -> Exception:
    """What an error reply means; a code that is not known says nothing about whether it was done."""
    code, text = reply.get("code", "declined"), f"{where}: refused: {reply['error']}"
    match code:
        case "declined":
            return FaultFailed(text)
        case "busy":
            return BlockingIOError(f"{text} (busy)")
        case "denied":
            return PermissionError(f"{text} (not allowed)")
        case _:
            return ConnectionError(f"{where}: failed: {reply['error']} ({code}); whether it was done is not known")


def read_roster(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    The roster: which replicas, links and keeper there are; the shape is in FORMATS, "Process platform".

    Raises OSError when it cannot be read and FaultFailed when it is no roster. It is replaced by rename, so
    it is never half written.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        roster = json.loads(text)
    except ValueError as error:
        raise FaultFailed(f"{os.fspath(path)}: not JSON: {error}") from error
    if not isinstance(roster, dict) or not isinstance(roster.get("replicas"), list) or not isinstance(roster.get("identity"), str):
        raise FaultFailed(f"{os.fspath(path)}: got no roster, expected an object with identity and replicas")
    return roster
