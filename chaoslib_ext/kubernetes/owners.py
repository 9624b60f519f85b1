"""
Who owns a pod, up to the top, and whether a GitOps tool keeps that owner as it is written elsewhere.

Owners are found by their ownerReferences, one read for each owner, never twice. Where one may not be read, the chain ends there and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaoslib_ext.errors import CallFailed
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.kinds import BUILT_IN, Kind
from chaoslib_ext.kubernetes.shapes import JSON, mapping, rows, text, texts

_DEEPEST = 10  # owners above owners; real chains have two or three
_ARGO = "argocd.argoproj.io/"
_FLUX = ("kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")


@dataclass(frozen=True, slots=True)
class Owner:
    """
    The one on top of a pod's owners; of a pod that nobody owns, the pod itself with `replaces` False: nothing brings it back.

    `known` is False when an owner could not be read, so that there may be one above. `gitops` is like "Argo CD shop" or empty.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    replicas: int | None = None
    replaces: bool = True
    known: bool = True
    gitops: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def gitops(thing: JSON) -> str:
    """The GitOps tool that keeps this object, by its labels and annotations, like "Flux shop/apps"; empty when none says so."""
    labels, notes = texts(thing, "metadata", "labels"), texts(thing, "metadata", "annotations")
    if tracked := notes.get(_ARGO + "tracking-id"):
        return f"Argo CD {tracked.partition(':')[0]}"
    if name := labels.get(_ARGO + "instance"):
        return f"Argo CD {name}"
    for prefix in _FLUX:
        if name := labels.get(prefix + "name"):
            return f"Flux {labels.get(prefix + 'namespace', '')}/{name}".replace(" /", " ")
    return ""


class Owners:
    """Finds owners, and remembers what was read. `seen` are objects that need not be read again."""

    def __init__(self, cluster: Cluster, seen: list[JSON]) -> None:
        self._cluster = cluster
        self._things: dict[str, JSON | None] = {text(one, "metadata", "uid"): one for one in seen}
        self._kinds = {(one.api_version, one.kind): one for one in BUILT_IN}

    def top(self, pod: JSON) -> Owner:
        """The owner on top of a pod."""
        thing, known, owned = pod, True, False
        for _ in range(_DEEPEST):
            reference = _controller(thing)
            if reference is None:
                break
            owned, above = True, self._read(reference, text(pod, "metadata", "namespace"))
            if above is None:
                return self._unread(pod, reference, gitops(thing))
            thing = above
        else:
            known = False
        replicas = mapping(thing, "spec").get("replicas")
        return Owner(
            text(thing, "kind") or "Pod",
            text(thing, "metadata", "namespace"),
            text(thing, "metadata", "name"),
            text(thing, "metadata", "uid"),
            replicas if isinstance(replicas, int) else None,
            owned,
            known,
            gitops(thing) or gitops(pod),
        )

    @staticmethod
    def _unread(pod: JSON, reference: JSON, tool: str) -> Owner:
        namespace = text(pod, "metadata", "namespace")
        return Owner(text(reference, "kind"), namespace, text(reference, "name"), text(reference, "uid"), None, True, False, tool)

    def _read(self, reference: JSON, namespace: str) -> JSON | None:
        """The owner that a reference names, or None when it is not there or may not be read."""
        uid = text(reference, "uid")
        if uid not in self._things:
            self._things[uid] = self._fetched(reference, namespace)
        return self._things[uid]

    def _fetched(self, reference: JSON, namespace: str) -> JSON | None:
        kind = self._kind(text(reference, "apiVersion"), text(reference, "kind"))
        if kind is None:
            return None
        try:
            found = objects.read(self._cluster, kind, namespace, text(reference, "name"))
        except CallFailed as error:
            if error.status in (403, 404):
                return None
            raise
        found.setdefault("kind", kind.kind)
        return found if text(found, "metadata", "uid") == text(reference, "uid") else None

    def _kind(self, version: str, name: str) -> Kind | None:
        """The kind of an owner, asked of the server once for each that is not built in."""
        if (version, name) not in self._kinds and version:
            group, _, short = version.rpartition("/")
            try:
                found = self._cluster.call("GET", f"/apis/{version}" if group else f"/api/{version}")
            except CallFailed as error:
                if error.status not in (403, 404):
                    raise
                found = {}
            for one in rows(found, "resources"):
                if "/" not in text(one, "name"):
                    kind = Kind(group, short, text(one, "name"), text(one, "kind"), one.get("namespaced") is True)
                    self._kinds.setdefault((version, kind.kind), kind)
        return self._kinds.get((version, name))


def _controller(thing: JSON) -> JSON | None:
    """The reference to the one owner that acts for an object: its controller, or its only owner; a static pod's node is none."""
    references = [one for one in rows(thing, "metadata", "ownerReferences") if text(one, "kind") != "Node"]
    acting = [one for one in references if one.get("controller") is True] or references
    return acting[0] if acting else None
