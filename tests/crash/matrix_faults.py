"""Every fault that the sandbox knows, as the kill matrix calls it, and which two of them can be in force side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PRIMARY, STANDBY, ZONE = "{primary}", "{standby}", "{zone}"  # zones, as they are when the run is planned


@dataclass(frozen=True)
class Fault:
    """
    One fault: its function and its arguments.

    `place` is the zone it needs, `hits` what it takes so that no other fault can. `fails_over` says that its primary
    has to be replaced; `moves` that any node of the store may be another process afterwards, `replaces` that replicas are.
    """

    func: str
    arguments: dict[str, Any]
    place: str = ""
    hits: tuple[str, ...] = ()
    fails_over: bool = False
    moves: bool = False
    replaces: bool = False


_HELD = {"duration": "600s", "timeout_s": 300.0}  # nothing ends by itself while it is looked at
_TRAFFIC = {"service": "shop", **_HELD}

FAULTS: dict[str, Fault] = {
    "replica killed": Fault("kill_replicas", {"service": "shop", "count": 1, "zone": ZONE, "timeout_s": 300.0}, ZONE, ("shop",), replaces=True),
    "zone silent": Fault("lose_zone", {"zone": ZONE, **_HELD}, ZONE, ("shop", "link", "store-link", "node")),
    "zone isolated": Fault("lose_zone", {"zone": ZONE, "how": "isolate", "service": "shop", **_HELD}, ZONE, ("shop", "link")),
    "zone crashed": Fault("lose_zone", {"zone": ZONE, "how": "crash", **_HELD}, STANDBY, ("shop", "node", "store-link"), replaces=True),
    "replicas frozen": Fault("lose_zone", {"zone": ZONE, "service": "shop", **_HELD}, ZONE, ("shop", "link")),
    "traffic delayed": Fault("delay_traffic", {"delay": "150ms", "zone": ZONE, "share": "50%", **_TRAFFIC}, ZONE, ("sidecars",)),
    "traffic aborted": Fault("abort_traffic", {"zone": ZONE, "status": 500, **_TRAFFIC}, ZONE, ("sidecars",)),
    "ingress delayed": Fault("delay_traffic", {"delay": "150ms", "where": "ingress", "route": "catalog", **_TRAFFIC}, "", ("ingress",)),
    "primary killed": Fault("lose_primary", {"timeout_s": 300.0}, PRIMARY, ("node", "primary"), fails_over=True, moves=True),
    "primary frozen": Fault("lose_primary", {"how": "freeze", **_HELD}, PRIMARY, ("node", "primary")),
    "primary switched": Fault("lose_primary", {"how": "switchover", "timeout_s": 300.0}, PRIMARY, ("node", "primary"), moves=True),
    "replication cut": Fault("cut_replication", {"zone": ZONE, **_HELD}, STANDBY, ("store-link",)),
    "replication delayed": Fault("delay_replication", {"zone": ZONE, "delay": "80ms", **_HELD}, STANDBY, ("store-link",)),
    "disk filled": Fault("fill_disk", dict(_HELD), PRIMARY, ("node", "primary"), fails_over=True, moves=True),
    "disk slowed": Fault("slow_disk", {"delay": "100ms", **_HELD}, PRIMARY, ("node", "primary")),
}


def zones_for(names: Sequence[str], primary: str, turn: int) -> list[str] | None:
    """
    A zone for each of these faults, so that none hits what another has taken; None where there is none.

    `turn` chooses among several.
    """
    standbys = [zone for zone in "abc" if zone != primary]
    choices = {PRIMARY: [primary], STANDBY: standbys, ZONE: ["a", "b", "c"], "": [""]}
    found: list[list[str]] = [[]]
    for name in names:
        found = [[*zones, zone] for zones in found for zone in choices[FAULTS[name].place]]
    fitting = [zones for zones in found if _apart(names, zones)]
    return fitting[turn % len(fitting)] if fitting else None


def _apart(names: Sequence[str], zones: Sequence[str]) -> bool:
    taken = [(part, zone) for name, zone in zip(names, zones, strict=True) for part in FAULTS[name].hits]
    return len(set(taken)) == len(taken)


def arguments_of(name: str, zone: str) -> dict[str, Any]:
    """The arguments of a fault in a zone."""
    return {key: zone if value == ZONE else value for key, value in FAULTS[name].arguments.items()}
