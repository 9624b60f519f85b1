"""What a pipeline reads of a run, made from its sealed result: junit.xml, summary.md, metrics.txt. Nothing here judges."""

from __future__ import annotations

from pathlib import Path


def write(run_dir: Path) -> list[Path]:
    """Writes the three files into a judged run directory, replacing older ones. Raises UsageError when it holds no result."""
    from chaoslib_ext.gate import junit, summary  # not at the top: `chaosx` imports this package for every command

    return [junit.write(run_dir), *summary.write(run_dir)]
