"""Whether the write ledger is whole: as many writes noted as requests were sent by the steps that write."""

from __future__ import annotations

from chaoslib_ext.judging.case import Case
from chaoslib_ext.loadprofile import LoadProfile


def miscounted_writes(case: Case) -> list[str]:
    """Where the ledger and the rows disagree; a dropped line would hide a loss. Nothing where step names do not tell them apart."""
    told = (case.run.meta or {}).get("profile") or case.run.header.get("load")
    try:
        profile = LoadProfile.from_json(told) if told else None
    except (KeyError, TypeError, ValueError):
        return []  # told as a profile that makes no schedule
    if profile is None or not profile.writes:
        return []
    steps = [step for journey in profile.journeys for step in journey.steps]
    names = {step.name for step in steps if step.write is not None}
    if names & {step.name for step in steps if step.write is None} or any(point.get("name") not in _known(profile) for point in case.run.endpoints):
        return []
    wanted = {point["index"] for point in case.run.endpoints if point.get("class") == "step" and point.get("name") in names}
    sent, noted = sum(index in wanted for index in case.run.rows.endpoint), len(case.run.attempts)
    return [] if sent == noted else [f"writes: {sent} were sent by the steps that write, {noted} are in the ledger"]


def _known(profile: LoadProfile) -> set[str]:
    return {journey.name for journey in profile.journeys} | {step.name for journey in profile.journeys for step in journey.steps}
