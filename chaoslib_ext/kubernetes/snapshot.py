"""
What is in some namespaces of a cluster at one moment, as a plan needs it: pods with owners and zones, nodes, budgets, autoscalers, endpoints.

It is read by a few lists and changes nothing. What has not the shape it should have is there too, with `odd` saying what is missing, and is never
chosen as a target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaoslib_ext.errors import CallFailed, UsageError
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.kinds import AUTOSCALERS, BUDGETS, DAEMON_SETS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS, SLICES, STATEFUL_SETS, Kind
from chaoslib_ext.kubernetes.owners import Owner, Owners
from chaoslib_ext.kubernetes.shapes import JSON, chooses, condition, mapping, number, rows, text, texts

ZONE = "topology.kubernetes.io/zone"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Node:
    """A node. `zone` is empty when no label says it; `taints` are like `key=value:NoSchedule`."""

    name: str
    uid: str
    zone: str
    ready: bool
    schedulable: bool
    labels: dict[str, str]
    taints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `zone` is that of its node. `odd` says why it cannot be a target, and is empty for most."""

    namespace: str
    name: str
    uid: str
    node: str
    zone: str
    phase: str
    ready: bool
    terminating: bool
    host_network: bool
    static: bool
    labels: dict[str, str]
    owner: Owner
    volumes: tuple[str, ...] = ()
    odd: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: how many pods it covers may go now, and how many pods of the snapshot it covers."""

    namespace: str
    name: str
    uid: str
    allowed: int
    pods: frozenset[str]


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler and what it scales, like "Deployment web"."""

    namespace: str
    name: str
    uid: str
    target: tuple[str, str]
    least: int
    most: int
    current: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All of it. `version` is that of the list of pods of the last namespace, from which a watch of it goes on.

    `unread` names what this identity may not read, or the server does not have; the plan says so, as it cannot know more.
    """

    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    budgets: tuple[Budget, ...]
    autoscalers: tuple[Autoscaler, ...]
    endpoints: dict[tuple[str, str], dict[str, int]]  # ready ones by zone, of each service (namespace, name)
    version: str
    unread: tuple[str, ...] = ()

    def budgets_of(self, pod: Pod) -> list[Budget]:
        """The budgets that cover a pod; more than one makes every eviction of it fail."""
        return [one for one in self.budgets if pod.uid in one.pods]

    def autoscalers_of(self, owner: Owner) -> list[Autoscaler]:
        """The autoscalers that change this owner's number of pods."""
        return [one for one in self.autoscalers if (one.namespace, one.target) == (owner.namespace, (owner.kind, owner.name))]

    def of_owner(self, owner: Owner) -> list[Pod]:
        """The pods of an owner that are not on their way out."""
        return [pod for pod in self.pods if pod.owner.uid == owner.uid and not pod.terminating]

    def ready_by_zone(self, pods: Iterable[Pod]) -> dict[str, int]:
        """How many of some pods are ready, by zone."""
        return dict(sorted(Counter(pod.zone for pod in pods if pod.ready).items()))


def zone_of(node: JSON) -> str:
    """The zone that a node's labels say, also by the old label."""
    labels = texts(node, "metadata", "labels")
    return labels.get(ZONE) or labels.get(OLD_ZONE, "")


def pod_ready(pod: JSON) -> bool:
    """Whether a pod is ready and not on its way out."""
    return condition(pod, "Ready") == "True" and not mapping(pod, "metadata").get("deletionTimestamp")


def take(cluster: Cluster, namespaces: Iterable[str]) -> Snapshot:
    """The snapshot of some namespaces. Raises UsageError when there are none, and CallFailed as a list does."""
    wanted = sorted(set(namespaces))
    if not wanted:
        raise UsageError(f"{cluster}: got no namespace, expected at least one; nothing was sent")
    listed = [objects.listed(cluster, PODS, namespace) for namespace in wanted]
    unread: list[str] = []
    found = {kind: _optional(cluster, kind, wanted, unread) for kind in (NODES, *_OWNERS, BUDGETS, AUTOSCALERS, SLICES)}
    nodes = [_node(one) for one in found[NODES]]
    zones = {node.name: node.zone for node in nodes}
    above = Owners(cluster, [{"kind": kind.kind, **one} for kind in _OWNERS for one in found[kind]])
    pods = tuple(_pod(one, zones, above.top({"kind": PODS.kind, **one})) for page in listed for one in page.items)
    return Snapshot(
        pods,
        tuple(nodes),
        tuple(_budgets(found[BUDGETS], pods)),
        tuple(_autoscaler(one) for one in found[AUTOSCALERS]),
        _ready_endpoints(found[SLICES], zones),
        listed[-1].version,
        tuple(unread),
    )


def _optional(cluster: Cluster, kind: Kind, namespaces: list[str], unread: list[str]) -> list[JSON]:
    """All objects of a kind; none, and its name added to `unread`, when they may not be read."""
    try:
        pages = [objects.listed(cluster, kind, namespace) for namespace in (namespaces if kind.namespaced else [None])]
    except CallFailed as error:
        if error.status not in (403, 404):
            raise
        unread.append(kind.plural)
        return []
    return [one for page in pages for one in page.items]


_OWNERS: tuple[Kind, ...] = (REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)


def _node(thing: JSON) -> Node:
    taints = tuple(f"{text(one, 'key')}={text(one, 'value')}:{text(one, 'effect')}" for one in rows(thing, "spec", "taints"))
    ready, open_ = condition(thing, "Ready") == "True", mapping(thing, "spec").get("unschedulable") is not True
    meta = mapping(thing, "metadata")
    return Node(text(meta, "name"), text(meta, "uid"), zone_of(thing), ready, open_, texts(meta, "labels"), taints)


def _pod(thing: JSON, zones: dict[str, str], owner: Owner) -> Pod:
    meta, spec = mapping(thing, "metadata"), mapping(thing, "spec")
    node, labels = text(spec, "nodeName"), texts(thing, "metadata", "labels")
    missing = [name for name, there in (("uid", text(meta, "uid")), ("spec", spec), ("containers", rows(spec, "containers"))) if not there]
    return Pod(
        text(meta, "namespace"),
        text(meta, "name"),
        text(meta, "uid"),
        node,
        zones.get(node) or labels.get(ZONE, ""),
        text(thing, "status", "phase"),
        pod_ready(thing),
        bool(meta.get("deletionTimestamp")),
        spec.get("hostNetwork") is True,
        "kubernetes.io/config.mirror" in texts(meta, "annotations"),
        labels,
        owner,
        tuple(text(one, "persistentVolumeClaim", "claimName") for one in rows(spec, "volumes") if "persistentVolumeClaim" in one),
        f"has no {', '.join(missing)}" if missing else "",
    )


def _budgets(things: list[JSON], pods: tuple[Pod, ...]) -> Iterator[Budget]:
    """The budgets with the pods they cover; pods are looked up by a label, as there may be hundreds of budgets and thousands of pods."""
    by_label: dict[tuple[str, str, object], list[Pod]] = {}
    for pod in pods if things else ():
        for label in [("", ""), *pod.labels.items()]:
            by_label.setdefault((pod.namespace, *label), []).append(pod)
    for thing in things:
        meta, selector = mapping(thing, "metadata"), mapping(thing, "spec").get("selector")
        namespace = text(meta, "namespace")
        first = next(iter(mapping(selector, "matchLabels").items()), ("", ""))
        maybe = by_label.get((namespace, *first), []) if isinstance(first[1], str) else []
        covered = frozenset(pod.uid for pod in maybe if chooses(selector, pod.labels))
        yield Budget(namespace, text(meta, "name"), text(meta, "uid"), number(thing, "status", "disruptionsAllowed") or 0, covered)


def _autoscaler(thing: JSON) -> Autoscaler:
    meta, spec = mapping(thing, "metadata"), mapping(thing, "spec")
    target = (text(spec, "scaleTargetRef", "kind"), text(spec, "scaleTargetRef", "name"))
    least, most = number(spec, "minReplicas"), number(spec, "maxReplicas")
    current = number(thing, "status", "currentReplicas") or 0
    return Autoscaler(text(meta, "namespace"), text(meta, "name"), text(meta, "uid"), target, 1 if least is None else least, most or 0, current)


def _ready_endpoints(slices: list[JSON], zones: dict[str, str]) -> dict[tuple[str, str], dict[str, int]]:
    """
    The ready endpoints of each service by zone; each target counts once, though it may be in several slices.

    `ready` that is not said means ready, as the API says. Source: discovery.k8s.io/v1, EndpointConditions.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for one in slices:
        service = (text(one, "metadata", "namespace"), texts(one, "metadata", "labels").get(SERVICE, ""))
        here = found.setdefault(service, {})
        for endpoint in rows(one, "endpoints"):
            if mapping(endpoint, "conditions").get("ready") is not False:
                addresses = endpoint.get("addresses")
                who = text(endpoint, "targetRef", "uid") or str(addresses)
                here[who] = text(endpoint, "zone") or zones.get(text(endpoint, "nodeName"), "")
    return {service: dict(sorted(Counter(here.values()).items())) for service, here in found.items() if service[1]}
