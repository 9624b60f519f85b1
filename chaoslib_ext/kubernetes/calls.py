"""
Calls to one cluster: checked to be the right one first, logged in again when a token was rotated, slowed down when the server asks for it.

Nothing else is repeated: a call whose answer did not come is told as that, with whether it may have been carried out.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chaoslib_ext.errors import CallFailed, Refused
from chaoslib_ext.kubernetes.client import Access, Answer, Door, Limits, Stream, Unanswered, open_door
from chaoslib_ext.kubernetes.kinds import ACCESS_REVIEWS, NAMESPACES, collection_path, object_path

IDENTITY = object_path(NAMESPACES, "", "kube-system")
REVIEWS = collection_path(ACCESS_REVIEWS, None)  # a question, though it is a POST
_LONGEST_WAIT_S = 5.0  # between two tries when the server says not how long; chosen by feel
_ADVICE = {
    400: "this is a mistake of ours or of the server's version; see what it says",
    401: "log in again; the credentials were refused, also after a new login",
    403: "give this identity that right",
    404: "look for it; it may have been deleted, or have another name",
    405: "the server knows no such call; its version may be too old",
    409: "somebody else changed or replaced it; read it again before deciding",
    410: "read it again from the start",
    422: "read it again; it is not what it was, or the change is not allowed",
    429: "wait, or slow down; the server is busy",
}


class Cluster:
    """
    One cluster. Nothing but the question which one it is is sent until the answer is `uid`, that of its namespace kube-system.

    `uid` None is for a cluster that is not known yet, which is only read. Waits begin at `base_s` and end `deadline_s` after the call began.
    """

    def __init__(self, access: Access, uid: str | None, limits: Limits | None = None, base_s: float = 0.2, deadline_s: float = 120.0) -> None:
        self.access, self.limits, self._pinned = access, limits or Limits(), uid
        self._base_s, self._deadline_s = base_s, deadline_s
        self._lock, self._door = threading.Lock(), open_door(access)
        self.uid = self._checked(self._door)

    def __str__(self) -> str:
        return f"{self.access} ({self._door.host})"

    def call(self, method: str, target: str, body: Any = None, kind: str = "application/json", deadline_s: float | None = None) -> dict[str, Any]:
        """
        The object that the server answers with, as plain JSON. Raises CallFailed.

        A refused login is renewed once; 429 and 503 are waited out, as long as the server asks for and no longer than `deadline_s` seconds in
        all, where the call can be repeated: not where a disruption budget says no, and not for a creation that 503 leaves open.
        """
        if self._pinned is None and method != "GET" and target != REVIEWS:
            raise Refused("PREFLIGHT_FAILED", f"{self}: {method} {target}: the cluster's uid is not pinned, so nothing may be changed; write it to `identity`")
        ends, tries, door = time.monotonic() + (self._deadline_s if deadline_s is None else deadline_s), 0, self._door
        data, headers = None if body is None else json.dumps(body).encode(), {"Accept": "application/json", "Content-Type": kind}
        renewed = False
        while True:
            answer = self._sent(door, method, target, data, headers, ends)
            if answer.status == 401 and not renewed:
                renewed, door = True, self._renewed(door)
                continue
            if 200 <= answer.status < 300:
                return self._object(answer, method, target)
            wait_s = _wait_s(answer, method, self._base_s, tries)
            if wait_s is None:
                raise self._failed(answer, method, target)
            if time.monotonic() + wait_s > ends:
                raise self._failed(answer, method, target, f"; it asked to wait {wait_s:.1f} s, which is longer than this call may take")
            time.sleep(wait_s)
            tries += 1

    @contextmanager
    def stream(self, target: str, limits: Limits) -> Iterator[Stream]:
        """The answer to a watch, closed at the end. Raises CallFailed; a refused login is renewed once."""
        door, headers = self._door, {"Accept": "application/json"}
        for attempt in (1, 2):
            try:
                stream = door.open("GET", target, None, headers, limits)
            except Unanswered as error:
                raise self._unanswered(error, "GET", target) from error
            try:
                if stream.status == 401 and attempt == 1:
                    door = self._renewed(door)
                    continue
                if stream.status != 200:
                    data = b"".join(stream.parts())
                    raise self._failed(Answer(stream.status, stream.headers, data), "GET", target)
                yield stream
                return
            finally:
                stream.close()

    def unanswered(self, error: Unanswered, target: str) -> CallFailed:
        """What a stream that broke off is told as."""
        return self._unanswered(error, "GET", target)

    def _sent(self, door: Door, method: str, target: str, data: bytes | None, headers: dict[str, str], ends: float) -> Answer:
        left_s = max(ends - time.monotonic(), 0.001)
        limits = Limits(min(self.limits.connect_s, left_s), min(self.limits.read_s, left_s), min(self.limits.total_s, left_s))
        try:
            return door.send(method, target, data, headers, limits)
        except Unanswered as error:
            raise self._unanswered(error, method, target) from error

    def _renewed(self, old: Door) -> Door:
        """A door of a new login; the same one for all threads whose login was refused at the old one. It is checked to lead to the same cluster."""
        with self._lock:
            if self._door is old:
                door = open_door(self.access)
                self._checked(door)
                self._door = door
            return self._door

    def _checked(self, door: Door) -> str:
        """The uid of the cluster behind a door. Raises Refused when it is not the pinned one."""
        headers = {"Accept": "application/json"}
        try:
            answer = door.send("GET", IDENTITY, None, headers, self.limits)
        except Unanswered as error:
            raise CallFailed(f"{self.access} ({door.host}): its identity cannot be read: {error}; check that the API server can be reached") from error
        if answer.status != 200:
            raise self._failed(answer, "GET", IDENTITY, "; to know which cluster it is, the namespace kube-system must be readable", door.host)
        uid = str((self._object(answer, "GET", IDENTITY, door.host).get("metadata") or {}).get("uid") or "")
        if self._pinned is not None and uid != self._pinned:
            text = f"{self.access} ({door.host}): got the cluster {uid or 'without uid'}, expected {self._pinned or 'a uid, which is empty'}"
            raise Refused("PREFLIGHT_FAILED", f"{text} (identity.cluster_uid); nothing was touched; choose the right context or environment")
        return uid

    def _where(self, host: str = "") -> str:
        return f"{self.access} ({host or self._door.host})"

    def _object(self, answer: Answer, method: str, target: str, host: str = "") -> dict[str, Any]:
        try:
            found = json.loads(answer.data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            text = f"{self._where(host)}: {method} {target}: got {answer.data[:80]!r}, expected a JSON object"
            raise CallFailed(f"{text}; something between here and the API server answers for it", answer.status, "NotJSON", None)
        return found

    def _failed(self, answer: Answer, method: str, target: str, more: str = "", host: str = "") -> CallFailed:
        said = _status_of(answer)
        reason, message = str(said.get("reason") or ""), str(said.get("message") or answer.data[:200].decode("utf-8", "replace"))
        causes = [str(one.get("reason")) for one in _causes(said)]
        reason = "DisruptionBudget" if "DisruptionBudget" in causes else reason
        advice = "its disruption budget has no room; wait, or kill without asking it" if reason == "DisruptionBudget" else _ADVICE.get(answer.status)
        text = f"{self._where(host)}: {method} {target}: got {answer.status} {reason}: {message[:400]}{more}; {advice or 'see what the API server says'}"
        return CallFailed(text, answer.status, reason, None if answer.status >= 500 else False)

    def _unanswered(self, error: Unanswered, method: str, target: str) -> CallFailed:
        known = "" if method == "GET" else "; whether it was carried out is not known" if error.sent else "; it was not sent"
        text = f"{self._where()}: {method} {target}: no answer: {error}{known}; check that the API server can be reached"
        return CallFailed(text, 0, "NoAnswer", None if error.sent else False)


def _status_of(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _causes(said: dict[str, Any]) -> list[dict[str, Any]]:
    details = said.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [one for one in causes if isinstance(one, dict)] if isinstance(causes, list) else []


def _wait_s(answer: Answer, method: str, base_s: float, tries: int) -> float | None:
    """How long to wait before the same call again, or None when it is not to be repeated."""
    if answer.status not in (429, 503) or (answer.status == 503 and method == "POST"):
        return None
    if any(one.get("reason") == "DisruptionBudget" for one in _causes(_status_of(answer))):
        return None
    asked = answer.headers.get("retry-after", "")
    own_s = min(base_s * 2.0**tries, _LONGEST_WAIT_S) * (0.5 + random.random() / 2)  # spread, so that many threads do not come back at once
    return max(float(asked), own_s) if asked.isascii() and asked.isdigit() else own_s
