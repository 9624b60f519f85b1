"""
Service level objectives: what is promised, read from OpenSLO v1 files.

Ratios of what the load generator saw (metric source `locust`) and of counters in Prometheus are judged; everything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.formats.quantities import shown

_SHORTHAND_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 30 * 86400, "Q": 90 * 86400, "Y": 365 * 86400}  # M, Q, Y: nominal lengths
TOLERANCE = 0.02  # two percentage points between two sources of one SLO, where the file says nothing; chosen by feel


@dataclass(frozen=True, slots=True)
class Sli:
    """
    Which samples count, and which of them are good: those that ended OK within `max_latency_ms` (None: however long).

    `select_name` is a journey's or a step's name, None for all; `select_class` is `journey` or `step`.

    With `source` prometheus, `good_query` and `total_query` are PromQL for counters, and no sample of the load counts:
    `select_class` is then `none`, which no endpoint is of.
    """

    name: str
    select_name: str | None
    select_class: str
    max_latency_ms: float | None
    source: str = "locust"
    good_query: str | None = None
    total_query: str | None = None


@dataclass(frozen=True, slots=True)
class Slo:
    """
    One promise: the share of good samples over `period_s` is at least `target`, a ratio in (0, 1).

    `source` is `file#document`. `min_samples` is what the file asks for beyond the rule of the verdict. `sli` judges;
    `beside` is read from another source and shown with it, and may say a share of good ones that differs by `tolerance`.
    """

    name: str
    service: str
    display_name: str
    sli: Sli
    target: float
    period_s: float
    source: str
    min_samples: int | None = None
    beside: Sli | None = None
    tolerance: float = TOLERANCE

    def indicator(self, source: str) -> Sli | None:
        """What is read from a source, be it the one that judges or the one beside it; None when nothing is."""
        return next((sli for sli in (self.sli, self.beside) if sli is not None and sli.source == source), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives back an equal Slo."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Slo:
        """The Slo of `to_json`."""
        return cls(**{**data, "sli": Sli(**data["sli"]), "beside": Sli(**data["beside"]) if data.get("beside") else None})


@dataclass(frozen=True, slots=True)
class SloFile:
    """The SLOs of one or more files, and what a reader should know about them."""

    slos: list[Slo]
    warnings: list[str]


def read_slos(path: Path | str, journeys: Iterable[str] = ()) -> list[Slo]:
    """
    The SLOs of one file (several documents, or a list as root).

    A selected name that is one of `journeys` means the journey, any other one a step. Raises InvalidFile with all problems.
    """
    return read_slo_files([Path(path)], journeys).slos


def read_slo_files(paths: Iterable[Path], journeys: Iterable[str] = ()) -> SloFile:
    """The SLOs of several files, which may refer to each other's indicators and sources. Raises InvalidFile with all problems."""
    from chaoslib_ext.formats.slo_reading import SloReading

    reading = SloReading(frozenset(journeys))
    for path in paths:
        try:
            reading.add(path)
        except InvalidFile as error:
            reading.problems += error.problems
    slos = reading.resolve()
    if reading.problems:
        raise InvalidFile(list(dict.fromkeys(reading.problems)))  # one SLI may be named by several SLOs
    return SloFile(slos, reading.warnings)


def parse_shorthand(value: object) -> float:
    """
    Seconds in OpenSLO's duration shorthand: `30d`, `1w`, `1M` (months, quarters and years by their nominal length).

    It has no seconds: short windows live in the experiment. Raises ValueError with what was expected.
    """
    match = re.fullmatch(r"([0-9]{1,6})([mhdwMQY])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        hint = "; OpenSLO has no seconds, short windows live in the experiment" if isinstance(value, str) and value.endswith("s") else ""
        raise ValueError(f"got {shown(value)}, expected a number and one of m h d w M Q Y, like 30d{hint}")
    return float(int(match[1]) * _SHORTHAND_S[match[2]])
