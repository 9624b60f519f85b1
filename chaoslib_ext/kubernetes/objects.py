"""
What is done with objects: read, list, create, change, delete, evict. Plain JSON in and out, so one odd object never fails a list.

Every change and every deletion names the uid it is meant for, and all options of it are in the body: the API server ignores those in the query of a
DELETE that has a body. There is no call that deletes or changes more than one object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.errors import CallFailed, UsageError
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.kinds import ACCESS_REVIEWS, PODS, Kind, collection_path, object_path, with_query

PAGE = 500
_RESTARTS = 3  # of a list whose pages were compacted away

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A whole list of one moment, `version`, from which a watch goes on."""

    items: tuple[JSON, ...]
    version: str


def _selector(what: str, text: str | None) -> str:
    if text is not None and not text.strip():
        raise UsageError(f"{what}: got an empty selector, which would choose everything; leave it out to mean that; nothing was sent")
    return text or ""


def read(cluster: Cluster, kind: Kind, namespace: str, name: str, part: str = "") -> JSON:
    """One object, or a part of it. Raises CallFailed, with status 404 when there is none."""
    return cluster.call("GET", object_path(kind, namespace, name, part))


def find(cluster: Cluster, kind: Kind, namespace: str, name: str) -> JSON | None:
    """One object, or None when there is none."""
    try:
        return read(cluster, kind, namespace, name)
    except CallFailed as error:
        if error.status == 404:
            return None
        raise


def listed(cluster: Cluster, kind: Kind, namespace: str | None, labels: str | None = None, fields: str | None = None) -> Listed:
    """
    All objects of a kind, of one namespace or (None) of the cluster, in pages of 500; begun anew when its pages expire on the way.

    What is no object at all in the list is left out; an object that lacks what it should have is given as it came.
    """
    path = collection_path(kind, namespace)
    query = {"labelSelector": _selector(path, labels), "fieldSelector": _selector(path, fields), "limit": str(PAGE)}
    for attempt in range(_RESTARTS + 1):
        try:
            return _all_pages(cluster, path, query)
        except CallFailed as error:
            if error.status != 410 or attempt == _RESTARTS:
                raise
    raise AssertionError("unreachable")


def _all_pages(cluster: Cluster, path: str, query: dict[str, str]) -> Listed:
    items: list[JSON] = []
    more, version = "", ""
    while True:
        page = cluster.call("GET", with_query(path, {**query, "continue": more}))
        found, meta = page.get("items"), page.get("metadata")
        items.extend(one for one in (found if isinstance(found, list) else []) if isinstance(one, dict))
        meta = meta if isinstance(meta, dict) else {}
        more, version = str(meta.get("continue") or ""), str(meta.get("resourceVersion") or "")
        if not more:
            return Listed(tuple(items), version)


def create(cluster: Cluster, kind: Kind, namespace: str, thing: JSON, dry_run: bool = False) -> JSON:
    """Makes an object. Raises CallFailed: 409 when there is one of that name, which may be ours from a try whose answer was lost."""
    check = {"apiVersion": kind.api_version, "kind": kind.kind}
    path = with_query(collection_path(kind, namespace), {"dryRun": "All" if dry_run else "", "fieldValidation": "Strict"})
    return cluster.call("POST", path, {**check, **thing})


def json_patch(cluster: Cluster, kind: Kind, namespace: str, name: str, uid: str, operations: Sequence[JSON], part: str = "", dry_run: bool = False) -> JSON:
    """Changes exactly the object with this uid, all operations or none. Raises CallFailed: 422 when it is another one or a `test` fails."""
    body = [{"op": "test", "path": "/metadata/uid", "value": _uid(kind, name, uid)}, *operations]
    path = with_query(object_path(kind, namespace, name, part), {"dryRun": "All" if dry_run else ""})
    return cluster.call("PATCH", path, body, "application/json-patch+json")


def merge_patch(cluster: Cluster, kind: Kind, namespace: str, name: str, uid: str, change: JSON, part: str = "", dry_run: bool = False) -> JSON:
    """Changes exactly the object with this uid by a merge patch. Raises CallFailed: 409 or 422 when it is another one."""
    meta = {**(change.get("metadata") or {}), "uid": _uid(kind, name, uid)}
    path = with_query(object_path(kind, namespace, name, part), {"dryRun": "All" if dry_run else ""})
    return cluster.call("PATCH", path, {**change, "metadata": meta}, "application/merge-patch+json")


def scale(cluster: Cluster, kind: Kind, namespace: str, name: str, uid: str, replicas: int, dry_run: bool = False) -> JSON:
    """Sets the number of replicas of exactly the workload with this uid, by its scale. Raises CallFailed: 409 or 422 when it is another one."""
    return merge_patch(cluster, kind, namespace, name, uid, {"spec": {"replicas": replicas}}, "scale", dry_run)


def delete(
    cluster: Cluster, kind: Kind, namespace: str, name: str, uid: str, grace_s: int | None = None, policy: str = "Background", dry_run: bool = False
) -> bool:
    """
    Deletes exactly the object with this uid; False when it is gone already or another one has its name: then nothing was deleted.

    `grace_s` None is the object's own. Raises CallFailed; `done` None says that it may have been deleted: read it again, by uid.
    """
    try:
        cluster.call("DELETE", object_path(kind, namespace, name), _options(kind, name, uid, grace_s, policy, dry_run))
    except CallFailed as error:
        if error.status == 404 or (error.status == 409 and error.reason == "Conflict"):
            return False
        raise
    return True


def evict(cluster: Cluster, namespace: str, name: str, uid: str, grace_s: int | None = None, dry_run: bool = False) -> bool:
    """Asks for the end of exactly the pod with this uid, as `delete`; raises CallFailed with reason DisruptionBudget when a budget has no room."""
    options = _options(PODS, name, uid, grace_s, "", dry_run)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}, "deleteOptions": options}
    try:
        cluster.call("POST", object_path(PODS, namespace, name, "eviction"), body)
    except CallFailed as error:
        if error.status == 404 or (error.status == 409 and error.reason == "Conflict"):
            return False
        raise
    return True


def _uid(kind: Kind, name: str, uid: str) -> str:
    if not uid:
        raise UsageError(f"{kind.plural} {name}: got no uid, expected that of the object that is meant; nothing was sent")
    return uid


def _options(kind: Kind, name: str, uid: str, grace_s: int | None, policy: str, dry_run: bool) -> JSON:
    found: JSON = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": _uid(kind, name, uid)}}
    if grace_s is not None:
        found["gracePeriodSeconds"] = grace_s
    if policy:
        found["propagationPolicy"] = policy
    if dry_run:
        found["dryRun"] = ["All"]
    return found


def may(cluster: Cluster, verb: str, kind: Kind, namespace: str | None, part: str = "") -> bool:
    """Whether this identity may do that, as the API server itself decides. Changes nothing."""
    attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": part, "namespace": namespace or ""}
    review = {"apiVersion": ACCESS_REVIEWS.api_version, "kind": ACCESS_REVIEWS.kind, "spec": {"resourceAttributes": attributes}}
    status = cluster.call("POST", collection_path(ACCESS_REVIEWS, None), review).get("status")
    return isinstance(status, dict) and status.get("allowed") is True


def names(things: Sequence[JSON]) -> Iterator[tuple[str, str, str]]:
    """Namespace, name and uid of each object, empty where it has none."""
    for thing in things:
        meta = thing.get("metadata")
        meta = meta if isinstance(meta, dict) else {}
        yield str(meta.get("namespace") or ""), str(meta.get("name") or ""), str(meta.get("uid") or "")
