"""The tie of a child to its parent that the kernel keeps: when the parent ends, the child is killed, stopped or not."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_when_parent_ends() -> None:
    """
    Asks the kernel to SIGKILL this process when the thread that started it ends; nothing where there is no prctl.

    Whoever calls it must then look whether the parent is still the one expected: it may have ended before. Raises
    OSError where the kernel refuses.
    """
    _ask_kernel(int(signal.SIGKILL))


def outlive_parent() -> None:
    """Takes that back: this process lives on when its parent ends. Raises OSError where the kernel refuses."""
    _ask_kernel(0)


def _ask_kernel(signum: int) -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None and prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()) + ": prctl(PR_SET_PDEATHSIG)")
