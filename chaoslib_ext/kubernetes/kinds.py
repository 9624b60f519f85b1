"""The kinds of objects that we touch, and the paths they are served at; a path without a name cannot be made by mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from chaoslib_ext.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object of the API: its group ("" for the core), version, plural name, and whether it lives in namespaces."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What an object of this kind says in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


NAMESPACES = Kind("", "v1", "namespaces", "Namespace", False)
NODES = Kind("", "v1", "nodes", "Node", False)
PODS = Kind("", "v1", "pods", "Pod")
SERVICES = Kind("", "v1", "services", "Service")
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
EVENTS = Kind("", "v1", "events", "Event")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet")
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Kind("apps", "v1", "daemonsets", "DaemonSet")
JOBS = Kind("batch", "v1", "jobs", "Job")
BUDGETS = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SLICES = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
POLICIES = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False)
BUILT_IN = (NAMESPACES, NODES, PODS, SERVICES, CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS)


def check_name(what: str, name: str) -> str:
    """The name, when it is one. Raises UsageError before anything is sent: an empty name in a path means all objects of a kind."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what}: got the name {name[:80]!r}, expected the name of one object; nothing was sent")
    return name


def object_path(kind: Kind, namespace: str, name: str, part: str = "") -> str:
    """The path of exactly one object, or of a `part` of it like status. Raises UsageError for an empty or impossible name."""
    return f"{collection_path(kind, namespace)}/{quote(check_name(kind.plural, name), safe='')}" + (f"/{part}" if part else "")


def collection_path(kind: Kind, namespace: str | None) -> str:
    """The path of all objects of a kind, of one namespace or (None) of the cluster; for lists and creation only, nothing here deletes by it."""
    if not kind.namespaced or namespace is None:
        return f"{kind.root}/{kind.plural}"
    return f"{kind.root}/namespaces/{quote(check_name(f'namespace of {kind.plural}', namespace), safe='')}/{kind.plural}"


def with_query(path: str, query: dict[str, str]) -> str:
    """The path with its query, empty values left out."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
