"""
`chaosx abort`: stops a run from another terminal, exactly that process and no other.
"""

from __future__ import annotations

import getpass
import signal
from pathlib import Path

from chaoslib_ext import state
from chaoslib_ext.errors import UsageError
from chaoslib_ext.process.client import signal_exact
from chaoslib_ext.recover import owner_alive


def abort_run(run_id: str | None, reason: str) -> str:
    """
    Writes who asked and why, then sends SIGTERM to the run's supervisor; returns what to tell the user.

    Without `run_id` the only run under way is meant. Raises UsageError when there is none, or more than one.
    """
    folder = state.run_dir(run_id) if run_id else _only_run()
    owner = state.header(folder).get("supervisor") or {}
    if not owner_alive(folder):
        raise UsageError(f"run {folder.name} is not under way; if it left something behind: chaosx recover --run {folder.name}")
    state.write_json(folder / "abort.json", {"by": _person(), "reason": reason})
    signal_exact(int(owner["pid"]), int(owner["start_ticks"]), signal.SIGTERM)
    return f"{folder.name}: asked to stop; its faults are taken back first"


def _only_run() -> Path:
    under_way = [folder for folder in state.open_runs() if owner_alive(folder)]
    if len(under_way) != 1:
        names = ", ".join(folder.name for folder in under_way) or "none"
        raise UsageError(f"abort: got no run id, expected exactly one run under way; there are: {names}")
    return under_way[0]


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
