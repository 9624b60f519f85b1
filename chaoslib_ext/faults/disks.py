"""
The plan of a fault of a node's disk: which node would be hit, and what its health service is asked about it.

Only a disk of limited size that belongs to the node alone is ever filled, and only a store that flushes can be slowed down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.faults.storing import SERVICE, Roster, node_target, nodes_up, seconds, store_of
from chaoslib_ext.process import disk, tracer

PRIMARY = "primary"
_DELAY_S = (0.05, 10.0)  # a smaller one would not stand out from a flush on a slow machine
_PATIENCE_MS = 3000  # each look logs in, which a busy machine makes slow, and silence says nothing here; chosen by feel
_LIMIT_S = 20.0  # after the bound at which the healer takes a fault back at the latest, the tracer ends by itself


def fill_disk(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]) -> dict[str, Any]:
    """The plan row of `fill_disk`. Raises UsageError for a wrong call, Refused (PREFLIGHT_FAILED) where the node has no small disk of its own."""
    roster, node, row = _begin(name, "fill_disk", arguments, environment, rosters)
    place = node.get("disk")
    if not place:
        why = f"{node['name']} has no disk of limited size of its own; bring the store up with one, like --env sandbox:store_small_disk"
        raise Refused("PREFLIGHT_FAILED", f"{name}: {why}; nothing was touched")
    try:
        with disk.opened(place) as fd:
            left = disk.free(fd)
    except (OSError, FaultFailed, disk.DiskGone) as error:
        raise Refused("PREFLIGHT_FAILED", f"{name}: the disk of {node['name']} cannot be reached: {error}; nothing was touched") from error
    target = node_target(roster, node, f"/node/{node['name']}/room/{_PATIENCE_MS}")
    target["data"] |= {"disk": place, "health": roster[1]["store"]["health"]["address"], "free_bytes": left, "primary": row.pop("primary")}
    return {**row, "how": "full", "targets": [target]}


def slow_disk(name: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]) -> dict[str, Any]:
    """The plan row of `slow_disk`. Raises UsageError for a wrong call, Refused (PREFLIGHT_FAILED) where no flush can be seen or held back."""
    roster, node, row = _begin(name, "slow_disk", arguments, environment, rosters)
    delay_s = seconds(name, "slow_disk", "delay", arguments["delay"])
    if not _DELAY_S[0] <= delay_s <= _DELAY_S[1]:
        raise UsageError(f"{name}: slow_disk: delay: got {arguments['delay']!r}, expected 50ms to 10s")
    if 4 * delay_s >= float(arguments["timeout_s"]):
        raise UsageError(f"{name}: slow_disk: delay: got {delay_s:g} s, which cannot be seen within timeout_s, {arguments['timeout_s']:g} s; raise timeout_s")
    why = ""
    if node["role"] != PRIMARY:
        why = f"{node['name']} is a standby, whose flushes nobody sees from outside; name the primary"
    elif not roster[1]["store"].get("fsync"):
        why = "the store does not flush what it acknowledges, so a slow disk would not show; bring it up with --env sandbox:store_fsync"
    why = why or tracer.refusal(int(node["pid"]))
    if why:
        raise Refused("PREFLIGHT_FAILED", f"{name}: {why}; nothing was touched")
    limit_s = float(arguments["timeout_s"]) + row["duration_s"] + _LIMIT_S
    target = node_target(roster, node, f"/node/{node['name']}/commit/{5 * delay_s * 1000 + _PATIENCE_MS:g}")
    target["data"] |= {"delay_us": round(delay_s * 1e6), "limit_s": limit_s, "primary": row.pop("primary")}
    return {**row, "how": "sluggish", "disk": {"delay_s": delay_s}, "targets": [target]}


def _begin(
    name: str, func: str, arguments: dict[str, Any], environment: Environment, rosters: Sequence[Roster]
) -> tuple[Roster, dict[str, Any], dict[str, Any]]:
    """The roster, the node that is meant, and what a row says of either fault."""
    roster, store = store_of(name, environment, rosters)
    if arguments["store"] != SERVICE:
        raise UsageError(f"{name}: store {arguments['store']!r} matches nothing (there are: {SERVICE}); nothing was touched")
    duration_s = seconds(name, func, "duration", arguments["duration"])
    wanted, up = str(arguments["node"]), nodes_up(store)
    node = next((one for one in up if wanted in (one["name"], one["role"]) and wanted != "standby"), None)
    if node is None:
        there = ", ".join([PRIMARY, *sorted(one["name"] for one in up)])
        raise UsageError(f"{name}: {func}: node {wanted!r} matches nothing that is up (there are: {there}); nothing was touched")
    others = [one for one in up if one is not node]
    if not others or all(one["role"] != PRIMARY for one in up):
        what = "no primary" if others else f"no node that could go on without {node['name']}"
        raise Refused("PREFLIGHT_FAILED", f"{name}: the store has {what}; nothing was touched")
    about = {"kind": "held", "duration_s": duration_s, "reversible": True, "service": SERVICE, "zone": node["zone"], "zones_lost": []}
    of, survivors = {SERVICE: {"total": len(store["nodes"]), "hit": 1}}, {one["zone"]: 1 for one in others}
    return roster, node, {**about, "of": of, "survivors": survivors, "primary": wanted == PRIMARY}
