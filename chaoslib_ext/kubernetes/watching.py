"""
Following the objects of a kind: a list, then a watch, resumed where it broke off, and begun anew when the server has forgotten that place.

What was missed meanwhile is told as events too, marked `late`: their moment is only known to lie since the last one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chaoslib_ext.errors import CallFailed
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Limits, Unanswered
from chaoslib_ext.kubernetes.kinds import Kind, collection_path, with_query
from chaoslib_ext.kubernetes.objects import JSON, Listed, listed

_PAUSE_S = 0.2  # after a watch that broke off at once, so that a dead server is not hammered


@dataclass(frozen=True, slots=True)
class Seen:
    """
    One thing that was seen: ADDED, MODIFIED or DELETED with the object; or SYNCED, without one, when everything that is there has been told.

    `t_ns` is CLOCK_MONOTONIC when it arrived. `late` says that it happened at some time since the event before.
    """

    kind: str
    thing: JSON
    t_ns: int
    late: bool = False


class Expired(Exception):
    """The place to go on from is forgotten."""


def follow(cluster: Cluster, kind: Kind, namespace: str | None, labels: str | None, ended: Callable[[], bool], window_s: float = 20.0) -> Iterator[Seen]:
    """
    Everything that happens to the objects of a kind, until `ended` says so; asked at least once in `window_s` seconds and after each event.

    Raises CallFailed when the list or the watch is refused; while the API server cannot be reached it goes on trying.
    """
    here: dict[str, JSON] = {}
    version, first = "", True
    while not ended():
        try:
            if not version:
                found = listed(cluster, kind, namespace, labels)
                yield from _differences(here, found, late=not first)
                version, first = found.version, False
                yield Seen("SYNCED", {}, time.monotonic_ns())
            for seen, at in _watched(cluster, kind, namespace, labels, version, window_s):
                version = at
                if seen is not None:
                    _keep(here, seen)
                    yield seen
                if ended():
                    return
        except Expired:
            version = ""
        except CallFailed as error:
            if error.status not in (0, 429, 500, 502, 503, 504):
                raise
            time.sleep(_PAUSE_S)


def _watched(cluster: Cluster, kind: Kind, namespace: str | None, labels: str | None, version: str, window_s: float) -> Iterator[tuple[Seen | None, str]]:
    """Each event of one watch with the version to go on from; None for a bookmark. Raises Expired and CallFailed."""
    query = {"watch": "true", "resourceVersion": version, "labelSelector": labels or "", "allowWatchBookmarks": "true"}
    target = with_query(collection_path(kind, namespace), {**query, "timeoutSeconds": str(max(1, round(window_s)))})
    limits = Limits(cluster.limits.connect_s, window_s + cluster.limits.read_s, window_s + cluster.limits.total_s)
    try:
        with cluster.stream(target, limits) as stream:
            for line in _lines(stream.parts()):
                event = json.loads(line)
                thing, what = event.get("object"), str(event.get("type"))
                if what == "ERROR":
                    raise _error(cluster, target, thing)
                version = str((thing.get("metadata") or {}).get("resourceVersion") or version)
                yield (None if what == "BOOKMARK" else Seen(what, thing, time.monotonic_ns())), version
    except (ValueError, AttributeError) as error:  # a line that is no event: as good as broken off
        raise CallFailed(f"{cluster}: GET {target}: got a line that is no event: {error}", 0, "NotJSON", None) from error
    except CallFailed as error:
        if error.status == 410:
            raise Expired from error
        raise
    except Unanswered as error:
        raise cluster.unanswered(error, target) from error


def _error(cluster: Cluster, target: str, status: JSON) -> Exception:
    if status.get("code") == 410:
        return Expired()
    code = status.get("code")
    return CallFailed(f"{cluster}: GET {target}: got {code} {status.get('reason')}: {status.get('message')}", code if isinstance(code, int) else 500)


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    left = b""
    for part in parts:
        *whole, left = (left + part).split(b"\n")
        yield from filter(None, whole)


def _uid(thing: JSON) -> str:
    meta = thing.get("metadata")
    return str(meta.get("uid") or meta.get("name") or "") if isinstance(meta, dict) else ""


def _version(thing: JSON) -> object:
    return (thing.get("metadata") or {}).get("resourceVersion")


def _keep(here: dict[str, JSON], seen: Seen) -> None:
    if seen.kind == "DELETED":
        here.pop(_uid(seen.thing), None)
    else:
        here[_uid(seen.thing)] = seen.thing


def _differences(here: dict[str, JSON], found: Listed, late: bool) -> Iterator[Seen]:
    """What a new list says against what was known; brings `here` up to date."""
    now, at = {_uid(thing): thing for thing in found.items}, time.monotonic_ns()
    for uid in [uid for uid in here if uid not in now]:
        yield Seen("DELETED", here.pop(uid), at, late)
    for uid, thing in now.items():
        if uid not in here or _version(here[uid]) != _version(thing):
            what = "MODIFIED" if uid in here else "ADDED"
            here[uid] = thing
            yield Seen(what, thing, at, late)
