"""What holds for all tests: a slow machine is no failure of a property; and the browser of those that look at pages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("any machine")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `browser.Browser` of the file's own."""
    if (rigs := str(Path(__file__).parent / "security")) not in sys.path:
        sys.path.append(rigs)
    import browser

    if browser.PROGRAM is None:
        pytest.skip("chromium is not installed")
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
