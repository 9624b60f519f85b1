"""The confusion table: what the catalogue states against what was judged, printed after the tests and kept as a file where CHAOSX_CONFUSION names one."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ORDER = ("PASS", "FAIL", "INCONCLUSIVE", "ABORTED", "ERROR", "DIRTY")
TOLD = pytest.StashKey[list[tuple[Any, str, tuple[str, ...]]]]()


@pytest.fixture
def confusion(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes one situation and what came of it."""
    told = request.config.stash.setdefault(TOLD, [])
    return lambda situation, verdict, reasons: told.append((situation, verdict, tuple(reasons)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    told = config.stash.get(TOLD, [])
    if not told or hasattr(config, "workerinput"):
        return
    lines = table(told)
    for line in lines:
        terminalreporter.write_line(line)
    if kept := os.environ.get("CHAOSX_CONFUSION"):
        Path(kept).write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(told: list[tuple[Any, str, tuple[str, ...]]]) -> list[str]:
    """Rows are what is true, columns what was judged; below, what is wrong by its kind."""
    counts = Counter((situation.verdict, verdict) for situation, verdict, _ in told)
    lines = [f"{'true, judged:':14}" + "".join(f"{name:>14}" for name in ORDER)]
    lines += [f"{true:14}" + "".join(f"{counts[true, judged] or '.':>14}" for judged in ORDER) for true in ORDER]
    wrong = {name: sum(n for (true, judged), n in counts.items() if judged == name and true != name) for name in ORDER}
    reasons = sum(situation.verdict == verdict and set(situation.reasons) != set(got) for situation, verdict, got in told)
    live = sum(bool(situation.live) for situation, _, _ in told)
    lines.append(f"{len(told)} situations ({live} live): " + ", ".join(f"{wrong[name]} wrong {name}" for name in ORDER[:3]) + f", {reasons} wrong reason")
    return lines
