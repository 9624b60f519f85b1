"""Where in the files of a run a row stands, so that anybody can look it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.judging.case import Case
from chaoslib_ext.samples import endpoints_of
from chaoslib_ext.slo import Slo
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, Outcome, blocks


@dataclass(slots=True)
class Evidence:
    """A run as it is judged, and its files."""

    case: Case
    folder: Path
    _segments: list[tuple[str, int]] = field(default_factory=list)

    def endpoints(self, slo: Slo) -> list[int]:
        """The endpoint numbers of `meta.json` that an SLO's indicator selects."""
        return sorted(endpoints_of(self.case.run.endpoints, slo.sli.select_name, slo.sli.select_class))

    def chosen(self, slo: Slo) -> list[int]:
        """The rows that an SLO's indicator counts, by intended start."""
        wanted = frozenset(self.endpoints(slo))
        return [i for i in self.case.order if self.case.run.rows.endpoint[i] in wanted]

    def segments(self) -> list[tuple[str, int]]:
        """The row files in the order read, each with how many rows it holds."""
        if not self._segments:
            for path in sorted((self.folder / "load/w0").glob("rows-*.bin")):
                self._segments.append((f"load/w0/{path.name}", _rows_in(path)))
        return self._segments

    def row_files(self) -> list[str]:
        """The row files, as sources."""
        return [f"{name} ({count} rows)" for name, count in self.segments()]


def _rows_in(path: Path) -> int:
    found = 0
    try:
        for payload in blocks(path, ROWS_MAGIC):
            found += len(payload or b"") // ROW.size
    except (OSError, ValueError):
        pass  # damaged: told in the problems of the run; what was read before the damage is counted
    return found


def row_at(evidence: Evidence, i: int) -> dict[str, Any]:
    """A row by its number among all: its file, its number in that file (from 0), and what stands in it."""
    rows, at = evidence.case.run.rows, i
    file = ""
    for file, count in evidence.segments():  # noqa: B007 - the last one, when the counts are those of damaged files
        if at < count:
            break
        at -= count
    told = {"intended_us": rows.intended_us[i], "late_us": rows.late_us[i], "latency_us": rows.latency_us[i], "endpoint": rows.endpoint[i]}
    return {"file": file, "row": at, **told, "outcome": Outcome(rows.outcome[i]).name}
