"""The stand-in keeps the promises of a real cluster that faults and their undo build on, beyond what the battery asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kube_patches import json_patch, merge, strategic
from kube_resources import BY_PLURAL
from kube_standin import Cluster as StandIn
from kube_store import Refusal

from chaoslib_ext.errors import CallFailed
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Access, Limits
from chaoslib_ext.kubernetes.kinds import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS, STATEFUL_SETS

WEB = {"app": "web"}


def uids(cluster: StandIn, ready: bool = True) -> set[str]:
    return {one["metadata"]["uid"] for one in cluster.pods("shop", ready=ready)}


def names(cluster: StandIn) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.pods("shop")}


def deployed(cluster: StandIn, plural: str = "deployments", replicas: int = 3) -> dict[str, Any]:
    made = cluster.workload(plural, "shop", "web", replicas, WEB)
    cluster.until(lambda: len(uids(cluster)) == replicas)
    return made


def test_a_deployment_replaces_a_killed_pod_by_one_of_another_name(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    victim = cluster.pods("shop")[0]["metadata"]
    objects.delete(door, PODS, "shop", victim["name"], victim["uid"], 0)
    cluster.until(lambda: len(uids(cluster)) == 3)
    assert victim["uid"] not in uids(cluster)
    assert victim["name"] not in names(cluster)


def test_a_stateful_set_replaces_a_killed_pod_by_one_of_the_same_name_and_another_uid(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, "statefulsets")
    before = uids(cluster)
    uid = objects.read(door, PODS, "shop", "web-1")["metadata"]["uid"]
    objects.delete(door, PODS, "shop", "web-1", uid, 0)
    cluster.until(lambda: len(uids(cluster)) == 3)
    assert names(cluster) == {"web-0", "web-1", "web-2"}
    assert before - uids(cluster) == {uid}


def test_the_endpoints_of_a_service_follow_its_pods(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    cluster.add("services", {"metadata": {"name": "web"}, "spec": {"selector": WEB, "ports": [{"port": 80}]}}, "shop")

    def served() -> set[str]:
        slices = cluster.store.all(BY_PLURAL["endpointslices"], "shop")
        return {one["targetRef"]["uid"] for part in slices for one in part["endpoints"] if one["conditions"]["ready"]}

    cluster.until(lambda: served() == uids(cluster))
    victim = cluster.pods("shop")[0]["metadata"]
    objects.delete(door, PODS, "shop", victim["name"], victim["uid"], 0)
    cluster.until(lambda: served() == uids(cluster) and len(served()) == 3)
    assert victim["uid"] not in served()


def test_pods_are_spread_over_ready_nodes_and_never_on_a_cordoned_one(cluster: StandIn, door: Cluster) -> None:
    for name in ("node-a1", "node-a2"):
        uid = objects.read(door, NODES, "", name)["metadata"]["uid"]
        objects.json_patch(door, NODES, "", name, uid, [{"op": "add", "path": "/spec/unschedulable", "value": True}])
    deployed(cluster, replicas=4)
    placed = sorted(one["spec"]["nodeName"] for one in cluster.pods("shop"))
    assert placed == ["node-b1", "node-b2", "node-c1", "node-c2"]


def test_a_graceful_deletion_takes_a_pod_out_of_the_endpoints_before_it_ends(cluster: StandIn, door: Cluster) -> None:
    cluster.controllers.end_after_s = 3600.0
    deployed(cluster)
    victim = cluster.pods("shop")[0]["metadata"]
    objects.delete(door, PODS, "shop", victim["name"], victim["uid"])
    cluster.until(lambda: len(uids(cluster)) == 3, "the replacement")
    assert len(cluster.pods("shop")) == 4
    assert victim["uid"] not in uids(cluster)
    objects.delete(door, PODS, "shop", victim["name"], victim["uid"], 0)
    assert victim["uid"] not in uids(cluster, ready=False)


@pytest.mark.parametrize(("policy", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 3)])
def test_what_is_owned_goes_with_its_owner_unless_it_is_orphaned(cluster: StandIn, door: Cluster, policy: str, left: int) -> None:
    uid = deployed(cluster)["metadata"]["uid"]
    objects.delete(door, DEPLOYMENTS, "shop", "web", uid, policy=policy)
    cluster.until(lambda: objects.find(door, DEPLOYMENTS, "shop", "web") is None)
    cluster.until(lambda: len(cluster.pods("shop")) == left)
    sets = objects.listed(door, REPLICA_SETS, "shop").items
    assert [one["metadata"].get("ownerReferences") for one in sets] == ([[]] if left else [])


def test_a_finalizer_holds_what_was_deleted_until_it_is_taken_away(cluster: StandIn, door: Cluster) -> None:
    uid = cluster.add("configmaps", {"metadata": {"name": "c", "finalizers": ["x.io/y"]}}, "shop")["metadata"]["uid"]
    assert objects.delete(door, CONFIG_MAPS, "shop", "c", uid)
    assert "deletionTimestamp" in objects.read(door, CONFIG_MAPS, "shop", "c")["metadata"]
    objects.json_patch(door, CONFIG_MAPS, "shop", "c", uid, [{"op": "remove", "path": "/metadata/finalizers"}])
    assert objects.find(door, CONFIG_MAPS, "shop", "c") is None


def test_a_change_that_changes_nothing_makes_no_version(cluster: StandIn, door: Cluster) -> None:
    thing = cluster.add("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "shop")
    again = objects.merge_patch(door, CONFIG_MAPS, "shop", "c", thing["metadata"]["uid"], {"data": {"a": "1"}})
    assert again["metadata"]["resourceVersion"] == thing["metadata"]["resourceVersion"]


def test_the_status_is_changed_by_its_part_only(cluster: StandIn, door: Cluster) -> None:
    uid = deployed(cluster, "statefulsets")["metadata"]["uid"]
    cluster.until(lambda: (objects.read(door, STATEFUL_SETS, "shop", "web").get("status") or {}).get("readyReplicas") == 3)
    cluster.controllers.paused = True
    changed = objects.merge_patch(door, STATEFUL_SETS, "shop", "web", uid, {"spec": {"replicas": 5}, "status": {"readyReplicas": 9}})
    assert (changed["spec"]["replicas"], changed["status"]["readyReplicas"]) == (5, 3)
    changed = objects.merge_patch(door, STATEFUL_SETS, "shop", "web", uid, {"spec": {"replicas": 7}, "status": {"readyReplicas": 9}}, part="status")
    assert (changed["spec"]["replicas"], changed["status"]["readyReplicas"]) == (5, 9)


def test_what_is_forbidden_is_refused_for_that_user_alone(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("reader-token", "reader")
    cluster.token("admin-token", "admin")
    cluster.forbid("list", "pods", "reader")
    doors = {
        user: Cluster(Access("standin", str(cluster.kubeconfig(tmp_path / user, {"token": f"{user}-token"}))), cluster.uid, Limits(30.0, 30.0, 60.0))
        for user in ("reader", "admin")
    }
    assert objects.listed(doors["admin"], PODS, "shop").items == ()
    with pytest.raises(CallFailed, match='User "reader" cannot list resource "pods"'):
        objects.listed(doors["reader"], PODS, "shop")


def test_a_namespace_that_ends_takes_no_new_objects_and_is_gone_when_it_is_empty(cluster: StandIn, door: Cluster) -> None:
    cluster.add("configmaps", {"metadata": {"name": "c", "finalizers": ["x.io/y"]}}, "shop")
    uid = next(one["metadata"]["uid"] for one in cluster.store.all(BY_PLURAL["namespaces"]) if one["metadata"]["name"] == "shop")
    from chaoslib_ext.kubernetes.kinds import NAMESPACES

    objects.delete(door, NAMESPACES, "", "shop", uid)
    with pytest.raises(CallFailed, match="403 Forbidden"):
        objects.create(door, CONFIG_MAPS, "shop", {"metadata": {"name": "d"}})
    thing = objects.read(door, CONFIG_MAPS, "shop", "c")["metadata"]["uid"]
    objects.json_patch(door, CONFIG_MAPS, "shop", "c", thing, [{"op": "remove", "path": "/metadata/finalizers"}])
    cluster.until(lambda: objects.find(door, NAMESPACES, "", "shop") is None)


@pytest.mark.parametrize(
    ("old", "operations", "new"),
    [
        pytest.param({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}, id="add into a list"),
        pytest.param({"a": []}, [{"op": "add", "path": "/a/-", "value": 1}], {"a": [1]}, id="add at the end"),
        pytest.param({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}, id="escapes"),
        pytest.param({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/b", "path": "/c"}], {"b": 1, "c": 1}, id="move and copy"),
        pytest.param({"a": 1}, [{"op": "test", "path": "/a", "value": 2}], None, id="a failing test"),
        pytest.param({"a": 1}, [{"op": "remove", "path": "/b"}], None, id="nothing to remove"),
        pytest.param({"a": 1}, [{"op": "add", "path": "/b/c", "value": 1}], None, id="no parent"),
        pytest.param({"a": [1]}, [{"op": "replace", "path": "/a/1", "value": 1}], None, id="beyond the list"),
    ],
)
def test_json_patches_are_those_of_the_standard(old: dict[str, Any], operations: list[dict[str, Any]], new: dict[str, Any] | None) -> None:
    if new is not None:
        assert json_patch(old, operations) == new
        return
    with pytest.raises(Refusal) as caught:
        json_patch(old, operations)
    assert caught.value.code == 422


def test_merge_patches_replace_lists_and_strategic_ones_merge_those_with_a_key() -> None:
    old = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}], "taints": [{"key": "k"}]}}
    patch = {"spec": {"containers": [{"name": "b", "image": "z"}], "taints": [{"key": "l"}]}}
    assert merge(old, patch) == patch
    merged = strategic(old, patch)
    assert [one["image"] for one in merged["spec"]["containers"]] == ["x", "z"]
    assert merged["spec"]["taints"] == [{"key": "l"}]
    gone = strategic(old, {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}})
    assert [one["name"] for one in gone["spec"]["containers"]] == ["b"]
    assert old["spec"]["containers"][1]["image"] == "y"
