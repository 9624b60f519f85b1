"""Orders from the supervisor and lines back to it, as JSON, one a line, without ever stopping the gevent loop."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.os import make_nonblocking, nb_read, nb_write, tp_read, tp_write

from chaoslib_ext.clock import monotonic_ns

KEPT_SECONDS = 900  # summaries held for a supervisor that does not read; older ones are in seconds.bin anyway
LAST_WORDS_S = 5.0


def own_stdout() -> int:
    """A descriptor for our lines alone; whatever else prints to standard output, a locustfile say, goes to standard error."""
    ours = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return ours


class Control:
    """
    The two pipes. `start_ns` and `stop_ns` are CLOCK_MONOTONIC, None until ordered.

    `stopped` is set by `stop`, by SIGTERM, and at the end of standard input (the supervisor is gone).
    """

    def __init__(self, out_fd: int) -> None:
        self.start_ns: int | None = None
        self.stop_ns: int | None = None
        self.ordered, self.stopped = Event(), Event()
        self._lines: deque[tuple[bool, bytes]] = deque()
        self._waiting_seconds = 0
        self._more = Event()
        self._out = out_fd
        self._write = _writer(out_fd)
        self._speaker = gevent.spawn(self._speak)

    def listen(self) -> None:
        """Follows orders until standard input ends."""
        read = _reader(0)
        rest = b""
        while True:
            data = read(0, 65536)
            if not data:
                self.stop()
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            order = json.loads(line)
            if order["op"] == "start" and self.start_ns is None:
                self.start_ns = int(order["at_ns"])
                self.ordered.set()
            elif order["op"] == "stop":
                self.stop()
        except (ValueError, KeyError, TypeError) as error:
            print(f'load child: got the order {line!r}, expected {{"op":"start","at_ns":…}} or {{"op":"stop"}} ({error})', file=sys.stderr)

    def stop(self) -> None:
        """Sets the stop instant to now; once."""
        if self.stop_ns is None:
            self.stop_ns = monotonic_ns()
            self.stopped.set()
            self.ordered.set()

    def say(self, op: str, **fields: Any) -> None:
        """Queues one line. When the supervisor is slow, the oldest summaries give way; every other line is kept."""
        droppable = op == "second"
        if droppable and self._waiting_seconds >= KEPT_SECONDS:
            self._lines.remove(next(line for line in self._lines if line[0]))
            self._waiting_seconds -= 1
        self._waiting_seconds += droppable
        self._lines.append((droppable, json.dumps({"op": op, **fields}).encode() + b"\n"))
        self._more.set()

    def finish(self) -> None:
        """Waits until all lines are out, at most five seconds."""
        self._lines.append((False, b""))
        self._more.set()
        self._speaker.join(timeout=LAST_WORDS_S)

    def _speak(self) -> None:
        while True:
            while self._lines:
                droppable, line = self._lines.popleft()
                self._waiting_seconds -= droppable
                if not line:
                    return
                try:
                    while line:
                        line = line[self._write(self._out, line) :]
                except OSError:
                    self.stop()  # nobody reads any more
                    return
            self._more.clear()
            self._more.wait()


def _reader(fd: int) -> Callable[[int, int], bytes]:
    read: Callable[[int, int], bytes] = nb_read if _may_block(fd) else tp_read
    return read


def _writer(fd: int) -> Callable[[int, bytes], int]:
    write: Callable[[int, bytes], int] = nb_write if _may_block(fd) else tp_write
    return write


def _may_block(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    make_nonblocking(fd)
    return True
