"""
State folders that were still being made when their maker was killed. No run ever began in them: they only take up space.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from chaoslib_ext import state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.process.client import process_state, start_ticks

OLD_S = 600.0  # making one takes milliseconds; chosen by feel
_SLACK_S = 5.0  # a wall clock that was set meanwhile


def half_made(old_s: float = OLD_S) -> list[Path]:
    """Those older than `old_s` seconds whose maker has ended, oldest name first."""
    try:
        found = sorted((state.state_dir() / "runs").glob(f"{state.FRESH}*-*"))
    except OSError:
        return []
    return [folder for folder in found if _abandoned(folder, old_s)]


def run_of(folder: Path) -> str:
    """The run that would have been in it."""
    return folder.name.removeprefix(state.FRESH).rpartition("-")[0]


def sweep(old_s: float = OLD_S) -> list[str]:
    """Removes them, and returns the runs that they were for. What cannot be removed stays, and is not named."""
    gone = []
    for folder in half_made(old_s):
        shutil.rmtree(folder, ignore_errors=True)
        gone += [] if folder.exists() else [run_of(folder)]
    return gone


def _abandoned(folder: Path, old_s: float) -> bool:
    try:
        made_s = folder.lstat().st_mtime
        maker = int(folder.name.rpartition("-")[2])
    except (OSError, ValueError):
        return False  # just finished, or none of ours
    return not folder.is_symlink() and time.time() - made_s > old_s and not _lived_then(maker, made_s)


def _lived_then(pid: int, then_s: float) -> bool:
    """Whether the process with this id runs and is old enough to be the maker; a zombie does nothing any more."""
    ticks = start_ticks(pid)
    if ticks is None or process_state(pid) in ("Z", "X", None):
        return False
    begun_s = time.time() - boot_ns() / NS + ticks / os.sysconf("SC_CLK_TCK")
    return begun_s <= then_s + _SLACK_S
