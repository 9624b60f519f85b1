"""
What people have accepted: left of a fault as it is, with who, when and why, until a report has shown it.

One file in the state folder of the run that left it. The next sealed run on the same target tells of it.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoslib_ext import state

FILE = "accepted.json"

Json = dict[str, Any]


def note(folder: Path, fault: str, targets: Iterable[str], reason: str) -> None:
    """Writes down that this person accepts, now, what is left of a fault."""
    told = {"run": folder.name, "fault": fault, "targets": list(targets), "reason": reason, "by": _person(), "t": time.time(), "shown_by": None}
    state.write_json(folder / FILE, {"accepted": [*_notes(folder), told]})


def not_shown(identity: Json) -> list[Json]:
    """What was accepted on a target and no report has shown yet, oldest first; `utc` is when."""
    found = []
    for folder in state.all_runs():
        environment = state.header(folder).get("environment") or {}
        if environment.get("identity") == identity:
            found += [one for one in _notes(folder) if one["shown_by"] is None]
    return [{**one, "utc": datetime.fromtimestamp(one["t"], UTC).isoformat(timespec="seconds")} for one in sorted(found, key=lambda one: float(one["t"]))]


def shown(notes: Iterable[Json], run: str) -> None:
    """Says that the report of a run, sealed by now, has told of these."""
    for name in {str(one["run"]) for one in notes}:
        folder = state.run_dir(name)
        if folder.is_dir():
            state.write_json(folder / FILE, {"accepted": [{**one, "shown_by": one["shown_by"] or run} for one in _notes(folder)]})


def _notes(folder: Path) -> list[Json]:
    return list(state.read_json(folder / FILE).get("accepted") or [])


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
