"""
The plan of a fault in the traffic of a service: which Envoys get it, on which of their routes, and how it will be seen.

It reads the files of routes and touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.clock import parse_duration
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.formats.quantities import parse_ratio
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import Traffic, faults_there, look_path, names
from chaoslib_ext.process.client import uid

PLACES = ("sidecar", "ingress")
Found = tuple[tuple[str, dict[str, Any]], dict[str, Any]]  # a roster (its path, and what is in it) and one of its replicas


def plan(name: str, func: str, arguments: dict[str, Any], zone: str, replicas: Sequence[Found]) -> dict[str, Any]:
    """
    What a plan row says of `delay_traffic` or `abort_traffic`; `replicas` are those of all services, `zone` is known to exist.

    Raises UsageError where a value is wrong or nothing is selected (naming what exists), and Refused PREFLIGHT_FAILED
    where a fault is there already or an Envoy's routes cannot be read.
    """
    service, where, traffic = str(arguments["service"]), str(arguments["where"]), _traffic(name, func, arguments)
    if where not in PLACES:
        raise UsageError(f"{name}: {func}: where: got {where!r}, expected {', '.join(PLACES)}")
    if where == "ingress" and zone:
        raise UsageError(f'{name}: {func}: the ingress stands in no zone; leave out zone, or use where "sidecar"')
    mine = [(roster, one) for roster, one in replicas if one["service"] == service]
    hit = [(roster, one) for roster, one in mine if zone in ("", one["zone"])]
    there = _sidecars(hit) if where == "sidecar" else _ingresses(hit)
    if not there:
        raise UsageError(f"{name}: no {where} of {service}{f' in zone {zone}' if zone else ''} is an Envoy; a sandbox has them with the switch mesh")
    spared = sorted({str(one.get("health", "/healthz")) for _, one in mine})
    targets = [{**_target(f"{name}: {func}", str(arguments["route"]), spared, one), "ns": service} for one in there]
    held = {"how": "delay" if traffic.delay_s else "abort", "kind": "held", "duration_s": _duration_s(name, func, arguments), "reversible": True}
    lost = _lost_zones(traffic, arguments, where, zone, mine)
    return {**held, "service": service, "zone": zone, "traffic": traffic.to_json(), "targets": targets, **_extent(service, mine, lost)}


def _traffic(name: str, func: str, arguments: dict[str, Any]) -> Traffic:
    share = _read(name, func, arguments, "share", parse_ratio)
    delay_s = _read(name, func, arguments, "delay", parse_duration) if func == "delay_traffic" else 0.0
    traffic = Traffic(share, delay_s, 0 if func == "delay_traffic" else arguments["status"])
    if wrong := traffic.problem():
        raise UsageError(f"{name}: {func}: {wrong}")
    if delay_s >= float(arguments["timeout_s"]):
        raise UsageError(f"{name}: {func}: delay: got {delay_s:g} s, which cannot be seen within timeout_s, {arguments['timeout_s']:g} s; raise timeout_s")
    return traffic


def _duration_s(name: str, func: str, arguments: dict[str, Any]) -> float:
    duration_s = _read(name, func, arguments, "duration", parse_duration)
    if duration_s <= 0:
        raise UsageError(f"{name}: {func}: duration: got {arguments['duration']!r}, expected more than 0s")
    return duration_s


def _read(name: str, func: str, arguments: dict[str, Any], argument: str, parse: Callable[[Any], float]) -> float:
    try:
        return parse(arguments[argument])
    except ValueError as error:
        raise UsageError(f"{name}: {func}: {argument}: {error}") from error


@dataclass(frozen=True, slots=True)
class Placed:
    """An Envoy of a roster: the roster's path and content, what it says of the Envoy, what we call it, and its zone."""

    path: str
    content: dict[str, Any]
    told: dict[str, Any]
    name: str
    zone: str


def _sidecars(replicas: Sequence[Found]) -> list[Placed]:
    return [Placed(*roster, one["sidecar"], f"sidecar of {one['name']}", str(one["zone"])) for roster, one in replicas if one.get("sidecar")]


def _ingresses(replicas: Sequence[Found]) -> list[Placed]:
    rosters = {roster[0]: roster for roster, _ in replicas if roster[1].get("ingress")}
    return [Placed(*roster, roster[1]["ingress"], "ingress", "") for roster in rosters.values()]


def _target(where: str, route: str, spared: list[str], placed: Placed) -> dict[str, Any]:
    told, called = placed.told, placed.name
    envoy = Envoy(told["admin"], told["config"])
    try:
        document = client.read(envoy)
    except (OSError, FaultFailed) as error:
        raise Refused("PREFLIGHT_FAILED", f"{where}: {called}: its routes cannot be read: {error}") from error
    known = names(document)
    if not known or (route and known.count(route) != 1):
        raise UsageError(f"{where}: route {route!r} is not there once in {called} (there are: {', '.join(known) or 'none'}); nothing was touched")
    chosen = [route] if route else known
    there = faults_there(document, chosen)
    if there:
        raise Refused("PREFLIGHT_FAILED", f"{where}: {called}: a fault of {', '.join(there)} is on {', '.join(chosen)} already; nothing was touched")
    try:
        host, port = told["address"]
        probe = {"host": host, "port": port, "path": look_path(document, chosen[0])}
    except ValueError as error:
        raise UsageError(f"{where}: {called}: {error}") from error
    keeper = (placed.content.get("keeper") or {}).get("control", "")
    data = {"roster": placed.path, "keeper": keeper, "admin": envoy.admin, "config": envoy.config}
    identity = {"platform": "process", "identity": placed.content["identity"], "kind": "envoy", "name": called, "zone": placed.zone}
    return {**identity, "uid": uid(told["pid"], told["start_ticks"]), "data": {**data, "routes": chosen, "spared": spared}, "probe": probe}


def _lost_zones(traffic: Traffic, arguments: dict[str, Any], where: str, zone: str, mine: Sequence[Found]) -> list[str]:
    """The zones that answer nothing but errors: every request to every route is aborted."""
    if traffic.share < 1 or traffic.status < 400 or arguments["route"]:
        return []
    zones = sorted({str(one["zone"]) for _, one in mine})
    return zones if where == "ingress" or not zone else [zone]


def _extent(service: str, mine: Sequence[Found], lost: Sequence[str]) -> dict[str, Any]:
    """No replica is hit: what stands between them and their callers is. Ready replicas per zone survive, but for zones that only err."""
    zones = sorted({str(one["zone"]) for _, one in mine if one["zone"] not in lost})
    survivors = {zone: sum(bool(one.get("ready")) for _, one in mine if one["zone"] == zone) for zone in zones}
    of = {service: {"total": len(mine), "hit": 0}}
    return {"of": of, "zones_lost": list(lost), "survivors": {zone: number for zone, number in survivors.items() if number}}
