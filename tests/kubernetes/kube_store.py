"""
What the stand-in keeps: objects with uid and resourceVersion, and the history of their changes that watches and lists are served from.

Objects are never changed in place: each write puts a new one, so a watch or a page of a list may hold an old one. One change
adds one to the version, so the event of version v stands at `v - forgotten - 1` of the history.
"""

from __future__ import annotations

import copy
import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from kube_resources import Resource

Object = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for the cluster's own) and name


class Refusal(Exception):
    """An answer that is a Status with status Failure."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after_s = code, retry_after_s
        self.status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": {**(details or {}), **({} if retry_after_s is None else {"retryAfterSeconds": retry_after_s})},
            "code": code,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `old` is None when the object appeared, `new` has the version of the change also when it disappeared."""

    version: int
    kind: str  # ADDED MODIFIED DELETED
    resource: Resource
    old: Object | None
    new: Object


def now_text() -> str:
    """The time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def key_of(thing: Object) -> Key:
    """Where the object is kept."""
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


class Store:
    """All objects. Everything that reads and then writes holds `lock`, which is also what waiting watches are woken by."""

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.version = 0
        self.forgotten = 0  # versions up to this one are compacted
        self.history: list[Change] = []
        self.kept: dict[Resource, dict[Key, Object]] = {}
        self.owners_of_fields: dict[str, dict[tuple[Any, ...], str]] = {}  # uid -> path -> manager, by server-side apply
        self.pages: dict[str, tuple[str, list[Object]]] = {}

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all, by namespace and name."""
        with self.lock:
            kept = self.kept.get(resource, {})
            return [kept[key] for key in sorted(kept) if not namespace or key[0] == namespace]

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        with self.lock:
            return self.kept.get(resource, {}).get((namespace if resource.namespaced else "", name))

    def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object. Refused with 404 when there is none."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise Refusal(404, "NotFound", f'{resource.plural} "{name}" not found', {"name": name, "kind": resource.plural})
        return found

    def _record(self, kind: str, resource: Resource, old: Object | None, new: Object) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(Change(self.version, kind, resource, old, new))
        self.lock.notify_all()
        return new

    def add(self, resource: Resource, thing: Object) -> Object:
        """Keeps a new object, with uid, version, generation and time. Refused with 409 when the name is taken."""
        with self.lock:
            kept = self.kept.setdefault(resource, {})
            if key_of(thing) in kept:
                raise Refusal(
                    409, "AlreadyExists", f'{resource.plural} "{key_of(thing)[1]}" already exists', {"name": key_of(thing)[1], "kind": resource.plural}
                )
            new = copy.deepcopy(thing)
            new["metadata"].update(uid=str(uuid.uuid4()), creationTimestamp=now_text(), generation=1)
            if not resource.generations:
                del new["metadata"]["generation"]
            kept[key_of(new)] = new
            return self._record("ADDED", resource, None, new)

    def put(self, resource: Resource, thing: Object) -> Object:
        """Keeps the object in place of the one of that name; what changes nothing makes no version. Frees it when its last finalizer goes."""
        with self.lock:
            old = self.read(resource, *key_of(thing))
            new = copy.deepcopy(thing)
            for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"):
                new["metadata"].pop(name, None)
                if name in old["metadata"]:
                    new["metadata"][name] = old["metadata"][name]
            if new == old:
                return old
            if resource.generations and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
            if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers") and self._may_go(resource, new):
                return self._drop(resource, new)
            self.kept[resource][key_of(new)] = new
            return self._record("MODIFIED", resource, old, new)

    def _may_go(self, resource: Resource, thing: Object) -> bool:
        if resource.plural == "namespaces":
            return not any(self.all(other, thing["metadata"]["name"]) for other in self.kept if other.namespaced)
        return thing["metadata"].get("deletionGracePeriodSeconds", 0) == 0

    def _drop(self, resource: Resource, thing: Object) -> Object:
        old = self.kept[resource].pop(key_of(thing))
        self.owners_of_fields.pop(old["metadata"]["uid"], None)
        return self._record("DELETED", resource, old, copy.deepcopy(thing))

    def delete(self, resource: Resource, thing: Object, grace_s: int = 0, finalizer: str | None = None) -> Object:
        """Takes an object away, now or, with grace or finalizers, by marking it; a later call may only shorten the grace."""
        with self.lock:
            new = copy.deepcopy(self.read(resource, *key_of(thing)))
            meta = new["metadata"]
            if finalizer and finalizer not in meta.get("finalizers", []) and "deletionTimestamp" not in meta:
                meta.setdefault("finalizers", []).append(finalizer)
            if resource.plural == "namespaces":
                new.setdefault("status", {})["phase"] = "Terminating"
            left_s = min(grace_s, meta.get("deletionGracePeriodSeconds", grace_s))
            if not meta.get("finalizers") and left_s == 0 and (resource.plural != "namespaces" or self._may_go(resource, new)):
                return self._drop(resource, new)
            before = self.kept[resource][key_of(new)]
            meta.update(deletionTimestamp=meta.get("deletionTimestamp", now_text()), deletionGracePeriodSeconds=left_s)
            if new["metadata"] == before["metadata"]:
                return before
            if resource.generations and "deletionTimestamp" not in before["metadata"]:
                meta["generation"] = meta.get("generation", 1) + 1
            self.kept[resource][key_of(new)] = new
            return self._record("MODIFIED", resource, before, new)

    def compact(self) -> None:
        """Forgets the history, as etcd does: watches from an old version and pages of an old list answer 410 from now on."""
        with self.lock:
            self.forgotten = self.version
            self.history.clear()
            self.pages.clear()
            self.lock.notify_all()

    def since(self, version: int) -> list[Change] | None:
        """The changes after a version, or None when they are compacted."""
        return None if version < self.forgotten else self.history[version - self.forgotten :]


def clone(thing: Any) -> Any:
    """A copy that shares nothing, through JSON, as over the wire."""
    return json.loads(json.dumps(thing))
