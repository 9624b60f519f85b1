"""
Which pods a kill would hit: exactly these, by uid, drawn by the run's seed; whose they are, what survives, and what stands in the way. Touches nothing.

The row has the shape that the caps of all faults are counted on: `targets`, `of` (per owner: how many there are, how many are hit), `zones_lost`, `survivors`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chaoslib_ext.errors import UsageError
from chaoslib_ext.kubernetes.owners import Owner
from chaoslib_ext.kubernetes.snapshot import Pod, Snapshot

_HOWS = ("delete", "evict")


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Which pods are meant: `labels` that they carry, in one namespace, perhaps only in one `zone` or on one `node`; `count` of them or a `share`.

    A share is a ratio in (0, 1], of those that match and are ready, rounded down. `how` is delete (no budget is asked) or evict.
    """

    namespace: str
    labels: Mapping[str, str]
    count: int = 0
    share: float = 0.0
    zone: str = ""
    node: str = ""
    how: str = "delete"


def kill_row(name: str, choice: Choice, found: Snapshot, identity: str, seed: int) -> dict[str, Any]:
    """
    The plan row of a kill. The same seed and the same pods give the same row.

    Raises UsageError when the choice is wrong or matches nothing, with what there is.
    """
    _check(name, choice)
    there = [pod for pod in found.pods if pod.namespace == choice.namespace and not pod.odd]
    mine = [pod for pod in there if choice.labels.items() <= pod.labels.items()]
    if not mine:
        known = sorted({f"{key}={pod.labels[key]}" for pod in there for key in choice.labels if key in pod.labels})
        raise UsageError(
            f"{name}: namespace {choice.namespace}: {_said(choice)} matched no pods (there are: {', '.join(known) or 'none'}); nothing was touched"
        )
    here = [pod for pod in mine if choice.zone in ("", pod.zone) and choice.node in ("", pod.node)]
    candidates = [pod for pod in here if pod.ready and not pod.static]
    number = _number(name, choice, len(candidates))
    drawn = sorted(candidates, key=lambda pod: hashlib.sha256(f"{seed}|{name}|{pod.uid}".encode()).digest())[:number]
    hit = sorted(drawn, key=lambda pod: (pod.namespace, pod.name))
    row = {"how": choice.how, "kind": "instant", "duration_s": None, "reversible": False, "targets": [_target(pod, identity) for pod in hit]}
    return {**row, **_extent(found, hit), "warnings": list(_warnings(found, hit, choice.how))}


def _check(name: str, choice: Choice) -> None:
    if not choice.labels or not all(choice.labels):
        raise UsageError(f"{name}: got no labels, expected those of the pods that are meant, like app=web; nothing was touched")
    if choice.how not in _HOWS:
        raise UsageError(f"{name}: how: got {choice.how!r}, expected {' or '.join(_HOWS)}; nothing was touched")
    if bool(choice.count) == bool(choice.share):
        raise UsageError(f"{name}: got {'both' if choice.count else 'neither of'} count and share, expected one of them; nothing was touched")
    if choice.count < 0 or not 0 <= choice.share <= 1:
        raise UsageError(f"{name}: got count {choice.count} and share {choice.share:g}, expected a count from 1 or a share up to 100%; nothing was touched")


def _number(name: str, choice: Choice, candidates: int) -> int:
    number = choice.count or math.floor(Fraction(str(choice.share)) * candidates)
    if not 0 < number <= candidates:
        wanted = f"count {choice.count}" if choice.count else f"share {choice.share:.0%}, rounded down,"
        raise UsageError(f"{name}: {_said(choice)}: {wanted} of {candidates} ready pods cannot be hit; nothing was touched")
    return number


def _said(choice: Choice) -> str:
    labels = ",".join(f"{key}={value}" for key, value in sorted(choice.labels.items()))
    places = [f"in zone {choice.zone}" if choice.zone else "", f"on node {choice.node}" if choice.node else ""]
    return " ".join(filter(None, [f'"{labels}"', *places]))


def _target(pod: Pod, identity: str) -> dict[str, Any]:
    base = {"platform": "kubernetes", "identity": identity, "kind": "pod", "ns": pod.namespace, "name": pod.name, "uid": pod.uid, "zone": pod.zone}
    return {**base, "data": {"node": pod.node, "owner": str(pod.owner), "owner_uid": pod.owner.uid}}


def _extent(found: Snapshot, hit: Sequence[Pod]) -> dict[str, Any]:
    """What is hit of what there is, per owner; zones wholly lost to those owners; ready pods of them that survive, by zone."""
    uids = {pod.uid for pod in hit}
    of, mine = {}, []
    for owner in {pod.owner.uid: pod.owner for pod in hit}.values():
        its = found.of_owner(owner)
        mine += its
        of[str(owner)] = {"total": len(its) + _missing(found, owner), "hit": sum(pod.uid in uids for pod in its)}
    lost = [zone for zone in sorted({pod.zone for pod in mine if pod.zone}) if all(pod.uid in uids for pod in mine if pod.zone == zone)]
    return {"of": dict(sorted(of.items())), "zones_lost": lost, "survivors": found.ready_by_zone(pod for pod in mine if pod.uid not in uids)}


def _missing(found: Snapshot, owner: Owner) -> int:
    return max((owner.replicas or 0) - len(found.of_owner(owner)), 0)


def counted(found: Snapshot) -> list[tuple[str, str, str, bool]]:
    """
    What caps count shares of: owner, zone, uid and whether it serves now, of each pod that stays, and of each that its owner wants and has not.

    A replica that is missing has no zone and no uid, and serves not: it is gone already.
    """
    rows = [(str(pod.owner), pod.zone, pod.uid, pod.ready) for pod in found.pods if not pod.terminating]
    for owner in {pod.owner.uid: pod.owner for pod in found.pods}.values():
        rows += [(str(owner), "", "", False)] * _missing(found, owner)
    return rows


def _warnings(found: Snapshot, hit: Sequence[Pod], how: str) -> Iterator[str]:
    """What a person should know before this is done, as sentences."""
    for owner in {pod.owner.uid: pod.owner for pod in hit}.values():
        its = [pod for pod in hit if pod.owner.uid == owner.uid]
        if not owner.replaces:
            yield f"{owner} is owned by nobody: nothing brings it back"
        if not owner.known:
            yield f"{owner} may have an owner above it that could not be read"
        for one in found.autoscalers_of(owner):
            yield f"HorizontalPodAutoscaler {one.name} may change the number of pods of {owner} ({one.least} to {one.most}) meanwhile"
        if owner.gitops:
            yield f"{owner.gitops} keeps {owner} as it is written there"
        if claims := sorted({claim for pod in its for claim in pod.volumes}):
            yield f"{owner}: the volume claims {', '.join(claims)} stay and are attached again"
    for budget in found.budgets:
        number = sum(pod.uid in budget.pods for pod in hit)
        if number > budget.allowed:
            done = "a deletion does not ask it" if how == "delete" else "evictions beyond that are refused"
            yield f"PodDisruptionBudget {budget.name} allows {budget.allowed} of these {number} to go; {done}"
    if how == "evict" and (double := sorted(pod.name for pod in hit if len(found.budgets_of(pod)) > 1)):
        yield f"{', '.join(double)}: covered by more than one PodDisruptionBudget, which makes every eviction fail"
    if found.unread:
        yield f"not readable for this identity, so not looked at: {', '.join(found.unread)}"
