"""
Control sockets: one line of JSON in, one line of JSON out, on a Unix socket that only its owner may open.

Every answer carries the identity of the sandbox, so that a caller never takes one sandbox for another.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]
_READ_S = 5.0  # a client that connects and says nothing is let go


class Declined(Exception):
    """What was asked is not done; the text goes to the caller as `error`."""


def text_field(request: dict[str, Any], name: str) -> str:
    """A non-empty text of a request. Raises Declined without it."""
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise Declined(f"{name}: got {value!r}, expected a non-empty text")
    return value


async def serve(path: str, identity: str, answer: Answer) -> asyncio.Server:
    """Answers requests on a Unix socket at `path` (mode 0600). What `answer` declines is answered with `error`; where it fails, with `code` "internal" too."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await asyncio.wait_for(reader.readline(), _READ_S):
                writer.write(json.dumps({**_answered(line, answer), "identity": identity}).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # a caller that went away, stalled or sent no line: nothing to tell it
        finally:
            writer.close()

    server = await asyncio.start_unix_server(one, path)
    Path(path).chmod(0o600)
    return server


def _answered(line: bytes, answer: Answer) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError as error:
        return {"error": f"not JSON: {error}"}
    if not isinstance(request, dict):
        return {"error": "got something else, expected one JSON object a line"}
    try:
        return answer(request)
    except Declined as declined:
        return {"error": str(declined)}
    except Exception as error:  # a failure of ours must not be read as a refusal: some of it may have been done
        traceback.print_exception(error)
        return {"error": f"{type(error).__name__}: {error}", "code": "internal"}


async def ask(path: str, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """One request and its answer, for a process that has an event loop. Raises OSError or TimeoutError."""

    async def exchange() -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            found = json.loads(await reader.readline() or b"{}")
            return found if isinstance(found, dict) else {}
        finally:
            writer.close()

    return await asyncio.wait_for(exchange(), timeout_s)
