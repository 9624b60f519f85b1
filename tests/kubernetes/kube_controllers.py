"""
A few controllers, so that a fault means something: what was killed is replaced, and endpoints follow.

One thread looks at everything after each change: it collects garbage, empties namespaces that end, keeps Deployments, ReplicaSets and
StatefulSets at their number (a StatefulSet's pod comes back under its name, with another uid), places pods on ready nodes of all zones in
turn, makes them ready `ready_after_s` later, lets terminating ones end, and writes EndpointSlices and the status of budgets and workloads.
It differs from the real ones: no rolling update (one ReplicaSet for each Deployment), no probes, no volumes, no leases of nodes, no taint eviction.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from kube_budgets import ready, room
from kube_ending import end_terminating, garbage
from kube_resources import BUDGETS, DEPLOYMENTS, NODES, PODS, REPLICASETS, SERVICES, SLICES, STATEFULSETS, Resource
from kube_selectors import by_spec
from kube_store import Object, Refusal, Store, clone, key_of, now_text

ZONE = "topology.kubernetes.io/zone"


class Controllers:
    """The thread. `paused` keeps it from doing anything; `ready_after_s` is how long a new pod takes to be ready."""

    def __init__(self, store: Store, ready_after_s: float = 0.05, end_after_s: float = 0.0) -> None:
        self.store, self.ready_after_s, self.end_after_s = store, ready_after_s, end_after_s
        self.kubelets: set[str] = set()  # nodes whose pods are run; another node is only an object
        self.paused, self._end = False, False
        self._seen: dict[str, float] = {}
        self._address = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends, and waits until it has."""
        with self.store.lock:
            self._end = True
            self.store.lock.notify_all()
        self._thread.join()

    def _run(self) -> None:
        with self.store.lock:
            while not self._end:
                before = self.store.version
                if not self.paused:
                    self.look()
                changed = self.store.version != before
                self.store.lock.wait(0.001 if changed else 0.02 if self._expecting() else 0.5)  # lets others in; a change wakes it at once

    def _expecting(self) -> bool:
        return not self.paused and any(
            "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") == "Pending" for pod in self.store.all(PODS)
        )

    def look(self) -> None:
        """One round of all controllers, under the store's lock."""
        end_terminating(self.store, self.kubelets, self.end_after_s)
        garbage(self.store)
        for deployment in self.store.all(DEPLOYMENTS):
            self._deployment(deployment)
        for workload in self.store.all(REPLICASETS):
            self._replicaset(workload)
        for workload in self.store.all(STATEFULSETS):
            self._statefulset(workload)
        for pod in self.store.all(PODS):
            self._pod(pod)
        for service in self.store.all(SERVICES):
            self._slice(service)
        for budget in self.store.all(BUDGETS):
            self._status(BUDGETS, budget, {**room(self.store, budget), "observedGeneration": budget["metadata"].get("generation", 1)})

    def _status(self, resource: Resource, thing: Object, status: Object) -> None:
        self.store.put(resource, {**thing, "status": {**(thing.get("status") or {}), **status}})

    def _owned(self, resource: Resource, owner: Object) -> list[Object]:
        uid, here = owner["metadata"]["uid"], self.store.all(resource, owner["metadata"]["namespace"])
        return [one for one in here if any(owned["uid"] == uid for owned in one["metadata"].get("ownerReferences") or [])]

    def _make(self, resource: Resource, owner: Object, kind: str, name: str, thing: Object) -> None:
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
        new = clone(thing)
        meta = {**(new.get("metadata") or {}), "name": name, "namespace": owner["metadata"]["namespace"], "ownerReferences": [reference]}
        new.update(metadata=meta, apiVersion=resource.api_version, kind=resource.kind, status={"phase": "Pending"} if resource == PODS else {})
        try:
            self.store.add(resource, new)
        except Refusal:
            pass  # the old one of that name is not gone yet: the next round tries again

    def _deployment(self, deployment: Object) -> None:
        if "deletionTimestamp" in deployment["metadata"]:
            return
        owned, spec = self._owned(REPLICASETS, deployment), deployment["spec"]
        wanted = {name: spec[name] for name in ("replicas", "selector", "template")}
        if not owned:
            labels = {"labels": dict(spec["template"]["metadata"]["labels"])}
            self._make(REPLICASETS, deployment, "Deployment", deployment["metadata"]["name"] + "-66d5c9", {"metadata": labels, "spec": wanted})
            return
        self.store.put(REPLICASETS, {**owned[0], "spec": {**owned[0]["spec"], **wanted}})
        counted = {name: (owned[0].get("status") or {}).get(name, 0) for name in ("replicas", "readyReplicas", "availableReplicas")}
        generation = deployment["metadata"]["generation"]
        self._status(DEPLOYMENTS, deployment, {**counted, "updatedReplicas": counted["replicas"], "observedGeneration": generation})

    def _replicaset(self, workload: Object) -> None:
        owned = self._owned(PODS, workload)
        living = [pod for pod in owned if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Failed", "Succeeded")]
        self._workload_status(REPLICASETS, workload, living)
        if "deletionTimestamp" in workload["metadata"]:
            return
        wanted = workload["spec"].get("replicas", 1)
        for number in range(wanted - len(living)):
            self._make(PODS, workload, "ReplicaSet", f"{workload['metadata']['name']}-{self.store.version:05x}{number}", workload["spec"]["template"])
        for pod in living[wanted:]:
            self.store.delete(PODS, pod, 0 if not pod["spec"].get("nodeName") else 30)

    def _statefulset(self, workload: Object) -> None:
        owned = {pod["metadata"]["name"]: pod for pod in self._owned(PODS, workload)}
        self._workload_status(STATEFULSETS, workload, list(owned.values()))
        if "deletionTimestamp" in workload["metadata"]:
            return
        names = [f"{workload['metadata']['name']}-{number}" for number in range(workload["spec"].get("replicas", 1))]
        for name in names:
            if name not in owned:
                labels = {"statefulset.kubernetes.io/pod-name": name, **workload["spec"]["template"]["metadata"]["labels"]}
                template = {**workload["spec"]["template"], "metadata": {"labels": labels}}
                self._make(PODS, workload, "StatefulSet", name, template)
        for name in set(owned) - set(names):
            self.store.delete(PODS, owned[name], 30)

    def _workload_status(self, resource: Resource, workload: Object, living: list[Object]) -> None:
        number = sum(map(ready, living))
        status = {"replicas": len(living), "readyReplicas": number, "availableReplicas": number}
        self._status(resource, workload, {**status, "observedGeneration": workload["metadata"]["generation"]})

    def _pod(self, pod: Object) -> None:
        uid, status = pod["metadata"]["uid"], pod.get("status") or {}
        if "deletionTimestamp" in pod["metadata"] or not pod.get("spec") or status.get("phase") in ("Failed", "Succeeded"):
            return
        if not pod["spec"].get("nodeName"):
            self._place(pod)
            return
        waits = pod["spec"]["nodeName"] in self.kubelets and status.get("phase") == "Pending"
        if waits and time.monotonic() - self._seen.setdefault(uid, time.monotonic()) >= self.ready_after_s:
            self._address += 1
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": now_text()}
            address = f"10.244.{self._address // 250}.{self._address % 250 + 1}"
            self._status(PODS, pod, {"phase": "Running", "podIP": address, "conditions": [condition], "startTime": now_text()})

    def _place(self, pod: Object) -> None:
        nodes = {node["metadata"]["name"]: node for node in self.store.all(NODES)}
        fit = [name for name in self.kubelets if name in nodes and not (nodes[name].get("spec") or {}).get("unschedulable") and _node_ready(nodes[name])]
        if not fit:
            return
        like = [one["spec"].get("nodeName") for one in self.store.all(PODS) if one.get("spec") and _owner_uid(one) == _owner_uid(pod)]
        everything = Counter(one["spec"].get("nodeName") for one in self.store.all(PODS) if one.get("spec"))
        zones = {name: (nodes[name]["metadata"].get("labels") or {}).get(ZONE, "") for name in nodes}
        in_zone, on_node = Counter(zones.get(one, "") for one in like if one), Counter(like)
        name = min(sorted(fit), key=lambda one: (in_zone[zones[one]], on_node[one], everything[one], one))
        labels = {**(pod["metadata"].get("labels") or {})}
        if zones[name]:
            labels[ZONE] = zones[name]  # as 1.35 does at binding
        self.store.put(PODS, {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": {**pod["spec"], "nodeName": name}})

    def _slice(self, service: Object) -> None:
        selector, (namespace, name) = (service.get("spec") or {}).get("selector"), key_of(service)
        if not selector:
            return
        chosen = by_spec({"matchLabels": selector})
        pods = [pod for pod in self.store.all(PODS, namespace) if chosen(pod) and (pod.get("status") or {}).get("podIP")]
        thing: Object = {
            "apiVersion": SLICES.api_version,
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-x2k4p", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": (service.get("spec") or {}).get("ports") or [],
            "endpoints": [self._endpoint(pod) for pod in pods],
        }
        thing["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Service", "name": name, "uid": service["metadata"]["uid"], "controller": True}]
        if self.store.find(SLICES, namespace, thing["metadata"]["name"]) is None:
            self.store.add(SLICES, thing)
        else:
            self.store.put(SLICES, thing)

    def _endpoint(self, pod: Object) -> dict[str, Any]:
        terminating = "deletionTimestamp" in pod["metadata"]
        reference = {"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        node = self.store.find(NODES, "", pod["spec"].get("nodeName", "")) or {"metadata": {}}
        conditions = {"ready": ready(pod), "serving": ready(pod) or terminating, "terminating": terminating}
        zone = (node["metadata"].get("labels") or {}).get(ZONE)
        found = {"addresses": [pod["status"]["podIP"]], "conditions": conditions, "nodeName": pod["spec"].get("nodeName"), "targetRef": reference}
        return found | ({"zone": zone} if zone else {})


def _owner_uid(thing: Object) -> str:
    owners = thing["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid", thing["metadata"]["uid"]))


def _node_ready(node: Object) -> bool:
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in (node.get("status") or {}).get("conditions") or [])
