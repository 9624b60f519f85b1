"""
One replica of the shop: a small HTTP/1.1 server on an event loop.

`python -m chaoslib_ext.sandbox.replica '{"parent", "name", "zone", "port", "key", "ready_after_s", "broken", "store"}'`.
On SIGTERM it stops listening, answers what is on its way with `Connection: close`, and ends.
"""

from __future__ import annotations

import asyncio
import http
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, cast

from chaoslib_ext.process.client import start_ticks, uid
from chaoslib_ext.sandbox.launch import die_with
from chaoslib_ext.sandbox.ports import listener
from chaoslib_ext.sandbox.shop import Request, Shop
from chaoslib_ext.sandbox.store_orders import Orders, Reply

_HEAD_LIMIT = 16384  # bytes
_DRAIN_S = 0.2
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus}


class Server:
    """What all connections of a replica share."""

    def __init__(self, shop: Shop, headers: str, orders: Orders | None) -> None:
        self.shop = shop
        self.orders = orders
        self.headers = headers
        self.closing = False

    def reply(self, request: Request, keep: bool) -> bytes:
        """The bytes of the answer."""
        return self.encoded(request, keep, *self.shop.answer(request))

    def coming(self, request: Request) -> Coroutine[Any, Any, Reply] | None:
        """The answer that only the store can give; None for every other request."""
        return self.orders.answer(request) if self.orders is not None and self.shop.ready else None

    def encoded(self, request: Request, keep: bool, status: int, content: dict[str, Any]) -> bytes:
        """An answer as bytes."""
        body = json.dumps(content).encode()
        head = f"{_STATUS[status]}{self.headers}Content-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        return head.encode() + (b"" if request.method == "HEAD" else body)


class Connection(asyncio.Protocol):
    """One connection: requests in order, one after another or pipelined."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answers every request that is complete."""
        self._buffer += data
        self._proceed()

    def _proceed(self) -> None:
        transport = self._transport
        while self._waiting is None and transport is not None and not transport.is_closing() and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            parsed = _parse(self._buffer[:end])
            if parsed is None:
                transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return transport.close()
            method, path, headers = parsed
            size = int(headers.get("content-length", "0"))
            if len(self._buffer) < end + 4 + size:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + size], self._buffer[end + 4 + size :]
            keep = headers.get("connection", "").lower() != "close" and not self._server.closing
            request = Request(method, path, headers.get("authorization", ""), body)
            coming = self._server.coming(request)
            if coming is not None:
                self._waiting = asyncio.get_running_loop().create_task(self._answer_later(transport, request, keep, coming))
                return
            transport.write(self._server.reply(request, keep))
            if not keep:
                transport.close()
        if transport is not None and len(self._buffer) > 4 * _HEAD_LIMIT:
            transport.close()

    async def _answer_later(self, transport: asyncio.Transport, request: Request, keep: bool, coming: Coroutine[Any, Any, Reply]) -> None:
        """Answers when the store has, then goes on with what came in meanwhile; whoever has left is not answered."""
        transport.write(self._server.encoded(request, keep, *await coming))
        self._waiting = None
        if not keep:
            return transport.close()
        self._proceed()


def _parse(head: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Method, path and lower-case headers; None for what is no request, has no plain length or is too long."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    plain = headers.get("content-length", "0").isdigit() and "transfer-encoding" not in headers
    return (words[0], words[1], headers) if len(words) == 3 and plain and len(head) <= _HEAD_LIMIT else None


async def _run(settings: dict[str, Any], incarnation: str) -> None:
    shop = Shop(settings["name"], incarnation, settings["key"], settings["broken"])
    names = f"X-Zone: {settings['zone']}\r\nX-Replica: {settings['name']}\r\nX-Incarnation: {incarnation}\r\n"
    orders = Orders(settings["store"]) if settings.get("store") else None
    shared = Server(shop, f"Content-Type: application/json\r\n{names}", orders)
    loop = asyncio.get_running_loop()
    if orders is not None:
        orders.begin()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Connection(shared), sock=listener(settings["port"]), backlog=1024)
    loop.call_later(settings["ready_after_s"], setattr, shop, "ready", True)
    await ended.wait()
    shared.closing = True
    server.close()
    await asyncio.sleep(_DRAIN_S)


def main() -> None:
    """Serves until SIGTERM, or until the keeper is gone."""
    settings = json.loads(sys.argv[1])
    die_with(settings["parent"])
    ticks = start_ticks(os.getpid())
    asyncio.run(_run(settings, uid(os.getpid(), ticks or 0)))


if __name__ == "__main__":
    main()
