"""Makes the rigs of this folder, those of the report's tests, and the browser of the security tests, importable: tests are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "report"), str(HERE.parent / "security")]

pytest.register_assert_rewrite("page_checks")
from page_checks import axe  # noqa: E402, F401 - a fixture of these tests, found by the path above
