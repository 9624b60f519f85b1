"""The tie to the supervisor: this process dies with it."""

from __future__ import annotations

import os

from chaoslib_ext.errors import UsageError
from chaoslib_ext.process.death import die_when_parent_ends


def die_with_parent(expected_pid: int | None, ppid_at_start: int) -> None:
    """
    Asks the kernel for SIGKILL when the parent dies, then checks that it had not died before.

    Linux only; elsewhere the end of standard input is the sign. The signal is tied to the parent's *thread*
    that forked: start the child from a thread that lives as long as the run. Raises UsageError when orphaned.
    """
    die_when_parent_ends()
    now = os.getppid()
    if now != ppid_at_start or (expected_pid is not None and now != expected_pid):
        raise UsageError(f"got parent {now}, expected {expected_pid or ppid_at_start}: the supervisor died before the load child began")
