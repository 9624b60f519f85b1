"""Fixtures of the live tests of the write ledger."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from writes_rig import RUN, Lossy, writing

sys.path.insert(0, str(Path(__file__).parent.parent / "load"))

from load_rig import LoadChild


@pytest.fixture
def lossy(tmp_path: Path) -> Iterator[Lossy]:
    """A store that acknowledges before it has written."""
    one = Lossy(tmp_path / "store")
    yield one
    one.kill()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[..., LoadChild]]:
    """Starts a load child that writes; its run directory is `tmp_path/run`."""
    started: list[LoadChild] = []

    def start(url: str, told: dict[str, Any] | None = None) -> LoadChild:
        (tmp_path / "run").mkdir()
        one = LoadChild(tmp_path / "run", base_url=url, hosts=["127.0.0.1"], profile=told or writing(), run=RUN)
        started.append(one)
        return one

    yield start
    for one in started:
        one.end()
