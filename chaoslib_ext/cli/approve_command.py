"""`chaosx approve`: a plan, a person and an expiry become a stored approval."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chaoslib_ext import rundir
from chaoslib_ext.clock import parse_duration
from chaoslib_ext.errors import UsageError
from chaoslib_ext.runner.approval import approve
from chaoslib_ext.runner.plan import read_plan


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval, and how it is printed."""

    approval: dict[str, Any]
    text: str


def approve_file(plan_file: Path, by: str, until: str, for_: str, output: Path) -> Approved:
    """Writes the approval of a stored plan. Raises UsageError for anything that cannot be approved."""
    if output.is_dir() or not os.access(output.absolute().parent, os.W_OK):
        raise UsageError(f"-o {output}: {'is a folder' if output.is_dir() else 'its folder does not exist, or may not be written to'}; name a file")
    until_s = _until_s(until, for_)
    try:
        approval = approve(read_plan(plan_file), by, until_s)
    except UsageError as error:
        raise UsageError(f"{error}" if str(error).startswith(str(plan_file)) else f"{plan_file}: {error}") from error
    rundir.write_json(output, approval)
    names = [f"  {row['activity']}: {', '.join(target['name'] for target in row['targets'])}" for row in approval["plan"]["resolved"]]
    head = f"approved by {approval['by']} until {approval['until_utc']}: plan {approval['plan']['token']} in {approval['plan']['limits']['name']}"
    return Approved(approval, "\n".join([head, *names, f"run it: chaosx run EXPERIMENT --env … --approval {output}"]))


def _until_s(until: str, for_: str) -> float:
    """The Unix time of the expiry. Raises UsageError when neither or both are given, or one cannot be read."""
    if bool(until) == bool(for_):
        raise UsageError(f"approve: got {'both --until and --for' if until else 'neither --until nor --for'}, expected one of them, like --for 2h")
    try:
        if for_:
            return time.time() + parse_duration(for_)
        moment = datetime.fromisoformat(until)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"approve: {'--for' if for_ else '--until'}: {error}; write --for 2h, or --until 2030-01-31T18:00Z") from error
    if moment.tzinfo is None:
        raise UsageError(f"approve: --until: got {until!r} without a time zone, expected one, like {until}Z; a guess of the zone would be hours off")
    return moment.timestamp()
