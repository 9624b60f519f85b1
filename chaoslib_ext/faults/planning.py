"""
The plan of a fault: exactly what would be hit, by uid, and what survives. It touches nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

from chaoslib_ext import fuses
from chaoslib_ext.clock import parse_duration
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.faults import disks, protection, storing, traffic
from chaoslib_ext.faults.caps import exceeded, members, most
from chaoslib_ext.formats.quantities import parse_ratio
from chaoslib_ext.process.client import read_roster, uid

MODULES = ("chaoslib_ext.faults", "chaoslib_ext.faults.actions")
REQUIRED = object()
_TRAFFIC = {"share": "100%", "route": "", "where": "sidecar", "zone": "", "timeout_s": 10.0}
PARAMETERS: dict[str, dict[str, Any]] = {
    "kill_replicas": {"service": REQUIRED, "share": "", "count": 0, "zone": "", "timeout_s": 10.0},
    "lose_zone": {"zone": REQUIRED, "duration": REQUIRED, "how": "silent", "service": "", "timeout_s": 10.0},
    "delay_traffic": {"service": REQUIRED, "delay": REQUIRED, "duration": REQUIRED, **_TRAFFIC},
    "lose_primary": {"store": "store", "duration": "", "how": "kill", "timeout_s": 10.0},
    "cut_replication": {"zone": REQUIRED, "duration": REQUIRED, "timeout_s": 10.0},
    "delay_replication": {"zone": REQUIRED, "delay": REQUIRED, "duration": REQUIRED, "timeout_s": 10.0},
    "abort_traffic": {"service": REQUIRED, "duration": REQUIRED, "status": 503, **_TRAFFIC},
    "fill_disk": {"store": "store", "duration": REQUIRED, "node": "primary", "timeout_s": 20.0},
    "slow_disk": {"store": "store", "delay": REQUIRED, "duration": REQUIRED, "node": "primary", "timeout_s": 20.0},
}
HOWS = ("silent", "isolate", "crash")
OUTER_S = 5.0  # on top of timeout and duration: the bound after which a fault is taken back whatever was seen


def is_ours(activity: dict[str, Any]) -> bool:
    """Whether an activity of an experiment names a fault of ours."""
    provider = activity.get("provider") or {}
    return activity.get("type") == "action" and provider.get("type") == "python" and provider.get("module") in MODULES


def resolve(activity: dict[str, Any], environment: Environment, caps: dict[str, float], seed: int) -> dict[str, Any]:
    """
    The plan row of an activity in an environment; the same seed and the same replicas give the same row.

    Raises UsageError where the activity is wrong or selects nothing (naming what exists), and Refused
    where it would hit more than the caps allow (CAPS_EXCEEDED), what must not be touched (PROTECTED), or another target answers (PREFLIGHT_FAILED).
    """
    name, func = str(activity["name"]), str(activity["provider"].get("func"))
    arguments = bound(name, func, activity["provider"].get("arguments") or {})
    rosters = _rosters(environment, name)
    resolvers = {"kill_replicas": _kill_replicas, "lose_zone": _lose_zone, "delay_traffic": _delay_traffic, "abort_traffic": _abort_traffic}
    of_store = {"lose_primary": storing.lose_primary, "cut_replication": storing.cut_replication, "delay_replication": storing.delay_replication}
    of_store |= {"fill_disk": disks.fill_disk, "slow_disk": disks.slow_disk}
    if func in of_store:
        row = of_store[func](name, arguments, environment, rosters)
    else:
        row = resolvers[func](name, arguments, environment, rosters, seed)
    row = {"activity": name, "func": func, "arguments": arguments, "timeout_s": float(arguments["timeout_s"]), **row}
    if row["kind"] == "held":
        keepers = {os.fspath(path): content.get("keeper") or {} for path, content in rosters}
        row["fuse"] = fuses.planned(row["targets"], keepers, bound_s(row["timeout_s"], row["duration_s"]))
    protected = protection.refusals(row["targets"], {os.fspath(path): content for path, content in rosters}, environment.to_json())
    if protected:
        raise Refused("PROTECTED", f"{name}: {'; '.join(protected)}; nothing was touched")
    too_much = exceeded(row, caps, members(content for _, content in rosters))
    if too_much:
        raise Refused("CAPS_EXCEEDED", f"{name}: {'; '.join(too_much)}; nothing was touched")
    return {**row, "caps": caps}


def bound_s(timeout_s: float, duration_s: float | None) -> float:
    """The seconds from the injection at which a fault is taken back at the latest, whatever was seen."""
    return float(timeout_s) + float(duration_s or 0) + OUTER_S


def bound(name: str, func: str, given: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a fault, with defaults. Raises UsageError for an unknown or missing one."""
    if func not in PARAMETERS:
        raise UsageError(f"{name}: got func {func!r}, expected one of {', '.join(PARAMETERS)}")
    known = PARAMETERS[func]
    unknown = [key for key in given if key not in known]
    missing = [key for key, default in known.items() if default is REQUIRED and given.get(key) in (None, "")]
    if unknown or missing:
        text = f"unknown argument {unknown[0]!r}" if unknown else f"argument {missing[0]!r} is missing"
        raise UsageError(f"{name}: {func}: {text}; it takes {', '.join(known)}")
    timeout_s = given.get("timeout_s", known["timeout_s"])
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s < 86400:
        raise UsageError(f"{name}: {func}: timeout_s: got {timeout_s!r}, expected seconds, more than 0")
    return {**known, **given}


Roster = tuple[str, dict[str, Any]]  # its path, and what is in it


def _rosters(environment: Environment, name: str) -> list[Roster]:
    paths = sorted({service.processes["roster"] for service in environment.services.values() if service.processes})
    if not paths:
        raise UsageError(f"{name}: environment {environment.name} has no service made of local processes, and this fault knows no other platform yet")
    found = []
    for path in paths:
        try:
            roster = read_roster(path)
        except (OSError, FaultFailed) as error:
            raise Refused("PREFLIGHT_FAILED", f"{name}: environment {environment.name}: its roster cannot be read: {error}") from error
        if environment.identity and roster["identity"] not in environment.identity.values():
            raise Refused("PREFLIGHT_FAILED", f"{name}: {path} belongs to {roster['identity']}, not to environment {environment.name}")
        found.append((path, roster))
    return found


def _all_replicas(rosters: Sequence[Roster]) -> list[tuple[Roster, dict[str, Any]]]:
    replicas = [(roster, replica) for roster in rosters for replica in roster[1]["replicas"] if replica.get("pid")]
    return sorted(replicas, key=lambda found: str(found[1]["name"]))


def _named(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or "none"


def _check_exists(name: str, what: str, value: str, existing: Iterable[str]) -> None:
    known = set(existing)
    if value and value not in known:
        raise UsageError(f"{name}: {what} {value!r} matches nothing (there are: {_named(known)}); nothing was touched")


def _kill_replicas(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster], seed: int) -> dict[str, Any]:
    service, zone = str(arguments["service"]), environment.zones.get(str(arguments["zone"]), str(arguments["zone"]))
    replicas = _all_replicas(rosters)
    _check_exists(name, "service", service, (replica["service"] for _, replica in replicas))
    _check_exists(name, "zone", zone, (replica["zone"] for _, replica in replicas))
    there, rules = [(roster, one) for roster, one in replicas if one["service"] == service and zone in ("", one["zone"])], environment.to_json()
    candidates = [(roster, one) for roster, one in there if one.get("ready") and not protection.spared(roster[1], one, rules)]
    number = _number(name, arguments, len(candidates))
    drawn = sorted(candidates, key=lambda found: hashlib.sha256(f"{seed}|{name}|{found[1]['name']}".encode()).digest())[:number]
    hit = sorted(drawn, key=lambda found: str(found[1]["name"]))
    targets = [_replica(roster, replica) for roster, replica in hit]
    instant = {"kind": "instant", "duration_s": None, "reversible": False}
    return {"how": "kill", **instant, "service": service, "zone": zone, "targets": targets, **_extent(replicas, targets)}


def _number(name: str, arguments: dict[str, Any], candidates: int) -> int:
    share, count = arguments["share"], arguments["count"]
    if bool(share) == bool(count):
        got = "both share and count" if share else "neither share nor count"
        raise UsageError(f'{name}: kill_replicas: got {got}, expected one, like count: 1 or share: "34%"')
    if count:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= candidates:
            raise UsageError(f"{name}: kill_replicas: count: got {count!r}, expected 1 to {candidates} (that many match, are ready and may be touched)")
        return count
    try:
        number = most(parse_ratio(share), candidates)
    except ValueError as error:
        raise UsageError(f"{name}: kill_replicas: share: {error}") from error
    if number == 0:
        raise UsageError(f"{name}: kill_replicas: share {share} of {candidates} ready replicas, rounded down, is none; nothing was touched")
    return number


def _lose_zone(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster], _seed: int) -> dict[str, Any]:
    how, service = str(arguments["how"]), str(arguments["service"])
    zone = environment.zones.get(str(arguments["zone"]), str(arguments["zone"]))
    if how not in HOWS:
        raise UsageError(f"{name}: lose_zone: how: got {how!r}, expected {', '.join(HOWS)}")
    try:
        duration_s = parse_duration(arguments["duration"])
    except ValueError as error:
        raise UsageError(f"{name}: lose_zone: duration: {error}") from error
    replicas = _all_replicas(rosters)
    _check_exists(name, "zone", zone, (replica["zone"] for _, replica in replicas))
    _check_exists(name, "service", service, (replica["service"] for _, replica in replicas))
    hit = [(roster, one) for roster, one in replicas if one["zone"] == zone and service in ("", one["service"])]
    if not hit:
        there = _named(one["service"] for _, one in replicas if one["zone"] == zone)
        raise UsageError(f"{name}: service {service!r} has no replica in zone {zone} (there are: {there}); nothing was touched")
    hit_names = {one["name"] for _, one in hit}
    whole = [roster for roster in rosters if (here := _names_in(roster, zone)) and here <= hit_names]
    if how != "silent" and len(whole) < len({roster[0] for roster, _ in hit}):
        raise UsageError(f'{name}: lose_zone: how "{how}" takes the whole zone {zone}, and other services live in it; use how "silent", or leave out service')
    around = [_zone_target(roster, zone, "zone" if how == "crash" else "link") for roster in whole]
    links, nodes = _of_the_store(name, rosters, zone, how, service)
    targets = [*links, *around, *nodes, *(_replica(roster, replica) for roster, replica in hit)]
    held = {"kind": "held", "duration_s": duration_s, "reversible": how != "crash"}
    extent = _extent(replicas, targets)
    extent["of"] |= storing.zone_extent(rosters, targets)
    return {"how": how, **held, "service": service, "zone": zone, "targets": targets, **extent}


def _of_the_store(name: str, rosters: Sequence[Roster], zone: str, how: str, service: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The replication links and the nodes of a store that a zone takes along; none where only a service of it is lost."""
    found = [storing.zone_targets(roster, zone) for roster in rosters] if not service else []
    links, nodes = [link for one, _ in found for link in one], [node for _, one in found for node in one]
    if nodes and how == "isolate":
        raise UsageError(
            f'{name}: lose_zone: how "isolate" cannot cut off {nodes[0]["name"]}, which its clients reach directly;'
            ' use how "silent" or "crash", or name a service'
        )
    return links, nodes


def _delay_traffic(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster], _seed: int) -> dict[str, Any]:
    return traffic.plan(name, "delay_traffic", arguments, *_service_and_zone(name, arguments, environment, rosters))


def _abort_traffic(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster], _seed: int) -> dict[str, Any]:
    return traffic.plan(name, "abort_traffic", arguments, *_service_and_zone(name, arguments, environment, rosters))


def _service_and_zone(
    name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]
) -> tuple[str, list[tuple[Roster, dict[str, Any]]]]:
    zone = environment.zones.get(str(arguments["zone"]), str(arguments["zone"]))
    replicas = _all_replicas(rosters)
    _check_exists(name, "service", str(arguments["service"]), (replica["service"] for _, replica in replicas))
    _check_exists(name, "zone", zone, (replica["zone"] for _, replica in replicas if replica["service"] == arguments["service"]))
    return zone, replicas


def _names_in(roster: Roster, zone: str) -> set[str]:
    return {one["name"] for one in roster[1]["replicas"] if one["zone"] == zone and one.get("pid")}


def _replica(roster: Roster, replica: dict[str, Any]) -> dict[str, Any]:
    host, port = replica["link"]
    probe = {"host": host, "port": port, "path": replica.get("health", "/healthz")}
    return {**_target(roster, "replica", replica["service"], replica["name"], replica["uid"], replica["zone"]), "probe": probe}


def _zone_target(roster: Roster, zone: str, kind: str) -> dict[str, Any]:
    link = roster[1]["links"][zone]
    identity = uid(link["pid"], link["start_ticks"]) if kind == "link" and link.get("pid") else f"{roster[1]['identity']}/{kind}/{zone}"
    return {**_target(roster, kind, "", f"{kind} {zone}", identity, zone), "probe": None}


def _target(roster: Roster, kind: str, service: str, name: str, target_uid: str, zone: str) -> dict[str, Any]:
    path, content = roster
    keeper = (content.get("keeper") or {}).get("control", "")
    control = content["links"][zone]["control"] if kind == "link" else keeper
    data = {"roster": os.fspath(path), "control": control, "keeper": keeper}
    return {"platform": "process", "identity": content["identity"], "kind": kind, "ns": service, "name": name, "uid": target_uid, "zone": zone, "data": data}


def _extent(replicas: Sequence[tuple[Roster, dict[str, Any]]], targets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is hit of what there is, per service; which zones are wholly lost to those services; ready survivors per zone."""
    hit = {target["uid"] for target in targets}
    services = sorted({target["ns"] for target in targets if target["kind"] == "replica"})
    mine = [replica for _, replica in replicas if replica["service"] in services]
    of = {}
    for service in services:
        uids = [one["uid"] for one in mine if one["service"] == service]
        of[service] = {"total": len(uids), "hit": sum(one in hit for one in uids)}
    zones = sorted({one["zone"] for one in mine})
    lost = [zone for zone in zones if all(one["uid"] in hit for one in mine if one["zone"] == zone)]
    survivors = {zone: sum(one["uid"] not in hit and bool(one.get("ready")) for one in mine if one["zone"] == zone) for zone in zones}
    return {"of": of, "zones_lost": lost, "survivors": {zone: number for zone, number in survivors.items() if number}}
