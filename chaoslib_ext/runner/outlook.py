"""
What a run would be like, computed before it: how long it takes, what it could decide, whether its load can be sent.

A pure function of experiment and plan rows. A length is `[least, most]` in seconds; most None: nobody knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from chaoslib_ext import stats
from chaoslib_ext.block import Block
from chaoslib_ext.clock import format_duration
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.runner import power
from chaoslib_ext.slo import Slo

PER_PROCESS = 1000.0  # requests per second of one load process; a rough figure of benchmarks/recorder_cost.py on two cores
STARTS_S = 0.2  # from the order to start to the first arrival
CLOSED = "closed model: known only once it ran; it can fail the objective and never pass it"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Length:
    """How long something takes, in seconds."""

    least_s: float
    most_s: float | None

    def __add__(self, other: Length) -> Length:
        most = None if self.most_s is None or other.most_s is None else self.most_s + other.most_s
        return Length(self.least_s + other.least_s, most)

    def to_json(self) -> list[float | None]:
        """`[least, most]`, to the millisecond."""
        return [round(self.least_s, 3), None if self.most_s is None else round(self.most_s, 3)]


def outlook(experiment: Experiment, rows: list[Json]) -> Json:
    """
    `{phases, takes_s, objectives, rto, recovery_after_removal, rpo, load, warnings, refused}`; see the functions below, and `power`, for each.

    `refused` are the promises that could never be decided, as `{activity, reason, text}`.
    """
    block = experiment.block or Block()
    held = _held(rows)
    phases = _phases(experiment, block, rows)
    takes = sum(phases.values(), Length(0.0, 0.0))
    objectives = _objectives(block, phases, held)
    rto = _rto(block, phases, held)
    load = _load(block.load)
    removal = power.of_removal(block, _rates(block, phases, held)) if block.load is not None else None
    rpo = power.of_writes(block, *_write_times(phases)) if block.load is not None else None
    told: Json = {"phases": {name: length.to_json() for name, length in phases.items()}, "takes_s": takes.to_json()}
    told |= {"objectives": objectives, "rto": rto, "recovery_after_removal": removal, "rpo": rpo, "load": load}
    coarse = {"RTO": rto, "recovery after the removal": removal, "RPO": rpo}
    return {**told, "warnings": _warnings(objectives, coarse, load), "refused": power.refused(objectives)}


def _held(rows: list[Json]) -> float | None:
    """The longest hold among the faults in seconds; None when none is held."""
    return max((float(row["duration_s"]) for row in rows if row["duration_s"]), default=None)


def _phases(experiment: Experiment, block: Block, rows: list[Json]) -> dict[str, Length]:
    windows, method = block.windows, method_length(experiment, rows)
    if block.load is None:
        return {"method": method, **({"recovery": Length(0.0, windows.recovery_s)} if rows else {})}
    recovery = Length(min(float(int(windows.stable_s) + 2), windows.recovery_s), windows.recovery_s)
    calm = {"warm-up": Length(windows.warmup_s, windows.warmup_s), "baseline": Length(windows.baseline_s, windows.baseline_s)}
    return {**calm, "method": method, "recovery": recovery}


def method_length(experiment: Experiment, rows: list[Json]) -> Length:
    """
    How long the method takes: activities one after the other, with their pauses; it ends when the last hold is over.

    A fault may take up to its `timeout_s` to be proven. What is not ours takes a time that nobody knows.
    """
    planned = {str(row["activity"]): row for row in rows}
    now, ends = Length(0.0, 0.0), [Length(0.0, 0.0)]
    for activity in experiment.document.get("method", []):
        pauses = activity.get("pauses") or {}
        now += _pause(pauses.get("before"))
        row = planned.get(str(activity.get("name")))
        if row is not None:
            now = now + Length(0.0, float(row["timeout_s"]))
            ends.append(now + Length(float(row["duration_s"] or 0.0), float(row["duration_s"] or 0.0)))
        elif not activity.get("background"):
            now = now + Length(0.0, None)
        now += _pause(pauses.get("after"))
    ends.append(now)
    mosts = [end.most_s for end in ends]
    return Length(max(end.least_s for end in ends), None if None in mosts else max(most for most in mosts if most is not None))


def _pause(value: object) -> Length:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Length(float(value), float(value))
    return Length(0.0, 0.0 if value is None else None)  # a variable


# samples -------------------------------------------------------------------------------------------------------


def per_arrival(profile: LoadProfile, slo: Slo) -> float:
    """How many samples of an SLO one arrival makes on average, at most: a step after one that failed is never sent."""
    weights = sum(journey.weight for journey in profile.journeys) or 1.0
    name = slo.sli.select_name
    if slo.sli.select_class == "journey":
        return sum(journey.weight for journey in profile.journeys if name in (None, journey.name)) / weights
    return sum(journey.weight * sum(name in (None, step.name) for step in journey.steps) for journey in profile.journeys) / weights


def _spans(phases: dict[str, Length], held_s: float | None) -> dict[str, tuple[float, float, str]]:
    """Each window in seconds from the first arrival, and how sure its length is."""
    warmup, baseline = phases["warm-up"].least_s - STARTS_S, phases["baseline"].least_s
    method, recovery = phases["method"].least_s, phases["recovery"]
    begin = warmup + baseline
    fault = (begin, begin + (held_s or 0.0), "at least" if held_s else "as long as the replacement takes")
    whole = (warmup, begin + method + recovery.least_s, "at least")
    return {
        "baseline": (warmup, begin, ""),
        "fault": fault,
        "recovered": (begin + method, begin + method + (recovery.most_s or 0.0), "at most"),
        "whole": whole,
    }


def _write_times(phases: dict[str, Length]) -> tuple[float, float, float | None]:
    """When the method begins and the load ends, at least and at most; seconds from the first arrival."""
    begin_s = phases["warm-up"].least_s + phases["baseline"].least_s - STARTS_S
    rest = phases["method"] + phases["recovery"]
    return begin_s, begin_s + rest.least_s, None if rest.most_s is None else begin_s + rest.most_s + power.MOST_SLACK_S


def _rates(block: Block, phases: dict[str, Length], held_s: float | None) -> dict[str, float]:
    """Samples per second of each SLO that recovery is asked of, once the fault is over; only what the load itself counts."""
    if block.load is None or block.load.locustfile is not None:
        return {}
    at_s = sum(phases[name].least_s for name in ("warm-up", "baseline")) + (held_s or 0.0)
    rate = block.load.schedule(0).rate_at(at_s)
    used = [one.slo for one in block.objectives if one.window != "baseline"] + ([block.budget.slo] if block.budget else [])
    names = block.rto.slos if block.rto else dict.fromkeys(used)
    return {name: rate * per_arrival(block.load, block.slo(name)) for name in names if block.slo(name).sli.source == "locust"}


def _objectives(block: Block, phases: dict[str, Length], held_s: float | None) -> list[Json]:
    """
    Each promise with the samples that the profile gives it and those that decide it: `decides` true, false, or null (not known).

    The baseline of every SLO in use is among them: it must be proven healthy, with its own target.
    """
    if block.load is None:
        return []
    wanted = [(block.slo(one.slo), one.window, one.target) for one in block.objectives]
    used = (
        {one.slo for one in block.objectives if one.window != "baseline"}
        | set(block.rto.slos if block.rto else ())
        | ({block.budget.slo} if block.budget else set())
    )
    stated = {(slo.name, window) for slo, window, _ in wanted}
    wanted = [(slo, "baseline", None) for slo in block.slos if slo.name in used and (slo.name, "baseline") not in stated] + wanted
    spans = _spans(phases, held_s)
    return [_objective(block.load, slo, window, slo.target if target is None else target, spans[window]) for slo, window, target in wanted]


def _objective(profile: LoadProfile, slo: Slo, window: str, target: float, span: tuple[float, float, str]) -> Json:
    needed = stats.samples_needed(target)
    needed = None if needed is None else max(needed, slo.min_samples or 0)
    told: Json = {"slo": slo.name, "window": window, "target": target, "needed": needed, "window_s": round(span[1] - span[0], 3), "how_sure": span[2]}
    if profile.locustfile is not None:
        return {**told, "samples": None, "decides": None, "change": CLOSED}
    if slo.sli.source != "locust":
        return {**told, "samples": None, "decides": None, "change": f"read from {slo.sli.source}: how much it counts is known in the run only"}
    share = per_arrival(profile, slo)
    schedule = profile.schedule(0)
    samples = math.floor(schedule.count_between(span[0], span[1]) * share + 1e-9)
    told |= {"samples": samples, "never": power.never_sampled(schedule, share, window, span[0], span[1])}
    told |= power.of_samples(slo, target, samples, span[1] - span[0])
    if needed is None or samples >= needed:
        return {**told, "decides": needed is not None, "change": "" if needed is not None else "no number of samples proves 100 %; promise less"}
    if window == "fault" and span[1] <= span[0]:
        return {**told, "decides": None, "change": f"an instant fault has no length of its own; {needed} samples must fall before its replacement answers"}
    rate = schedule.rate_at((span[0] + span[1]) / 2) * share
    lengths = {"baseline": "windows.baseline", "fault": "the hold", "recovered": "windows.recovery", "whole": "the run"}
    longer = f"{lengths[window]} {format_duration(math.ceil(needed / rate + 1))}" if rate > 0 else "other stages"
    more = f" or {math.ceil(needed / (span[1] - span[0]) / share)}/s" if share and span[1] > span[0] else ""
    return {**told, "decides": False, "change": f"make it {longer}{more}" if share else "nothing in the profile is counted by it"}


def _rto(block: Block, phases: dict[str, Length], held_s: float | None) -> Json | None:
    """
    How finely recovery can be measured: `resolution_s` is the gap between two arrivals of the slowest SLO, below which no bracket gets.

    `decides` false: the bracket, the stable stretch or the observation cannot carry the objective, whatever the system does.
    """
    rto = block.rto
    if rto is None or block.load is None:
        return None
    told: Json = {"objective_s": rto.objective_s, "slos": list(rto.slos), "held_s": held_s}
    if block.load.locustfile is not None:
        return {**told, "resolution_s": None, "decides": None, "change": CLOSED}
    rates = _rates(block, phases, held_s)
    if not rates:
        return {**told, "resolution_s": None, "decides": None, "change": "measured elsewhere, not by the load"}
    slowest = min(rates, key=lambda name: rates[name])
    if not rates[slowest]:
        return {**told, "resolution_s": None, "decides": False, "change": f"nothing in the profile is counted by {slowest}"}
    told |= {"resolution_s": round(power.gap(block.load, rates[slowest]), 6), "rate_per_s": round(rates[slowest], 3)}
    change = _rto_change(block, rates, held_s)
    return {**told, "decides": not change, "change": change}


def _rto_change(block: Block, rates: dict[str, float], held_s: float | None) -> str:
    """What to change so that the RTO can be decided; empty when it can."""
    assert block.rto is not None
    objective_s, windows = block.rto.objective_s, block.windows
    if coarse := power.stretch_change(block, rates, objective_s):
        return coarse
    observed_s = (held_s or 0.0) + windows.recovery_s
    if observed_s < objective_s + windows.stable_s:
        return f"it is watched for {format_duration(observed_s)}, shorter than rto.objective + windows.stable; lengthen windows.recovery"
    if held_s is not None and held_s < objective_s + windows.stable_s:
        return f"held too short: hold the fault for {format_duration(objective_s + windows.stable_s)}, so that recovery is the system's own"
    return ""


def _load(profile: LoadProfile | None) -> Json | None:
    """The load that is intended at its peak, beside a rough estimate of what one load process of this machine sends."""
    if profile is None:
        return None
    if profile.locustfile is not None:
        return {"model": "closed", "arrivals_per_s": None, "requests_per_s": None, "estimate_per_s": PER_PROCESS, "enough": None}
    weights = sum(journey.weight for journey in profile.journeys)
    steps = sum(journey.weight * len(journey.steps) for journey in profile.journeys) / weights
    peak = profile.schedule(0).peak_rate()
    told = {"model": "open", "arrivals_per_s": peak, "requests_per_s": round(peak * steps, 3)}
    return {**told, "estimate_per_s": PER_PROCESS, "enough": peak * steps <= PER_PROCESS}


def _warnings(objectives: list[Json], coarse: dict[str, Json | None], load: Json | None) -> list[str]:
    found = [
        f"TOO_FEW_SAMPLES: {one['slo']}, {one['window']}: {one['samples']} of {one['needed']} needed; {one['change']}"
        for one in objectives
        if one["decides"] is False
    ]
    found += [f"{name} cannot be decided: {one['change']}" for name, one in coarse.items() if one is not None and one["decides"] is False]
    if load is not None and load["enough"] is False:
        sends = f"about {load['estimate_per_s']:g}/s is what one load process sends (a rough estimate)"
        found.append(f"GENERATOR_SATURATED is likely: {load['requests_per_s']:g} requests/s are intended, {sends}; lower the rate")
    return found
