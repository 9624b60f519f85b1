"""
What a PASS needs beyond a sound measurement: every fault proven, held and gone, every activity run, something promised.

Anything lacking is a finding that is inconclusive with its reason. A control is judged without the effect's obligations.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.judging.case import Case
from chaoslib_ext.judging.soundness import obligation
from chaoslib_ext.judging.windows import Fault
from chaoslib_ext.result import MET, Finding

LEAST_HELD = 0.95
_REFUSED = re.compile(r"\bFaultFailed: (TARGETS_CHANGED|CAPS_EXCEEDED|PROTECTED): ")  # by our own last look before the first write
VOUCHED_NS = 2 * NS  # how long one reading speaks for; readings come once a second


def obligations(case: Case) -> list[Finding]:
    """All findings on faults, activities, children and promises."""
    found = [_promised(case), _prober(case), _method(case)]
    if case.control == "none":
        found.append(_planned(case))
        for fault in case.faults:
            found += _proven(case, fault)
    return [*found, _actions(case), _probes(case), _managed(case), *_hypothesis(case)]


def _promised(case: Case) -> Finding:
    block = case.block
    promises = (block.objectives, block.rto, block.recovery_after_removal_s is not None, block.budget, block.rpo, block.detection)
    anything = any(promises) or has_hypothesis(case)
    return obligation("promises", "" if anything else "NO_OBJECTIVE", "something is promised" if anything else "no objective and no hypothesis")


def has_hypothesis(case: Case) -> bool:
    """Whether the experiment has a steady-state hypothesis, by the header or by what was seen."""
    return bool(case.run.header.get("hypothesis")) or any(event.get("where") in ("gate", "recheck") for event in case.run.of_kind("activity"))


def _planned(case: Case) -> Finding:
    unmanaged = _unmanaged(case)
    if not case.faults and not unmanaged:
        return obligation("faults", "NO_FAULT", "the plan holds no fault")
    empty = [fault.name for fault in case.faults if not fault.targets]
    if empty:
        return obligation("faults", "NO_FAULT", f"planned without any target: {', '.join(empty)}")
    return obligation("faults", "", f"{len(case.faults)} planned, on {sum(len(fault.targets) for fault in case.faults)} targets")


def _proven(case: Case, fault: Fault) -> list[Finding]:
    """Its effect, its hold and its removal. What was never in effect was neither held nor removed."""
    effect = _effect(fault)
    if fault.effect is None:
        return [effect]
    return [effect, *([_held(case, fault)] if fault.held else []), _removed(fault)]


def _effect(fault: Fault) -> Finding:
    name = f"effect:{fault.name}"
    if fault.effect is None:
        return obligation(name, "EFFECT_UNPROVEN", "never seen in effect from outside", kind="effect", window="fault")
    planned = {str(target.get("uid")) for target in fault.targets}
    told = f"in effect from {fault.effect[0] / NS:.3f} s to {fault.effect[1] / NS:.3f} s at the latest: {fault.proof}"
    if fault.uids - planned:
        return obligation(name, "TARGETS_CHANGED", told, f"not planned: {', '.join(sorted(fault.uids - planned))}", kind="effect", window="fault")
    unseen = {str(target.get("uid")) for target in fault.targets if target.get("probe")} - fault.uids  # a link is seen through its replicas
    if unseen:
        return obligation(name, "EFFECT_UNPROVEN", told, f"not seen: {', '.join(sorted(unseen))}", kind="effect", window="fault")
    return obligation(name, "", told, kind="effect", window="fault")


def _held(case: Case, fault: Fault) -> Finding:
    """In force for 95 % of the planned time, and of the time up to the heal by the readings taken meanwhile."""
    name, held_s = f"held:{fault.name}", fault.held_s
    if held_s is None or fault.effect is None or fault.until_ns is None:
        return obligation(name, "", "still in force at the end", window="fault")
    if case.complete and fault.planned_s and held_s < LEAST_HELD * fault.planned_s:
        return obligation(name, "FAULT_NOT_HELD", f"held for {held_s:.3f} s of the planned {fault.planned_s:g} s", window="fault")
    share = _share_in_force(case, fault, fault.effect[1], fault.until_ns)
    told = f"held for {held_s:.3f} s; seen in force for {share:.1%} of it"
    return obligation(name, "FAULT_NOT_HELD" if share < LEAST_HELD else "", told, window="fault")


def _share_in_force(case: Case, fault: Fault, a_ns: int, b_ns: int) -> float:
    """
    The share of [a, b) that somebody vouches for: the proof of the effect up to when it was given, and the readings after that.

    The proof and each reading speak for what follows until the next, for 2 s at most.
    """
    proven_ns = min(max(a_ns, fault.proven_ns), b_ns)
    readings = [event for event in case.run.of_kind("reading") if event.get("name") == "in_effect" and event.get("fault") == fault.name]
    inside = sorted((event["t_ns"], bool(event.get("ok"))) for event in readings if proven_ns <= event["t_ns"] < b_ns)
    spoken = sum(min(after - at, VOUCHED_NS) for (at, ok), (after, _) in pairwise([(proven_ns, True), *inside, (b_ns, False)]) if ok)
    return 1.0 if b_ns <= a_ns else (proven_ns - a_ns + spoken) / (b_ns - a_ns)


def _removed(fault: Fault) -> Finding:
    name = f"removed:{fault.name}"
    if not fault.held:
        lacking = "" if fault.removed and fault.replaced else "REPLACEMENT_UNSEEN"
        return obligation(name, lacking, "no replacement seen" if lacking else "what was hit was seen to be replaced")
    if fault.removed is None:
        return obligation(name, "REMOVAL_UNSEEN", "never seen to be gone")
    return obligation(name, "", f"gone between {fault.removed[0] / NS:.3f} s and {fault.removed[1] / NS:.3f} s")


def _ended(case: Case, kind: str, *where: str) -> list[dict[str, Any]]:
    return [event for event in case.run.of_kind("activity") if event.get("type") == kind and event.get("where") in where and event.get("state") == "ended"]


def _troubles(ended: list[dict[str, Any]]) -> list[str]:
    return [f"{event.get('name')}: {event.get('error') or event.get('status')}" for event in ended if event.get("status") != "succeeded"]


def _missing(case: Case, kind: str) -> list[str]:
    """Activities of the method, by name, that were planned and never ended."""
    planned = [str(one.get("name")) for one in case.run.header.get("activities") or [] if one.get("type") == kind]
    if kind == "action":
        planned += [fault.name for fault in case.faults]
    started = [str(event.get("name")) for event in case.run.of_kind("activity") if event.get("type") == kind and event.get("where") == "method"]
    ended = {str(event.get("name")) for event in _ended(case, kind, "method")}
    return [name for name in dict.fromkeys(planned + started) if name not in ended]


def _actions(case: Case) -> Finding:
    failed = _troubles(_ended(case, "action", "method"))
    failed += [f"{name}: did not run to its end" for name in _missing(case, "action")]
    refused = [found.group(1) if (found := _REFUSED.search(text)) else "" for text in failed]
    lacking = "ACTION_FAILED" if failed else ""
    return obligation("actions", tuple(refused) if refused and all(refused) else lacking, *(failed or ["every action of the method ran and succeeded"]))


def _probes(case: Case) -> Finding:
    errored = _troubles(_ended(case, "probe", "method"))
    missing = [f"{name}: did not run" for name in _missing(case, "probe")]
    codes = [code for code, texts in (("PROBE_ERRORED", errored), ("PROBE_NOT_RUN", missing)) if texts]
    return obligation("probes", tuple(codes), *(errored + missing or ["every probe of the method ran"]))


def _unmanaged(case: Case) -> list[str]:
    """Actions that ran and that nobody vouches for, unless the file declares them neutral."""
    neutral = {name for name, fault in case.block.faults.items() if fault.neutral}
    actions = [event for event in case.run.of_kind("activity") if event.get("type") == "action" and event.get("where") == "method"]
    return [name for name in dict.fromkeys(str(event.get("name")) for event in actions if event.get("managed") is False) if name not in neutral]


def _managed(case: Case) -> Finding:
    names = _unmanaged(case)
    told = f"not vouched for: {', '.join(names)}" if names else "every action is one that this tool can vouch for"
    return obligation("managed", "UNMANAGED_ACTION" if names else "", told)


def _prober(case: Case) -> Finding:
    code = (case.run.header.get("children") or {}).get("prober")
    return obligation("prober", "" if code in (0, None) else "PROBER_LOST", f"the prober ended with {code}" if code else "the prober lived to its end")


def _method(case: Case) -> Finding:
    code = (case.run.header.get("children") or {}).get("method")
    died = case.complete and code not in (0, None, -9)  # the healer kills it before the last heal; whether its work was done, the activities tell
    told = f"the method child ended with {code}" if died else "the method child lived to its end"
    return obligation("method child", "METHOD_CHILD_DIED" if died else "", told)


def _hypothesis(case: Case) -> list[Finding]:
    """The steady-state hypothesis after recovery: out of tolerance is held against the system."""
    if not has_hypothesis(case):
        return []
    seen = [event for event in case.run.of_kind("activity") if event.get("where") == "recheck" and event.get("state") == "ended"]
    name, kind = "hypothesis:after", "hypothesis"
    if not seen:
        return [obligation(name, "PROBE_NOT_RUN", "it was not judged again after recovery", kind=kind, window="recovered")]
    errored = [str(event.get("name")) for event in seen if event.get("status") != "succeeded"]
    out = [str(event.get("name")) for event in seen if event.get("tolerance_met") is False]
    if errored:
        return [obligation(name, "PROBE_ERRORED", f"could not measure: {', '.join(errored)}", kind=kind, window="recovered")]
    if not out:
        return [Finding(name, kind, MET, evidence=("it held again after recovery",), window="recovered")]
    told = {"id": name, "kind": kind, "window": "recovered", "reasons": ("HYPOTHESIS_NOT_MET_AFTER",), "evidence": (f"out of tolerance: {', '.join(out)}",)}
    return [case.held_against(told)]
