"""The door to a cluster: the right cluster only, one request for one call, an end to every wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import CallFailed, Refused, UsageError
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Access, Limits
from chaoslib_ext.kubernetes.kinds import CONFIG_MAPS, PODS

QUICK = Limits(connect_s=5.0, read_s=0.5, total_s=1.0)  # for calls that hang on purpose, and for no other


def pod(cluster: StandIn, name: str = "web-0") -> str:
    """The uid of a new pod."""
    thing = {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}, "status": {"phase": "Pending"}}
    return str(cluster.add("pods", thing, "shop")["metadata"]["uid"])


def test_the_wrong_cluster_is_refused_before_anything_but_the_question_is_sent(cluster: StandIn, kubeconfig: Path) -> None:
    with pytest.raises(Refused, match="expected 0000-other") as caught:
        Cluster(Access("standin", str(kubeconfig)), "0000-other")
    assert caught.value.reason == "PREFLIGHT_FAILED"
    assert [one.target for one in cluster.requests()] == ["/api/v1/namespaces/kube-system"]


def test_an_empty_pin_is_no_pin_and_refused(cluster: StandIn, kubeconfig: Path) -> None:
    with pytest.raises(Refused, match="which is empty"):
        Cluster(Access("standin", str(kubeconfig)), "")


def test_a_cluster_that_is_not_pinned_is_only_read(cluster: StandIn, kubeconfig: Path) -> None:
    uid = pod(cluster)
    unknown = Cluster(Access("standin", str(kubeconfig)), None)
    assert unknown.uid == cluster.uid
    assert len(objects.listed(unknown, PODS, "shop").items) == 1
    assert objects.may(unknown, "delete", PODS, "shop")
    with pytest.raises(Refused, match="not pinned"):
        objects.delete(unknown, PODS, "shop", "web-0", uid)
    assert cluster.requests("DELETE") == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_hanging_server_is_cut_after_one_request_without_hidden_repeats(cluster: StandIn, door: Cluster, method: str) -> None:
    uid = pod(cluster)
    cluster.disturb("hang", path="/pods", times=9)
    door.limits = QUICK
    with pytest.raises(CallFailed, match="no answer") as caught:
        if method == "GET":
            objects.read(door, PODS, "shop", "web-0")
        elif method == "DELETE":
            objects.delete(door, PODS, "shop", "web-0", uid, 0)
        else:
            objects.json_patch(door, PODS, "shop", "web-0", uid, [{"op": "add", "path": "/metadata/labels/x", "value": "1"}])
    assert caught.value.status == 0
    assert caught.value.done is None
    assert len(cluster.requests(method, "/pods")) == 1


@pytest.mark.parametrize("kind", ["cut", "cut after", "hang after", "half"])
def test_a_lost_answer_says_that_it_is_not_known_whether_it_was_done(cluster: StandIn, door: Cluster, kind: str) -> None:
    uid = pod(cluster)
    cluster.disturb(kind, method="DELETE")
    door.limits = QUICK if kind == "hang after" else door.limits
    with pytest.raises(CallFailed, match="whether it was carried out is not known") as caught:
        objects.delete(door, PODS, "shop", "web-0", uid, 0)
    assert caught.value.done is None
    assert len(cluster.requests("DELETE")) == 1


def test_an_answer_that_comes_a_byte_at_a_time_is_cut_as_a_whole(cluster: StandIn, door: Cluster) -> None:
    pod(cluster)
    cluster.disturb("trickle", path="/pods")
    door.limits = QUICK
    with pytest.raises(CallFailed, match="did not end in time"):
        objects.read(door, PODS, "shop", "web-0")


def test_nobody_listening_is_certainly_not_done(cluster: StandIn, door: Cluster) -> None:
    cluster.close()
    with pytest.raises(CallFailed, match="it was not sent") as caught:
        objects.delete(door, PODS, "shop", "web-0", "u", 0)
    assert caught.value.done is False


def test_a_cut_connection_does_not_fail_the_next_call(cluster: StandIn, door: Cluster) -> None:
    pod(cluster)
    cluster.disturb("cut", path="/pods")
    with pytest.raises(CallFailed):
        objects.read(door, PODS, "shop", "web-0")
    assert objects.read(door, PODS, "shop", "web-0")["metadata"]["name"] == "web-0"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_says(cluster: StandIn, door: Cluster, status: int) -> None:
    uid = pod(cluster)
    cluster.disturb(status, method="DELETE", retry_after_s=0, times=3)
    assert objects.delete(door, PODS, "shop", "web-0", uid, 0)
    assert len(cluster.requests("DELETE")) == 4


def test_a_wait_longer_than_the_call_may_take_is_not_begun(cluster: StandIn, door: Cluster) -> None:
    pod(cluster)
    cluster.disturb(429, path="/pods", retry_after_s=100)
    with pytest.raises(CallFailed, match=r"asked to wait 100\.0 s") as caught:
        objects.read(door, PODS, "shop", "web-0")
    assert (caught.value.status, caught.value.reason) == (429, "TooManyRequests")
    assert len(cluster.requests("GET", "/pods")) == 1


@pytest.mark.parametrize(("status", "done"), [(403, False), (500, None), (502, None)])
def test_what_is_refused_is_told_with_where_what_and_why_and_is_not_repeated(cluster: StandIn, door: Cluster, status: int, done: bool | None) -> None:
    uid = pod(cluster)
    cluster.disturb(status, method="DELETE", message="not today")
    with pytest.raises(
        CallFailed, match=rf"context standin of .* \(http://.*\): DELETE /api/v1/namespaces/shop/pods/web-0: got {status} .*not today.*; "
    ) as caught:
        objects.delete(door, PODS, "shop", "web-0", uid, 0)
    assert (caught.value.status, caught.value.done) == (status, done)
    assert len(cluster.requests("DELETE")) == 1


def test_a_creation_that_503_leaves_open_is_not_repeated(cluster: StandIn, door: Cluster) -> None:
    cluster.disturb(503, method="POST", retry_after_s=0, times=9)
    with pytest.raises(CallFailed) as caught:
        objects.create(door, CONFIG_MAPS, "shop", {"metadata": {"name": "a"}})
    assert caught.value.done is None
    assert len(cluster.requests("POST")) == 1


def test_an_answer_of_something_in_between_is_no_answer(cluster: StandIn, door: Cluster) -> None:
    cluster.disturb("nonsense", path="/pods")
    with pytest.raises(CallFailed, match="<html>proxy</html>"):
        objects.listed(door, PODS, "shop")


def test_a_rotated_token_is_read_again_once(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("old-token")
    config = cluster.kubeconfig(tmp_path / "config", {"token": "old-token"})
    door = Cluster(Access("standin", str(config)), cluster.uid)
    cluster.kubeconfig(config, {"token": "new-token"})
    cluster.token("new-token")
    cluster.revoke("old-token")
    assert objects.listed(door, PODS, "shop").items == ()
    assert len(cluster.requests("GET", "/pods")) == 2


def test_a_token_that_stays_refused_is_tried_once_more_and_no_oftener(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("token")
    door = Cluster(Access("standin", str(cluster.kubeconfig(tmp_path / "config", {"token": "token"}))), cluster.uid)
    cluster.disturb(401, path="/pods", times=9)
    with pytest.raises(CallFailed, match="log in again") as caught:
        objects.listed(door, PODS, "shop")
    assert caught.value.status == 401
    assert len(cluster.requests("GET", "/pods")) == 2


def test_many_calls_that_meet_a_rotated_token_log_in_once(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("old-token")
    config = cluster.kubeconfig(tmp_path / "config", {"token": "old-token"})
    door = Cluster(Access("standin", str(config)), cluster.uid)
    asked = len(cluster.requests("GET", "kube-system"))
    cluster.kubeconfig(config, {"token": "new-token"})
    cluster.token("new-token")
    cluster.revoke("old-token")
    with ThreadPoolExecutor(8) as pool:
        assert [found.items for found in pool.map(lambda _: objects.listed(door, PODS, "shop"), range(16))] == [()] * 16
    assert len(cluster.requests("GET", "kube-system")) == asked + 1


def test_a_new_login_that_leads_to_another_cluster_is_refused_before_the_call_is_repeated(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("token")
    config = cluster.kubeconfig(tmp_path / "config", {"token": "token"})
    door = Cluster(Access("standin", str(config)), cluster.uid)
    other = StandIn()
    try:
        other.kubeconfig(config, {"token": "token"})  # somebody ran `kubectl config` meanwhile
        cluster.revoke("token")
        cluster.token("another")
        with pytest.raises(Refused, match="expected " + cluster.uid):
            objects.delete(door, PODS, "shop", "web-0", "some-uid", 0)
        assert [one.method for one in other.requests()] == ["GET"]
    finally:
        other.close()


def test_a_door_is_used_by_many_threads_at_once(cluster: StandIn, door: Cluster) -> None:
    uids = {f"web-{number}": pod(cluster, f"web-{number}") for number in range(40)}
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda name: objects.delete(door, PODS, "shop", name, uids[name], 0), uids))
    assert cluster.pods("shop") == []


@pytest.mark.parametrize("name", ["", "/", "..", "a/b", "a?b", "a%2fb", " ", "-a"])
def test_a_name_that_is_no_name_of_one_object_is_refused_before_the_wire(cluster: StandIn, door: Cluster, name: str) -> None:
    before = len(cluster.requests())
    for call in (
        lambda: objects.read(door, PODS, "shop", name),
        lambda: objects.delete(door, PODS, "shop", name, "uid"),
        lambda: objects.delete(door, PODS, name, "web-0", "uid"),
        lambda: objects.evict(door, "shop", name, "uid"),
        lambda: objects.merge_patch(door, PODS, "shop", name, "uid", {}),
        lambda: objects.json_patch(door, PODS, "shop", name, "uid", []),
        lambda: objects.listed(door, PODS, name),
    ):
        with pytest.raises(UsageError, match="nothing was sent"):
            call()
    assert len(cluster.requests()) == before


@pytest.mark.parametrize("selector", ["", "  "])
def test_an_empty_selector_is_refused_before_the_wire(cluster: StandIn, door: Cluster, selector: str) -> None:
    with pytest.raises(UsageError, match="empty selector"):
        objects.listed(door, PODS, "shop", selector)
    with pytest.raises(UsageError, match="empty selector"):
        objects.listed(door, PODS, "shop", None, selector)
    assert cluster.requests("GET", "/pods") == []


def test_a_change_without_a_uid_is_refused_before_the_wire(cluster: StandIn, door: Cluster) -> None:
    pod(cluster)
    for call in (
        lambda: objects.delete(door, PODS, "shop", "web-0", ""),
        lambda: objects.evict(door, "shop", "web-0", ""),
        lambda: objects.merge_patch(door, PODS, "shop", "web-0", "", {}),
        lambda: objects.json_patch(door, PODS, "shop", "web-0", "", []),
    ):
        with pytest.raises(UsageError, match="no uid"):
            call()
    assert [one.method for one in cluster.requests() if one.method != "GET"] == []
