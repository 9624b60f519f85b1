"""
Looks from outside: small HTTP requests that never wait for each other, each on a connection of its own.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from dataclasses import dataclass

from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.prober.bracket import Look

LIMIT_NS = 250_000_000
_HEAD_LIMIT = 16384  # bytes
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # leaves no connection in TIME_WAIT: there are hundreds a second near an edge


@dataclass(slots=True)
class _Open:
    key: str
    connection: socket.socket
    sent_ns: int
    request: bytes
    limit_ns: int
    through: bool
    heard: bytes = b""


class Looker:
    """All looks in flight. `zero_ns` is the run's zero; a key is whatever the caller calls a target."""

    def __init__(self, zero_ns: int) -> None:
        self._zero_ns = zero_ns
        self._selector = selectors.DefaultSelector()
        self._open: dict[int, _Open] = {}

    def now_ns(self) -> int:
        """Nanoseconds since the run's zero."""
        return monotonic_ns() - self._zero_ns

    def watch(self, fd: int) -> None:
        """Lets `poll` also wake up when `fd` can be read."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def earliest_ns(self, key: str) -> int | None:
        """When the oldest look in flight at a target was sent; None when there is none."""
        return min((one.sent_ns for one in self._open.values() if one.key == key), default=None)

    def send(self, key: str, address: tuple[str, int], path: str, limit_ns: int = LIMIT_NS, through: bool = False) -> Look | None:
        """
        Sends a look; its ending when it has one at once. Where this process can open no socket, nothing is sent.

        A look `through` a proxy is answered by whatever answers, the proxy itself too.
        """
        try:
            connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            return None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        sent_ns = self.now_ns()
        code = connection.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            connection.close()
            return Look(sent_ns, self.now_ns(), "closed")
        request = f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUser-Agent: chaosx-prober\r\nConnection: close\r\n\r\n".encode()
        self._open[connection.fileno()] = _Open(key, connection, sent_ns, request, limit_ns, through)
        self._selector.register(connection, selectors.EVENT_WRITE, connection.fileno())
        return None

    def poll(self, timeout_s: float) -> tuple[list[tuple[str, Look]], set[int]]:
        """
        Waits at most so long; the looks that ended, and which watched descriptors can be read.

        What has arrived is read before any limit is applied, so a pause of this process is no silence of a target.
        """
        ended: list[tuple[str, Look]] = []
        readable: set[int] = set()
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                readable.add(key.fd)
                continue
            one = self._open[key.data]
            ending = self._advance(one)
            if ending is not None:
                ended.append((one.key, ending))
                self._drop(key.data)
        now_ns = self.now_ns()
        for fd in [fd for fd, one in self._open.items() if now_ns - one.sent_ns > one.limit_ns]:
            one = self._open[fd]
            ended.append((one.key, self._advance(one) or Look(one.sent_ns, one.sent_ns + one.limit_ns, "silent")))
            self._drop(fd)
        return ended, readable

    def _drop(self, fd: int) -> None:
        one = self._open.pop(fd)
        self._selector.unregister(one.connection)
        one.connection.close()

    def _advance(self, one: _Open) -> Look | None:
        try:
            if one.request:
                if one.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return Look(one.sent_ns, self.now_ns(), "closed")
                one.request = one.request[one.connection.send(one.request) :]
                self._selector.modify(one.connection, selectors.EVENT_WRITE if one.request else selectors.EVENT_READ, one.connection.fileno())
                return None
            part = one.connection.recv(_HEAD_LIMIT)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            return None if error.errno == errno.ENOTCONN else Look(one.sent_ns, self.now_ns(), "closed")
        one.heard += part
        if not part or len(one.heard) > _HEAD_LIMIT:
            return Look(one.sent_ns, self.now_ns(), "closed")
        return answer(one.heard, one.sent_ns, self.now_ns(), one.through) if b"\r\n\r\n" in one.heard else None


def answer(head: bytes, sent_ns: int, done_ns: int, through: bool = False) -> Look:
    """The look that an answer's head makes: without X-Incarnation it comes from something in between, and counts as closed unless that is looked `through`."""
    first, *lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    words = first.split(" ")
    incarnation = headers.get("x-incarnation", "")
    if not first.startswith("HTTP/") or len(words) < 2 or not words[1].isdigit() or not (incarnation or through):
        return Look(sent_ns, done_ns, "closed")
    return Look(sent_ns, done_ns, "answered", int(words[1]), incarnation)
