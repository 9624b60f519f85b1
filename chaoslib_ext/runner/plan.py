"""
The plan of a run: exactly what would be hit, resolved once, by uid, and what it may cost. It touches nothing.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chaoslib_ext.environment import Environment
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.faults import planning


def make_plan(experiment: Experiment, environment: Environment, seed: int) -> dict[str, Any]:
    """
    The plan as JSON: `{intent, resolved, cost, survivors, refused, warnings, token}`.

    Raises UsageError for an empty selection and Refused CAPS_EXCEEDED where a fault would hit more than the caps allow.
    """
    rows = [planning.resolve(activity, environment, _caps(experiment, environment, activity), seed) for activity in managed_actions(experiment)]
    intent = {
        "experiment": experiment.document,
        "slos": [slo.to_json() for slo in experiment.block.slos] if experiment.block else [],
        "load": experiment.block.load.to_json() if experiment.block and experiment.block.load else None,
        "environment": {"name": environment.name, "identity": environment.identity},
        "caps": {str(activity["name"]): _caps(experiment, environment, activity) for activity in managed_actions(experiment)},
    }
    whole = {
        "intent": intent,
        "resolved": rows,
        "cost": _cost(experiment, rows),
        "survivors": _survivors(rows),
        "refused": [],
        "warnings": list(experiment.warnings),
    }
    return {**whole, "token": token(intent)}


def token(intent: dict[str, Any]) -> str:
    """8 hex digits of SHA-256 over the canonical intent: what a person approves, not which processes happen to run."""
    canonical = json.dumps(intent, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def managed_actions(experiment: Experiment) -> list[dict[str, Any]]:
    """The actions of the method that are faults of ours, in order."""
    return [activity for activity in experiment.document.get("method", []) if activity.get("type") == "action" and planning.is_ours(activity)]


def _caps(experiment: Experiment, environment: Environment, activity: dict[str, Any]) -> dict[str, Any]:
    """The tighter of the environment's caps and the fault's own."""
    block = experiment.block.faults.get(str(activity["name"])) if experiment.block else None
    own, around = dict(block.caps) if block else {}, dict(environment.caps)
    merged = {**around, **own}
    for name in own.keys() & around.keys():
        merged[name] = min(own[name], around[name])
    return merged


def _cost(experiment: Experiment, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """
    The worst the faults could spend of the error budget: every request that a lost target would have served fails for the
    whole hold. price = share of the targets × hold / ((1 − target) × period).
    """
    block = experiment.block
    if block is None or block.budget is None:
        return {}
    slo = next(one for one in block.slos if one.name == block.budget.slo)
    outage_s = 0.0
    for row in rows:
        shares = [of["hit"] / of["total"] for of in row["of"].values() if of["total"]]
        outage_s += max(shares, default=0.0) * float(row["duration_s"] or block.windows.stable_s)
    return {"slo": slo.name, "price": round(outage_s / ((1 - slo.target) * slo.period_s), 9)}


def _survivors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {str(row["activity"]): row["survivors"] for row in rows}
