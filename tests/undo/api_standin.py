"""
A small HTTP interface as a platform has one: objects with uid, version, marker and body, reached through a front that fails by plan.

`POST /objects {name, body, marker}` (the header `Idempotency-Key` makes a repeated create the same create), `GET /objects/NAME`,
`GET /objects?marker=M`, `PUT /objects/NAME {version, uid?, body, marker}` (409 unless both are those of the object), `DELETE /objects/NAME?uid=U`
(409 unless it is that one). Every change makes a new version. It differs from real ones: one kind of object, no watch, no
conversion, no garbage collection, and all of it ends with the process. `plan` says which call fails and how (`wire.KINDS`).
"""

from __future__ import annotations

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wire import Background, Front, Plan, deliver

Reply = tuple[int, Any]


class Objects:
    """What the interface keeps; each request is done under one lock, whole or not at all."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self._created: dict[str, dict[str, Any]] = {}
        self._lock, self._last = threading.Lock(), 0

    def answer(self, method: str, path: str, body: dict[str, Any], key: str | None) -> Reply:
        where = urlsplit(path)
        name, asked = where.path.removeprefix("/objects").strip("/"), {key: values[0] for key, values in parse_qs(where.query).items()}
        with self._lock:
            if not where.path.startswith("/objects"):
                return 404, {"error": "no such path"}
            if method == "POST":
                return self._create(body, key)
            if method == "GET" and not name:
                return 200, [one for one in self.all.values() if asked.get("marker") in (None, one["marker"])]
            if name not in self.all:
                return 404, {"error": f"{name}: no such object"}
            return {"GET": self._read, "PUT": self._replace, "DELETE": self._remove}[method](name, {**asked, **body})

    def _create(self, body: dict[str, Any], key: str | None) -> Reply:
        if key is not None and key in self._created:
            return 200, self._created[key]
        if body["name"] in self.all:
            return 409, {"error": f"{body['name']}: exists already"}
        made = {"name": body["name"], "uid": str(uuid.uuid4()), **self._written(body)}
        self.all[body["name"]] = made
        if key is not None:
            self._created[key] = made
        return 201, made

    def _read(self, name: str, _asked: dict[str, Any]) -> Reply:
        return 200, self.all[name]

    def _replace(self, name: str, asked: dict[str, Any]) -> Reply:
        there = self.all[name]
        if asked.get("version") != there["version"] or asked.get("uid", there["uid"]) != there["uid"]:
            return 409, {"error": f"{name}: is version {there['version']} of {there['uid']} now"}
        self.all[name] = {"name": name, "uid": there["uid"], **self._written(asked)}
        return 200, self.all[name]

    def _remove(self, name: str, asked: dict[str, Any]) -> Reply:
        if asked.get("uid", self.all[name]["uid"]) != self.all[name]["uid"]:
            return 409, {"error": f"{name}: is {self.all[name]['uid']} now"}
        return 200, self.all.pop(name)

    def _written(self, body: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        return {"version": str(self._last), "marker": body.get("marker"), "body": body.get("body")}


class Api:
    """The interface while it is up: `port` is that of the front; `objects` is the truth behind it."""

    def __init__(self) -> None:
        self.objects, self.plan = Objects(), Plan()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.objects))
        self._back = Background()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        front = Front(self.plan, "api", f"127.0.0.1:{self._server.server_port}", "http")
        self._front, self.port = self._back.do(front.serve_tcp())

    def deliver(self) -> list[Any]:
        """What was held back lands now; what it was answered."""
        return self._back.do(deliver(self.plan))

    def close(self) -> None:
        self._back.loop.call_soon_threadsafe(self._front.close)
        self._back.close()
        self._server.shutdown()
        self._server.server_close()


def _handler(objects: Objects) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            status, reply = objects.answer(self.command, self.path, body, self.headers.get("Idempotency-Key"))
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, *_: Any) -> None: ...

    return Handler
