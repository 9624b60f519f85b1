"""
A small HTTP server for the load tests: `server.py LOG`, prints its port, logs each request as `METHOD PATH CONNECTION`.

It answers what the path asks for. Unlike a real service it has one thread and no TLS.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from urllib.parse import parse_qs, urlsplit

CONNECTIONS = itertools.count(1)


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """An HTTP answer with zone and length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "X-Zone: a", *headers])
    return head.encode() + b"\r\n\r\n" + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection."""
    number = next(CONNECTIONS)
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
            first, *lines = head.split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            LOG.write(f"{method} {target} {number}\n")
            LOG.flush()
            if not await respond(writer, method, target, headers, body):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def respond(writer: asyncio.StreamWriter, method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
    """One answer; False when the connection is to be closed."""
    parts = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    match parts.path:
        case "/slow":  # its answer carries the nonce of its own request, long after
            await asyncio.sleep(float(asked["s"]))
            writer.write(answer("200 OK", json.dumps({"nonce": asked["nonce"]}).encode()))
        case "/sometimes":  # every fourth arrival gets a late answer
            if int(asked["nonce"]) % 4 == 0:
                await asyncio.sleep(0.8)
            writer.write(answer("200 OK", json.dumps({"nonce": asked["nonce"]}).encode()))
        case "/half":  # an answer that breaks off
            writer.write(answer("200 OK", b"x" * 100)[:-50])
            await writer.drain()
            return False
        case "/silent-close":
            return False
        case "/drip":  # headers at once, then one byte every 100 ms for ever: no single read is ever late
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.1)
        case "/redirect":
            writer.write(answer("302 Found", b"", f"Location: {asked['to']}"))
        case "/latin":
            writer.write(answer("500 Sorry", b"\xe9\xff", "Content-Type: text/plain; charset=latin-1"))
        case "/login":
            writer.write(answer("200 OK", json.dumps({"session": {"token": "s3cr3t/ü", "n": 5}}).encode(), "Set-Cookie: user=one"))
        case "/checkout":
            known = headers.get("authorization") == "Bearer s3cr3t" and json.loads(body) == {"cart": "5"} and method == "POST"
            writer.write(answer("201 Created" if known else "401 Unauthorized", b"{}"))
        case "/cookies":
            writer.write(answer("200 OK" if "cookie" not in headers else "409 Conflict", b"{}", "Set-Cookie: seen=yes; Path=/"))
        case _:
            writer.write(answer("200 OK", b"ok"))
    await writer.drain()
    return True


async def main() -> None:
    """Serves until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


LOG = open(sys.argv[1], "w", encoding="utf-8")  # noqa: SIM115, PTH123  # for the life of the process
asyncio.run(main())
