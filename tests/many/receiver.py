"""
A small receiver of OTLP/HTTP and of Grafana's annotations, over a real socket. It refuses what those would refuse.

It differs from the real ones: it keeps what it got in memory, asks for no TLS, and knows these two addresses only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otlp_rules import check


@dataclass
class Receiver:
    """`got` are (path, body, authorization). `answers` are given one after the other, the last one for ever: (status, headers, body)."""

    url: str = ""
    got: list[tuple[str, Any, str]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=lambda: [(200, {}, "{}")])


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listens on loopback until the block ends."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, text = _refusal(self.path, self.headers.get("Content-Type", ""), body) or _next(found)
            if status == 200:
                found.got.append((self.path, json.loads(body), self.headers.get("Authorization", "")))
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _next(found: Receiver) -> tuple[int, dict[str, str], str]:
    return found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]


def _refusal(path: str, kind: str, body: bytes) -> tuple[int, dict[str, str], str] | None:
    if kind != "application/json":
        return 415, {}, "expected application/json"
    try:
        value = json.loads(body)
        if path == "/v1/traces":
            check(value)
        elif path == "/api/annotations":
            assert isinstance(value["time"], int) and isinstance(value["text"], str) and all(isinstance(tag, str) for tag in value["tags"])
            assert set(value) <= {"time", "timeEnd", "tags", "text"} and value.get("timeEnd", value["time"]) >= value["time"]
        else:
            return 404, {}, "no such address"
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        return 400, {}, f"refused: {type(error).__name__} {error}"[:200].replace("\n", " ")
    return None
