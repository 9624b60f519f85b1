"""
Orders of one replica of the shop, kept in the store: a few connections, each used by one write at a time.

A write whose connection breaks or stays silent is answered with 503: whether it happened nobody knows. With
`write_behind` an order is acknowledged at once and flushed up to 200 ms later, once; what fails then is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chaoslib_ext.sandbox.shop import Request
from chaoslib_ext.sandbox.store_look import answers

_CONNECTIONS = 8
_WRITE_S = 1.8  # the proxy gives a request 2 s
_READ_S = 10.0
_BEHIND_S = 0.2
_POLL_S = 0.1
_LONGEST_ID = 200
_INSERT = "insert into orders (id) values (%s) on conflict (id) do nothing"  # a repeated request is the same order
_SELECT = "select id from orders where starts_with(id, %s) order by id"

Reply = tuple[int, dict[str, Any]]


class Orders:
    """The orders as this replica reaches them; `settings` is what the keeper says of the store."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._dsn: str = settings["write_dsn"]
        self._nodes: dict[str, str] = settings["nodes"]
        self._behind: bool = settings["write_behind"]
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[Any] = []
        self._waiting: list[str] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loaded = asyncio.Event()

    def answer(self, request: Request) -> Coroutine[Any, Any, Reply] | None:
        """The answer to come for /orders; None for what is no business of the store."""
        if urlsplit(request.path).path != "/orders":
            return None
        if request.method == "POST":
            return self._post(request.body)
        return self._read(request.path)

    def begin(self) -> None:
        """Starts loading the client library, and flushing where writes are acknowledged before."""
        self._keep(self._load())
        if self._behind:
            self._keep(self._flush_for_ever())

    async def _load(self) -> None:
        """Imports psycopg beside the event loop, which goes on; it waits for the store, whose start needs the processor more."""
        port = int(next(iter(self._nodes.values())).partition("port=")[2].split()[0])
        while not await answers(port):
            await asyncio.sleep(_POLL_S)
        await asyncio.to_thread(importlib.import_module, "psycopg")
        from psycopg import AsyncConnection, Error

        with contextlib.suppress(Error, OSError):
            self._idle.append(await AsyncConnection.connect(self._dsn, autocommit=True))
        self._loaded.set()

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has seen it, or has given up on it

    async def _post(self, body: bytes) -> Reply:
        try:
            order = json.loads(body)["id"]
        except (ValueError, KeyError, TypeError):
            order = None
        if not isinstance(order, str) or not 0 < len(order) <= _LONGEST_ID or "\0" in order:
            return 400, {"error": 'expected {"id": "a text of at most 200 characters"}'}
        if self._behind:
            self._waiting.append(order)
            return 201, {"id": order}
        if await self._in_time(self._write([order]), _WRITE_S) is None:
            return 503, {"error": "the store did not confirm it; whether it was written is not known"}
        return 201, {"id": order}

    async def _read(self, path: str) -> Reply:
        asked = parse_qs(urlsplit(path).query)
        prefix, node = asked.get("prefix", [""])[0], asked.get("node", [""])[0]
        if node not in self._nodes:
            return 400, {"error": f"node: got {node!r}, expected {', '.join(self._nodes)}"}
        ids = await self._in_time(self._select(self._nodes[node], prefix), _READ_S)
        return (503, {"error": f"{node} cannot be read"}) if ids is None else (200, {"ids": ids})

    async def _in_time(self, work: Coroutine[Any, Any, Any], limit_s: float) -> Any:
        """What the work gives; None when it fails or does not end in time: it is then left to end by itself, as a silent server may take a while to give up."""
        task = self._keep(work)
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            task.cancel()
            return None
        from psycopg import Error

        try:
            return task.result()
        except (Error, OSError):
            return None

    async def _write(self, orders: list[str]) -> bool:
        await self._loaded.wait()
        from psycopg import AsyncConnection

        async with self._slots:
            connection = self._idle.pop() if self._idle else await AsyncConnection.connect(self._dsn, autocommit=True)
            try:
                async with connection.cursor() as cursor:
                    await cursor.executemany(_INSERT, [(order,) for order in orders])
            except BaseException:
                await connection.close()  # whatever happened, its state is not known: it is not used again
                raise
            self._idle.append(connection)
            return True

    async def _select(self, dsn: str, prefix: str) -> list[str]:
        await self._loaded.wait()
        from psycopg import AsyncConnection

        async with await AsyncConnection.connect(f"{dsn} connect_timeout=3", autocommit=True) as connection:
            cursor = await connection.execute(_SELECT, (prefix,))
            return [str(row[0]) for row in await cursor.fetchall()]

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_BEHIND_S)
            orders, self._waiting = self._waiting, []
            if orders:
                await self._in_time(self._write(orders), _WRITE_S)
