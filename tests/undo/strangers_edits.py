"""
What third parties do to a file of routes between inject and heal, each as a change that can be made to any document.

Every edit is made twice: to the file with our fault in it, and to the document in which our fault has never been. Without our
part, the first must then be the second. An edit that finds nothing of what it looks for changes nothing.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from chaoslib_ext.mesh.routes import FAULT, MARK

Document = dict[str, Any]
Edit = Callable[[Document], None]
THEIRS = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", "abort": {"http_status": 418}}
CORS, THEIR_KEY = "envoy.filters.http.cors", "com.example.team"


def document(rng: random.Random) -> Document:
    """A route table as somebody may have it: with filters, metadata, empty containers and odd values of their own."""
    routes = [_route(rng, number) for number in range(rng.randint(2, 6))]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    if rng.random() < 0.3:
        hosts.append({"name": "other", "domains": ["other.example.com"], "routes": [_route(rng, 100)]})
    about = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "shop", "virtual_hosts": hosts}
    return {"version_info": rng.choice(["1", "7-0a1b2c3d", "v2025-01", ""]), "resources": [about]}


def _route(rng: random.Random, number: int) -> dict[str, Any]:
    route: dict[str, Any] = {"name": f"r{number}", "match": {"prefix": rng.choice(["/", "/käse", "/a/b"])}, "route": {"cluster": "local", "timeout": "2.0s"}}
    if rng.random() < 0.4:
        route["typed_per_filter_config"] = rng.choice([{}, {CORS: {"@type": "x", "shadow": 1.5}}])
    if rng.random() < 0.4:
        route["metadata"] = rng.choice([{}, {"filter_metadata": {}}, {"filter_metadata": {THEIR_KEY: {"n": 2**40, "x": None, "t": "ü€"}}}, {"typed": []}])
    if rng.random() < 0.3:
        route["request_headers_to_add"] = [{"header": {"key": "x-a", "value": str(rng.random())}}]
    return route


def _all_routes(found: Document) -> list[list[dict[str, Any]]]:
    return [host["routes"] for host in found["resources"][0]["virtual_hosts"]]


def _on_route(name: str, change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(found: Document) -> None:
        for routes in _all_routes(found):
            for route in routes:
                if route.get("name") == name:
                    change(route)

    return edit


# beside our part -------------------------------------------------------------------------------------------------------


def add(rng: random.Random, _names: list[str], _ours: list[str]) -> Edit:
    fresh, at = {"name": f"new-{rng.random():.6f}", "match": {"path": "/new"}, "route": {"cluster": "elsewhere"}}, rng.random()
    return lambda found: _all_routes(found)[0].insert(round(at * len(_all_routes(found)[0])), copy.deepcopy(fresh))


def remove(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    name = rng.choice(names)

    def edit(found: Document) -> None:
        for routes in _all_routes(found):
            routes[:] = [route for route in routes if route.get("name") != name]

    return edit


def reorder(rng: random.Random, _names: list[str], _ours: list[str]) -> Edit:
    seed = rng.random()
    return lambda found: random.Random(seed).shuffle(_all_routes(found)[0])


def retime(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    value = f"{rng.random():.3f}s"
    return _on_route(rng.choice(names), lambda route: route.setdefault("route", {}).update(timeout=value, retry_policy={"num_retries": 2}))


def rename(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    fresh = f"renamed-{rng.random():.6f}"
    return _on_route(rng.choice(names), lambda route: route.update(name=fresh))


def duplicate(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    name, fresh = rng.choice(names), f"copy-{rng.random():.6f}"

    def edit(found: Document) -> None:
        for routes in _all_routes(found):
            routes += [{**copy.deepcopy(route), "name": fresh} for route in routes if route.get("name") == name]

    return edit


def filter_of_theirs(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    value = rng.random()
    return _on_route(rng.choice(names), lambda route: route.setdefault("typed_per_filter_config", {}).update({CORS: {"allow": value}}))


def metadata_of_theirs(rng: random.Random, names: list[str], _ours: list[str]) -> Edit:
    value = rng.random()
    return _on_route(rng.choice(names), lambda route: route.setdefault("metadata", {}).setdefault("filter_metadata", {}).update({THEIR_KEY: {"v": value}}))


def fault_elsewhere(rng: random.Random, names: list[str], ours: list[str]) -> Edit:
    others = [name for name in names if name not in ours] or ["nowhere"]
    return _on_route(rng.choice(others), lambda route: route.setdefault("typed_per_filter_config", {}).update({FAULT: THEIRS}))


def table(rng: random.Random, _names: list[str], _ours: list[str]) -> Edit:
    value = rng.random()
    return lambda found: found["resources"][0].update(validate_clusters=False, max_direct_response_body_size_bytes=round(value * 4096))


def version(rng: random.Random, _names: list[str], _ours: list[str]) -> Edit:
    value = f"theirs-{rng.random():.6f}"
    return lambda found: found.update(version_info=value)


BESIDE = (add, remove, reorder, retime, rename, duplicate, filter_of_theirs, metadata_of_theirs, fault_elsewhere, table, version)


# on our part; at most one of these in a case ---------------------------------------------------------------------------


def their_stanza(rng: random.Random, _names: list[str], ours: list[str]) -> Edit:
    """Their fault instead of ours, our mark still on the route: it is theirs."""
    return _on_route(rng.choice(ours), lambda route: route.setdefault("typed_per_filter_config", {}).update({FAULT: THEIRS}))


def their_stanza_and_mark(rng: random.Random, _names: list[str], ours: list[str]) -> Edit:
    def change(route: dict[str, Any]) -> None:
        route.setdefault("typed_per_filter_config", {}).update({FAULT: THEIRS})
        route.setdefault("metadata", {}).setdefault("filter_metadata", {})[MARK] = {"owner": "stranger", "made": []}

    return _on_route(rng.choice(ours), change)


def no_filters(rng: random.Random, _names: list[str], ours: list[str]) -> Edit:
    """Our stanza deleted, with everything beside it; our mark still there."""
    return _on_route(rng.choice(ours), lambda route: route.pop("typed_per_filter_config", None))


def no_stanza(rng: random.Random, _names: list[str], ours: list[str]) -> Edit:
    return _on_route(rng.choice(ours), lambda route: (route.get("typed_per_filter_config") or {}).pop(FAULT, None))


def no_metadata(rng: random.Random, _names: list[str], ours: list[str], what: dict[str, Any]) -> Edit:
    """Our mark deleted, with everything beside it: a fault that nobody can tell from theirs stays, and is told."""

    def change(route: dict[str, Any]) -> None:
        route.pop("metadata", None)
        route.setdefault("typed_per_filter_config", {})[FAULT] = what

    return _on_route(rng.choice(ours), change)


ON_OURS = (their_stanza, their_stanza_and_mark, no_filters, no_stanza, no_metadata)
