"""Which kinds of objects the stand-in knows, and what discovery says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: where it is served, and whether its spec changes are counted. `schema` is the structural schema of a custom one."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    generations: bool = False
    schema: dict[str, Any] | None = field(default=None, compare=False, hash=False)

    @property
    def api_version(self) -> str:
        """What objects of this kind say in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


_SCALED = ("status", "scale")
BUILT_IN = (
    Resource("", "v1", "namespaces", "Namespace", False, ("status", "finalize")),
    Resource("", "v1", "nodes", "Node", False, ("status",)),
    Resource("", "v1", "pods", "Pod", True, ("status", "eviction", "ephemeralcontainers"), generations=True),
    Resource("", "v1", "services", "Service", True, ("status",)),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "events", "Event"),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("status",)),
    Resource("apps", "v1", "deployments", "Deployment", True, _SCALED, generations=True),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, _SCALED, generations=True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True, _SCALED, generations=True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("status",), generations=True),
    Resource("batch", "v1", "jobs", "Job", True, ("status",), generations=True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("status",), generations=True),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("status",)),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", generations=True),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generations=True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, ("status",), generations=True),
)
BY_PLURAL = {one.plural: one for one in BUILT_IN}
NAMESPACES, NODES, PODS, SERVICES = (BY_PLURAL[name] for name in ("namespaces", "nodes", "pods", "services"))
DEPLOYMENTS, REPLICASETS, STATEFULSETS = (BY_PLURAL[name] for name in ("deployments", "replicasets", "statefulsets"))
BUDGETS, SLICES, CLAIMS = (BY_PLURAL[name] for name in ("poddisruptionbudgets", "endpointslices", "persistentvolumeclaims"))
DEFINITIONS = BY_PLURAL["customresourcedefinitions"]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def custom_resources(definition: dict[str, Any]) -> list[Resource]:
    """The kinds that a CustomResourceDefinition serves, one for each of its versions."""
    spec = definition["spec"]
    return [
        Resource(
            spec["group"],
            version["name"],
            spec["names"]["plural"],
            spec["names"]["kind"],
            spec["scope"] == "Namespaced",
            tuple(version.get("subresources") or ()),
            generations=True,
            schema=version.get("schema", {}).get("openAPIV3Schema"),
        )
        for version in spec["versions"]
        if version.get("served", True)
    ]


def discovery(known: list[Resource], group: str, version: str) -> dict[str, Any]:
    """The answer to `GET /api/v1` or `GET /apis/GROUP/VERSION`."""
    rows = []
    for one in known:
        if (one.group, one.version) == (group, version):
            rows.append({"name": one.plural, "singularName": one.kind.lower(), "namespaced": one.namespaced, "kind": one.kind, "verbs": VERBS})
            kinds = {"eviction": "Eviction", "scale": "Scale"}
            for part in one.subresources:
                row = {"name": f"{one.plural}/{part}", "singularName": "", "namespaced": one.namespaced, "kind": kinds.get(part, one.kind)}
                rows.append({**row, "verbs": ["create"] if part == "eviction" else ["get", "patch", "update"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}" if group else version, "resources": rows}


def groups(known: list[Resource]) -> dict[str, Any]:
    """The answer to `GET /apis`."""
    found: dict[str, list[str]] = {}
    for one in known:
        if one.group and one.version not in found.setdefault(one.group, []):
            found[one.group].append(one.version)
    entry = lambda name, version: {"groupVersion": f"{name}/{version}", "version": version}  # noqa: E731
    rows = [{"name": name, "versions": [entry(name, one) for one in all_], "preferredVersion": entry(name, all_[0])} for name, all_ in found.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": rows}
