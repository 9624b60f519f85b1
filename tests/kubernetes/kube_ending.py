"""The part of the controllers that takes away: terminating pods, namespaces, and what has lost its owner."""

from __future__ import annotations

import calendar
import time

from kube_resources import NAMESPACES, PODS
from kube_store import Object, Store


def _since_s(thing: Object) -> float:
    return time.time() - calendar.timegm(time.strptime(thing["metadata"]["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))


def end_terminating(store: Store, kubelets: set[str], end_after_s: float) -> None:
    """Removes terminating pods of the nodes that are run, `end_after_s` after they were told, and the content of ending namespaces."""
    for pod in store.all(PODS):
        if "deletionTimestamp" in pod["metadata"] and (pod.get("spec") or {}).get("nodeName") in kubelets and _since_s(pod) >= end_after_s:
            store.delete(PODS, pod, 0)
    for namespace in store.all(NAMESPACES):
        if "deletionTimestamp" in namespace["metadata"]:
            name = namespace["metadata"]["name"]
            for resource in [one for one in store.kept if one.namespaced]:
                for thing in store.all(resource, name):
                    store.delete(resource, thing, 0)
            store.delete(NAMESPACES, namespace)


def garbage(store: Store) -> None:
    """Removes what has owners of which none is there any more; frees owners deleted in the foreground, and orphans."""
    everything = [(resource, thing) for resource in list(store.kept) for thing in store.all(resource)]
    uids = {thing["metadata"].get("uid") for _, thing in everything}
    for resource, thing in everything:
        owners = thing["metadata"].get("ownerReferences") or []
        if owners and not any(one["uid"] in uids for one in owners) and "deletionTimestamp" not in thing["metadata"]:
            store.delete(resource, thing, 30 if resource == PODS and (thing.get("spec") or {}).get("nodeName") else 0)
        finalizers = thing["metadata"].get("finalizers") or []
        for finalizer in [one for one in finalizers if one in ("foregroundDeletion", "orphan")]:
            _finish(store, everything, resource, thing, finalizer)


def _finish(store: Store, everything: list, resource: object, thing: Object, finalizer: str) -> None:  # type: ignore[type-arg]
    uid, left = thing["metadata"]["uid"], 0
    for kind, child in everything:
        owners = child["metadata"].get("ownerReferences") or []
        if not any(one["uid"] == uid for one in owners) or store.find(kind, child["metadata"].get("namespace", ""), child["metadata"]["name"]) is None:
            continue
        if finalizer == "orphan":
            store.put(kind, {**child, "metadata": {**child["metadata"], "ownerReferences": [one for one in owners if one["uid"] != uid]}})
        else:
            left += 1
            store.delete(kind, child, 30 if kind == PODS and (child.get("spec") or {}).get("nodeName") else 0)
    if left == 0:
        kept = [one for one in thing["metadata"]["finalizers"] if one != finalizer]
        store.put(resource, {**thing, "metadata": {**thing["metadata"], "finalizers": kept}})  # type: ignore[arg-type]
