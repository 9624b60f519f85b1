"""
Run directories as cards: what the small files say, without the samples. A thousand of them are read in a second or two.

What is in a folder may come from anybody: a card holds only values of the kinds that are read from it, and a folder that
holds no run becomes a `Foreign` with the reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.reasons import EXIT_CODES
from chaoslib_ext.report.facts import control_of, services_hit, title_of
from chaoslib_ext.report.findings import measured
from chaoslib_ext.report.moments import wall_of
from chaoslib_ext.report.words import clean
from chaoslib_ext.seal import RESULT, altered

Json = dict[str, Any]
_SMALL = ("run.json", "plan.json", RESULT)
_MOST_BYTES = 32_000_000  # a result of a thousand findings takes one; more than this is no result
_MAPPINGS = ("rto", "recovery_after_removal", "rpo", "detection", "load", "budget", "windows", "clean", "attempt")
_NO_SERVICE = "no service named"
_LISTS = ("findings", "faults", "reasons", "notices")


@dataclass(frozen=True, slots=True)
class Hit:
    """A service and what was done to it, as the plan says."""

    service: str
    fault: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A folder that is no run that can be shown, and why."""

    folder: Path
    why: str


@dataclass(frozen=True, slots=True)
class Card:
    """One judged run. `altered` says what of its small files is not as it was sealed."""

    folder: Path
    result: Json
    header: Json
    plan: Json
    altered: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of the six words."""
        return str(self.result["verdict"])

    @property
    def run(self) -> str:
        """The id of the run."""
        return clean(self.result.get("run") or self.header.get("id") or self.folder.name, 120)

    @property
    def title(self) -> str:
        """The experiment's title, made harmless."""
        return title_of(self.result, self.header)

    @property
    def control(self) -> str:
        """`a-a` or `known-bad`; empty for a run that tests resilience."""
        return control_of(self.result)

    @property
    def started_s(self) -> float | None:
        """Unix seconds of the run's zero; None where it is not known."""
        found = wall_of(self.header)
        return found if found is not None and math.isfinite(found) and 0 <= found < 2**40 else None

    @property
    def environment(self) -> str:
        """The name of the environment."""
        return clean(mapping(self.header.get("env")).get("name") or "", 80)

    @property
    def version(self) -> str:
        """The version of this framework that made the run."""
        return clean(mapping(self.header.get("versions")).get("chaoslib_ext") or "", 40)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """What was planned to be hit by what, in the order of the plan, each once."""
        resolved = self.plan.get("resolved")
        rows = [row for row in resolved if isinstance(row, dict)] if isinstance(resolved, list) else []
        found = [Hit(service, _fault(row)) for row in rows for service in _services(row)]
        if not found:
            found = [Hit(_NO_SERVICE, clean(fault.get("name") or "unnamed", 80)) for fault in self.result["faults"]]
        return tuple(dict.fromkeys(found))

    @property
    def services(self) -> tuple[str, ...]:
        """The services that were hit."""
        return tuple(dict.fromkeys(hit.service for hit in self.hits))

    @property
    def report(self) -> Path | None:
        """Its page, where one is drawn."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    def bracket(self, key: str) -> tuple[float, float | None] | None:
        """The ends of `rto` or `recovery_after_removal` in seconds; None where nothing was measured."""
        found = self.result[key]
        lo, hi = number_in(found, "lo_s"), number_in(found, "hi_s")
        return (lo, hi) if lo is not None and measured({"lo_s": lo, "hi_s": hi}) else None


def _services(row: Json) -> list[str]:
    return services_hit(row) or [_NO_SERVICE]


def _fault(row: Json) -> str:
    func, how = clean(row.get("func") or "", 60).replace("_", " "), clean(row.get("how") or "", 40)
    return " · ".join(part for part in (func, how) if part) or clean(row.get("activity") or "unnamed", 80)


def mapping(value: Any) -> Json:
    """The value, if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def number_in(found: Json, key: str) -> float | None:
    """A finite number of a JSON object; None for anything else."""
    value = found.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def look(folder: Path) -> Card | Foreign:
    """What a folder holds. Never raises for what is in it."""
    try:
        if not (folder / "run.json").is_file():
            return Foreign(folder, "holds no run.json, so it is no run directory" if folder.is_dir() else "is no folder")
        if not (folder / RESULT).is_file():
            return Foreign(folder, "was never judged, or its run did not live to its end; `chaosx judge` judges it")
        header, result = _document(folder / "run.json"), _document(folder / RESULT)
        plan = _document(folder / "plan.json") if (folder / "plan.json").is_file() else {}
        if not isinstance(result.get("verdict"), str) or result["verdict"] not in EXIT_CODES:
            return Foreign(folder, f"{RESULT}: verdict: got {clean(result.get('verdict'), 40)!r}, expected one of {', '.join(EXIT_CODES)}")
        return Card(folder, shaped(result), header, plan, tuple(clean(text) for text in altered(folder, _SMALL)))
    except (OSError, ValueError, RecursionError) as error:
        return Foreign(folder, clean(error, 200))


def shaped(result: Json) -> Json:
    """A result whose parts are of the kinds that the format promises; what is not becomes empty."""
    mappings: Json = {key: mapping(result.get(key)) for key in _MAPPINGS}
    lists: Json = {key: value if isinstance(value := result.get(key), list) else [] for key in _LISTS}
    lists |= {key: [each for each in lists[key] if isinstance(each, dict)] for key in ("findings", "faults")}
    return {**result, **mappings, **lists}


def _document(path: Path) -> Json:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path.name}: {path.stat().st_size:,} bytes are too many for this file")
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: got {type(found).__name__}, expected a JSON object")  # noqa: TRY004 - a wrong file, told like one
    return found


def newest_first(cards: Iterable[Card]) -> list[Card]:
    """By start; runs of the same second, or without a known start, by their id."""
    return sorted(cards, key=lambda card: (card.started_s or 0.0, card.run), reverse=True)


def parted(found: Iterable[Card | Foreign]) -> tuple[list[Card], list[Foreign]]:
    """The runs, and the rest."""
    every = list(found)
    return [each for each in every if isinstance(each, Card)], [each for each in every if isinstance(each, Foreign)]


def folders(paths: Iterable[Path]) -> Iterator[Path]:
    """
    The run directories that a list names: each itself, or all folders in it when it is a folder of runs.

    A folder is taken apart when it holds no run.json and a folder in it does. Hidden folders are passed over; each is given once.
    """
    seen: set[Path] = set()
    for path in paths:
        inside = [] if (path / "run.json").exists() else below(path)
        for folder in inside if any((each / "run.json").exists() for each in inside) else [path]:
            if folder not in seen:
                seen.add(folder)
                yield folder


def below(top: Path) -> list[Path]:
    """The folders in a folder, by name, hidden ones left out; none when it cannot be read."""
    try:
        return sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
