"""
A witness between the load and the shop: it notes each write that passes, and each acknowledgement that it handed on.

It knows nothing of our ledger. Differences from no witness: a hop of a fraction of a millisecond, and one connection to the shop for each
of the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import dataclass

ACKNOWLEDGED = 201


@dataclass(slots=True)
class Seen:
    """A write on the wire: how often it was sent, and when its acknowledgement was handed on to a client that was still there; monotonic ns."""

    sent: int = 0
    acknowledged_ns: int | None = None


class Witness:
    """A relay on a port of its own; `writes` maps an id to what was seen of it."""

    def __init__(self, to_port: int) -> None:
        self.writes: dict[str, Seen] = {}
        self._to_port = to_port
        self._tasks: set[asyncio.Task[None] | None] = set()  # a server of asyncio keeps no hold of its handlers before Python 3.12
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(30)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Ends it, with whatever is on its way."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in self._tasks if task is not None]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upward: asyncio.StreamWriter | None = None
        self._tasks.add(asyncio.current_task())
        try:
            downward, upward = await asyncio.open_connection("127.0.0.1", self._to_port, limit=1 << 26)
            while await self._exchange(reader, writer, downward, upward):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # one side went away: the other is told by its connection's end
        finally:
            self._tasks.discard(asyncio.current_task())
            for one in (writer, upward):
                if one is not None:
                    with contextlib.suppress(OSError, RuntimeError):
                        one.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, downward: asyncio.StreamReader, upward: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head, body = await _message(reader)
        write = self._write(head, body)
        if write is not None:
            write.sent += 1
        upward.write(head + body)
        answer, content = await _message(downward)
        gone = reader.at_eof() or writer.transport.is_closing()
        writer.write(answer + content)
        if write is not None and not gone and int(answer.split(b" ", 2)[1]) == ACKNOWLEDGED:
            write.acknowledged_ns = time.monotonic_ns()
        await writer.drain()
        return not gone and b"connection: close" not in answer.lower()

    def _write(self, head: bytes, body: bytes) -> Seen | None:
        if not head.startswith(b"POST /orders "):
            return None
        return self.writes.setdefault(str(json.loads(body)["id"]), Seen())


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A head and a body whose length it says. Raises EOFError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head, await reader.readexactly(size)
