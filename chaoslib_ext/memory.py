"""
What a healer knows of its run by heart, for the moment when the state folder can no longer be read or written.

A ledger that is gone, cut or damaged does not make a fault undone: what was read before is healed all the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoslib_ext import children, state
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.ledger import NOTHING, Frame, Ledger, salvage


class Memory:
    """
    The frames, the children and the lock of a run, as far as they were ever seen.

    `problem` says what is wrong with the ledger now; empty when it is sound.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger.of_run(folder)
        self.frames: list[Frame] = []
        self.problem = ""
        self.children: dict[str, Any] = {}
        self._contents = NOTHING
        self._lock_fd: int | None = None
        self.no_lock = ""
        try:
            self._lock_fd = state.open_heal_lock(folder)
        except OSError as error:
            self.no_lock = f"{folder / state.HEAL_LOCK} cannot be opened ({error})"

    def look(self, whole: bool = False) -> list[Frame]:
        """The frames of the ledger; of a damaged one what can be read, and what was read before. `whole`: read it all again."""
        self.children |= children.recorded(self.folder)
        try:
            contents = self.ledger.read(whole)
        except LedgerCorrupt as error:
            return self._damaged(salvage(self.ledger.path), str(error))
        except OSError as error:
            return self._damaged([], f"{self.ledger.path}: cannot be read ({error})")
        if contents is not self._contents or self.problem:
            self.frames, self.problem, self._contents = list(contents.frames), "", contents
        return self.frames

    def _damaged(self, readable: list[Frame], problem: str) -> list[Frame]:
        self.frames, self.problem = _together(self.frames, readable), problem
        return self.frames

    def nobody_injects(self, wait_s: float) -> str:
        """Waits until nobody can inject any more, at most so many seconds, and keeps it so; else who still could."""
        if self._lock_fd is None:
            return self.no_lock
        if state.lock(self._lock_fd, True, wait_s):
            return ""
        return "a process could still inject: it holds heal.lock"

    def let_inject(self) -> None:
        """The opposite of `nobody_injects`."""
        if self._lock_fd is not None:
            state.unlock(self._lock_fd)

    def close(self) -> None:
        """Lets go of the lock."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def _together(known: Sequence[Frame], readable: Sequence[Frame]) -> list[Frame]:
    """All that was ever read, in the order of the numbers; a frame with the number of another is kept beside it."""
    seen = {frame.line() for frame in known}
    return sorted([*known, *(frame for frame in readable if frame.line() not in seen)], key=lambda frame: frame.seq)


def tell(text: str) -> None:
    """A line on standard error, if it can be written: the disk that is full is also the one that has the log."""
    with suppress(OSError):
        os.write(2, text.encode(errors="replace") + b"\n")
