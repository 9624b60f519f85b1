"""Fixtures of the load tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages; load_rig is theirs alone

from load_rig import LoadChild, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that answers."""
    one = Server(tmp_path)
    yield one
    one.thaw()
    one.end()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """A second server, which nobody may contact."""
    one = Server(tmp_path, "other")
    yield one
    one.end()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., LoadChild]]:
    """Starts load children and ends them with the test."""
    started: list[LoadChild] = []

    def start(url: str, folder: Path = tmp_path, **spec: Any) -> LoadChild:
        one = LoadChild(folder, **{"base_url": url, "hosts": ["127.0.0.1"], **spec})
        started.append(one)
        return one

    yield start
    for one in started:
        one.end()
