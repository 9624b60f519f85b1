"""
A store of several nodes over HTTP, in threads of the test.

Differences from a real one: replication happens when the test says so, never on its own; a write is visible at once where it goes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Store:
    """
    `nodes` maps a name to its ids, `replicas` are the nodes that get a write with it, `down` answer 503.

    `before_read(node, n)` is called before the n-th read of all, to change the world meanwhile.
    """

    def __init__(self, *nodes: str) -> None:
        self.nodes: dict[str, list[str]] = {name: [] for name in nodes}
        self.replicas = set(nodes)
        self.down: set[str] = set()
        self.refuses_writes = self.refuses_deletes = False
        self.token = ""
        self.reads = 0
        self.before_read: Callable[[str, int], None] = lambda _node, _n: None
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write(self, id_: str) -> int:
        """One write through the service; the status."""
        with self._lock:
            if self.refuses_writes:
                return 503
            for name in self.replicas:
                self.nodes[name].append(id_)
            return 201

    def read(self, node: str, prefix: str) -> tuple[int, list[str]]:
        """One node's ids."""
        with self._lock:
            self.reads += 1
            self.before_read(node, self.reads)
            return (503, []) if node in self.down else (200, [one for one in self.nodes[node] if one.startswith(prefix)])

    def delete(self, prefix: str) -> int:
        """Removes the records of a run from the nodes that take writes."""
        if self.refuses_deletes:
            return 403
        with self._lock:
            for name in self.replicas:
                self.nodes[name] = [one for one in self.nodes[name] if not one.startswith(prefix)]
        return 200


class _Handler(BaseHTTPRequestHandler):
    store: Store

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        status, ids = self.store.read(asked["node"], asked["prefix"])
        self._answer(status, {"found": {"ids": ids}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/login":
            self._answer(200, {"token": "s3cr3t"})
            return
        known = not self.store.token or self.headers.get("Authorization") == f"Bearer {self.store.token}"
        self._answer(self.store.write(asked["id"]) if known else 401, {})

    def do_DELETE(self) -> None:
        self._answer(self.store.delete(parse_qs(urlsplit(self.path).query)["prefix"][0]), {})

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
