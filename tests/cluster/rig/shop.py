"""A shop in the cluster: six replicas spread over the zones behind a Service, with a disruption budget."""

from __future__ import annotations

from typing import Any

from rig.api import Api, condition_of, until
from rig.images import SHOP

ZONE = "topology.kubernetes.io/zone"


def _label(field: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": field}}}


def _container(image: str) -> dict[str, Any]:
    return {
        "name": "shop",
        "image": image,
        "imagePullPolicy": "IfNotPresent" if image != SHOP else "Never",
        "ports": [{"containerPort": 8080}],
        # Kubernetes 1.35 copies the node's zone to the pod at binding, so a pod can know where it is.
        "env": [
            {"name": "POD", **_label("metadata.name")},
            {"name": "NODE", **_label("spec.nodeName")},
            {"name": "ZONE", **_label(f"metadata.labels['{ZONE}']")},
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }


def deployment(name: str = "shop", replicas: int = 6, image: str = SHOP) -> dict[str, Any]:
    """The Deployment: spread over zones, and gone from a lost node 5 s after it counts as lost (300 by default)."""
    labels = {"app": name}
    spread = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels}}
    lost = [{"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5} for why in ("unreachable", "not-ready")]
    pod = {
        "automountServiceAccountToken": False,
        "containers": [_container(image)],
        "tolerations": lost,
        "topologySpreadConstraints": [spread],
        "terminationGracePeriodSeconds": 5,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def service(name: str = "shop") -> dict[str, Any]:
    """The Service, by a cluster address on port 80."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def budget(name: str = "shop", least: int = 4) -> dict[str, Any]:
    """The PodDisruptionBudget: never fewer than `least` by an eviction."""
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": name}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}


def open_shop(api: Api, namespace: str, image: str = SHOP) -> str:
    """Makes the namespace with the shop in it, waits until all replicas are ready, and returns the Service's address as a URL."""
    api.apply("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    core, apps, policy = (f"/{root}/namespaces/{namespace}" for root in ("api/v1", "apis/apps/v1", "apis/policy/v1"))
    api.apply(f"{core}/services", service())
    api.apply(f"{policy}/poddisruptionbudgets", budget())
    api.apply(f"{apps}/deployments", deployment(image=image))
    await_shop(api, namespace)
    return f"http://{api.read(f'{core}/services/shop')['spec']['clusterIP']}/"


def await_shop(api: Api, namespace: str) -> None:
    """Waits until as many pods are ready, and behind the Service, as the shop wants, and no more."""

    def complete() -> bool:
        shop = api.read(f"/apis/apps/v1/namespaces/{namespace}/deployments/shop")
        wanted, status = shop["spec"]["replicas"], shop["status"]
        return status.get("readyReplicas", 0) == wanted == status.get("replicas", 0) and len(ready_pods(api, namespace)) == wanted == behind(api, namespace)

    until(complete, f"all pods of the shop in {namespace} ready")


def pods(api: Api, namespace: str) -> list[dict[str, Any]]:
    """The shop's pods, the terminating ones too."""
    return list(api.read(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Dshop")["items"])


def ready_pods(api: Api, namespace: str) -> list[dict[str, Any]]:
    """The shop's pods that are Ready and not on their way out."""
    return [pod for pod in pods(api, namespace) if condition_of(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]]


def behind(api: Api, namespace: str) -> int:
    """How many ready addresses the Service has."""
    slices = api.read(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dshop")["items"]
    return sum(bool(endpoint["conditions"].get("ready")) for one in slices for endpoint in one.get("endpoints") or [])


def zones(found: list[dict[str, Any]]) -> dict[str, int]:
    """How many of these pods run in each zone, by the label that Kubernetes copied from the node."""
    counted: dict[str, int] = {}
    for pod in found:
        zone = pod["metadata"]["labels"].get(ZONE, "")
        counted[zone] = counted.get(zone, 0) + 1
    return counted
