"""PodDisruptionBudgets and the eviction subresource that honours them."""

from __future__ import annotations

import math
from typing import Any

from kube_resources import BUDGETS, PODS
from kube_selectors import by_spec
from kube_store import Object, Refusal, Store


def ready(pod: Object) -> bool:
    """Whether the pod is ready and not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return "deletionTimestamp" not in pod["metadata"] and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _of(value: Any, total: int) -> int:
    return math.ceil(total * int(value[:-1]) / 100) if isinstance(value, str) and value.endswith("%") else int(value)


def room(store: Store, budget: Object) -> Object:
    """The status of a budget, computed now: how many of its pods are healthy and how many more may go."""
    pods = [pod for pod in store.all(PODS, budget["metadata"]["namespace"]) if by_spec((budget.get("spec") or {}).get("selector"))(pod)]
    spec, healthy = budget.get("spec") or {}, sum(map(ready, pods))
    expected = len([pod for pod in pods if "deletionTimestamp" not in pod["metadata"]])
    wanted = expected - _of(spec["maxUnavailable"], expected) if "maxUnavailable" in spec else _of(spec.get("minAvailable", 1), expected)
    return {"expectedPods": expected, "currentHealthy": healthy, "desiredHealthy": max(wanted, 0), "disruptionsAllowed": max(healthy - max(wanted, 0), 0)}


def check(store: Store, pod: Object) -> None:
    """Refuses an eviction that a budget forbids: 429 where there is no room, 500 where two budgets hold the pod."""
    if "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") in ("Pending", "Succeeded", "Failed"):
        return
    held = [one for one in store.all(BUDGETS, pod["metadata"]["namespace"]) if by_spec((one.get("spec") or {}).get("selector"))(pod)]
    if len(held) > 1:
        raise Refusal(500, "InternalError", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    if not held:
        return
    status = room(store, held[0])
    if not ready(pod) and status["currentHealthy"] >= status["desiredHealthy"] > 0:
        return
    if status["disruptionsAllowed"] < 1:
        name = held[0]["metadata"]["name"]
        text = f"The disruption budget {name} needs {status['desiredHealthy']} healthy pods and has {status['currentHealthy']} currently"
        causes = [{"reason": "DisruptionBudget", "message": text}]
        raise Refusal(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {"causes": causes})
