"""
The plan of a run: exactly what would be hit, resolved once, by uid, and what it may cost. It touches nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.faults import planning
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.variables import configured, substituted
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.runner.blast import beyond, limits
from chaoslib_ext.runner.guards import unfused
from chaoslib_ext.runner.outlook import outlook


def make_plan(experiment: Experiment, environment: Environment, seed: int) -> dict[str, Any]:
    """
    The plan as JSON: `{intent, limits, resolved, cost, survivors, refused, warnings, token, seed}`.

    Raises UsageError for an empty selection and Refused: CAPS_EXCEEDED where a fault would hit more than the caps allow,
    PREFLIGHT_FAILED for a promise that this load could never decide.
    """
    rows = [_resolve(experiment, environment, activity, seed) for activity in managed_actions(experiment)]
    for one in [*beyond(experiment, environment, rows), *outlook(experiment, rows)["refused"]]:
        raise Refused(one["reason"], one["text"])
    return _plan(experiment, environment, seed, rows, [])


def draw_plan(experiment: Experiment, environment: Environment, seed: int, refused: list[dict[str, Any]]) -> dict[str, Any]:
    """
    The plan for a person: also what would be refused (added to `refused`, as `{activity, reason, text}`) and the `outlook`.

    Raises UsageError for an empty selection.
    """
    rows, told = [], list(refused)
    for activity in managed_actions(experiment):
        try:
            rows.append(_resolve(experiment, environment, activity, seed))
        except Refused as error:
            told.append({"activity": str(activity["name"]), "reason": error.reason, "text": str(error)})
    seen = outlook(experiment, rows)
    plan = _plan(experiment, environment, seed, rows, told)
    told += unfused(environment, plan) + beyond(experiment, environment, rows) + seen.pop("refused")
    return {**plan, "warnings": [*plan["warnings"], *seen.pop("warnings"), *_too_dear(experiment, plan["cost"])], "outlook": seen}


def _resolve(experiment: Experiment, environment: Environment, activity: dict[str, Any], seed: int) -> dict[str, Any]:
    known = configured({**experiment.document.get("configuration", {}), **environment.values}, os.environ)
    own = experiment.block.faults.get(str(activity["name"])) if experiment.block else None
    majority = {"majority": own.caps["per_owner"]} if own and "per_owner" in own.caps else {}
    provider = {**activity["provider"], "arguments": substituted(activity["provider"].get("arguments") or {}, known)}
    return planning.resolve({**activity, "provider": provider}, environment, {**caps_of(experiment, environment, activity), **majority}, seed)


def _plan(experiment: Experiment, environment: Environment, seed: int, rows: list[dict[str, Any]], refused: list[dict[str, Any]]) -> dict[str, Any]:
    intent = {
        "experiment": experiment.document,
        "slos": [_without_source(slo.to_json()) for slo in experiment.block.slos] if experiment.block else [],
        "load": _load_intent(experiment.block.load) if experiment.block and experiment.block.load else None,
        "environment": {"name": environment.name, "identity": environment.identity},
        "caps": {str(activity["name"]): caps_of(experiment, environment, activity) for activity in managed_actions(experiment)},
    }
    whole = {
        "intent": intent,
        "limits": limits(environment),
        "resolved": rows,
        "cost": _cost(experiment, rows),
        "survivors": _survivors(rows),
        "refused": refused,
        "warnings": list(experiment.warnings),
        "seed": seed,
    }
    return {**whole, "token": token(intent)}


def _without_source(data: dict[str, Any]) -> dict[str, Any]:
    """What is meant, wherever it was read from."""
    return {key: value for key, value in data.items() if key != "source"}


def _load_intent(profile: LoadProfile) -> dict[str, Any]:
    """The profile; of a locustfile its content."""
    code = None if profile.locustfile is None else hashlib.sha256(Path(profile.locustfile).read_bytes()).hexdigest()
    return {**_without_source(profile.to_json()), "locustfile": code}


def token(intent: dict[str, Any]) -> str:
    """8 hex digits of SHA-256 over the canonical intent: what a person approves, not which processes happen to run."""
    canonical = json.dumps(intent, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def managed_actions(experiment: Experiment) -> list[dict[str, Any]]:
    """The actions of the method that are faults of ours, in order."""
    return [activity for activity in experiment.document.get("method", []) if activity.get("type") == "action" and planning.is_ours(activity)]


def caps_of(experiment: Experiment, environment: Environment, activity: dict[str, Any]) -> dict[str, Any]:
    """The tighter of the environment's caps and the fault's own, for one activity."""
    block = experiment.block.faults.get(str(activity["name"])) if experiment.block else None
    own, around = dict(block.caps) if block else {}, dict(environment.caps)
    merged = {**around, **own}
    for name in own.keys() & around.keys():
        merged[name] = min(own[name], around[name])
    return merged


def _cost(experiment: Experiment, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """
    The worst the faults could spend of the error budgets: every request that a lost target would have served fails for the
    whole hold. price = share of the targets × hold / ((1 − target) × period).

    `{slo, price}` for the SLO of the block's budget, `each` for all SLOs that something is promised of.
    """
    block = experiment.block
    if block is None or not rows:
        return {}
    outage_s = 0.0
    for row in rows:
        shares = [of["hit"] / of["total"] for of in row["of"].values() if of["total"]]
        outage_s += max(shares, default=0.0) * float(row["duration_s"] or block.windows.stable_s)
    promised = {one.slo for one in block.objectives} | set(block.rto.slos if block.rto else ()) | ({block.budget.slo} if block.budget else set())
    each = {slo.name: round(outage_s / ((1 - slo.target) * slo.period_s), 9) for slo in block.slos if slo.name in promised}
    return {"each": each, **({"slo": block.budget.slo, "price": each[block.budget.slo]} if block.budget else {})}


def _too_dear(experiment: Experiment, cost: dict[str, Any]) -> list[str]:
    budget = experiment.block.budget if experiment.block else None
    if budget is None or cost.get("price", 0.0) <= budget.max_spend:
        return []
    return [f"BUDGET_OVERSPENT is possible: at worst {cost['price']:.3%} of the error budget of {budget.slo}, {budget.max_spend:.3%} are allowed"]


def _survivors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {str(row["activity"]): row["survivors"] for row in rows}


# a stored plan ---------------------------------------------------------------------------------------------------


def read_plan(path: Path) -> dict[str, Any]:
    """The plan that `chaosx plan -o` wrote. Raises UsageError when the file holds none."""
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a plan ({getattr(error, 'strerror', None) or error}); chaosx plan … -o {path} writes one") from error
    whole = isinstance(plan, dict) and isinstance(plan.get("resolved"), list) and isinstance(plan.get("intent"), dict)
    if (
        not whole
        or not isinstance(plan.get("seed"), int)
        or not all(isinstance(row, dict) and isinstance(row.get("targets"), list) for row in plan["resolved"])
    ):
        raise UsageError(f"{path}: got no plan, expected what `chaosx plan … -o {path}` writes")
    return dict(plan)


def same_or_refuse(stored: dict[str, Any], fresh: dict[str, Any]) -> None:
    """
    Nothing when a plan drawn now is the stored one: same intent, same targets by uid, same survivors.

    Raises Refused with the differences: PREFLIGHT_FAILED for another intent, TARGETS_CHANGED for other targets.
    """
    other = differences(stored["intent"], fresh["intent"]) if token(stored["intent"]) != fresh["token"] else []
    other += differences(stored.get("limits"), fresh["limits"], "environment") if stored.get("limits") else []
    other += [line for name, old, new in _paired(stored, fresh) if old and new for line in differences(old.get("arguments"), new.get("arguments"), name)]
    if other:
        raise Refused("PREFLIGHT_FAILED", "this is not what was planned:\n" + "\n".join(f"  {line}" for line in other))
    told = [line for row in _paired(stored, fresh) for line in drift(*row)]
    if told:
        raise Refused("TARGETS_CHANGED", "since the plan was made:\n" + "\n".join(f"  {line}" for line in told))


Row = dict[str, Any]


def _paired(stored: dict[str, Any], fresh: dict[str, Any]) -> list[tuple[str, Row, Row]]:
    """The rows of both plans, by activity; empty where one lacks it."""
    old, new = ({str(row.get("activity")): row for row in plan["resolved"]} for plan in (stored, fresh))
    return [(name, old.get(name, {}), new.get(name, {})) for name in dict.fromkeys([*old, *new])]


def drift(name: str, stored: Row, fresh: Row) -> list[str]:
    """What is hit now and was not planned, what was planned and is not hit, and who survives."""
    old, new = _by_uid(stored), _by_uid(fresh)
    told = [f"{name}: planned {old[uid]} ({uid}), which is not there any more, or not drawn" for uid in old.keys() - new.keys()]
    told += [f"{name}: now {new[uid]} ({uid}), which was not planned" for uid in new.keys() - old.keys()]
    if stored.get("survivors") != fresh.get("survivors"):
        told.append(f"{name}: planned to survive {_counted(stored)}, now {_counted(fresh)}")
    return sorted(told)


def _by_uid(row: Row) -> dict[str, str]:
    return {str(target.get("uid")): f"{target.get('kind')} {target.get('name')}" for target in row.get("targets", []) if isinstance(target, dict)}


def _counted(row: Row) -> str:
    survivors = row.get("survivors")
    return ", ".join(f"{zone} {number}" for zone, number in sorted(survivors.items())) if isinstance(survivors, dict) and survivors else "none"


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, at most 20 lines."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys(), key=str)
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))][:20]
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return [line for at, pair in enumerate(zip(old, new, strict=True)) for line in differences(*pair, f"{path}[{at}]")][:20]
    same = json.dumps(old, sort_keys=True, default=str) == json.dumps(new, sort_keys=True, default=str)
    return [] if same else [f"{path}: planned {shown(old)}, now {shown(new)}"]
