"""Lists in pages, and watches: both from the store's history, with 410 for what is compacted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from kube_resources import Resource
from kube_selectors import by_fields, by_labels
from kube_store import Object, Refusal, Store

Query = dict[str, str]
BOOKMARK_EVERY_S = 0.5  # a real server sends one about each minute; tests do not wait that long
_GONE = "The provided continue parameter is too old to display a consistent list result"


def chooser(resource: Resource, query: Query) -> Callable[[Object], bool]:
    """Whether an object fits both selectors of a query."""
    labels, fields = by_labels(query.get("labelSelector", "")), by_fields(query.get("fieldSelector", ""), resource)
    return lambda thing: labels(thing) and fields(thing)


def page(store: Store, resource: Resource, namespace: str, query: Query) -> Object:
    """One page of a list: all of it without `limit`. A page that goes on is of the same moment as the first one."""
    chosen, limit = chooser(resource, query), int(query.get("limit") or 0)
    with store.lock:
        if token := query.get("continue"):
            if token not in store.pages:
                raise Refusal(410, "Expired", _GONE)
            version, items = store.pages[token]
        else:
            version, items = str(store.version), [thing for thing in store.all(resource, namespace) if chosen(thing)]
        meta: Object = {"resourceVersion": version}
        if limit and len(items) > limit:
            meta["continue"] = uuid.uuid4().hex
            store.pages[meta["continue"]] = (version, items[limit:])
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(items) - limit
            items = items[:limit]
    rows = [{key: value for key, value in thing.items() if key not in ("apiVersion", "kind")} for thing in items]
    return {"kind": resource.kind + "List", "apiVersion": resource.api_version, "metadata": meta, "items": rows}


def partial(listed: Object) -> Object:
    """The same list as a PartialObjectMetadataList, as a client may ask for in its Accept header."""
    meta = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    items = [{**meta, "metadata": thing["metadata"]} for thing in listed["items"]]
    return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": listed["metadata"], "items": items}


def _event(kind: str, thing: Object) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def _expired(version: int, current: int) -> bytes:
    gone = Refusal(410, "Expired", f"too old resource version: {version} ({current})")
    return _event("ERROR", gone.status)


def watch(store: Store, resource: Resource, namespace: str, query: Query, ended: Callable[[], bool]) -> Iterator[bytes]:
    """
    The events of a watch, one line each, until `timeoutSeconds` are over or `ended` says so.

    An object that begins or ceases to fit the selectors is ADDED or DELETED. Too old a version is an ERROR event with code 410,
    as the real server's watch cache says it. An empty part is given now and then, so that the caller notices a closed connection.
    """
    chosen = chooser(resource, query)
    until = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
    bookmarks, at = query.get("allowWatchBookmarks", "").lower() == "true", query.get("resourceVersion") or "0"
    if not at.isdigit():
        raise Refusal(400, "BadRequest", f"resourceVersion: Invalid value: {at!r}: strconv.ParseUint: parsing: invalid syntax")
    version, bookmarked = int(at), time.monotonic()
    if version == 0:
        with store.lock:
            version, there = store.version, [thing for thing in store.all(resource, namespace) if chosen(thing)]
        yield from (_event("ADDED", thing) for thing in there)
    while time.monotonic() < until and not ended():
        with store.lock:
            changes = store.since(version)
            if changes is not None and not changes:
                store.lock.wait(min(0.1, max(until - time.monotonic(), 0.001)))
                changes = store.since(version)
        if changes is None:
            yield _expired(version, store.version)
            return
        for change in changes:
            version = change.version
            if change.resource == resource and namespace in ("", change.new["metadata"].get("namespace", "")) and (line := _line(change, chosen)):
                yield line
        if bookmarks and time.monotonic() - bookmarked > BOOKMARK_EVERY_S:
            bookmarked = time.monotonic()
            yield _event("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {"resourceVersion": str(version)}})
        yield b""


def _line(change: Any, chosen: Callable[[Object], bool]) -> bytes | None:
    was = change.old is not None and chosen(change.old)
    now = change.kind != "DELETED" and chosen(change.new)
    if change.kind == "DELETED":
        return _event("DELETED", change.new) if was else None
    if was and not now:
        return _event("DELETED", {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": change.new["metadata"]["resourceVersion"]}})
    return _event("MODIFIED" if was else "ADDED", change.new) if now else None
