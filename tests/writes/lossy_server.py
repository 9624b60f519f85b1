"""
A store that lies a little: `lossy_server.py PORT FOLDER`, one process, HTTP on loopback.

POST /orders {"id"} is answered 201 at once and flushed to FOLDER/stored up to 100 ms later: kill -9 loses the rest. FOLDER/acked
is its own log of what it acknowledged, written before the answer. GET /orders?prefix=P gives what it holds, DELETE removes it.
`{"id", "refuse": true}` gives 422, and ids that end in 7 a 503 that hides a write which happened. Unlike a real store it has one node.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(sys.argv[2])
HELD: list[str] = (FOLDER / "stored").read_text().split() if (FOLDER / "stored").exists() else []
WAITING: list[str] = []
ACKED = os.open(FOLDER / "acked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def flush() -> None:
    """Puts on file what has been waiting."""
    stored = os.open(FOLDER / "stored", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        await asyncio.sleep(0.1)
        if WAITING:
            os.write(stored, "".join(f"{one}\n" for one in WAITING).encode())
            WAITING.clear()


def answer(status: str, value: object) -> bytes:
    """An HTTP answer with a JSON body."""
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nX-Zone: a\r\n\r\n".encode() + body


def order(asked: dict[str, object]) -> bytes:
    """One write."""
    id_ = str(asked["id"])
    if asked.get("refuse"):
        return answer("422 Sorry", {})
    HELD.append(id_)
    WAITING.append(id_)
    if id_.endswith("7") and ":barrier:" not in id_:
        return answer("503 Maybe", {})
    os.write(ACKED, f"{id_}\n".encode())
    return answer("201 Created", {"id": id_})


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *more = head.split("\r\n")
            method, target, _ = first.split(" ")
            length = next((int(line.partition(":")[2]) for line in more if line.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            prefix = parse_qs(urlsplit(target).query).get("prefix", [""])[0]
            if method == "POST":
                writer.write(order(json.loads(body)))
            elif method == "DELETE":
                HELD[:] = [one for one in HELD if not one.startswith(prefix)]
                writer.write(answer("200 OK", {}))
            else:
                writer.write(answer("200 OK", {"ids": [one for one in HELD if one.startswith(prefix)]}))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serves until it is killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await flush()


asyncio.run(main())
