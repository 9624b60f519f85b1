"""
The state directory: what has to outlive a crash, one folder for each run, never published.

`STATE/runs/<id>/` is 0700 and holds run.json, spec.json, undo.wal, children.json and heal.lock. A run is
*open* until closed.json is there, and that is written only when nothing is left to heal.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import UsageError

CLOSED, CHILDREN, SPEC, RUN, LEDGER, HEAL_LOCK = "closed.json", "children.json", "spec.json", "run.json", "undo.wal", "heal.lock"


def state_dir() -> Path:
    """`$CHAOSX_STATE`, or the platform's folder for the user's state. It is not created here."""
    chosen = os.environ.get("CHAOSX_STATE")
    if chosen:
        return Path(chosen).absolute()
    from platformdirs import user_state_dir  # only where the variable is unset: children always get full paths

    return Path(user_state_dir("chaosx"))


def run_dir(run_id: str) -> Path:
    """The folder of one run. Raises UsageError for a name that would lead out of the state directory."""
    if not run_id or "/" in run_id or run_id.startswith("."):
        raise UsageError(f"got {run_id!r}, expected the id of a run, like 20250131-101500-zone-1a2b")
    return state_dir() / "runs" / run_id


def create_run(run_id: str, header: dict[str, Any]) -> Path:
    """
    Makes the folder of a run, 0700, with `header` as its run.json, and returns it.

    The folder appears complete or not at all, so a run without a header is never found. `header` names the
    process that owns the run: `{"supervisor": {"pid", "start_ticks", "boot_id"}, …}`. Raises FileExistsError.
    """
    final = run_dir(run_id)
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if final.exists():
        raise FileExistsError(f"{final}: this run exists already")
    fresh = final.parent / f".new-{run_id}-{os.getpid()}"
    fresh.mkdir(mode=0o700)
    write_json(fresh / RUN, header)
    fresh.rename(final)
    sync_folder(final.parent)
    return final


def open_runs() -> list[Path]:
    """The folders of all runs that are not closed, oldest id first."""
    try:
        found = sorted((state_dir() / "runs").iterdir())
    except FileNotFoundError:
        return []
    return [path for path in found if path.is_dir() and not path.name.startswith(".") and not (path / CLOSED).exists()]


def close_run(folder: Path, by: str) -> None:
    """Says that nothing of the run is left to heal; `by` is supervisor, healer or recover."""
    write_json(folder / CLOSED, {"by": by, "clean": True, "t": time.time()})


def sync_folder(folder: Path) -> None:
    """Makes names that were created or renamed in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, 0600: a reader finds the old or the new one, whole, also after a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty when the file is missing. Raises ValueError when it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if isinstance(value, dict):
        return value
    raise ValueError(f"{path}: got {type(value).__name__}, expected a JSON object")


def zero_ns(folder: Path) -> int:
    """CLOCK_MONOTONIC at the zero of the run, from its spec.json or run.json; 0 when neither says."""
    for name in (SPEC, RUN):
        try:
            return int(read_json(folder / name)["t0_ns"])
        except (KeyError, TypeError, ValueError):
            continue
    return 0


def take_heal_lock(folder: Path, exclusive: bool, wait_s: float) -> int | None:
    """
    A descriptor that holds heal.lock until it is closed, or None when it was not free within `wait_s` seconds.

    Whoever injects holds it shared for its life; the last heal takes it exclusively, so nothing injects after it.
    """
    fd = os.open(folder / HEAL_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(0.01)  # flock has no deadline of its own
