"""Fixtures of the source tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages; source_rig is theirs alone

from source_rig import Page, StandIn


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of metrics."""
    one = Page()
    yield one
    one.end()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A server that answers like Prometheus, or badly."""
    one = StandIn()
    yield one
    one.end()
