"""
What must never be touched, and what alone may be: looked up for everything that a fault reaches, at the plan and at each write.

A link reaches all that stands behind it, an Envoy what it stands in front of. Undoing asks nothing of this: protection never
blocks the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.faults.storing import SERVICE as STORE

FORBIDDEN = "chaosx.internal/forbidden"  # whatever carries this label is never touched, in any environment

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reached:
    """One thing that a fault reaches: its name and those it goes by, its labels, and where it is; empty where it has no such thing."""

    name: str
    names: frozenset[str]
    labels: Mapping[str, str]
    service: str = ""
    zone: str = ""
    host: str = ""


def refusals(targets: Iterable[Json], rosters: Mapping[str, Json], environment: Json) -> list[str]:
    """
    Why these targets may not be touched, as sentences; empty when they may.

    `rosters` are by their path, as they are now; `environment` is the JSON of an environment, of which `never`, `allow`
    and `zones` are read.
    """
    found: list[str] = []
    for one in (one for target in targets for one in _reached(target, rosters[str(target["data"]["roster"])])):
        found += [text for text in _why(one, environment) if text not in found]
    return found


def spared(roster: Json, replica: Json, environment: Json) -> bool:
    """Whether a replica of a roster is protected, so that it is never drawn."""
    return bool(list(_why(_of_replica(roster, replica), environment)))


def _why(one: Reached, environment: Json) -> Iterator[str]:
    never, allow = environment.get("never") or {}, environment.get("allow") or {}
    where = f"environment {environment.get('name')}"
    if hit := sorted(one.names & set(never.get("names") or ())):
        yield f"{where} says never to touch {', '.join(hit)}" + (f" ({one.name})" if one.name not in hit else "")
    if labels := [label for label in (FORBIDDEN, *(never.get("labels") or ())) if _carries(one.labels, label)]:
        yield f"{one.name} carries the label {', '.join(labels)}, which is never touched"
    zones = {str((environment.get("zones") or {}).get(zone, zone)) for zone in allow["zones"]} if "zones" in allow else None
    for what, value, allowed in (("service", one.service, allow.get("services")), ("zone", one.zone, zones), ("host", one.host, allow.get("hosts"))):
        if allowed is not None and value and value not in allowed:
            yield f"{where} allows the {what}s {', '.join(sorted(allowed)) or 'none'} only, and {one.name} is {'on' if what == 'host' else 'in'} {what} {value}"


def _carries(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` asks for the label, `key=value` for the label with that value."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _labels(*rows: Json) -> dict[str, str]:
    """The labels of these rows together. What is no mapping cannot be read, and protects: it counts as the forbidden label."""
    found: dict[str, str] = {}
    for row in rows:
        labels = row.get("labels") or {}
        found |= {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {FORBIDDEN: ""}
    return found


def _reached(target: Json, roster: Json) -> Iterator[Reached]:
    """A target, and everything of its roster that is hit with it."""
    zone, kind, name = str(target.get("zone") or ""), target["kind"], str(target["name"])
    place = (roster.get("links") or {}).get(zone) or {}
    host = str((target.get("probe") or {}).get("host") or "")
    own: Json = next((one for one in [*roster["replicas"], *_nodes(roster)] if one["name"] == name), {})
    yield Reached(name, frozenset({name, str(target.get("ns") or name)}), _labels(roster, place, own), str(target.get("ns") or ""), zone, host)
    yield from (_of_replica(roster, one) for one in _behind(target, kind, roster["replicas"]))
    if kind in ("zone", "store-link"):
        yield from (_of_node(roster, one) for one in _nodes(roster) if one["zone"] == zone)


def _behind(target: Json, kind: str, replicas: Sequence[Json]) -> list[Json]:
    """The replicas that a link, a held zone or an Envoy stands in front of."""
    if kind in ("link", "zone"):
        return [one for one in replicas if one["zone"] == target["zone"]]
    if kind == "envoy":
        mine = [one for one in replicas if (one.get("sidecar") or {}).get("admin") == target["data"]["admin"]]
        return mine or [one for one in replicas if one["service"] == target.get("ns")]
    return []


def _nodes(roster: Json) -> list[Json]:
    return list((roster.get("store") or {}).get("nodes", []))


def _of_replica(roster: Json, one: Json) -> Reached:
    place = (roster.get("links") or {}).get(one["zone"]) or {}
    names = frozenset({str(one["name"]), str(one["service"])})
    host = str((one.get("link") or [""])[0])
    return Reached(str(one["name"]), names, _labels(roster, place, one), str(one["service"]), str(one["zone"]), host)


def _of_node(roster: Json, one: Json) -> Reached:
    place = (roster.get("links") or {}).get(one["zone"]) or {}
    return Reached(str(one["name"]), frozenset({str(one["name"]), STORE}), _labels(roster, place, one), STORE, str(one["zone"]))
