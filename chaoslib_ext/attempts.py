"""
Attempts that run side by side: a target that does not answer must not keep the others waiting to be healed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from chaoslib_ext.ledger import Entry, Step

ANSWER_S = 0.25  # how long the next entry waits for this one; on one machine an answer takes milliseconds
PASS_S = 1.0  # and for all of one pass together: CI runners give 7.5 s, and the last in the row must get its share


class Attempt:
    """One attempt to undo an entry, in a thread of its own: one that hangs ends with the process, and nobody waits for it."""

    def __init__(self, handler: Callable[[Entry], Step], entry: Entry) -> None:
        self._ended = threading.Event()
        self._step: Step | None = None
        try:
            threading.Thread(target=self._run, args=(handler, entry), daemon=True).start()
        except RuntimeError:  # no thread can be had: one after the other, then
            self._run(handler, entry)

    def _run(self, handler: Callable[[Entry], Step], entry: Entry) -> None:
        try:
            self._step = handler(entry)
        finally:
            self._ended.set()

    def step(self, wait_s: float) -> Step | None:
        """How it ended, waited for at most so long; None while it is under way."""
        return self._step if self._ended.wait(wait_s) else None
