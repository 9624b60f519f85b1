"""
Every exception of ours.

ChaosxError
├── UsageError            exit 2: a file or a command line is wrong; nothing was touched
│   └── InvalidFile       … with every problem of the file at once
├── Refused               exit 3: not begun (lock, caps, preflight), with a reason code
├── NoData                a probe or a formula has nothing to measure
├── FaultFailed           a fault could not be injected, or not proven
├── CallFailed            a call to a platform was refused, or nothing came back
├── NotDelivered          an endpoint did not take an export, or a program did not make one
├── LedgerCorrupt         an undo ledger that cannot be read with certainty: DIRTY
└── NotClean              something is not proven healed: DIRTY
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing wrong in a file: where, what, got, expected, then what to do.

    `line` counts from 1; 0 means the whole file. `path` is like `objectives[0].target`. `kind` says who can mend it:
    `file` (the file is wrong), `package`, `environment` (a variable), `program` and `version` (something is missing
    here), `code` (it is code that was not admitted).
    """

    file: str
    line: int
    path: str
    text: str
    kind: str = "file"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"


class ChaosxError(Exception):
    """The root of all exceptions that a user can do something about."""


class UsageError(ChaosxError):
    """A wrong file, flag or empty selection. Nothing was touched."""


class InvalidFile(UsageError):
    """A file with one or more problems; all of them are told at once."""

    def __init__(self, problems: list[Problem], warnings: Iterable[str] = ()) -> None:
        self.problems = problems
        self.warnings = list(warnings)
        super().__init__("\n".join(str(problem) for problem in problems))


class Refused(ChaosxError):
    """The run was not begun. `reason` is a code of `reasons.REASONS`."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class NoData(ChaosxError):
    """There is nothing to compute from; never to be read as zero."""


class FaultFailed(ChaosxError):
    """A fault could not be injected, or its effect was not seen in time."""


class CallFailed(ChaosxError):
    """
    A call to a platform did not succeed. `status` is the HTTP status, 0 when no answer came; `reason` is the platform's own word.

    `done` is False when it was certainly not carried out, and None when that is not known.
    """

    def __init__(self, text: str, status: int = 0, reason: str = "", done: bool | None = False) -> None:
        self.status, self.reason, self.done = status, reason, done
        super().__init__(text)


class NotDelivered(ChaosxError):
    """An export was not taken by its endpoint, or not made by the program that should."""


class LedgerCorrupt(ChaosxError):
    """A ledger with a bad frame that is not a torn tail. It is never guessed at."""


class NotClean(ChaosxError):
    """Something is not proven healed; the text says what and which command mends it."""
