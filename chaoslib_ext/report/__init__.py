"""
The report: one HTML file without scripts and without any outside reference, drawn from a sealed run.

`render` and `write` never judge; words and numbers are those of result.json. jinja2 is imported by
`report.page` only, and that module only when a page is drawn.
"""

from __future__ import annotations

from pathlib import Path

from chaoslib_ext.seal import write_whole

FILE = "report.html"


def render(run_dir: Path) -> str:
    """The page of a run directory. Raises UsageError when the directory holds no result."""
    from chaoslib_ext.report.page import draw
    from chaoslib_ext.report.reading import read

    return draw(read(run_dir))


def write(run_dir: Path) -> Path:
    """Draws the page into `run_dir/report.html`, replacing one that is there, and returns its path."""
    html = render(run_dir)
    final = run_dir / FILE
    write_whole(final, html.encode())  # a reader never sees half a page
    return final
