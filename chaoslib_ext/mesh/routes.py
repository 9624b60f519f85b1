"""
A route table of Envoy as data: which routes it has, a fault put into one, and exactly that fault taken out again.

A fault and the mark that says whose it is are two fields of the same route, so one write carries both. Everything else of
the table is somebody else's and stays as it is. Nothing here opens a file.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MARK = "chaosx.internal"  # the key of our mark in a route's metadata
FAULT = "envoy.filters.http.fault"  # the name of the filter in the listener's chain, which a route configures
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
_MILLION = 1_000_000
_VERSION = re.compile(r"([0-9]{1,15})(?:-[0-9a-f]{8})?")
_LONGEST_DELAY_S = 3600.0

Document = dict[str, Any]  # what a file of a file-based route discovery holds: {"version_info", "resources": [one table]}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is done to which share (0–1] of the requests: held back for `delay_s` seconds, or answered with `status`; one of the two."""

    share: float
    delay_s: float = 0.0
    status: int = 0

    def problem(self) -> str:
        """What is wrong with the values, empty when nothing is: Envoy takes some of them and then does something else."""
        if not (math.isfinite(self.share) and 1 / _MILLION <= self.share <= 1):
            return f"share: got {self.share!r}, expected more than 0 and at most 100 % (0.0001 % is the least that Envoy can count)"
        if bool(self.delay_s) == bool(self.status):
            return "expected either a delay, more than 0, or a status"
        if self.delay_s and not 0.001 <= self.delay_s <= _LONGEST_DELAY_S:
            return f"delay: got {self.delay_s!r} s, expected 1 ms to 1 h"
        if self.status and (isinstance(self.status, bool) or not isinstance(self.status, int) or not 200 <= self.status <= 599):
            return f"status: got {self.status!r}, expected a whole number from 200 to 599"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; `Traffic(**data)` gives it back."""
        return {"share": self.share, "delay_s": self.delay_s, "status": self.status}


def stanza(traffic: Traffic, spared: Sequence[str]) -> dict[str, Any]:
    """
    The fault filter's configuration for a route; requests for the paths `spared` (health checks) are let alone.

    Raises ValueError for values that Envoy would refuse or misread.
    """
    wrong = traffic.problem()
    if wrong:
        raise ValueError(wrong)
    percentage = {"numerator": round(traffic.share * _MILLION), "denominator": "MILLION"}
    if traffic.delay_s:
        what: dict[str, Any] = {"delay": {"fixed_delay": f"{traffic.delay_s:.6f}s", "percentage": percentage}}
    else:
        what = {"abort": {"http_status": traffic.status, "percentage": percentage}}
    # a delayed health check would make the proxy in front take the target away, and the fault would end itself
    headers = [{"name": ":path", "string_match": {"exact": path}, "invert_match": True} for path in spared]
    return {"@type": _TYPE, **what, **({"headers": headers} if headers else {})}


def table_of(document: Any) -> dict[str, Any]:
    """The one route table in a document. Raises ValueError when it holds none, or several."""
    resources = document.get("resources") if isinstance(document, dict) else None
    if not isinstance(resources, list) or len(resources) != 1 or not isinstance(resources[0], dict) or not resources[0].get("name"):
        raise ValueError("got no file of route discovery, expected an object with version_info and resources: [one named RouteConfiguration]")
    table: dict[str, Any] = resources[0]
    return table


def _routes(table: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every route with its virtual host."""
    for host in table.get("virtual_hosts") or []:
        for route in host.get("routes") or []:
            yield host, route


def names(document: Document) -> list[str]:
    """The names of the routes that lead to a cluster, in the order of the table."""
    return [str(route["name"]) for _, route in _routes(table_of(document)) if route.get("name") and "route" in route]


def faults_there(document: Document, chosen: Sequence[str]) -> list[str]:
    """
    Who has a fault on these routes, or around them where it also applies; `nobody` for one without our kind of mark.

    A fault of a virtual host, of the whole table or of one weighted cluster counts: ours would hide it, or be hidden by it.
    """
    table, found = table_of(document), []
    if _has_fault(table):
        found.append("nobody")
    for host, route in _routes(table):
        if route.get("name") not in chosen:
            continue
        clusters = ((route.get("route") or {}).get("weighted_clusters") or {}).get("clusters") or []
        owner = owner_of(route)
        if owner is not None or _has_fault(route):
            found.append(owner or "nobody")
        found += ["nobody" for around in (host, *clusters) if _has_fault(around)]
    return list(dict.fromkeys(found))


def _has_fault(part: dict[str, Any]) -> bool:
    configured = part.get("typed_per_filter_config") or {}
    return any(name == FAULT or (isinstance(one, dict) and "HTTPFault" in str(one)) for name, one in configured.items())


def owner_of(route: dict[str, Any]) -> str | None:
    """Whose fault a route carries, by our kind of mark; None without one."""
    mark = ((route.get("metadata") or {}).get("filter_metadata") or {}).get(MARK)
    return str(mark.get("owner")) if isinstance(mark, dict) else None


def owners_in(document: Document) -> list[str]:
    """Whose faults, by our kind of mark, are in the table, each once."""
    return list(dict.fromkeys(owner for _, route in _routes(table_of(document)) if (owner := owner_of(route)) is not None))


def with_fault(document: Document, chosen: Sequence[str], owner: str, what: dict[str, Any]) -> Document:
    """
    The document with the fault, marked as `owner`'s, in these routes, and a new version.

    Raises ValueError when one of them is not there exactly once, or has a fault of somebody else.
    """
    made = copy.deepcopy(document)
    there = names(made)
    for name in chosen:
        if there.count(name) != 1:
            raise ValueError(f"route {name!r} is there {there.count(name)} times, expected once (there are: {', '.join(there) or 'none'})")
    others = [one for one in faults_there(made, chosen) if one != owner]
    if others:
        raise ValueError(f"a fault of {', '.join(others)} is on {', '.join(chosen)} already")
    for _, route in _routes(table_of(made)):
        if route.get("name") in chosen and owner_of(route) != owner:
            ours = [key for key in ("typed_per_filter_config", "metadata") if key not in route]
            metadata = route.setdefault("metadata", {})
            ours += ["filter_metadata"] if "filter_metadata" not in metadata else []
            metadata.setdefault("filter_metadata", {})[MARK] = {"owner": owner, "made": ours, "stanza": _digest(what)}
            route.setdefault("typed_per_filter_config", {})[FAULT] = what
    made["version_info"] = next_version(document)
    return made


def without_fault(document: Document, owner: str) -> Document | None:
    """The document without what is marked as `owner`'s, and with a new version; None when nothing is."""
    made, found = copy.deepcopy(document), False
    for _, route in _routes(table_of(made)):
        if owner_of(route) == owner:
            _strip(route)
            found = True
    if found:
        made["version_info"] = next_version(document)
    return made if found else None


def _strip(route: dict[str, Any]) -> None:
    """
    Takes our stanza and our mark out of a route, and what we had to make to put them in, if nothing else is in there now.

    A stanza that is not the one we wrote any more is somebody else's, and stays.
    """
    mark = route["metadata"]["filter_metadata"].pop(MARK)
    configured = route.get("typed_per_filter_config") or {}
    if FAULT in configured and mark.get("stanza") in (None, _digest(configured[FAULT])):
        del configured[FAULT]
    ours = mark.get("made") or []
    if "filter_metadata" in ours and not route["metadata"]["filter_metadata"]:
        del route["metadata"]["filter_metadata"]
    for key in ("metadata", "typed_per_filter_config"):
        if key in ours and route.get(key) == {}:
            del route[key]


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def next_version(document: Document) -> str:
    """A version that nobody else has: one higher than the document's, and four random bytes."""
    before = _VERSION.fullmatch(str(document.get("version_info") or ""))
    return f"{int(before[1]) + 1 if before else 1}-{secrets.token_hex(4)}"


def look_path(document: Document, name: str) -> str:
    """
    A path whose GET takes this route, for looks from outside.

    Raises ValueError where no such path can be made up: the route wants headers, a method, a pattern or a host, or hides
    behind another.
    """
    table = table_of(document)
    for host, route in _routes(table):
        if route.get("name") == name:
            path = _path_of(route.get("match") or {})
            if path is None or "*" not in (host.get("domains") or []):
                raise ValueError(f"route {name!r} wants more than a path, so the fault could not be seen from outside")
            first = next((other for other in host["routes"] if _may_match(other.get("match") or {}, path)), None)
            if first is not route:
                raise ValueError(f"route {name!r} may be hidden by a route before it, so the fault could not be seen from outside")
            return path
    raise ValueError(f"route {name!r} is not there (there are: {', '.join(names(document)) or 'none'})")


def _path_of(match: dict[str, Any]) -> str | None:
    if match.keys() - {"prefix", "path", "path_separated_prefix"}:
        return None
    if "path" in match:
        return str(match["path"])
    prefix = match.get("prefix", match.get("path_separated_prefix"))
    return None if prefix is None else str(prefix).rstrip("/") + "/0"


def _may_match(match: dict[str, Any], path: str) -> bool:
    """Whether a route might take this path; where that cannot be told, it might."""
    if "path" in match:
        return bool(match["path"] == path)
    prefix = match.get("prefix", match.get("path_separated_prefix"))
    return prefix is None or path.startswith(str(prefix))
