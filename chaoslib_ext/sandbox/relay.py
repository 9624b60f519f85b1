"""
One relayed TCP connection: two sides, bytes carried both ways as the link's mode says.

Swallowing stops reading on both sides, so nothing is lost and nothing is answered; what arrived meanwhile,
an end of stream too, is carried on afterwards, as TCP's retransmissions would after a partition.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast


@dataclass(slots=True)
class Mode:
    """What a link really does to bytes at this moment, shared by all of its connections."""

    swallow: bool = False
    delay_s: float = 0.0


class Pipe:
    """One direction: what is due now is written at once, the rest waits in order. None in the queue ends the stream."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.sink: asyncio.Transport | None = None
        self.ended = False  # its side was connected and has left: nothing is carried there any more

    def put(self, data: bytes | None) -> None:
        """
        Takes bytes that came in on the other side, or its end.

        Some may come before their own side is connected: in Python 3.11.2, for one, a transport that is paused while it is
        being made goes on reading. They wait like delayed ones.
        """
        if self.ended:
            return
        if self.sink is not None and not self._waiting and not self._mode.delay_s and not self._mode.swallow:
            return self._write(data)
        self._waiting.append((self._loop.time() + self._mode.delay_s, data))
        self.pump()

    def pump(self) -> None:
        """Writes what is due and asks to be called again for the rest; nothing while the link swallows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and not self._mode.swallow and self.sink is not None:
            due = self._waiting[0][0]
            if due > self._loop.time() and self._mode.delay_s:
                self._timer = self._loop.call_at(due, self.pump)
                return
            self._write(self._waiting.popleft()[1])

    def _write(self, data: bytes | None) -> None:
        if self.sink is None:
            return
        if data is None:
            self.sink.close()
        else:
            self.sink.write(data)


class Relay:
    """Both sides of one connection: 0 is who connected to the link, 1 is the replica."""

    def __init__(self, mode: Mode, port: int, ended: Callable[[Relay], None]) -> None:
        self._mode = mode
        self._port = port
        self._ended = ended
        self._pipes = (Pipe(mode), Pipe(mode))  # the pipe with a side's number carries to that side
        self._full = [False, False]  # whether a side takes no more for the moment
        self._dialling: asyncio.Task[None] | None = None

    def joined(self, side: int, transport: asyncio.Transport) -> None:
        """A side is connected; the replica's is let go again when the other has left meanwhile."""
        if side == 1 and self._pipes[0].sink is None:
            return transport.abort()
        self._pipes[side].sink = transport
        self.refresh()

    def arrived(self, side: int, data: bytes) -> None:
        """A side sent bytes."""
        self._pipes[1 - side].put(data)

    def filled(self, side: int, full: bool) -> None:
        """A side takes no more, or takes again."""
        self._full[side] = full
        self.refresh()

    def left(self, side: int, error: Exception | None) -> None:
        """A side ended: cleanly, which travels like bytes, or broken, which breaks the other side too."""
        self._pipes[side].sink, self._pipes[side].ended = None, True
        other = self._pipes[1 - side]
        if other.sink is None:
            self._ended(self)
        elif error is None:
            other.put(None)
        else:
            other.sink.abort()

    def refresh(self) -> None:
        """Brings both sides in line with the mode: reads, dials and writes what it allows now."""
        if not self._mode.swallow and self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())
        for side in (0, 1):
            transport = self._pipes[side].sink
            wanted = not self._mode.swallow and not self._full[1 - side] and self._pipes[1 - side].sink is not None
            if transport is not None and not transport.is_closing():
                _read(transport, wanted)
            self._pipes[side].pump()

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Side(self, 1), "127.0.0.1", self._port)
        except OSError:
            self.abort()  # nothing listens there: whoever connected to us sees a reset

    def abort(self) -> None:
        """Breaks both sides."""
        for pipe in self._pipes:
            if pipe.sink is not None:
                pipe.sink.abort()


def _read(transport: asyncio.Transport, wanted: bool) -> None:
    if wanted and not transport.is_reading():
        transport.resume_reading()
    elif not wanted and transport.is_reading():
        transport.pause_reading()


class Side(asyncio.Protocol):
    """One socket of a relay."""

    def __init__(self, relay: Relay, number: int) -> None:
        self._relay = relay
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Joins the relay."""
        self._relay.joined(self._number, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        """Hands bytes to the relay."""
        self._relay.arrived(self._number, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves the relay."""
        self._relay.left(self._number, exc)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._relay.filled(self._number, True)

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        self._relay.filled(self._number, False)
