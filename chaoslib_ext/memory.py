"""
What a healer knows of its run by heart, for the moment when the state folder can no longer be read or written.

A ledger that is gone, cut or damaged does not make a fault undone: what was read before is healed all the same.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
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

    def silence(self, names: Collection[str] | None) -> str:
        """
        Kills whoever of the run could still inject, and holds heal.lock once they are gone; else who still could. It never waits.

        Those are the recorded children `names` (None: all), and every process of the run that holds the lock as one who injects.
        """
        self.children |= children.recorded(self.folder)
        alive = children.kill_recorded(self.folder, names, 0.0, self.children)
        if alive:
            return f"{', '.join(alive)} could still inject: it cannot be killed"
        if self._lock_fd is None:
            return self.no_lock
        if state.lock(self._lock_fd, True, 0.0):
            return ""
        children.kill_holders(self.folder, self._lock_fd)
        return "a process could still inject: it holds heal.lock"

    def let_inject(self) -> None:
        """The opposite of `silence`."""
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
