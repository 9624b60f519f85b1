"""What every arrival is given from its start: its number, its draw, its row of people, and the secrets of the process environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.journeys import HEADER_VALUE, template
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.people import read_people, seeded_order

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Given:
    """The values of arrivals. `order` says which row arrival k gets; it begins anew when every row was given once."""

    secrets: Mapping[str, str]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    order: tuple[int, ...] = ()

    def values(self, number: int, drawn: str) -> dict[str, str]:
        """The variables of one arrival; a captured value may take the place of any."""
        row = self.rows[self.order[number % len(self.order)]] if self.order else ()
        return {"arrival": str(number), "random": drawn, **dict(zip(self.columns, row, strict=True)), **self.secrets}


NOTHING_GIVEN = Given({})


def given(profile: LoadProfile, seed: int, environ: Mapping[str, str]) -> Given:
    """The profile's people in their seeded order, and its secrets. Raises UsageError when one is missing or the file has changed since it was checked."""
    secrets = secret_values(profile, environ)
    if profile.people is None:
        return Given(secrets)
    try:
        people, rows = read_people(Path(profile.people.path))
    except OSError as error:
        raise UsageError(f"{profile.people.path}: cannot be read any more ({error.strerror}); nothing was sent") from error
    if people.sha256 != profile.people.sha256:
        raise UsageError(f"{people.path}: has changed since the run was prepared; run again. Nothing was sent")
    _check_fit(profile, people.columns, rows)
    return Given(secrets, people.columns, tuple(rows), tuple(seeded_order(len(rows), seed)))


def _check_fit(profile: LoadProfile, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Raises UsageError for a cell that no header can carry: sent nowhere, it would count against the system."""
    steps = [step for journey in profile.journeys for step in journey.steps]
    used = {name for step in steps for text in step.headers.values() for name in template(str(text)).names}
    for at, column in enumerate(columns):
        odd = next((number for number, row in enumerate(rows, 1) if column in used and not HEADER_VALUE.fullmatch(row[at])), None)
        if odd is not None:
            raise UsageError(f"{profile.source}: data: row {odd}, column {column!r}: no HTTP header can carry it (not Latin-1); nothing was sent")


def secret_values(profile: LoadProfile, environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets by name. Raises UsageError naming those that are missing or empty, never a value."""
    missing = [name for name in profile.secrets if not environ.get(name)]
    if missing:
        raise UsageError(f"{profile.source}: secrets: not in the process environment, or empty: {', '.join(missing)}; export them, then run again")
    return {name: environ[name] for name in profile.secrets}


class Hushed:
    """A text stream that never passes on one of `secrets`: tracebacks and a locustfile's own prints go through it."""

    def __init__(self, out: TextIO, secrets: Mapping[str, str]) -> None:
        self._out = out
        self._words = sorted({form for value in secrets.values() for form in (value, repr(value)[1:-1])}, key=len, reverse=True)

    def write(self, text: str) -> int:
        """Writes the text with every secret replaced."""
        size = len(text)
        for word in self._words:
            text = text.replace(word, HIDDEN)
        self._out.write(text)
        return size

    def flush(self) -> None:
        """As a stream does."""
        self._out.flush()

    def fileno(self) -> int:
        """The descriptor below; what is written to it directly is not looked at."""
        return self._out.fileno()

    def isatty(self) -> bool:
        """Never: it goes to a file."""
        return False

    encoding = "utf-8"


def hush(profile: LoadProfile) -> None:
    """Keeps the secrets of a profile out of all that this process prints from here on."""
    values = {name: os.environ[name] for name in profile.secrets if os.environ.get(name)}
    if values:
        sys.stderr = Hushed(sys.stderr, values)
