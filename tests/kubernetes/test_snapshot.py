"""What a plan knows of a cluster: whose the pods are, where they are, what holds them, and who would bring back what is changed."""

from __future__ import annotations

from typing import Any

import pytest
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import CallFailed, UsageError
from chaoslib_ext.kubernetes import objects, snapshot
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.kinds import PODS, SLICES
from chaoslib_ext.kubernetes.owners import gitops

SPEC = {"containers": [{"name": "a", "image": "x"}]}


def deployed(cluster: StandIn, name: str = "web", replicas: int = 3, **meta: Any) -> None:
    cluster.workload("deployments", "shop", name, replicas, {"app": name}, **meta)
    cluster.until(lambda: sum(one["metadata"]["labels"].get("app") == name for one in cluster.pods("shop", ready=True)) == replicas)


def test_a_pod_of_a_deployment_is_owned_by_the_deployment_and_not_by_its_replica_set(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    found = snapshot.take(door, ["shop"])
    assert {str(pod.owner) for pod in found.pods} == {"Deployment shop/web"}
    assert {(pod.owner.replicas, pod.owner.known, pod.owner.replaces) for pod in found.pods} == {(3, True, True)}
    assert len(found.of_owner(found.pods[0].owner)) == 3


def test_pods_are_in_the_zones_of_their_nodes(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    found = snapshot.take(door, ["shop"])
    assert found.ready_by_zone(found.pods) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}
    assert {node.name: node.zone for node in found.nodes}["node-b2"] == "zone-b"


def test_nodes_say_whether_they_are_ready_and_take_pods(cluster: StandIn, door: Cluster) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    meta = {"name": "bad", "labels": {snapshot.OLD_ZONE: "zone-z"}}
    cluster.add("nodes", {"metadata": meta, "spec": {"unschedulable": True, "taints": [taint]}, "status": {"conditions": None}})
    bad, good = ({node.name: node for node in snapshot.take(door, ["shop"]).nodes}[name] for name in ("bad", "node-a1"))
    assert (bad.ready, bad.schedulable, bad.zone, bad.taints) == (False, False, "zone-z", ("k=v:NoSchedule",))
    assert (good.ready, good.schedulable) == (True, True)


def test_a_pod_that_nobody_owns_is_its_own_owner_and_nothing_replaces_it(cluster: StandIn, door: Cluster) -> None:
    cluster.add("pods", {"metadata": {"name": "alone"}, "spec": SPEC}, "shop")
    owner = snapshot.take(door, ["shop"]).pods[0].owner
    assert (str(owner), owner.replaces, owner.known) == ("Pod shop/alone", False, True)


def test_an_owner_that_may_not_be_read_ends_the_chain_and_says_so(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=1)
    for verb in ("list", "get"):
        cluster.forbid(verb, "deployments")
    found = snapshot.take(door, ["shop"])
    assert found.pods[0].owner.kind == "Deployment"
    assert not found.pods[0].owner.known
    assert found.unread == ("deployments",)


def test_an_owner_of_a_kind_we_do_not_know_is_found_by_asking_the_server(cluster: StandIn, door: Cluster) -> None:
    definition = {"group": "argoproj.io", "scope": "Namespaced", "names": {"plural": "rollouts", "kind": "Rollout"}, "versions": [{"name": "v1alpha1"}]}
    (resource,) = cluster.define({"metadata": {"name": "rollouts.argoproj.io"}, "spec": definition})
    meta = {"name": "web", "namespace": "shop", "labels": {"argocd.argoproj.io/instance": "shop"}}
    rollout = cluster.store.add(resource, {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"replicas": 2}})
    reference = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": rollout["metadata"]["uid"], "controller": True}
    for number in range(2):
        cluster.add("pods", {"metadata": {"name": f"web-{number}", "ownerReferences": [reference]}, "spec": SPEC}, "shop")
    owners = {pod.owner for pod in snapshot.take(door, ["shop"]).pods}
    assert [(str(one), one.replicas, one.gitops) for one in owners] == [("Rollout shop/web", 2, "Argo CD shop")]
    assert len(cluster.requests("GET", "/rollouts/web")) == 1


def test_an_owner_of_the_same_name_with_another_uid_is_not_the_owner(cluster: StandIn, door: Cluster) -> None:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "an-older-one", "controller": True}
    cluster.controllers.paused = True  # or the pod would be collected as garbage
    cluster.add("jobs", {"metadata": {"name": "j"}, "spec": {}}, "shop")
    cluster.add("pods", {"metadata": {"name": "p", "ownerReferences": [reference]}, "spec": SPEC}, "shop")
    owner = snapshot.take(door, ["shop"]).pods[0].owner
    assert (owner.uid, owner.known) == ("an-older-one", False)


def test_budgets_are_found_by_the_pods_they_cover(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    deployed(cluster, "api", 1)
    for name, selector in (("web", {"matchLabels": {"app": "web"}}), ("all", {}), ("none", None), ("odd", {"matchExpressions": [{"operator": "??"}]})):
        spec = {"minAvailable": 2, **({} if selector is None else {"selector": selector})}
        cluster.controllers.paused = name == "odd"
        cluster.add("poddisruptionbudgets", {"metadata": {"name": name}, "spec": spec}, "shop")
    found = snapshot.take(door, ["shop"])
    covered = {pod.labels["app"]: sorted(one.name for one in found.budgets_of(pod)) for pod in found.pods}
    assert covered == {"web": ["all", "web"], "api": ["all"]}


def test_what_a_budget_still_allows_is_what_its_controller_says(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "web"}, "spec": spec}, "shop")
    cluster.until(lambda: [one.allowed for one in snapshot.take(door, ["shop"]).budgets] == [1])


def test_autoscalers_are_found_by_the_workload_they_change(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cluster.add("horizontalpodautoscalers", {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 9}}, "shop")
    cluster.add("horizontalpodautoscalers", {"metadata": {"name": "odd"}, "spec": None}, "shop")
    found = snapshot.take(door, ["shop"])
    assert [(one.name, one.least, one.most) for one in found.autoscalers_of(found.pods[0].owner)] == [("h", 2, 9)]


@pytest.mark.parametrize(
    ("meta", "tool"),
    [
        pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}, "Argo CD shop", id="argo by annotation"),
        pytest.param({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD shop", id="argo by label"),
        pytest.param(
            {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}, "Flux flux-system/apps", id="flux"
        ),
        pytest.param(
            {"labels": {"helm.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "flux-system"}}, "Flux flux-system/apps", id="flux helm"
        ),
        pytest.param({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "", id="helm alone reverts nothing"),
        pytest.param({"labels": None, "annotations": 3}, "", id="odd"),
    ],
)
def test_the_gitops_tool_that_would_revert_a_change_is_known_by_its_marks(meta: dict[str, Any], tool: str) -> None:
    assert gitops({"metadata": meta}) == tool


def test_the_gitops_owner_of_a_pod_is_that_of_its_top_owner(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=1, labels={"argocd.argoproj.io/instance": "shop"})
    assert snapshot.take(door, ["shop"]).pods[0].owner.gitops == "Argo CD shop"


def test_ready_endpoints_are_counted_by_zone_and_once(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=4)
    cluster.add("services", {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}, "shop")
    cluster.until(lambda: snapshot.take(door, ["shop"]).endpoints.get(("shop", "web")) == {"zone-a": 2, "zone-b": 1, "zone-c": 1})
    cluster.controllers.paused = True
    (first,) = objects.listed(door, SLICES, "shop").items
    labels = {snapshot.SERVICE: "web"}
    again = [{**first["endpoints"][0]}, {"addresses": ["1.2.3.4"], "zone": "zone-c"}, {"addresses": ["1.2.3.5"], "conditions": {"ready": False}}]
    cluster.add("endpointslices", {"metadata": {"name": "second", "labels": labels}, "addressType": "IPv4", "endpoints": again}, "shop")
    cluster.add("endpointslices", {"metadata": {"name": "empty", "labels": labels}, "endpoints": None}, "shop")
    assert snapshot.take(door, ["shop"]).endpoints[("shop", "web")] == {"zone-a": 2, "zone-b": 1, "zone-c": 2}


def test_what_has_not_the_shape_of_a_pod_is_there_and_says_what_is_missing(cluster: StandIn, door: Cluster) -> None:
    cluster.controllers.paused = True
    cluster.add("pods", {"metadata": {"name": "odd", "labels": None, "ownerReferences": "x", "annotations": []}, "spec": None, "status": 4}, "shop")
    (pod,) = snapshot.take(door, ["shop"]).pods
    assert (pod.name, pod.odd, pod.ready, pod.zone) == ("odd", "has no spec, containers", False, "")


def test_pods_that_end_are_no_capacity_of_their_owner(cluster: StandIn, door: Cluster) -> None:
    cluster.controllers.end_after_s = 3600.0
    deployed(cluster, replicas=2)
    victim = cluster.pods("shop")[0]["metadata"]
    assert objects.delete(door, PODS, "shop", victim["name"], victim["uid"])
    found = snapshot.take(door, ["shop"])
    ending = next(pod for pod in found.pods if pod.uid == victim["uid"])
    assert (ending.terminating, ending.ready) == (True, False)
    assert victim["uid"] not in {pod.uid for pod in found.of_owner(ending.owner)}


def test_pods_must_be_readable_and_a_namespace_named(cluster: StandIn, door: Cluster) -> None:
    with pytest.raises(UsageError, match="no namespace"):
        snapshot.take(door, [])
    cluster.forbid("list", "pods")
    with pytest.raises(CallFailed, match="403"):
        snapshot.take(door, ["shop"])
    assert cluster.requests("GET", "/nodes") == []


def test_without_the_right_to_see_nodes_zones_come_from_the_pods(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    cluster.forbid("list", "nodes")
    found = snapshot.take(door, ["shop"])
    assert found.unread == ("nodes",)
    assert found.ready_by_zone(found.pods) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}
