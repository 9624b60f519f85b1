"""Reading and cleaning the nodes of a store: HTTP by the standard library, SQL by psycopg, which is imported here and only when asked for."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from chaoslib_ext.load.journeys import Answer, template
from chaoslib_ext.load.spec import Hosts
from chaoslib_ext.writeplan import Cleanup, HttpRead, SqlRead

MOST_BYTES = 256 << 20


class Unreadable(Exception):
    """A node that cannot be read, or a request that failed; the text says why. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one node said: how often each id of the run is there, and whether it takes writes (None: nobody asked)."""

    counts: Counter[str]
    primary: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go: the base URL, and the hosts that may be reached."""

    base_url: str
    hosts: Hosts


def exchange(place: Place, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Answer:
    """One request on a connection of its own, its answer read to the end; redirects are not followed. Raises Unreadable."""
    parts = urlsplit(place.base_url)
    if not place.hosts.allow(place.base_url):
        raise Unreadable(f"{place.base_url} is not one of the environment's hosts")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, parts.path + path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        shown = f": {error}" if isinstance(error, OSError) else ""  # the others quote the URL, in which there may be a secret
        raise Unreadable(f"{method}: {type(error).__name__}{shown}") from error
    finally:
        connection.close()
    if len(data) > MOST_BYTES:
        raise Unreadable(f"{method}: the answer is larger than {MOST_BYTES >> 20} MiB")
    return Answer(answer.status, answer.headers.get("Location") or "", data)


def fill(text: str, values: Mapping[str, str], quoted: bool) -> str:
    """A text with `${run}` and `${node}` filled in; quoted for a URL."""
    return template(text, (lambda value: quote(value, safe="")) if quoted else str).render(values)


def read_http(place: Place, how: HttpRead, run: str, node: str, timeout_s: float) -> Reading:
    """The ids that one node names for the run. Raises Unreadable."""
    path = fill(how.url_path, {"run": run, "node": node}, quoted=True)
    answer = exchange(place, "GET", path, {"Accept": "application/json"}, None, min(timeout_s, how.timeout_s))
    if answer.status != 200:
        raise Unreadable(f"GET {path}: got the status {answer.status}, expected 200")
    try:
        found = _walk(json.loads(answer.body), how.ids)
    except ValueError as error:
        raise Unreadable(f"GET {path}: the answer is no JSON ({error})") from error
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Unreadable(f"GET {path}: got no list of texts at {how.ids}")
    return Reading(_ours(found, run))


def _walk(document: Any, path: str) -> Any:
    for key in path.removeprefix("$").strip(".").split(".") if path != "$" else ():
        document = document.get(key) if isinstance(document, dict) else None
    return document


def read_sql(how: SqlRead, run: str, node: str, timeout_s: float) -> Reading:
    """The ids that one node holds for the run, and whether it is the primary. Raises Unreadable."""
    with _connected(how.nodes[node], node, min(timeout_s, how.timeout_s)) as connection:
        found = _rows(connection, fill(how.query, {"run": run}, quoted=False), node)
        primary = None
        if how.primary:
            told = _rows(connection, how.primary, node)
            if len(told) != 1 or not isinstance(told[0][0], bool):
                raise Unreadable(f"{node}: settled by {how.primary!r}: got {told[:2]!r}, expected one row with true or false")
            primary = told[0][0]
    return Reading(_ours([str(row[0]) for row in found], run), primary)


def clean_up(place: Place, how: Cleanup, dsn: str, run: str) -> None:
    """Removes the run's records. Raises Unreadable."""
    if how.request:
        method, _, path = fill(how.request, {"run": run}, quoted=True).partition(" ")
        status = exchange(place, method, path, {}, None, how.timeout_s).status
        if status >= 300:
            raise Unreadable(f"{method} {path}: got the status {status}, expected one below 300")
        return
    with _connected(how.dsn or dsn, "cleanup", how.timeout_s) as connection:
        _rows(connection, fill(how.statement, {"run": run}, quoted=False), "cleanup")


def _ours(ids: list[str], run: str) -> Counter[str]:
    return Counter(one for one in ids if one.startswith(f"{run}:"))


def _connected(dsn: str, node: str, timeout_s: float) -> Any:
    """A connection in autocommit, each statement bounded by the limit; closed at the end of `with`."""
    if dsn.startswith("env:"):
        variable = dsn.removeprefix("env:")
        dsn = os.environ.get(variable, "")
        if not dsn:
            raise Unreadable(f"{node}: the environment variable {variable} is not set; set it to the DSN")
    try:
        psycopg: Any = importlib.import_module("psycopg")
    except ImportError as error:
        raise Unreadable(f"{node}: reading by SQL needs psycopg ({error}); install psycopg[binary]") from error
    try:
        limits = {"connect_timeout": max(2, round(timeout_s)), "options": f"-c statement_timeout={round(timeout_s * 1000)}"}
        return psycopg.connect(dsn, autocommit=True, **limits)
    except psycopg.Error as error:
        raise Unreadable(f"{node}: {type(error).__name__}: {_shown(error)}") from error


def _rows(connection: Any, statement: str, node: str) -> list[tuple[Any, ...]]:
    try:
        cursor = connection.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []
    except Exception as error:  # psycopg's own errors, named without importing it twice; others are bugs of ours
        if not type(error).__module__.startswith("psycopg"):
            raise
        raise Unreadable(f"{node}: {type(error).__name__}: {_shown(error)}") from error


def _shown(error: Exception) -> str:
    """The first line of a driver's message: the rest may repeat the connection's parameters."""
    return str(error).strip().partition("\n")[0][:300]
