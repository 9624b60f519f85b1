"""A kill hits exactly the pods of its plan, asks what it must, and tells of each what became of it."""

from __future__ import annotations

from typing import Any

import pytest
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import UsageError
from chaoslib_ext.faults.caps import Member, exceeded
from chaoslib_ext.kubernetes import snapshot
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Limits
from chaoslib_ext.kubernetes.killing import Victim, all_gone, going, kill
from chaoslib_ext.kubernetes.victims import Choice, counted, kill_row

WEB = {"app": "web"}


def deployed(cluster: StandIn, name: str = "web", replicas: int = 6, plural: str = "deployments", **meta: Any) -> None:
    cluster.workload(plural, "shop", name, replicas, {"app": name}, **meta)
    cluster.until(lambda: sum(one["metadata"]["labels"].get("app") == name for one in cluster.pods("shop", ready=True)) == replicas)


def row(door: Cluster, seed: int = 1, **choice: Any) -> dict[str, Any]:
    asked = {"labels": WEB, **({} if {"count", "share"} & set(choice) else {"count": 1}), **choice}
    return kill_row("kill", Choice("shop", **asked), snapshot.take(door, ["shop"]), door.uid, seed)


def victims(planned: dict[str, Any]) -> list[Victim]:
    return [Victim(one["ns"], one["name"], one["uid"]) for one in planned["targets"]]


def test_the_plan_names_each_pod_with_its_owner_and_the_owners_share(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = row(door, count=2)
    assert planned["of"] == {"Deployment shop/web": {"total": 6, "hit": 2}}
    assert sum(planned["survivors"].values()) == 4
    assert {(one["platform"], one["identity"], one["kind"], one["data"]["owner"]) for one in planned["targets"]} == {
        ("kubernetes", cluster.uid, "pod", "Deployment shop/web")
    }


def test_the_same_seed_draws_the_same_pods_and_others_draw_others(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    drawn = [tuple(one.uid for one in victims(row(door, seed, count=2))) for seed in (*range(8), *range(8))]
    assert drawn[:8] == drawn[8:]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(("share", "number"), [(0.34, 2), (0.17, 1), (1.0, 6), (0.5, 3)])
def test_a_share_is_rounded_down(cluster: StandIn, door: Cluster, share: float, number: int) -> None:
    deployed(cluster)
    assert len(row(door, share=share)["targets"]) == number


def test_a_zone_or_a_node_bounds_the_choice_and_a_zone_wholly_hit_is_lost(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = row(door, count=2, zone="zone-b")
    assert ({one["zone"] for one in planned["targets"]}, planned["zones_lost"]) == ({"zone-b"}, ["zone-b"])
    node = cluster.pods("shop")[0]["spec"]["nodeName"]
    assert row(door, count=1, node=node)["targets"][0]["data"]["node"] == node


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        pytest.param({"labels": {"app": "wbe"}}, r'"app=wbe" matched no pods \(there are: app=web\)', id="a misspelt label"),
        pytest.param({"labels": {}}, "got no labels", id="no label is not all pods"),
        pytest.param({"count": 7}, "count 7 of 6 ready pods", id="more than there are"),
        pytest.param({"share": 0.1}, "share 10%, rounded down, of 6", id="a share of none"),
        pytest.param({"share": 0.5, "count": 1}, "both count and share", id="both"),
        pytest.param({"count": 0}, "neither of", id="neither"),
        pytest.param({"count": -1}, "expected a count from 1", id="less than none"),
        pytest.param({"share": 1.5}, "up to 100%", id="more than all"),
        pytest.param({"zone": "zone-x"}, "in zone zone-x: count 1 of 0", id="an empty zone"),
        pytest.param({"how": "nicely"}, "expected delete or evict", id="an unknown way"),
    ],
)
def test_a_choice_that_means_nothing_is_refused_with_what_there_is(cluster: StandIn, door: Cluster, choice: dict[str, Any], says: str) -> None:
    deployed(cluster)
    with pytest.raises(UsageError, match=says):
        row(door, **choice)


def test_pods_that_are_not_ready_or_odd_are_never_drawn_and_still_count_as_the_owners(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=2)
    cluster.controllers.kubelets.clear()  # what is made from now on stays pending
    cluster.add("pods", {"metadata": {"name": "odd", "labels": WEB}, "spec": None, "status": None}, "shop")
    assert kill(door, victims(row(door, count=1)))[0].became == "killed"
    cluster.until(lambda: len(cluster.pods("shop")) == 3)
    planned = row(door, share=1.0)
    assert len(planned["targets"]) == 1
    assert planned["of"] == {"Deployment shop/web": {"total": 2, "hit": 1}}


def test_the_caps_of_all_faults_count_pods_too(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    found, planned = snapshot.take(door, ["shop"]), row(door, count=3)
    there = [Member(*one) for one in counted(found)]
    assert exceeded(planned, {"per_owner": 0.5}, there) == []
    assert exceeded(planned, {"per_owner": 0.34}, there) == ["3 of 6 replicas of Deployment shop/web (50%) would be hit, the cap is 34%"]
    assert exceeded(row(door, count=2, zone="zone-a"), {"zones": 0}, there) == ["1 zones would be lost (zone-a), the cap is 0"]


def test_a_replica_that_is_missing_counts_as_gone_already(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=3)
    cluster.controllers.paused = True
    assert [one.became for one in kill(door, victims(row(door, count=1)))] == ["killed"]
    planned, there = row(door, count=1), [Member(*one) for one in counted(snapshot.take(door, ["shop"]))]
    assert planned["of"] == {"Deployment shop/web": {"total": 3, "hit": 1}}
    assert exceeded(planned, {"per_owner": 0.34}, there) == [
        "1 of 3 replicas of Deployment shop/web (67%) would be hit, 1 more is down or held already, the cap is 34%"
    ]


def test_pods_beyond_the_number_wanted_are_counted_too(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=3)
    cluster.controllers.paused = True
    uid = next(one for one in cluster.pods("shop"))["metadata"]["ownerReferences"][0]["uid"]
    more = {"metadata": {"name": "surge", "labels": WEB, "ownerReferences": [{"kind": "ReplicaSet", "uid": uid, "controller": True}]}}
    cluster.add("pods", {**more, "spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Pending"}}, "shop")
    assert row(door, count=1)["of"] == {"Deployment shop/web": {"total": 4, "hit": 1}}


def test_the_plan_warns_of_what_stands_in_the_way(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, labels={"argocd.argoproj.io/instance": "shop"})
    selector = {"selector": {"matchLabels": WEB}}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cluster.add("horizontalpodautoscalers", {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": reference, "maxReplicas": 9}}, "shop")
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "one"}, "spec": {**selector, "minAvailable": 5}}, "shop")
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "two"}, "spec": {**selector, "minAvailable": 0}}, "shop")
    cluster.until(lambda: sorted(one.allowed for one in snapshot.take(door, ["shop"]).budgets) == [1, 6])
    said = "\n".join(row(door, count=2, how="evict")["warnings"])
    assert "HorizontalPodAutoscaler h may change the number of pods of Deployment shop/web (1 to 9)" in said
    assert "Argo CD shop keeps Deployment shop/web" in said
    assert "PodDisruptionBudget one allows 1 of these 2 to go; evictions beyond that are refused" in said
    assert "covered by more than one PodDisruptionBudget" in said
    assert "owned by nobody" not in said


def test_a_pod_that_nothing_brings_back_is_told_before(cluster: StandIn, door: Cluster) -> None:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.add("pods", {"metadata": {"name": "alone", "labels": WEB}, "spec": {"containers": [{"name": "a"}]}, "status": status}, "shop")
    assert row(door, count=1)["warnings"] == ["Pod shop/alone is owned by nobody: nothing brings it back"]


def test_what_was_killed_is_gone_and_replaced_and_nothing_else_is_touched(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned, before = victims(row(door, count=2)), {one["metadata"]["uid"] for one in cluster.pods("shop")}
    outcomes = kill(door, planned)
    assert [(one.victim, one.became) for one in outcomes] == [(one, "killed") for one in planned]
    assert all(one.asked_ns <= one.told_ns for one in outcomes)
    assert all_gone(door, planned, 60.0) == []
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 6, "the replacements")
    assert before - {one["metadata"]["uid"] for one in cluster.pods("shop")} == {one.uid for one in planned}
    assert {one.body["gracePeriodSeconds"] for one in cluster.requests("DELETE")} == {0}


def test_a_pod_replaced_between_plan_and_kill_is_told_as_gone_and_its_replacement_lives(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, "db", 3, "statefulsets")
    planned = victims(row(door, labels={"app": "db"}, count=1))
    kill(door, planned)
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 3, "the replacement")
    now = {one["metadata"]["uid"] for one in cluster.pods("shop")}
    assert [one.became for one in kill(door, planned)] == ["gone"]
    assert {one["metadata"]["uid"] for one in cluster.pods("shop")} == now


@pytest.mark.parametrize("kind", ["cut after", "half", "hang after"])
def test_a_kill_whose_answer_was_lost_is_found_out_and_not_done_to_the_replacement(cluster: StandIn, door: Cluster, kind: str) -> None:
    deployed(cluster, "db", 3, "statefulsets")
    planned = victims(row(door, labels={"app": "db"}, count=1))
    cluster.disturb(kind, method="DELETE")
    door.limits = Limits(5.0, 2.0, 5.0) if kind == "hang after" else door.limits
    (outcome,) = kill(door, planned)
    assert (outcome.became, "lost" in outcome.why) == ("killed", True)
    cluster.until(lambda: len(cluster.pods("shop", ready=True)) == 3, "the replacement")
    assert len(cluster.requests("DELETE")) == 1


def test_a_kill_that_did_not_arrive_is_tried_again(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = victims(row(door, count=1))
    cluster.disturb("cut", method="DELETE")
    assert [one.became for one in kill(door, planned)] == ["killed"]
    assert len(cluster.requests("DELETE")) == 2


def test_a_kill_that_is_never_answered_is_unknown_and_no_success(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = victims(row(door, count=1))
    cluster.disturb("cut", method="DELETE", times=99)
    (outcome,) = kill(door, planned)
    assert (outcome.became, len(cluster.requests("DELETE"))) == ("unknown", 3)
    assert going(door, planned[0]) is False


def test_one_pod_that_is_refused_does_not_keep_the_others_alive(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = victims(row(door, count=4))
    cluster.disturb(403, path=planned[1].name, method="DELETE")
    outcomes = kill(door, planned, workers=2)
    assert [one.became for one in outcomes] == ["killed", "refused", "killed", "killed"]
    assert "403" in outcomes[1].why


def test_a_busy_server_slows_a_kill_down_and_does_not_stop_it(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    planned = victims(row(door, share=1.0))
    cluster.disturb(429, method="DELETE", retry_after_s=0, times=10)
    assert {one.became for one in kill(door, planned)} == {"killed"}
    assert len(cluster.requests("DELETE")) == 16


def test_evictions_stop_where_the_budget_ends(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster)
    cluster.controllers.paused = True  # no replacement comes, so the room is what it is
    cluster.add("poddisruptionbudgets", {"metadata": {"name": "web"}, "spec": {"minAvailable": 4, "selector": {"matchLabels": WEB}}}, "shop")
    outcomes = kill(door, victims(row(door, count=3, how="evict")), how="evict")
    assert sorted(one.became for one in outcomes) == ["killed", "killed", "refused"]
    assert "disruption budget has no room" in next(one.why for one in outcomes if one.became == "refused")


def test_what_is_still_there_in_the_end_is_told(cluster: StandIn, door: Cluster) -> None:
    deployed(cluster, replicas=2)
    planned = victims(row(door, share=1.0))
    kill(door, planned[:1])
    assert all_gone(door, planned, 0.2) == planned[1:]
