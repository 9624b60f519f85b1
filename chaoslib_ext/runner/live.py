"""
The talk of a run on standard error: a line that follows the run on a terminal, plain lines elsewhere.

The line never says more than was measured: arrivals sent of those due, journeys that ended badly, and how old the
figures are when the load child falls silent. No colour is used; without a terminal, or with TERM=dumb, no control code either.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

from chaoslib_ext.clock import NS

PLAIN_PERIOD_S = 10  # without a terminal, one line of figures every so often
STALE_S = 3  # a summary comes each second, after its end
USUAL_COLUMNS = 80


@dataclass(slots=True)
class Live:
    """Progress for a person: the phase, the rate, how many journeys went wrong, what is in flight, what is left of the phase."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    phase: str = ""
    until_ns: int | None = None
    _last: dict[str, Any] | None = None
    _ended: int = 0
    _bad: int = 0
    _drawn: str = ""
    _plain_at: int = -1

    def begin(self, phase: str, now_ns: int, seconds: float | None) -> None:
        """A phase begins; `seconds` is how long it takes at most, None when nobody knows."""
        self.phase = phase
        self.until_ns = None if seconds is None else now_ns + round(seconds * NS)
        self.say(f"T+{now_ns / NS:5.1f} s  {phase}" + (f", {seconds:g} s" if seconds else ""))

    def second(self, second: dict[str, Any]) -> None:
        """The newest figures of the load child."""
        self._last = second
        self._ended += second["good"] + second["bad"]
        self._bad += second["bad"]

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            self.insist(text)

    def insist(self, text: str) -> None:
        """One line that stays, also where quiet was asked for."""
        clear = "\r\x1b[2K" if self._drawn else ""
        self._drawn = ""
        self._write(f"{clear}{_harmless(text)}\n")

    def _write(self, text: str) -> None:
        try:
            print(text, end="", file=self.out, flush=True)
        except (OSError, ValueError):  # the terminal was closed, the reader is gone: the run and its heal go on
            _silence(self.out)

    def draw(self, now_ns: int) -> None:
        """The line that follows the run, whenever it changes; without a terminal every few seconds."""
        if self.quiet or self._last is None:
            return
        terminal = follows(self.out)
        if not terminal and (now_ns // NS) // PLAIN_PERIOD_S == self._plain_at:
            return
        line = self._line(now_ns)
        if terminal:
            line = line[: columns(self.out) - 1]  # a line that wraps could not be taken back
        if terminal and line != self._drawn:
            self._write(f"\r\x1b[2K{line}")
            self._drawn = line
        elif not terminal:
            self._plain_at = (now_ns // NS) // PLAIN_PERIOD_S
            self._write(f"{line}\n")

    def _line(self, now_ns: int) -> str:
        """At most 79 characters up to a million of anything; what matters most stands first."""
        last = self._last or {}
        head = f"T+{now_ns // NS} s  {self.phase:8}"
        left = "" if self.until_ns is None else f"  {max(0, -(-(self.until_ns - now_ns) // NS))} s left"
        silent_s = now_ns // NS - int(last["second"]) - 1
        if silent_s >= STALE_S:
            return f"{head}  no figures for {silent_s} s{left}"
        sent = f"{_short(last['released'])}/s" if last["released"] == last["scheduled"] else f"{_short(last['released'])} of {_short(last['scheduled'])}/s"
        return f"{head}  {sent}  {_short(self._bad)} of {_short(self._ended)} bad  {_short(last['in_flight'])} in flight{left}"


def _silence(out: TextIO) -> None:
    """Lets what is still in the stream's buffer go nowhere: Python's own last flush must not change the exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def follows(out: TextIO) -> bool:
    """Whether a line can be drawn over: a terminal that understands control codes."""
    return out.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


def _short(number: int) -> str:
    """A count in at most five characters: exact below ten thousand, then cut, never rounded up."""
    return str(number) if number < 10_000 else f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def columns(out: TextIO) -> int:
    """How wide the terminal is; 80 where it does not say."""
    try:
        return os.get_terminal_size(out.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):
        return USUAL_COLUMNS


def _harmless(text: str) -> str:
    """The text without control characters: names and errors come from outside."""
    return "".join(char if char.isprintable() else " " for char in text)
