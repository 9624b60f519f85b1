"""
The state directory: what has to outlive a crash, one folder for each run, never published.

`STATE/runs/<id>/` is 0700 and holds run.json, spec.json, undo.wal, children.json and heal.lock. A run is
*open* until closed.json is there, and that is written only when nothing is left to heal.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import Refused, UsageError

LEDGER_BYTES = 1 << 20  # reserved for the undo ledger of a run: about two thousand frames
FRESH = ".new-"  # how the name of a run's folder begins while it is being made; behind the run comes the maker's process id
RESERVE_BYTES = 1 << 14  # given up for closed.json when the disk is full
CLOSED, CHILDREN, SPEC, RUN, LEDGER, HEAL_LOCK, RESERVE = "closed.json", "children.json", "spec.json", "run.json", "undo.wal", "heal.lock", "reserve"


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


def create_run(run_id: str, header: dict[str, Any], lay: Callable[[Path], None] | None = None) -> Path:
    """
    Makes the folder of a run, 0700, with `header` as its run.json, and returns it.

    The folder appears complete, with whatever `lay` puts into it, or not at all, so a run without a header is never found. `header` names the
    process that owns the run: `{"supervisor": {"pid", "start_ticks", "boot_id"}, …}`. The space of the undo ledger is
    reserved. Raises FileExistsError, and Refused PREFLIGHT_FAILED when there is no room for it.
    """
    final = run_dir(run_id)
    _make_private(final.parent)
    if final.exists():
        raise FileExistsError(f"{final}: this run exists already")
    fresh = final.parent / f"{FRESH}{run_id}-{os.getpid()}"
    fresh.mkdir(mode=0o700)
    try:
        make_ledger(fresh)
        _reserved(fresh / RESERVE, RESERVE_BYTES)
        write_json(fresh / RUN, {**header, "ledger": {"v": 1, "bytes": LEDGER_BYTES}})
        if lay is not None:
            lay(fresh)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise Refused("PREFLIGHT_FAILED", f"{final.parent}: no room for the undo ledger of a run ({error}); nothing was touched") from error
    fresh.rename(final)
    sync_folder(final.parent)
    return final


def _make_private(folder: Path) -> None:
    """
    Makes the folder of all runs, and those above it that are missing, 0700 whatever the umask is.

    Raises Refused PREFLIGHT_FAILED where it is somebody else's, a symbolic link, or others may write to it: they could
    put undo ledgers there for us to follow.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    wrong = "is no folder but a link" if not stat.S_ISDIR(seen.st_mode) else f"belongs to user {seen.st_uid}" if seen.st_uid != os.geteuid() else ""
    if wrong or seen.st_mode & 0o022:
        trouble = wrong or f"may be written to by others ({seen.st_mode & 0o777:o})"
        mend = "set CHAOSX_STATE to a folder of yours" if wrong else f"chmod 700 {folder}"
        raise Refused("PREFLIGHT_FAILED", f"{folder}: {trouble}, so its ledgers cannot be trusted; {mend}; nothing was touched")


def all_runs() -> list[Path]:
    """The folders of all runs, oldest id first."""
    try:
        found = sorted((state_dir() / "runs").iterdir())
    except FileNotFoundError:
        return []
    return [path for path in found if path.is_dir() and not path.name.startswith(".")]


def make_ledger(folder: Path) -> None:
    """
    Makes the undo ledger of a run, 0600, with its space reserved, durably. Raises OSError when there is no room.

    File systems that copy on write (btrfs, ZFS) may run out of space all the same.
    """
    _reserved(folder / LEDGER, LEDGER_BYTES)
    sync_folder(folder)


def _reserved(path: Path, size: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _reserve(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


def _reserve(fd: int, size: int) -> None:
    try:
        return os.posix_fallocate(fd, 0, size)
    except AttributeError:  # not every system has it
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    if os.pwrite(fd, bytes(size), 0) != size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def ledger_made(folder: Path) -> bool:
    """Whether the undo ledger was made together with the run: then one that is gone has lost something."""
    try:
        return bool(read_json(folder / RUN).get("ledger"))
    except (OSError, ValueError):
        return False


def open_runs() -> list[Path]:
    """The folders of all runs that are not closed, oldest id first."""
    return [path for path in all_runs() if not (path / CLOSED).exists()]


def close_run(folder: Path, by: str) -> None:
    """Says that nothing of the run is left to heal; `by` is supervisor, healer or recover. Raises OSError, not for a full disk alone."""
    word = {"by": by, "clean": True, "t": time.time()}
    try:
        write_json(folder / CLOSED, word)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        (folder / RESERVE).unlink(missing_ok=True)
        write_json(folder / CLOSED, word)


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


def header(folder: Path) -> dict[str, Any]:
    """The run.json of a run; empty when it is missing or cannot be read: undoing needs only the ledger."""
    try:
        return read_json(folder / RUN)
    except (OSError, ValueError, RecursionError):
        return {}


def zero_ns(folder: Path) -> int:
    """CLOCK_MONOTONIC at the zero of the run, from its spec.json or run.json; 0 when neither says."""
    for name in (SPEC, RUN):
        try:
            return int(read_json(folder / name)["t0_ns"])
        except (KeyError, TypeError, ValueError, OSError):
            continue
    return 0


def take_heal_lock(folder: Path, exclusive: bool, wait_s: float) -> int | None:
    """
    A descriptor that holds heal.lock until it is closed, or None when it was not free within `wait_s` seconds.

    Whoever injects holds it shared for its life; the last heal takes it exclusively, so nothing injects after it.
    Raises OSError when it cannot even be opened.
    """
    fd = open_heal_lock(folder)
    if lock(fd, exclusive, wait_s):
        return fd
    os.close(fd)
    return None


def lock(fd: int, exclusive: bool, wait_s: float) -> bool:
    """Takes the lock of an open file, waiting at most `wait_s` seconds; False when somebody else has it all that time."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)  # flock has no deadline of its own


def unlock(fd: int) -> None:
    """Gives the lock of an open file back."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def open_heal_lock(folder: Path) -> int:
    """A descriptor of heal.lock that holds nothing yet. Raises OSError."""
    try:
        return os.open(folder / HEAL_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return os.open(folder / HEAL_LOCK, os.O_RDONLY | os.O_CLOEXEC)  # a lock needs no right to write
