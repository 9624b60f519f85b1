"""What the shop answers: a pure function of a request, but for two counters."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as the shop needs it; `authorization` is the header's value or empty."""

    method: str
    path: str
    authorization: str
    body: bytes


class Shop:
    """One replica's answers: /healthz, /catalog/<id>, /login and /checkout."""

    def __init__(self, replica: str, incarnation: str, key: str, broken: bool) -> None:
        self.ready = False
        self._replica = replica
        self._incarnation = incarnation
        self._key = key.encode()
        self._broken = broken
        self._asked = 0
        self._orders = 0

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """The status and the JSON body of the answer."""
        if not self.ready:
            return 503, {"status": "not ready"}
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return 200, {"status": "ok", "replica": self._replica}
        if path.startswith("/catalog/"):
            return self._expect("GET", request) or self._fault() or _item(path.removeprefix("/catalog/"))
        if path == "/login":
            return self._expect("POST", request) or self._login(request.body)
        if path == "/checkout":
            return self._expect("POST", request) or self._fault() or self._checkout(request.authorization)
        return 404, {"error": f"nothing at {path}"}

    @staticmethod
    def _expect(method: str, request: Request) -> tuple[int, dict[str, Any]] | None:
        return None if request.method == method else (405, {"error": f"got {request.method}, expected {method}"})

    def _fault(self) -> tuple[int, dict[str, Any]] | None:
        """Three of ten fail, spread so that no two in a row do: nothing but the answers looks wrong."""
        self._asked += 1
        if self._broken and self._asked * 3 % 10 < 3:
            return 500, {"error": "broken"}
        return None

    def _sign(self, user: str) -> str:
        return hmac.new(self._key, user.encode(), hashlib.sha256).hexdigest()

    def _login(self, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            user = json.loads(body)["user"]
        except (ValueError, KeyError, TypeError):
            user = None
        if not isinstance(user, str) or not user:
            return 400, {"error": 'expected {"user": "a name"}'}
        return 200, {"token": f"{user.encode().hex()}.{self._sign(user)}"}

    def _checkout(self, authorization: str) -> tuple[int, dict[str, Any]]:
        name, _, signature = authorization.removeprefix("Bearer ").partition(".")
        try:
            user = bytes.fromhex(name).decode()
        except ValueError:
            user = ""
        if not user or not hmac.compare_digest(signature.encode(), self._sign(user).encode()):
            return 401, {"error": "expected Authorization: Bearer with a token of POST /login"}
        self._orders += 1
        return 201, {"order": f"{self._replica}-{self._incarnation}-{self._orders}"}


def _item(item: str) -> tuple[int, dict[str, Any]]:
    return 200, {"id": item, "name": f"Item {item}", "price_cents": 100 + zlib.crc32(item.encode()) % 9900}
