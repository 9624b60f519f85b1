"""
The talk of a run on standard error: a line that follows the run on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

from chaoslib_ext.clock import NS

PLAIN_PERIOD_S = 10  # without a terminal, one line of figures every so often


@dataclass(slots=True)
class Live:
    """Progress for a person: the phase, the rate, how many journeys went wrong, what is in flight, what is left of the phase."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    phase: str = ""
    until_ns: int | None = None
    _last: dict[str, Any] | None = None
    _drawn: str = ""
    _plain_at: int = -1

    def begin(self, phase: str, now_ns: int, seconds: float | None) -> None:
        """A phase begins; `seconds` is how long it takes, None when nobody knows."""
        self.phase = phase
        self.until_ns = None if seconds is None else now_ns + round(seconds * NS)
        self.say(f"T+{now_ns / NS:5.1f} s  {phase}" + (f", {seconds:g} s" if seconds else ""))

    def second(self, second: dict[str, Any]) -> None:
        """The newest figures of the load child."""
        self._last = second

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            clear = "\r\x1b[2K" if self._drawn else ""
            self._drawn = ""
            print(f"{clear}{_harmless(text)}", file=self.out, flush=True)

    def draw(self, now_ns: int) -> None:
        """The line that follows the run, at most ten times a second; without a terminal every few seconds."""
        if self.quiet or self._last is None:
            return
        terminal = self.out.isatty()
        if not terminal and (now_ns // NS) // PLAIN_PERIOD_S == self._plain_at:
            return
        line = self._line(now_ns)
        if terminal and line != self._drawn:
            print(f"\r\x1b[2K{line}", end="", file=self.out, flush=True)
            self._drawn = line
        elif not terminal:
            self._plain_at = (now_ns // NS) // PLAIN_PERIOD_S
            print(line, file=self.out, flush=True)

    def _line(self, now_ns: int) -> str:
        last = self._last or {}
        ended = last["good"] + last["bad"]
        good = f"{100 * last['good'] / ended:5.1f} % good" if ended else "  nothing ended"
        left = "" if self.until_ns is None else f"  {max(0, self.until_ns - now_ns) / NS:3.0f} s left"
        return f"  T+{now_ns // NS:4d} s  {self.phase:9}  {last['released']:5d}/s  {good}  {last['in_flight']} in flight{left}"


def _harmless(text: str) -> str:
    """The text without control characters: names and errors come from outside."""
    return "".join(char if char.isprintable() else " " for char in text)
