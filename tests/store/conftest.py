"""Sandboxes with a store, in a folder of the tests' own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from store_rig import Box


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fresh folder for sandboxes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("stores")))
        yield


@pytest.fixture
def boxes(place: None) -> Iterator[Callable[..., Box]]:
    """Makes sandboxes; they end with the test."""
    made: list[Box] = []

    def make(name: str, *switches: str) -> Box:
        made.append(Box(name, *switches))
        return made[-1]

    yield make
    for one in made:
        one.down()


@pytest.fixture(scope="module")
def box(place: None) -> Iterator[Box]:
    """One sandbox with a plain store for all tests of a module."""
    made = Box("plain", "store")
    yield made
    made.down()
