"""Everything that is drawn from a sealed and judged run directory; it may be deleted and made again."""

from __future__ import annotations

from pathlib import Path

from chaoslib_ext import gate, report


def write_all(directory: Path) -> list[Path]:
    """Draws report, JUnit, summary and metrics into the run directory; their paths, the report first."""
    return [report.write(directory), *gate.write(directory)]
