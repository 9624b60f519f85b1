"""
The plan of a fault of a replicated store: which node or which replication link would be hit, and where it is looked at.

A node is looked at by the store's health service, which runs outside of the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chaoslib_ext.clock import parse_duration
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError

SERVICE = "store"
HOWS = ("kill", "freeze", "switchover")
_DELAY_S = (0.02, 60.0)  # a smaller one would not stand out from how long a look takes anyway

Roster = tuple[str, dict[str, Any]]  # its path, and what is in it


def zone_targets(roster: Roster, zone: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The replication link and the node of a zone, each as a list; both empty where nothing of a store is up there."""
    store = roster[1].get("store") or {}
    nodes = [node_target(roster, node, f"/node/{node['name']}") for node in nodes_up(store) if node["zone"] == zone]
    return [_link(roster, node["zone"], None) for node in nodes], nodes


def zone_extent(rosters: Iterable[Roster], targets: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many nodes there are and how many are hit, under the store's name; nothing when none is hit."""
    hit = sum(target["kind"] == "store-node" for target in targets)
    total = sum(len((roster.get("store") or {}).get("nodes", [])) for _, roster in rosters)
    return {SERVICE: {"total": total, "hit": hit}} if hit else {}


def lose_primary(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]) -> dict[str, Any]:
    """The plan row of `lose_primary`. Raises UsageError for a wrong call, Refused (PREFLIGHT_FAILED) where nobody could take over."""
    roster, store = store_of(name, environment, rosters)
    if arguments["store"] != SERVICE:
        raise UsageError(f"{name}: store {arguments['store']!r} matches nothing (there are: {SERVICE}); nothing was touched")
    how = str(arguments["how"])
    if how not in HOWS:
        raise UsageError(f"{name}: lose_primary: how: got {how!r}, expected {', '.join(HOWS)}")
    if bool(arguments["duration"]) != (how == "freeze"):
        wrong = 'duration is missing, like "40s"' if how == "freeze" else f'duration: how "{how}" is not taken back; leave it out, or use how "freeze"'
        raise UsageError(f"{name}: lose_primary: {wrong}")
    primary = next((node for node in nodes_up(store) if node["role"] == "primary"), None)
    others = [node for node in nodes_up(store) if node["role"] == "standby"]
    if primary is None or not others:
        what = "no primary" if primary is None else "no standby that could take over"
        raise Refused("PREFLIGHT_FAILED", f"{name}: the store has {what}; nothing was touched")
    held = how == "freeze"
    duration_s = seconds(name, "lose_primary", "duration", arguments["duration"]) if held else None
    target = node_target(roster, primary, f"/node/{primary['name']}" if held else "/primary")
    target["data"]["primary"] = True
    about = {"how": how, "kind": "held" if held else "instant", "duration_s": duration_s, "reversible": held, "service": SERVICE, "zone": primary["zone"]}
    of, survivors = {SERVICE: {"total": len(store["nodes"]), "hit": 1}}, {node["zone"]: 1 for node in others}
    return {**about, "targets": [target], "of": of, "zones_lost": [], "survivors": survivors}


def cut_replication(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]) -> dict[str, Any]:
    """The plan row of `cut_replication`. Raises UsageError for a wrong call, and for a zone without a standby."""
    return _replication(name, "cut_replication", arguments, environment, rosters, None)


def delay_replication(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]) -> dict[str, Any]:
    """The plan row of `delay_replication`. Raises UsageError for a wrong call, and for a zone without a standby."""
    delay_s = seconds(name, "delay_replication", "delay", arguments["delay"])
    return _replication(name, "delay_replication", arguments, environment, rosters, delay_s)


def _replication(name: str, func: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster], delay_s: float | None) -> dict[str, Any]:
    roster, store = store_of(name, environment, rosters)
    zone = environment.zones.get(str(arguments["zone"]), str(arguments["zone"]))
    standbys = sorted(node["zone"] for node in nodes_up(store) if node["role"] == "standby")
    if zone not in standbys:
        raise UsageError(f"{name}: {func}: zone {zone!r} has no standby (there are standbys in: {', '.join(standbys) or 'none'}); nothing was touched")
    base_ms = float(store["links"][zone].get("base_ms", 0.0))
    if delay_s is not None and not _DELAY_S[0] <= delay_s <= _DELAY_S[1]:
        raise UsageError(f"{name}: {func}: delay: got {arguments['delay']!r}, expected 20ms to 60s")
    duration_s = seconds(name, func, "duration", arguments["duration"])
    about = {"how": "cut" if delay_s is None else "slow", "kind": "held", "duration_s": duration_s, "reversible": True, "service": SERVICE, "zone": zone}
    target = _link(roster, zone, None if delay_s is None else delay_s * 1000.0)
    path = f"/link/{zone}"
    if delay_s is not None:  # half-way between a look through the link as it is and one through the delayed link
        path += f"/within/{2 * base_ms + delay_s * 1000.0:g}"
    host, port = store["health"]["address"]
    return {**about, "targets": [{**target, "probe": {"host": host, "port": port, "path": path}}], "of": {}, "zones_lost": [], "survivors": {}}


def seconds(name: str, func: str, what: str, value: Any) -> float:
    """An argument that is a duration, in seconds. Raises UsageError when it is none, or not more than 0."""
    try:
        found_s = parse_duration(value)
    except ValueError as error:
        raise UsageError(f"{name}: {func}: {what}: {error}") from error
    if found_s <= 0:
        raise UsageError(f"{name}: {func}: {what}: got {value!r}, expected more than 0s")
    return found_s


def store_of(name: str, environment: Environment, rosters: Sequence[Roster]) -> tuple[Roster, dict[str, Any]]:
    """The only store of an environment, with its roster. Raises UsageError when there is none, or more than one."""
    found = [(roster, roster[1]["store"]) for roster in rosters if roster[1].get("store")]
    if len(found) != 1:
        there = f"{len(found)} stores" if found else "no store"
        raise UsageError(f"{name}: environment {environment.name} has {there}, expected one, like --env sandbox:store; nothing was touched")
    return found[0]


def nodes_up(store: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a store that are a primary or a standby."""
    return [node for node in store.get("nodes", []) if node["role"] in ("primary", "standby") and node.get("pid")]


def node_target(roster: Roster, node: dict[str, Any], path: str) -> dict[str, Any]:
    """A node as the target of a plan row, looked at under a path of the store's health service."""
    store = roster[1]["store"]
    host, port = store["health"]["address"]
    more = {"control": store["links"][node["zone"]]["control"], "folder": node["folder"], "controller": store["controller"]["control"]}
    about = {"kind": "store-node", "name": node["name"], "uid": node["uid"], "zone": node["zone"]}
    return {**_target(roster, **about, data=more), "probe": {"host": host, "port": port, "path": path}}


def _link(roster: Roster, zone: str, delay_ms: float | None) -> dict[str, Any]:
    link = roster[1]["store"]["links"][zone]
    more = {"control": link["control"], **({} if delay_ms is None else {"delay_ms": delay_ms})}
    return {**_target(roster, kind="store-link", name=f"replication link {zone}", uid=link["uid"], zone=zone, data=more), "probe": None}


def _target(roster: Roster, data: dict[str, Any], **about: Any) -> dict[str, Any]:
    path, content = roster
    own = {"roster": str(path), "keeper": (content.get("keeper") or {}).get("control", ""), **data}
    return {"platform": "process", "identity": content["identity"], "ns": SERVICE, **about, "data": own}
