"""
How much of each owner and of each zone a fault may take, counted exactly on the frozen list of its targets.

What is down already, or held by another fault of the same run, counts as taken too: the cap is on what clients lose, not
on what one fault does. A share is never rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chaoslib_ext.faults.storing import SERVICE as STORE

Json = dict[str, Any]
Up = Callable[[Json], bool]
_TAKING = ("replica", "store-node", "pod")  # kinds of targets that are gone while the fault lasts; traffic and links have caps of their own fault
_IN_STORE = ("primary", "standby")


@dataclass(frozen=True, slots=True)
class Member:
    """A replica, or a node of a store: whose it is, where, which incarnation, and whether it serves now."""

    owner: str
    zone: str
    uid: str
    up: bool


def said_ready(one: Json) -> bool:
    """Whether its roster says that a replica, or a node of a store, serves."""
    return bool(one.get("pid")) and (bool(one.get("ready")) or one.get("role") in _IN_STORE)


def members(rosters: Iterable[Json], up: Up = said_ready) -> list[Member]:
    """Everything of these rosters that a cap counts; what is not up counts as gone already."""
    return [Member(owner, str(one["zone"]), str(one.get("uid")), up(one)) for roster in rosters for owner, one in _rows(roster)]


def _rows(roster: Json) -> Iterator[tuple[str, Json]]:
    yield from ((str(one["service"]), one) for one in roster["replicas"])
    yield from ((STORE, one) for one in (roster.get("store") or {}).get("nodes", []))


def most(share: float, total: int) -> int:
    """The most of `total` that a share allows: rounded down, exactly, as it was written (0.3333 of 3 is none)."""
    return math.floor(Fraction(str(share)) * total)


def exceeded(row: Json, caps: Json, there: Sequence[Member], others: Collection[str] = ()) -> list[str]:
    """
    What a fault would take beyond the caps, as sentences; empty when all is within them.

    `caps` may hold `per_owner` and `per_zone` (shares), `zones` (how many wholly lost ones) and `majority` (the share of a
    store's nodes that the fault's own caps name). `others` are the uids that other faults of the run hold.
    """
    hit = {str(target["uid"]) for target in row["targets"] if target["kind"] in _TAKING and row.get("how") != "switchover"}
    touched = {one.owner for one in there if one.uid in hit}
    mine = [_Taken(one, one.uid in hit, one.uid in others or not one.up) for one in there if one.owner in touched]
    found = [*_zones(row, caps, mine)]
    for owner in sorted(touched):
        its = [one for one in mine if one.member.owner == owner]
        found += _share(f"of {owner}", "per_owner", caps, its)
        for zone in sorted({one.member.zone for one in its if one.hit}):
            found += _share(f"of {owner} in zone {zone}", "per_zone", caps, [one for one in its if one.member.zone == zone])
    return found + _majority(caps, [one for one in mine if one.member.owner == STORE])


@dataclass(frozen=True, slots=True)
class _Taken:
    member: Member
    hit: bool
    already: bool

    @property
    def gone(self) -> bool:
        return self.hit or self.already


def _share(whose: str, cap: str, caps: Json, its: Sequence[_Taken]) -> list[str]:
    gone = sum(one.gone for one in its)
    if cap not in caps or gone <= most(caps[cap], len(its)):
        return []
    hit = sum(one.hit for one in its)
    more = f", {gone - hit} more {'is' if gone - hit == 1 else 'are'} down or held already" if gone > hit else ""
    return [f"{hit} of {len(its)} replicas {whose} ({gone / len(its):.0%}) would be hit{more}, the cap is {caps[cap] * 100:g}%"]


def _zones(row: Json, caps: Json, mine: Sequence[_Taken]) -> list[str]:
    """Zones that are lost to the services which this fault hits: by it, or already."""
    if "zones" not in caps:
        return []
    lost = set(row["zones_lost"])
    for zone in {one.member.zone for one in mine}:
        if all(one.gone for one in mine if one.member.zone == zone):
            lost.add(zone)
    worse = lost and (row["zones_lost"] or any(one.hit and one.member.zone in lost for one in mine))
    return [f"{len(lost)} zones would be lost ({', '.join(sorted(lost))}), the cap is {caps['zones']:g}"] if worse and len(lost) > caps["zones"] else []


def _majority(caps: Json, nodes: Sequence[_Taken]) -> list[str]:
    """A store that loses most of its nodes can elect nobody; only the fault's own caps can want that."""
    gone, needed = sum(one.gone for one in nodes), len(nodes) // 2 + 1
    if not any(one.hit for one in nodes) or gone < needed or gone <= most(caps.get("majority", 0.0), len(nodes)):
        return []
    return [f"{gone} of {len(nodes)} nodes of {STORE} would be gone, its majority; a fault that means it says so in its own caps, like per_owner: 100%"]
