"""What each request does to the objects: create, replace, patch, delete, and the subresources."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kube_budgets
from kube_patches import apply, json_patch, merge, strategic
from kube_resources import DEFINITIONS, NAMESPACES, Resource, custom_resources
from kube_schema import check_change, check_strict, complete
from kube_store import Object, Refusal, Store, clone
from kube_watching import Query, chooser

Answer = tuple[int, Object]


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names: a kind, and a namespace, a name and a part where it has them."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    part: str = ""


class Verbs:
    """Carries out requests on a store. `dry` keeps everything as it is and answers as if not."""

    def __init__(self, store: Store, know: Callable[[list[Resource]], None]) -> None:
        self.store, self._know = store, know

    def create(self, place: Place, body: Object, query: Query) -> Answer:
        """201 and the new object."""
        resource, meta = place.resource, body.setdefault("metadata", {})
        check_strict(resource, body, query.get("fieldValidation", ""))
        if meta.get("generateName") and not meta.get("name"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        if resource.namespaced:
            if meta.setdefault("namespace", place.namespace) != place.namespace:
                raise Refusal(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request")
            if "deletionTimestamp" in self.store.read(NAMESPACES, "", place.namespace)["metadata"]:
                text = f"unable to create new content in namespace {place.namespace} because it is being terminated"
                raise Refusal(403, "Forbidden", text, {"causes": [{"reason": "NamespaceTerminating", "message": text}]})
        new = complete(resource, body)
        if query.get("dryRun"):
            new["metadata"]["uid"] = str(uuid.uuid4())
            return 201, new
        if resource == DEFINITIONS:
            self._know(custom_resources(new))
        return 201, self.store.add(resource, new)

    def replace(self, place: Place, body: Object, query: Query) -> Answer:
        """200 and the object; 409 when its resourceVersion or uid is not the current one."""
        old = self.store.read(place.resource, place.namespace, place.name)
        meta = body.setdefault("metadata", {})
        if place.part == "scale":
            return 200, self._scale(place, old, body, query)
        for name, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if meta.get(name) not in (None, "", old["metadata"].get(name)):
                raise _conflict(place, f"Precondition failed: {what} in precondition: {meta[name]}, {what} in object meta: {old['metadata'].get(name)}")
        return 200, self._put(place, old, body, query)

    def patch(self, place: Place, body: Any, query: Query, kind: str) -> Answer:
        """200 and the object, or 201 where a server-side apply made it."""
        old = self.store.find(place.resource, place.namespace, place.name)
        if kind == "application/apply-patch+yaml":
            return self._apply(place, old, body, query)
        old = self.store.read(place.resource, place.namespace, place.name) if old is None else old
        before = self._as_scale(place, old) if place.part == "scale" else old
        if kind == "application/json-patch+json":
            new = json_patch(before, body)
        elif kind == "application/merge-patch+json":
            new = merge(before, body)
        elif kind == "application/strategic-merge-patch+json" and place.resource.schema is None:
            new = strategic(before, body)
        else:
            raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - got {kind}")
        if place.part == "scale":
            return 200, self._scale(place, old, new, query)
        for name in ("uid", "name", "namespace"):
            if new["metadata"].get(name) != old["metadata"].get(name):
                raise Refusal(422, "Invalid", f"{place.resource.kind} is invalid: metadata.{name}: Invalid value: field is immutable", {"name": place.name})
        if new["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise _conflict(place, "the object has been modified; please apply your changes to the latest version and try again")
        return 200, self._put(place, old, new, query)

    def _put(self, place: Place, old: Object, new: Object, query: Query) -> Object:
        resource = place.resource
        check_strict(resource, new, query.get("fieldValidation", ""))
        if place.part in ("status", "ephemeralcontainers"):
            kept = {"status": new.get("status", {})} if place.part == "status" else {"spec": new["spec"]}
            new = {**old, **kept}
        elif "status" in resource.subresources:
            new = {**new, "status": old.get("status", {})}
        new.setdefault("metadata", {})
        new["metadata"] = {**new["metadata"], "name": place.name, **({"namespace": place.namespace} if resource.namespaced else {})}
        new = complete(resource, new)
        check_change(resource, old, new)
        return new if query.get("dryRun") else self.store.put(resource, new)

    def _apply(self, place: Place, old: Object | None, body: Object, query: Query) -> Answer:
        manager, force = query.get("fieldManager", ""), query.get("force") == "true"
        if not manager:
            raise Refusal(400, "BadRequest", "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch")
        if old is None:
            body.setdefault("metadata", {})["name"] = place.name
            code, made = self.create(place, clone(body), query)
            if not query.get("dryRun"):
                apply(made, body, manager, self.store.owners_of_fields.setdefault(made["metadata"]["uid"], {}), force)
            return code, made
        owned = self.store.owners_of_fields.setdefault(old["metadata"]["uid"], {})
        new = apply(old, body, manager, dict(owned) if query.get("dryRun") else owned, force)
        return 200, self._put(place, old, new, query)

    def delete(self, place: Place, body: Object | None, query: Query) -> Answer:
        """200 and what is left of the object, or a Status. A body makes the query's options ignored."""
        thing = self.store.read(place.resource, place.namespace, place.name)
        return 200, self._take(place.resource, thing, _options(body, query))

    def delete_all(self, place: Place, body: Object | None, query: Query) -> Answer:
        """Deletes all of a kind that fit the selectors."""
        chosen = chooser(place.resource, query)
        for thing in [one for one in self.store.all(place.resource, place.namespace) if chosen(one)]:
            self._take(place.resource, thing, _options(body, query))
        return 200, {"kind": place.resource.kind + "List", "apiVersion": place.resource.api_version, "metadata": {}, "items": []}

    def _take(self, resource: Resource, thing: Object, options: Object) -> Object:
        place, asked = Place(resource, thing["metadata"].get("namespace", ""), thing["metadata"]["name"]), options.get("preconditions") or {}
        for name, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if asked.get(name) not in (None, thing["metadata"].get(name)):
                raise _conflict(place, f"Precondition failed: {what} in precondition: {asked[name]}, {what} in object meta: {thing['metadata'].get(name)}")
        if options.get("dryRun"):
            return thing
        grace_s = 0
        if resource.plural == "pods":
            running = (thing.get("spec") or {}).get("nodeName") and (thing.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            given = options.get("gracePeriodSeconds")
            grace_s = ((thing["spec"].get("terminationGracePeriodSeconds", 30) if given is None else int(given)) if running else 0) or 0
        policy = options.get("propagationPolicy")
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(str(policy))
        return self.store.delete(resource, thing, grace_s, finalizer)

    def evict(self, place: Place, body: Object, query: Query) -> Answer:
        """201 when the pod may go; see `kube_budgets`."""
        pod = self.store.read(place.resource, place.namespace, place.name)
        kube_budgets.check(self.store, pod)
        options = dict(body.get("deleteOptions") or {})
        if query.get("dryRun") or options.get("dryRun"):
            options["dryRun"] = ["All"]
        self._take(place.resource, pod, options)
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def read(self, place: Place) -> Answer:
        """200 and the object, or its scale."""
        found = self.store.read(place.resource, place.namespace, place.name)
        return 200, self._as_scale(place, found) if place.part == "scale" else found

    def _as_scale(self, place: Place, thing: Object) -> Object:
        meta = {name: thing["metadata"].get(name) for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
        labels = ((thing["spec"].get("selector") or {}).get("matchLabels") or {}).items()
        status = {"replicas": (thing.get("status") or {}).get("replicas", 0), "selector": ",".join(f"{name}={value}" for name, value in labels)}
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": {"replicas": thing["spec"].get("replicas", 0)}, "status": status}

    def _scale(self, place: Place, old: Object, scale: Object, query: Query) -> Object:
        meta = scale.get("metadata") or {}
        for name in ("uid", "resourceVersion"):
            if meta.get(name) not in (None, "", old["metadata"][name]):
                raise _conflict(place, "the object has been modified; please apply your changes to the latest version and try again")
        new = {**old, "spec": {**old["spec"], "replicas": int((scale.get("spec") or {}).get("replicas") or 0)}}
        return self._as_scale(place, new if query.get("dryRun") else self.store.put(place.resource, new))


def _options(body: Object | None, query: Query) -> Object:
    if body:
        return body
    found: Object = {"propagationPolicy": query.get("propagationPolicy")}
    if query.get("gracePeriodSeconds"):
        found["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    return {**found, "dryRun": query.get("dryRun")}


def _conflict(place: Place, text: str) -> Refusal:
    details = {"name": place.name, "kind": place.resource.plural, "group": place.resource.group}
    return Refusal(409, "Conflict", f'Operation cannot be fulfilled on {place.resource.plural} "{place.name}": {text}', details)
