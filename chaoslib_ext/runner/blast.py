"""
The blast radius of a whole run, beyond that of each fault: what its faults would take together, and how much it would write.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

from chaoslib_ext.clock import format_duration
from chaoslib_ext.environment import Environment
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.faults.caps import exceeded, members
from chaoslib_ext.faults.rechecks import rosters_of
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.runner.outlook import outlook

Json = dict[str, Any]


def beyond(experiment: Experiment, environment: Environment, rows: list[Json]) -> list[Json]:
    """What of a run is more than the caps allow, each `{activity, reason, text}` as a plan tells it; empty when all is within them."""
    found: list[Json] = [{"activity": name, "reason": "CAPS_EXCEEDED", "text": text} for name, text in _together(experiment, rows)]
    if text := _writes(experiment, environment, rows):
        found.append({"activity": None, "reason": "CAPS_EXCEEDED", "text": text})
    return found


def limits(environment: Environment) -> Json:
    """What of an environment a stored plan or approval holds fast, beside its identity: what may be done there, and to what."""
    told: Json = {
        "name": environment.name,
        "class": environment.class_,
        "identity": environment.identity,
        "fuse": environment.fuse,
        "values": environment.values,
    }
    told |= {"allow": environment.allow, "never": environment.never, "caps": environment.caps, "hosts": environment.hosts, "zones": environment.zones}
    return {**told, "services": {name: service.url for name, service in sorted(environment.services.items())}}


def _together(experiment: Experiment, rows: list[Json]) -> list[tuple[str, str]]:
    """Faults that would take too much only because an earlier one is still held when they begin."""
    starts, found = _starts_s(experiment), []
    for at, row in enumerate(rows):
        began_s = starts.get(str(row["activity"]), 0.0)
        held = [one for one in rows[:at] if one["duration_s"] and began_s - starts.get(str(one["activity"]), 0.0) < one["duration_s"]]
        if not held or exceeded(row, row["caps"], there := members(rosters_of(row).values())):
            continue  # alone it is refused alone
        too_much = exceeded(row, row["caps"], there, {str(target["uid"]) for one in held for target in one["targets"]})
        if too_much:
            names = ", ".join(str(one["activity"]) for one in held)
            found.append((str(row["activity"]), f"{row['activity']}: while {names} is still held: {'; '.join(too_much)}; nothing was touched"))
    return found


def _starts_s(experiment: Experiment) -> dict[str, float]:
    """When each activity begins at the earliest, in seconds from the method's start: after the pauses before it."""
    method = experiment.document.get("method", [])
    before = [_seconds(one, "before") for one in method]
    after = [0.0, *(_seconds(one, "after") for one in method)]
    waited = accumulate(pause + rest for pause, rest in zip(before, after, strict=False))
    return {str(one.get("name")): seconds for one, seconds in zip(method, waited, strict=True)}


def _seconds(activity: Json, which: str) -> float:
    value = (activity.get("pauses") or {}).get(which)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0  # a variable is looked at when it is injected


def _writes(experiment: Experiment, environment: Environment, rows: list[Json]) -> str:
    """Why the load would write more than the environment lets one run write; empty when it would not."""
    profile = experiment.block.load if experiment.block else None
    if profile is None or "writes" not in environment.caps:
        return ""
    least_s, most_s = outlook(experiment, rows)["takes_s"]
    seconds = least_s if most_s is None else most_s
    writes = math.ceil(profile.schedule(0).count_between(0.0, seconds) * per_arrival(profile)) if per_arrival(profile) else 0
    if writes <= environment.caps["writes"]:
        return ""
    return (
        f"the load would write about {writes:,} times in {format_duration(seconds)}, environment {environment.name} allows {environment.caps['writes']:,.0f}"
        " writes for a run; lower the rate, or shorten the run; nothing was touched"
    )


def per_arrival(profile: LoadProfile) -> float:
    """How many writes one arrival makes on average, at most; 0 for a locustfile, which has no write ledger."""
    weights = sum(journey.weight for journey in profile.journeys)
    return sum(journey.weight * sum(step.write is not None for step in journey.steps) for journey in profile.journeys) / weights if weights else 0.0
