"""
What goes wrong on command: refusals, delays, hangs, cut connections and half answers; and what every request was.

Given to the stand-in from the test: `disturb("429", method="DELETE", retry_after_s=1, times=2)`. The first disturbance that fits a
request and has times left is used up by it. Kinds, `before` the request is carried out unless said otherwise:
a status code (`401` `403` `409` `410` `429` `500` `503` …), `delay` (then goes on), `hang` (reads the request and says nothing), `cut` (closes),
`cut after` and `hang after` (carried out, and nothing is said), `half` (carried out, half the answer), `trickle` (carried out, a byte each
50 ms), `nonsense` (200 and no JSON).
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

REASONS = {401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
AFTER = ("cut after", "hang after", "half", "trickle")


@dataclass(slots=True)
class Disturbance:
    """One thing that goes wrong, for requests of `method` whose path and query match `path`; `left` of them, after the first `skip`."""

    kind: str
    method: str = ""
    path: str = ""
    left: int = 1
    skip: int = 0
    delay_s: float = 0.0
    retry_after_s: int | None = None
    message: str = ""
    watches: bool | None = None  # True: only watches, False: everything else

    def fits(self, method: str, target: str) -> bool:
        """Whether this request is one of them."""
        watching = "watch=" in target
        return self.method in ("", method) and re.search(self.path, target) is not None and self.watches in (None, watching)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: what arrived, whatever was answered."""

    method: str
    target: str  # path and query
    body: Any
    content_type: str
    user: str


@dataclass
class Disturbances:
    """All that is planned to go wrong, and the log of requests. `released` lets hanging requests end."""

    planned: list[Disturbance] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def disturb(self, kind: str, **how: Any) -> Disturbance:
        """Plans one; `times` says for how many requests (default 1)."""
        one = Disturbance(str(kind), left=how.pop("times", 1), **how)
        with self.lock:
            self.planned.append(one)
        return one

    def calm(self) -> None:
        """Nothing more goes wrong, and what hangs ends."""
        with self.lock:
            self.planned.clear()
        self.released.set()
        self.released = threading.Event()

    def next_for(self, request: Request) -> Disturbance | None:
        """Logs the request, and takes what is planned for it."""
        with self.lock:
            self.requests.append(request)
            for one in self.planned:
                if one.left > 0 and one.fits(request.method, request.target):
                    if one.skip:
                        one.skip -= 1
                        continue
                    one.left -= 1
                    return one
        return None

    def seen(self, method: str = "", path: str = "") -> list[Request]:
        """The requests that came so far, of a method and a path (a regular expression)."""
        with self.lock:
            return [one for one in self.requests if method in ("", one.method) and re.search(path, one.target)]
