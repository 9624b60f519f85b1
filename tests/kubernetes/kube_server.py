"""The HTTP side of the stand-in: paths, users and rights, streams, and the disturbances on the wire."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from kube_disturbances import AFTER, REASONS, Disturbance, Disturbances, Request
from kube_resources import BUILT_IN, NAMESPACES, discovery, groups
from kube_store import Object, Refusal, Store
from kube_verbs import Place, Verbs
from kube_watching import page, partial, watch

_VERSION = {"major": "1", "minor": "35", "gitVersion": "v1.35.4-standin", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": ""}
_VERSION |= {"compiler": "", "platform": "linux/amd64"}
_PATH = re.compile(r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))(?P<rest>/.*)?")
_REVIEW = "selfsubjectaccessreviews"


class Cut(Exception):
    """The connection is closed at once, with nothing more said."""


class Api(ThreadingHTTPServer):
    """The server: who may come in (`tokens`, token to user; empty lets everybody in), what each may not do (`forbidden`)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: Store, disturbances: Disturbances) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.disturbances, self.known = store, disturbances, list(BUILT_IN)
        self.tokens: dict[str, str] = {}
        self.forbidden: list[tuple[str, str, str]] = []  # user, verb and resource; * for any
        self.ended = threading.Event()
        self.open_sockets: set[socket.socket] = set()
        self.verbs = Verbs(store, lambda more: self.known.extend(one for one in more if one not in self.known))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing about connections that the other side, or a test, has cut."""

    def may(self, user: str, verb: str, resource: str) -> bool:
        """Whether a user may do this."""
        return not any(who in ("*", user) and what in ("*", verb) and on in ("*", resource) for who, what, on in self.forbidden)

    def place(self, path: str) -> Place | None:
        """What a path of objects names; None for another path. Refused with 404 for a kind that is not known."""
        match = _PATH.fullmatch(path)
        parts = [unquote(part) for part in (match["rest"] or "").strip("/").split("/")] if match else [""]
        if match is None or parts == [""]:
            return None
        group, version, namespace = match["group"] or "", match["core"] or match["version"], ""
        if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in NAMESPACES.subresources:
            namespace, parts = parts[1], parts[2:]
        parts += ["", "", ""]
        for one in self.known:
            if (one.group, one.version, one.plural) == (group, version, parts[0]):
                return Place(one, namespace, parts[1], parts[2])
        raise Refusal(404, "NotFound", "the server could not find the requested resource")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    server: Api

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the tests' output clean."""

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.connection)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw, kind = self.rfile.read(length), self.headers.get("Content-Type", "")
        body = (yaml.safe_load(raw) if "yaml" in kind else json.loads(raw)) if raw else None
        user = self._user()
        request = Request(self.command, self.path, body, kind, user or "")
        planned = self.server.disturbances.next_for(request)
        try:
            self._before(planned)
            self._carry_out(request, user, planned)
        except Refusal as refusal:
            self._send(refusal.code, refusal.status, planned, refusal.retry_after_s)
        except (Cut, BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _user(self) -> str | None:
        if not self.server.tokens:
            return "admin"
        said = self.headers.get("Authorization", "").partition(" ")
        return self.server.tokens.get(said[2]) if said[0].lower() == "bearer" else None

    def _before(self, planned: Disturbance | None) -> None:
        if planned is None or planned.kind in AFTER:
            return
        time.sleep(planned.delay_s)
        if planned.kind.isdigit():
            code = int(planned.kind)
            message = planned.message or f"{code} as planned"
            raise Refusal(code, REASONS.get(code, "Unknown"), message, None, planned.retry_after_s)
        if planned.kind == "hang":
            self._hang()
        if planned.kind in ("cut", "hang"):
            raise Cut
        if planned.kind == "nonsense":
            self._write(200, b"<html>proxy</html>", "text/html")
            raise Cut

    def _hang(self) -> None:
        released = self.server.disturbances.released
        while not released.wait(0.05) and not self.server.ended.is_set():
            pass

    def _carry_out(self, request: Request, user: str | None, planned: Disturbance | None) -> None:
        if user is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        parts = urlsplit(request.target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path.rstrip("/").endswith("/" + _REVIEW):
            return self._send(201, self._review(user, request.body), planned)
        place = self.server.place(parts.path)
        if place is None:
            return self._send(200, self._discovered(parts.path.rstrip("/")), planned)
        watching = request.method == "GET" and query.get("watch", "").lower() in ("true", "t", "1")
        verb = self._verb(request.method, place, watching)
        kind = f"{place.resource.plural}/{place.part}" if place.part else place.resource.plural
        if not self.server.may(user, verb, kind):
            text = f'{place.resource.plural} is forbidden: User "{user}" cannot {verb} resource "{kind}" in API group "{place.resource.group}"'
            raise Refusal(403, "Forbidden", text, {"kind": place.resource.plural, "name": place.name})
        if watching:
            return self._stream(place, query)
        with self.server.store.lock:
            code, answer = self._done(request, place, query)
        return self._send(code, answer, planned)

    @staticmethod
    def _verb(method: str, place: Place, watching: bool) -> str:
        if method == "GET":
            return "watch" if watching else "get" if place.name else "list"
        if method == "DELETE":
            return "delete" if place.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}[method]

    def _done(self, request: Request, place: Place, query: dict[str, str]) -> tuple[int, Object]:
        verbs, body = self.server.verbs, request.body
        match request.method:
            case "GET" if place.name:
                return verbs.read(place)
            case "GET":
                listed = page(self.server.store, place.resource, place.namespace, query)
                return 200, partial(listed) if "PartialObjectMetadataList" in self.headers.get("Accept", "") else listed
            case "POST" if place.part == "eviction":
                return verbs.evict(place, body or {}, query)
            case "POST":
                return verbs.create(place, body or {}, query)
            case "PUT":
                return verbs.replace(place, body or {}, query)
            case "PATCH":
                return verbs.patch(place, body, query, request.content_type.partition(";")[0])
            case _ if place.name:
                return verbs.delete(place, body, query)
            case _:
                return verbs.delete_all(place, body, query)

    def _review(self, user: str, body: Object) -> Object:
        asked = body["spec"].get("resourceAttributes") or {}
        kind = asked.get("resource", "*") + ("/" + asked["subresource"] if asked.get("subresource") else "")
        allowed = self.server.may(user, asked.get("verb", "*"), kind)
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": body["spec"],
            "status": {"allowed": allowed},
        }

    def _discovered(self, path: str) -> Object:
        if path == "/version":
            return _VERSION
        if path in ("/api", "/apis"):
            return {"kind": "APIVersions", "versions": ["v1"]} if path == "/api" else groups(self.server.known)
        match = _PATH.fullmatch(path)
        if match is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        found = discovery(self.server.known, match["group"] or "", match["core"] or match["version"])
        if not found["resources"]:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return found

    def _stream(self, place: Place, query: dict[str, str]) -> None:
        lines = watch(self.server.store, place.resource, place.namespace, query, self.server.ended.is_set)
        first = next(lines, None)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while first is not None:
            if first:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(first), first))
            first = next(lines, None)
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, code: int, answer: Object, planned: Disturbance | None = None, retry_after_s: int | None = None) -> None:
        data = json.dumps(answer).encode()
        kind = planned.kind if planned else ""
        if kind == "hang after":
            self._hang()
        if kind in ("cut after", "hang after"):
            raise Cut
        more = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if kind in ("half", "trickle"):
            self._write(code, data[: len(data) // 2] if kind == "half" else data[:1], "application/json", len(data), **more)
            self._drip(data[1:] if kind == "trickle" else b"")
            raise Cut
        self._write(code, data, "application/json", **more)

    def _drip(self, data: bytes) -> None:
        for byte in data:
            if self.server.disturbances.released.wait(0.05) or self.server.ended.is_set():
                return
            self.wfile.write(bytes([byte]))

    def _write(self, code: int, data: bytes, kind: str, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "client"
