"""
A small HTTP server that fails on order: `python faulty_server.py PORT`; a line on standard input orders, a line on standard output says when it was obeyed.

Orders: `ok`, `errors` (503), `hole` (reads, never answers), `slow S` (answers S later), `loss P` (503 with probability P, as when one
of three zones is gone) and `ramp S FOR` (answers S later, which falls to nothing within FOR). The first line is that it listens. Every
answer line is two instants of CLOCK_MONOTONIC in ns, just before and just after the change.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
chance = random.Random(7)
mode: list[str] = ["ok"]
since_ns = 0


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport, self.rest = transport, b""

    def data_received(self, data: bytes) -> None:
        *whole, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for _ in whole:
            answer(self.transport)


def answer(transport: asyncio.WriteTransport) -> None:
    """One answer, or none, as ordered."""
    what = mode[0]
    failed = what == "errors" or (what == "loss" and chance.random() < float(mode[1]))
    after_s = float(mode[1]) if what in ("slow", "ramp") else 0.0
    if what == "ramp":
        after_s *= max(0.0, 1.0 - (time.monotonic_ns() - since_ns) / 1e9 / float(mode[2]))
    if what != "hole":
        asyncio.get_running_loop().call_later(after_s, transport.write, FAILED if failed else GOOD) if after_s else transport.write(FAILED if failed else GOOD)


def obey() -> None:
    """Takes one order."""
    global mode, since_ns
    line = sys.stdin.readline()
    if not line:
        raise SystemExit
    before = since_ns = time.monotonic_ns()
    mode = line.split()
    print(before, time.monotonic_ns(), flush=True)


async def main() -> None:
    """Serves until its input ends."""
    loop, before = asyncio.get_running_loop(), time.monotonic_ns()
    server = await loop.create_server(Answering, "127.0.0.1", int(sys.argv[1]), backlog=4096, reuse_address=True)
    print(before, time.monotonic_ns(), flush=True)
    loop.add_reader(sys.stdin, obey)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
