"""
How a process of the sandbox starts: detached from its caller's pipes, and dying with its parent.

`python -m chaoslib_ext.sandbox.launch PARENT_PID PROGRAM ARGUMENT…` becomes a program that is not ours
(Envoy) after asking the kernel for the same end: the request survives execve.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from chaoslib_ext.process.death import die_when_parent_ends

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "CHAOSX_SANDBOX")
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


def die_with(parent_pid: int) -> None:
    """
    Makes the kernel kill this process when `parent_pid` dies, stopped or not; exits at once if it already has.

    Raises OSError where the kernel refuses.
    """
    die_when_parent_ends()
    if os.getppid() != parent_pid:  # it died between our start and the request
        os._exit(1)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this very copy of the package."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """
    The process environment of everything in a sandbox.

    A sandbox may outlive its caller by days, so the caller's credentials are not carried along.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = [_PACKAGE_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def spawn(command: Sequence[str], log: Path, own_session: bool = False) -> subprocess.Popen[bytes]:
    """Starts a process whose output is appended to `log` and which inherits no file, pipe or directory of ours."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=environment(), close_fds=True, start_new_session=own_session
        )


def main() -> None:
    """Dies with the parent from here on, then becomes the program."""
    die_with(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
