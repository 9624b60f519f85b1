"""
The table of obligation and situation: for each obligation of a PASS and of a FAIL the build that ignores it, and what catches that build.

`python tests/wrong/obligation_table.py` prints it as Markdown, from the files alone; `run_wrong_builds.py --table FILE` writes it with what was seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from wrong_builds import Build, all_builds


def table(found: Iterable[Build], seen: Mapping[str, str] | None = None) -> str:
    """Markdown, a row for each obligation; with `seen` (rule to word) also what became of its build."""
    rows = [one for one in found if one.of]
    head = ["needed for", "obligation", "reason without it", "wrong builds that ignore it are caught by", *(["seen"] if seen is not None else [])]
    lines = [_row(head), _row(["---"] * len(head))]
    for one in rows:
        caught = "<br>".join(name.rpartition("::")[2] for name in one.caught_by)
        lines.append(_row([one.of, one.rule, ", ".join(one.ignores), caught, *([seen.get(one.rule, "")] if seen is not None else [])]))
    catchers = {name for one in rows for name in one.caught_by}
    lines += ["", f"{len(rows)} obligations, {len({code for one in rows for code in one.ignores})} reasons, {len(catchers)} situations and tests that catch."]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(table(all_builds()))
