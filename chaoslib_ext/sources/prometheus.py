"""
Prometheus over its HTTP API: instant and range queries, alerts, how often it scrapes. Standard library only.

Every error is NoData: unreachable, too slow, no 200, no JSON, not the shape that the API promises. Redirects are not followed.
Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from chaoslib_ext.clock import parse_duration
from chaoslib_ext.errors import NoData

MOST_BYTES = 16 * 1024 * 1024
_HIDDEN = re.compile(r"[^\x20-\x7e\xa0-\uffff]+")


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant vector: its labels and its value, which is finite."""

    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Alert:
    """One active alert. `state` is pending or firing, `active_at` when its condition became true, as Prometheus wrote it."""

    name: str
    state: str
    active_at: str


class Prometheus:
    """One Prometheus at `url` (http or https, perhaps with a path before `/api`). Each call ends within `timeout_s`, whatever the other side does."""

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        self.url, self.timeout_s = url.rstrip("/"), timeout_s
        self._parts = urlsplit(self.url)

    def instant(self, query: str, at_s: float) -> list[Series]:
        """The vector of a query at a Unix time; empty when nothing matches. A NaN or an infinity in it is NoData."""
        data = self._data("POST", "/api/v1/query", {"query": query, "time": f"{at_s:.3f}"})
        kind, result = data.get("resultType"), data.get("result")
        if kind == "scalar":
            return [Series((), _number(result))]
        if kind != "vector" or not isinstance(result, list):
            raise NoData(f"{self.url}: got a {kind!r} for {query!r:.200}, expected a vector")
        return [Series(_labels(one), _number(_field(one, "value"))) for one in result]

    def range(self, query: str, start_s: float, end_s: float, step_s: float) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
        """The points (Unix time, value) of each series of a query between two times; NaN points are left out."""
        asked = {"query": query, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:g}"}
        data = self._data("POST", "/api/v1/query_range", asked)
        result = data.get("result")
        if data.get("resultType") != "matrix" or not isinstance(result, list):
            raise NoData(f"{self.url}: got a {data.get('resultType')!r} for {query!r:.200}, expected a matrix")
        return {_labels(one): _points(_field(one, "values")) for one in result}

    def alerts(self) -> list[Alert]:
        """All alerts that are pending or firing."""
        found = self._data("GET", "/api/v1/alerts", {}).get("alerts")
        if not isinstance(found, list):
            raise NoData(f"{self.url}: the answer holds no list of alerts")
        return [Alert(dict(_labels(one, "labels")).get("alertname", ""), str(_field(one, "state")), str(one.get("activeAt", ""))) for one in found]

    def scrape_interval_s(self) -> float | None:
        """The longest interval at which one of its targets is scraped; None when it does not say."""
        try:
            found = self._data("GET", "/api/v1/targets", {"state": "active"}).get("activeTargets")
        except NoData:  # what only speaks Prometheus' query language has no targets
            return None
        said = [one.get("scrapeInterval") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return max((parse_duration(text) for text in said if isinstance(text, str) and text), default=None)

    def ahead_s(self) -> float:
        """How far its clock is ahead of ours, as far as the whole seconds of an HTTP date can tell."""
        sent_s = time.time()
        _, date = self._answer("GET", "/api/v1/query", {"query": "1"})
        try:
            said_s = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return 0.0  # it sends no date: nothing is known
        now_s = time.time()
        return said_s - now_s if said_s > now_s else min(0.0, said_s + 1.0 - sent_s)

    # the wire -----------------------------------------------------------------------------------------------

    def _data(self, method: str, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        body, _ = self._answer(method, path, fields)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise NoData(f"{self.url}{path}: the answer is no JSON: {error}") from error
        data = answer.get("data") if isinstance(answer, dict) and answer.get("status") == "success" else None
        if not isinstance(data, dict):
            raise NoData(f"{self.url}{path}: {_said(answer)}")
        return data

    def _answer(self, method: str, path: str, fields: Mapping[str, str]) -> tuple[bytes, str]:
        connection = self._connection()
        text = urlencode(fields)
        late = threading.Event()
        timer = None
        try:
            connection.connect()
            # a socket's own timeout begins anew with every byte; the connection forgets its socket as soon as the headers say "close"
            timer = threading.Timer(self.timeout_s, _cut_off, (connection.sock, late))
            timer.daemon = True
            timer.start()
            if method == "POST":
                connection.request("POST", self._parts.path + path, text, {"Content-Type": "application/x-www-form-urlencoded"})
            else:
                connection.request("GET", self._parts.path + path + (f"?{text}" if text else ""))
            response = connection.getresponse()
            body = response.read(MOST_BYTES + 1)
        except (OSError, HTTPException) as error:
            why = f"no answer within {self.timeout_s:g} s" if late.is_set() or isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            raise NoData(f"{self.url}{path}: {why}") from error
        finally:
            if timer is not None:
                timer.cancel()
            connection.close()
        if late.is_set() or response.length or len(body) > MOST_BYTES:
            cause = f"no whole answer within {self.timeout_s:g} s" if late.is_set() else "the answer broke off, or is too long"
            raise NoData(f"{self.url}{path}: {cause}")
        if response.status != 200:
            raise NoData(f"{self.url}{path}: HTTP {response.status}: {_said(_tried(body))}")
        return body, response.headers.get("Date", "")

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=self.timeout_s)


def _cut_off(sock: socket.socket, late: threading.Event) -> None:
    """Ends an exchange that takes too long, from outside."""
    late.set()
    with contextlib.suppress(OSError):  # it has just ended by itself
        sock.shutdown(socket.SHUT_RDWR)


def _tried(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace")


def _said(answer: Any) -> str:
    """What an answer complains of, harmless to print."""
    text = f"{answer.get('errorType')}: {answer.get('error')}" if isinstance(answer, dict) and "error" in answer else f"got {answer!r:.200}"
    return _HIDDEN.sub(" ", text)[:300]


def _field(one: Any, name: str) -> Any:
    if not isinstance(one, dict) or name not in one:
        raise NoData(f"a series or an alert has no {name!r}: {one!r:.100}")
    return one[name]


def _labels(one: Any, name: str = "metric") -> tuple[tuple[str, str], ...]:
    found = _field(one, name)
    if not isinstance(found, dict):
        raise NoData(f"{name!r} is no mapping: {found!r:.100}")
    return tuple(sorted((str(key), str(value)) for key, value in found.items()))


def _number(point: Any) -> float:
    """The finite number in `[time, "value"]`."""
    try:
        value = float(point[1])
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise NoData(f"got the point {point!r:.100}, expected a time and a number") from error
    if not math.isfinite(value):
        raise NoData(f"got the value {point[1]!r}, which is no number")
    return value


def _points(values: Any) -> list[tuple[float, float]]:
    if not isinstance(values, list):
        raise NoData(f"got the points {values!r:.100}, expected a list")
    found = []
    for point in values:
        try:
            found.append((float(point[0]), float(point[1])))
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise NoData(f"got the point {point!r:.100}, expected a time and a number") from error
    return [point for point in found if math.isfinite(point[1])]
