"""Reading and changing objects: whole lists whatever is in them, changes that hit exactly what was meant, options that are not lost."""

from __future__ import annotations

from typing import Any

import pytest
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import CallFailed
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.kinds import BUDGETS, CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, NODES, PODS, STATEFUL_SETS

SPEC = {"containers": [{"name": "a", "image": "x"}], "terminationGracePeriodSeconds": 30, "restartPolicy": "Always", "schedulerName": "default-scheduler"}
READY = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}


def pod(cluster: StandIn, name: str = "web-0", node: str = "elsewhere", **more: Any) -> str:
    """The uid of a new pod, on a node without kubelet, so that nothing happens to it by itself."""
    thing = {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {**SPEC, "nodeName": node}, "status": READY, **more}
    return str(cluster.add("pods", thing, "shop")["metadata"]["uid"])


def test_a_list_of_many_comes_whole_in_pages_of_500(cluster: StandIn, door: Cluster) -> None:
    for number in range(1203):
        cluster.add("configmaps", {"metadata": {"name": f"c{number}"}}, "shop")
    found = objects.listed(door, CONFIG_MAPS, "shop")
    assert len({name for _, name, _ in objects.names(found.items)}) == 1203
    assert [("limit=500" in one.target) for one in cluster.requests("GET", "/configmaps")] == [True] * 3


def test_a_list_whose_pages_expire_on_the_way_is_begun_anew_and_has_nothing_twice(cluster: StandIn, door: Cluster) -> None:
    for number in range(700):
        cluster.add("configmaps", {"metadata": {"name": f"c{number}"}}, "shop")
    cluster.disturb(410, path="continue=", times=2)
    found = objects.listed(door, CONFIG_MAPS, "shop")
    assert len(found.items) == len({name for _, name, _ in objects.names(found.items)}) == 700


def test_one_odd_object_does_not_fail_a_list(cluster: StandIn, door: Cluster) -> None:
    pod(cluster, "good")
    pod(cluster, "odd", spec=None, status=None)
    pod(cluster, "odder", spec={"volumes": None, "containers": "none"}, status={"conditions": [{}], "phase": 7})
    found = objects.listed(door, PODS, "shop")
    assert [name for _, name, _ in objects.names(found.items)] == ["good", "odd", "odder"]


def test_selectors_choose_on_the_server(cluster: StandIn, door: Cluster) -> None:
    pod(cluster, "web-0")
    cluster.add("pods", {"metadata": {"name": "api-0", "labels": {"app": "api"}}, "spec": {**SPEC, "nodeName": "other"}, "status": READY}, "shop")
    assert [one["metadata"]["name"] for one in objects.listed(door, PODS, "shop", "app=web").items] == ["web-0"]
    assert [one["metadata"]["name"] for one in objects.listed(door, PODS, None, None, "spec.nodeName=other").items] == ["api-0"]


def test_what_is_not_there_is_found_as_none_and_read_as_404(cluster: StandIn, door: Cluster) -> None:
    assert objects.find(door, PODS, "shop", "nobody") is None
    with pytest.raises(CallFailed) as caught:
        objects.read(door, PODS, "shop", "nobody")
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


def test_a_deletion_has_all_its_options_in_the_body_and_none_in_the_query(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    assert objects.delete(door, PODS, "shop", "web-0", uid, grace_s=0, policy="Foreground", dry_run=True)
    sent = cluster.requests("DELETE")[0]
    assert "?" not in sent.target
    assert sent.body["preconditions"] == {"uid": uid}
    assert (sent.body["gracePeriodSeconds"], sent.body["dryRun"], sent.body["propagationPolicy"]) == (0, ["All"], "Foreground")
    assert len(cluster.pods("shop")) == 1


def test_grace_zero_removes_and_grace_left_out_is_the_pods_own(cluster: StandIn, door: Cluster) -> None:
    first, second = pod(cluster, "web-0"), pod(cluster, "web-1")
    assert objects.delete(door, PODS, "shop", "web-0", first, grace_s=0)
    assert objects.delete(door, PODS, "shop", "web-1", second)
    left = cluster.pods("shop")
    assert [(one["metadata"]["name"], one["metadata"]["deletionGracePeriodSeconds"]) for one in left] == [("web-1", 30)]


def test_a_replacement_of_the_same_name_is_never_deleted_in_its_stead(cluster: StandIn, door: Cluster) -> None:
    cluster.workload("statefulsets", "shop", "db", 2, {"app": "db"})
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 2)
    meant = objects.read(door, PODS, "shop", "db-0")["metadata"]["uid"]
    assert objects.delete(door, PODS, "shop", "db-0", meant, 0)
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 2)
    replaced = objects.read(door, PODS, "shop", "db-0")["metadata"]["uid"]
    assert replaced != meant
    assert not objects.delete(door, PODS, "shop", "db-0", meant, 0)
    assert not objects.evict(door, "shop", "db-0", meant, 0)
    assert objects.read(door, PODS, "shop", "db-0")["metadata"]["uid"] == replaced


def test_a_pod_that_is_gone_is_told_as_gone(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    assert objects.delete(door, PODS, "shop", "web-0", uid, 0)
    assert not objects.delete(door, PODS, "shop", "web-0", uid, 0)


def test_an_eviction_honours_a_budget_and_is_not_repeated_behind_our_back(cluster: StandIn, door: Cluster) -> None:
    uids = [pod(cluster, f"web-{number}") for number in range(2)]
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "web"}, "spec": spec}, "shop")
    assert objects.evict(door, "shop", "web-0", uids[0], 0, dry_run=True)
    assert objects.evict(door, "shop", "web-0", uids[0], 0)
    with pytest.raises(CallFailed, match="disruption budget has no room") as caught:
        objects.evict(door, "shop", "web-1", uids[1], 0)
    assert (caught.value.status, caught.value.reason, caught.value.done) == (429, "DisruptionBudget", False)
    assert len(cluster.requests("POST", "web-1/eviction")) == 1
    assert objects.delete(door, PODS, "shop", "web-1", uids[1], 0)  # a deletion asks no budget


def test_a_patch_hits_only_the_object_with_that_uid(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    mark = [{"op": "add", "path": "/metadata/labels/chaos", "value": "run"}]
    assert objects.json_patch(door, PODS, "shop", "web-0", uid, mark)["metadata"]["labels"]["chaos"] == "run"
    assert objects.merge_patch(door, PODS, "shop", "web-0", uid, {"metadata": {"labels": {"chaos": None}}})["metadata"]["labels"] == {"app": "web"}
    with pytest.raises(CallFailed) as by_operations:
        objects.json_patch(door, PODS, "shop", "web-0", "other", mark)
    with pytest.raises(CallFailed) as by_merge:
        objects.merge_patch(door, PODS, "shop", "web-0", "other", {"metadata": {"labels": {"a": "b"}}})
    assert (by_operations.value.status, by_merge.value.status) == (422, 422)
    assert cluster.pods("shop")[0]["metadata"]["labels"] == {"app": "web"}


def test_a_json_patch_is_done_whole_or_not_at_all(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    operations = [{"op": "add", "path": "/metadata/labels/a", "value": "1"}, {"op": "test", "path": "/metadata/labels/app", "value": "api"}]
    with pytest.raises(CallFailed, match="422 Invalid"):
        objects.json_patch(door, PODS, "shop", "web-0", uid, operations)
    assert cluster.pods("shop")[0]["metadata"]["labels"] == {"app": "web"}


def test_a_dry_patch_changes_nothing(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    assert objects.json_patch(door, PODS, "shop", "web-0", uid, [{"op": "remove", "path": "/metadata/labels/app"}], dry_run=True)["metadata"]["labels"] == {}
    assert cluster.pods("shop")[0]["metadata"]["labels"] == {"app": "web"}


def test_a_workload_is_scaled_by_its_scale_and_only_the_one_that_is_meant(cluster: StandIn, door: Cluster) -> None:
    uid = cluster.workload("deployments", "shop", "web", 1, {"app": "web"})["metadata"]["uid"]
    assert objects.scale(door, DEPLOYMENTS, "shop", "web", uid, 3)["spec"]["replicas"] == 3
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 3)
    with pytest.raises(CallFailed) as caught:
        objects.scale(door, DEPLOYMENTS, "shop", "web", "other", 0)
    assert caught.value.status in (409, 422)
    assert objects.read(door, DEPLOYMENTS, "shop", "web", "scale")["spec"]["replicas"] == 3


def test_a_creation_that_is_dry_or_doubled_or_misspelt_is_told_apart(cluster: StandIn, door: Cluster) -> None:
    lease = {"metadata": {"name": "lock"}, "spec": {"holderIdentity": "a", "leaseTransitions": 1}}
    objects.create(door, LEASES, "shop", lease, dry_run=True)
    assert objects.find(door, LEASES, "shop", "lock") is None
    made = objects.create(door, LEASES, "shop", lease)
    assert made["spec"]["holderIdentity"] == "a"
    for thing, status in ((lease, 409), ({**lease, "spce": {}}, 400)):
        with pytest.raises(CallFailed) as caught:
            objects.create(door, LEASES, "shop", thing)
        assert caught.value.status == status


def test_whether_something_is_allowed_is_asked_without_doing_it(cluster: StandIn, door: Cluster) -> None:
    cluster.forbid("delete", "nodes")
    cluster.forbid("create", "pods/eviction")
    assert objects.may(door, "delete", PODS, "shop")
    assert not objects.may(door, "delete", NODES, None)
    assert not objects.may(door, "create", PODS, "shop", "eviction")


def test_the_uid_of_a_namespace_made_again_under_its_name_is_another(cluster: StandIn, door: Cluster) -> None:
    uid = pod(cluster)
    space = next(one for one in objects.listed(door, NAMESPACES, None).items if one["metadata"]["name"] == "shop")
    assert objects.delete(door, NAMESPACES, "", "shop", space["metadata"]["uid"])
    cluster.until(lambda: objects.find(door, NAMESPACES, "", "shop") is None, "the end of the namespace")
    cluster.namespace("shop")
    other = pod(cluster)
    assert other != uid
    assert not objects.delete(door, PODS, "shop", "web-0", uid, 0)
    assert len(cluster.pods("shop")) == 1


def test_kinds_with_a_status_and_a_budget_are_read_as_the_controllers_write_them(cluster: StandIn, door: Cluster) -> None:
    cluster.workload("statefulsets", "shop", "db", 3, {"app": "db"})
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}}
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "db"}, "spec": spec}, "shop")
    ready = lambda: (objects.read(door, STATEFUL_SETS, "shop", "db").get("status") or {}).get("readyReplicas") == 3  # noqa: E731
    cluster.until(ready)
    cluster.until(lambda: objects.read(door, BUDGETS, "shop", "db")["status"].get("disruptionsAllowed") == 1)
