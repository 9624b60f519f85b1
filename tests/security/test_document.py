"""SECURITY.md names a test, or a reason, for each threat, and the tests are there."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = dict(re.findall(r"^\| S(\d+) \| (.*) \|$", (ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_threat_has_its_row() -> None:
    assert list(ROWS) == [str(number) for number in range(1, 33)]


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_of_a_threat_are_there_or_it_says_with_what_they_come(number: str) -> None:
    named = re.findall(r"`([a-z]+/test_[a-z_]+\.py)(?:::([a-z0-9_*]+))?`", ROWS[number])
    assert named or "come" in ROWS[number]
    for file, name in named:
        defined = re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert defined and (not name or fnmatch.filter(defined, name)), (file, name)
