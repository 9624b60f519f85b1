"""
Looks at a node of the store from outside, in Postgres' own protocol (version 3) and without any client library.

`answers` asks for encryption and takes any answer: the postmaster and a fresh backend live. `ask` logs in as the
role that may only watch, and so also knows whether the node takes writes.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field

from chaoslib_ext.sandbox.store_setup import DATABASE, WATCHER

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL = 196608  # 3.0
_LONGEST = 1 << 16
_TROUBLE = (OSError, EOFError, ValueError, struct.error)  # refused, reset, ended, or no Postgres


@dataclass(slots=True)
class Answer:
    """What a node said: its parameters at the login, the rows of a query as texts, and the SQLSTATE with which it refused."""

    parameters: dict[str, str] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    refused: str = ""

    @property
    def writable(self) -> bool:
        """Whether the node is a primary: Postgres reports `in_hot_standby` at every login."""
        return self.parameters.get("in_hot_standby") == "off"


async def answers(port: int) -> bool:
    """Whether a Postgres answers at a port; False as soon as it refuses. Never ends by itself while it is silent."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_SSL_REQUEST)
            return await reader.readexactly(1) in (b"N", b"S")
        finally:
            writer.transport.abort()
    except _TROUBLE:
        return False


async def ask(port: int, query: str = "") -> Answer | None:
    """The node's answer to a login, and to a query; None when it refuses either. Never ends by itself while it is silent."""
    found = await told(port, query)
    return None if found is None or found.refused else found


async def told(port: int, query: str = "") -> Answer | None:
    """What a node says to a login, and to a query, also when it refuses; None when it cannot be asked. Never ends by itself while it is silent."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            words = ("user", WATCHER, "database", DATABASE, "")
            body = struct.pack("!i", _PROTOCOL) + b"".join(word.encode() + b"\0" for word in words)
            writer.write(struct.pack("!i", len(body) + 4) + body)
            found = Answer()
            if not await _until_ready(reader, found):
                return found
            if query:
                text = query.encode() + b"\0"
                writer.write(b"Q" + struct.pack("!i", len(text) + 4) + text)
                await _until_ready(reader, found)
            return found
        finally:
            writer.transport.abort()
    except _TROUBLE:
        return None


async def asked(port: int, limit_s: float, query: str = "") -> Answer | None:
    """`ask` with a limit in seconds."""
    try:
        return await asyncio.wait_for(ask(port, query), limit_s)
    except TimeoutError:
        return None


async def _until_ready(reader: asyncio.StreamReader, found: Answer) -> bool:
    """Reads messages up to ReadyForQuery; False at an error, such as that it is starting up."""
    while True:
        kind, size = struct.unpack("!ci", await reader.readexactly(5))
        if not 4 <= size <= _LONGEST:
            raise ValueError(f"a message of {size} bytes")
        body = await reader.readexactly(size - 4)
        if kind == b"Z":
            return True
        if kind == b"E":
            codes = [part[1:] for part in body.split(b"\0") if part.startswith(b"C")]
            found.refused = codes[0].decode() if codes else "XX000"
            return False
        if kind == b"S":
            name, value, _ = body.split(b"\0")
            found.parameters[name.decode()] = value.decode()
        elif kind == b"D":
            found.rows.append(_row(body))


def _row(body: bytes) -> list[str]:
    count, at, values = struct.unpack_from("!h", body)[0], 2, []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(body[at : at + max(size, 0)].decode())  # NULL has size -1 and becomes an empty text
        at += max(size, 0)
    return values
