"""Where the rig keeps what: programs by version in the user's cache folder, each running rig in a folder of its own."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "programs"
MARK = "CHAOSX_RIG"  # in the environment of every process of a rig, its value is the rig's name


class RigError(RuntimeError):
    """The rig cannot be built, started or used as asked; the message says what to do."""


class Ended(RigError):
    """A process of the rig ended when it was needed: no use in waiting."""


def cache() -> Path:
    """The project's cache folder, `$XDG_CACHE_HOME/chaosx` or `~/.cache/chaosx`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaosx"


def programs() -> Path:
    """Where built programs lie; `$CHAOSX_RIG_PROGRAMS` names another place."""
    return Path(os.environ.get("CHAOSX_RIG_PROGRAMS") or cache() / "rig-programs")


def rigs() -> Path:
    """The folder with one folder per rig; `$CHAOSX_RIGS` names another place (short: Unix sockets lie in it)."""
    return Path(os.environ.get("CHAOSX_RIGS") or cache() / "rigs")


def fresh_name() -> str:
    """A name no other rig has: four hexadecimal digits."""
    while (rigs() / (name := secrets.token_hex(2))).exists():
        pass
    return name


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, made when missing; it goes with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
