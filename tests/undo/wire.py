"""
A front before a socket that fails as interfaces fail: on the n-th call of a room, in one of the ways of `KINDS`.

It speaks two protocols: one line of JSON each way (`line`), and HTTP/1.1 with one request a connection (`http`). It differs
from a real middlebox: it never mixes two calls, and it fails by plan, not by load.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
LATE_ANSWER_S = 0.3  # slow, and well within anybody's time limit
SAID = {  # kind: HTTP status, code of the line protocol; the room's own answer is not asked for
    "429": (429, "busy"),
    "500 before": (500, "internal"),
    "503": (503, "unavailable"),  # a code that nobody knows
    "401": (401, "denied"),
    "403": (403, "denied"),
    "404": (404, "declined"),
    "409": (409, "declined"),
}
# beside these, `held` is `late` to which nobody is told anything: whoever asked waits
KINDS = (*SAID, "500 after", "reset before", "reset after", "silent before", "silent after", "slow", "truncated", "nonsense", "late")
DENIED = ("401", "403")


@dataclass
class Plan:
    """Which calls fail and how: from the `at`-th to the `last`-th of all fronts that share it (None: for ever). `calls` says what came."""

    kind: str = ""
    at: int = -1
    last: int | None = -1
    calls: list[str] = field(default_factory=list)
    held: list[tuple[Front, bytes]] = field(default_factory=list)

    def begin(self, kind: str = "", at: int = -1, last: int | None = -1) -> None:
        """Counts anew, with another way to fail."""
        self.kind, self.at, self.last, self.calls = kind, at, last, []

    def next(self, what: str) -> str:
        """The kind of failure of this call; empty for none."""
        number = len(self.calls)
        self.calls.append(what)
        return self.kind if self.at <= number and (self.last is None or number <= self.last) else ""


class Front:
    """One socket in front of another one."""

    def __init__(self, plan: Plan, name: str, behind: str, protocol: str) -> None:
        self.plan, self.name, self.behind, self.protocol = plan, name, behind, protocol

    async def serve(self, path: str) -> asyncio.Server:
        return await asyncio.start_unix_server(self._connection, path)

    async def serve_tcp(self) -> tuple[asyncio.Server, int]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        return server, int(server.sockets[0].getsockname()[1])

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await self._message(reader)
            if request:
                await self._answer(self.plan.next(f"{self.name} {self._op(request)}"), request, reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        if self.protocol == "line":
            return await reader.readline()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        return head + await reader.readexactly(length)

    def _op(self, request: bytes) -> str:
        if self.protocol == "http":
            return request.split(b" ")[0].decode()
        asked = json.loads(request)
        return f"{asked.get('op')} {asked.get('do') or ''}".strip()

    async def _answer(self, kind: str, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if kind in SAID:
            return writer.write(self._refusal(kind))
        if kind in ("late", "held"):
            self.plan.held.append((self, request))
        if kind in ("reset before", "late"):
            return writer.transport.abort()
        if kind in ("silent before", "held"):
            await reader.read()  # until the other side gives up
            return
        answer = await self.forward(request)
        match kind:
            case "500 after":
                writer.write(self._refusal("500 before"))
            case "reset after":
                writer.transport.abort()
            case "silent after":
                await reader.read()
            case "nonsense":
                writer.write(b"{}\n" if self.protocol == "line" else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case "truncated":
                writer.write(answer[: len(answer) // 2])
            case "slow":
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(), LATE_ANSWER_S)
                writer.write(answer)
            case _:
                writer.write(answer)

    async def forward(self, request: bytes) -> bytes:
        """What is behind answers; all of it."""
        host, _, port = self.behind.rpartition(":")
        opened = asyncio.open_connection(host, int(port)) if host else asyncio.open_unix_connection(self.behind)
        reader, writer = await opened
        writer.write(request)
        try:
            return await (reader.readline() if self.protocol == "line" else self._response(reader))
        finally:
            writer.close()

    async def _response(self, reader: asyncio.StreamReader) -> bytes:
        return await self._message(reader)

    def _refusal(self, kind: str) -> bytes:
        status, code = SAID[kind]
        if self.protocol == "line":
            return json.dumps({"error": f"planned: {kind}", "code": code}).encode() + b"\n"
        more = "Retry-After: 1\r\n" if status == 429 else ""
        return f"HTTP/1.1 {status} Planned\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


class Background:
    """An event loop in a thread of its own; `close` ends everything that runs in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30.0)

    def close(self) -> None:
        self.do(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were closed by it are gone after the next turn


async def deliver(plan: Plan) -> list[dict[str, Any] | str]:
    """Lets what was held back land now; what it was answered."""
    held, plan.held = plan.held, []
    answers: list[dict[str, Any] | str] = []
    for front, request in held:
        try:
            answer = await asyncio.wait_for(front.forward(request), 30.0)
        except OSError as error:
            answers.append(f"{type(error).__name__}: {error}")
            continue
        answers.append(json.loads(answer) if front.protocol == "line" else answer.decode())
    return answers
