"""The state directory, and what earlier runs and sandboxes left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chaoslib_ext import halfmade, ledger, state
from chaoslib_ext.doctor.check import Check
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.recover import owner_alive
from chaoslib_ext.sandbox import folder as rooms

LEAST_FREE_MB = 200  # a run of an hour at 100 arrivals/s leaves about 20 MB; chosen by feel
NETWORK_DISKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.glusterfs", "beegfs", "gpfs"}
)


def state_directory() -> Iterator[Check]:
    home = state.state_dir()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield Check("state", "missing", f"{home}: {there} cannot be written", "set CHAOSX_STATE to a folder of yours on a local disk")
        return
    kind = disk_kind(there)
    yield (
        Check("state", "missing", f"{home} lies on {kind}, where locks and fsync cannot be relied on", "set CHAOSX_STATE to a folder on a local disk")
        if kind in NETWORK_DISKS
        else Check("state", "ok", f"{home} ({'on ' + kind if kind else 'disk unknown'}{'' if home.exists() else ', made at the first run'})")
    )
    space = os.statvfs(there)
    free_mb = space.f_bavail * space.f_frsize // 1_000_000
    enough = free_mb >= LEAST_FREE_MB
    yield Check(
        "space", "ok" if enough else "missing", f"{free_mb:,} MB free, {LEAST_FREE_MB} are wanted", "" if enough else "make room, or set CHAOSX_STATE elsewhere"
    )
    runs = home / "runs"
    if runs.is_dir() and runs.stat().st_mode & 0o077:
        yield Check("state mode", "missing", f"{runs} is open to others ({runs.stat().st_mode & 0o777:o}), expected 700", f"chmod 700 {runs}")


def disk_kind(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The file system that a path lies on, like `ext4`; empty where the kernel does not say."""
    best, kind = "", ""
    try:
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            left, _, right = line.partition(" - ")
            point = left.split()[4].replace("\\040", " ")
            if (str(path.resolve()) + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                best, kind = point, right.split()[0]
    except (OSError, IndexError):
        return ""
    return kind


def open_runs() -> Iterator[Check]:
    found = state.open_runs()
    if not found:
        yield Check("open runs", "ok", "none")
    for folder in found:
        yield _open_run(folder)
    for folder in halfmade.half_made():
        told = f"{halfmade.run_of(folder)}: its maker was killed {_age(folder)} ago, before the run began"
        yield Check("half a run", "note", told, "chaosx recover --all  removes it")


def _open_run(folder: Path) -> Check:
    """One run that is not closed: how old, whose, and what of it is not proven healed."""
    try:
        owner = state.read_json(folder / state.RUN).get("supervisor") or {}  # unlike header, it says what is wrong
        lives = owner_alive(folder)
    except (ValueError, TypeError) as error:
        return Check("open run", "left", f"{folder.name}: its run.json cannot be read ({error})", f"chaosx recover --run {folder.name}")
    told = f"{folder.name}: begun {_age(folder)} ago by process {owner.get('pid', 'unknown')}"
    if lives:
        return Check("open run", "note", f"{told}, under way", f"chaosx abort {folder.name}  ends it")
    try:
        pending = ledger.pending(ledger.Ledger.of_run(folder).read().frames)
        left = ", ".join(dict.fromkeys(f"{entry.fault} on {entry.target.name}" for entry in pending)) or "nothing, but it was never closed"
    except (LedgerCorrupt, OSError) as error:
        left = f"unknown: {error}"
    return Check("open run", "left", f"{told}, which is dead; not healed: {left}", f"chaosx recover --run {folder.name}")


def _age(path: Path) -> str:
    """How long ago the oldest thing in a folder was written, roughly; a folder's own time is that of its last change."""
    made = path.stat().st_mtime
    for inside in path.iterdir():
        with suppress(OSError):
            made = min(made, inside.lstat().st_mtime)
    seconds = max(0.0, time.time() - made)
    return next((f"{seconds / size:.0f} {name}" for name, size in (("d", 86400), ("h", 3600), ("min", 60)) if seconds >= 2 * size), f"{seconds:.0f} s")


def sandboxes() -> Iterator[Check]:
    for folder in rooms.sandbox_folders():
        if rooms.inhabited(folder):
            yield Check("sandbox", "note", f"{folder.name}: up since {_age(folder)}", f"chaosx sandbox down {folder.name}  ends it")
        else:
            yield Check("sandbox", "left", f"{folder.name}: its keeper died {_age(folder)} ago or before", "chaosx sandbox status  removes what is left of it")
