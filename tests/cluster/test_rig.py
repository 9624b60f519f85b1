"""The rig is a real cluster: its nodes, containers, Services and losses are what Kubernetes itself makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from rig.api import Api, condition_of, until
from rig.cluster import Rig
from rig.foreign import Foreign
from rig.images import SHOP
from rig.shop import ZONE, await_shop, pods, ready_pods, zones
from rig.traffic import traffic

pytestmark = pytest.mark.cluster

NAMESPACE = "chaosx-shop"
SHARED = Path(__file__).resolve().parents[3] / "shared"


def nodes_by_zone(api: Api, ready: str = "True") -> Counter[str]:
    """How many nodes of each zone have this Ready condition."""
    items = api.read("/api/v1/nodes")["items"]
    return Counter(node["metadata"]["labels"].get(ZONE, "") for node in items if condition_of(node, "Ready") == ready)


def of_zone(api: Api, zone: str) -> dict:
    """The shop's pods in a zone by uid, those on their way out too."""
    return {pod["metadata"]["uid"]: pod for pod in pods(api, NAMESPACE) if pod["metadata"]["labels"][ZONE] == zone}


def test_every_one_of_three_zones_has_a_ready_node(cluster: Rig | Foreign) -> None:
    """On a cluster of somebody else's: three zones or a skip that says so."""
    found = nodes_by_zone(cluster.api)
    if isinstance(cluster, Foreign) and len(found) < 3:
        pytest.skip(f"this cluster has Ready nodes in the zones {sorted(found)}: three are needed")
    assert len(found) >= 3, found


def test_the_kubeconfig_works_from_the_host_and_from_where_clients_stand(rig: Rig) -> None:
    from rig.build import program

    command = [str(program("kubectl")), f"--kubeconfig={rig.kubeconfig}", "version", "--output=json"]
    for place in ([], rig.outside()):
        said = subprocess.run([*place, *command], capture_output=True, text=True, timeout=120)
        assert "v1.35.4" in said.stdout, said


def test_pods_are_real_containers_spread_over_the_zones(rig: Rig, shop: str) -> None:
    found = ready_pods(rig.api, NAMESPACE)
    assert zones(found) == {"a": 2, "b": 2, "c": 2}
    for pod in found:
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        assert container in rig.containers(pod["spec"]["nodeName"])


def test_the_service_answers_from_every_zone(rig: Rig, shop: str, tmp_path: Path) -> None:
    with traffic(rig.outside(), shop, tmp_path / "answers") as seen:
        until(lambda: {answer.zone for answer in seen.answers() if answer.good} == {"a", "b", "c"}, "an answer from every zone")


def test_logs_and_commands_reach_a_pod(rig: Rig, shop: str) -> None:
    """What ephemeral containers and stores in pods rely on: the API server's way to the kubelets."""
    from rig.build import program

    pod = ready_pods(rig.api, NAMESPACE)[0]["metadata"]["name"]
    kubectl = [str(program("kubectl")), f"--kubeconfig={rig.kubeconfig}", "--namespace", NAMESPACE]
    assert subprocess.run([*kubectl, "logs", pod], capture_output=True, timeout=120).returncode == 0
    said = subprocess.run([*kubectl, "exec", pod, "--", "/bin/busybox", "hostname"], capture_output=True, text=True, timeout=120)
    assert said.stdout.strip() == pod, said


def test_a_deleted_pod_answers_no_more_and_is_replaced(rig: Rig, shop: str, tmp_path: Path) -> None:
    victim = ready_pods(rig.api, NAMESPACE)[0]
    name, uid, node = victim["metadata"]["name"], victim["metadata"]["uid"], victim["spec"]["nodeName"]
    container = victim["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    with traffic(rig.outside(), f"http://{victim['status']['podIP']}:8080/", tmp_path / "its-own") as seen:
        rig.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}", grace_s=0, uid=uid)
        until(lambda: any(answer.status == 0 for answer in seen.answers()), "a request to the pod itself that nobody answers")
    until(lambda: container not in rig.containers(node), "its container gone")
    await_shop(rig.api, NAMESPACE)
    assert uid not in {pod["metadata"]["uid"] for pod in ready_pods(rig.api, NAMESPACE)}


def test_all_pods_deleted_is_an_outage_seen_through_the_service_and_it_ends(rig: Rig, shop: str, tmp_path: Path) -> None:
    killed = ready_pods(rig.api, NAMESPACE)
    with traffic(rig.outside(), shop, tmp_path / "answers") as seen:
        for pod in killed:
            rig.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}", grace_s=0, uid=pod["metadata"]["uid"])
        until(lambda: any(not answer.good for answer in seen.answers()), "a request that went wrong")
        await_shop(rig.api, NAMESPACE)
        seen.await_good(50)
        after = {answer.pod for answer in seen.answers()[-50:]}
    assert not after & {pod["metadata"]["name"] for pod in killed}


def test_a_zone_whose_cable_is_cut_is_lost_as_kubernetes_sees_it_and_comes_back(rig: Rig, shop: str, tmp_path: Path) -> None:
    before = of_zone(rig.api, "b")
    with traffic(rig.outside(), shop, tmp_path / "answers") as seen:
        cut_s = time.time()
        rig.cut_zone("b")
        assert rig.is_cut("b")
        until(lambda: any(not answer.good for answer in seen.answers(cut_s)), "a request that went wrong")
        until(lambda: nodes_by_zone(rig.api, "Unknown") == {"b": 1}, "the zone's node Unknown")
        until(lambda: zones(ready_pods(rig.api, NAMESPACE)) in ({"a": 3, "c": 3}, {"a": 2, "c": 4}, {"a": 4, "c": 2}), "all replicas in the other zones")
        seen.await_good(50)
        rig.restore_zone("b")
        until(lambda: nodes_by_zone(rig.api)["b"] == 1, "the zone's node Ready again")
        until(lambda: not (of_zone(rig.api, "b").keys() & before.keys()), "the lost pods gone for good")
        seen.await_good(50)
    assert not rig.is_cut("b")


RULES = """
add table inet chaosx
add set inet chaosx cut { type ipv4_addr; flags interval,timeout; }
add chain inet chaosx coming { type filter hook prerouting priority -300; }
add rule inet chaosx coming ip saddr @cut drop
add rule inet chaosx coming ip daddr @cut drop
add element inet chaosx cut { 0.0.0.0/1 timeout 5s, 128.0.0.0/1 timeout 5s }
"""


def test_a_cut_that_a_pod_makes_on_its_node_is_taken_back_by_the_kernel(rig: Rig, shop: str, tmp_path: Path) -> None:
    """What a lost zone's injector relies on: a privileged pod reaches its node's filter, and an element's time ends without it."""
    target = next(pod for pod in ready_pods(rig.api, NAMESPACE) if pod["spec"]["nodeName"] == "node-a")
    script = 'printf "%s" "$RULES" | /bin/busybox chroot /host /usr/sbin/nft -f -; exec /bin/busybox sleep 600'
    container = {
        "name": "cutter",
        "image": SHOP,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": "RULES", "value": RULES}],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
    }
    spec = {"nodeName": "node-a", "hostNetwork": True, "containers": [container], "volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    folder = f"/api/v1/namespaces/{NAMESPACE}/pods"
    with traffic(rig.outside(), f"http://{target['status']['podIP']}:8080/", tmp_path / "answers") as seen:
        rig.api.apply(folder, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cutter"}, "spec": spec})
        until(lambda: any(answer.status == 0 for answer in seen.answers()), "a request that nobody answers")
        seen.await_good(50)
    table = subprocess.run([*rig.within("node-a"), "nft", "list", "table", "inet", "chaosx"], capture_output=True, text=True, check=True).stdout
    assert "elements" not in table
    subprocess.run([*rig.within("node-a"), "nft", "delete", "table", "inet", "chaosx"], check=True)
    rig.api.delete(f"{folder}/cutter", grace_s=0)


def test_a_node_may_join_a_zone_of_a_running_rig(rig: Rig) -> None:
    node = rig.add_node("c")
    assert nodes_by_zone(rig.api)["c"] == 2
    assert node.zone == "c"


def test_the_api_means_what_the_battery_says(cluster: Rig | Foreign, tmp_path: Path) -> None:
    """All 69 checks; the battery and the Istio types it needs lie beside the repository."""
    battery, types = SHARED / "kubernetes_api_battery.py", SHARED / "crds" / "istio-crd-all.gen.yaml"
    if not battery.exists():
        pytest.skip(f"{battery}: not there; it is the workplace's, not the project's")
    from rig.build import program

    kubectl = [str(program("kubectl")), f"--kubeconfig={cluster.kubeconfig}"]
    subprocess.run([*kubectl, "apply", "--server-side", "--force-conflicts", "-f", str(types)], check=True, capture_output=True, timeout=300)
    subprocess.run([*kubectl, "wait", "--for=condition=Established", "--timeout=120s", "-f", str(types)], check=True, capture_output=True, timeout=300)
    said = subprocess.run(
        [sys.executable, "-W", "ignore", str(battery), str(cluster.kubeconfig), "rig"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "Counter({'pass': 69}) 69" in said.stdout, said.stdout[-6000:] + said.stderr[-2000:]
