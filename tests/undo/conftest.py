"""Fixtures of the undo tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages; undo_rig is theirs alone

from undo_rig import Room, Supervisor

from chaoslib_ext import sandbox


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("CHAOSX_RUN", raising=False)
    return tmp_path / "state"


@pytest.fixture(scope="module")
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.SandboxInfo]:
    """A real sandbox for the tests of one file, by the name that its SANDBOX says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("b")))
        yield sandbox.up(request.module.SANDBOX, (), os.getpid(), timeout_s=120.0)
        sandbox.down(request.module.SANDBOX)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A stand-in of a sandbox: three zones with one replica each."""
    one = Room(tmp_path / "room")
    yield one
    one.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Room]:
    """A stand-in whose keeper holds fuses and the lock."""
    one = Room(tmp_path / "guarded", "guarded")
    yield one
    one.close()


@pytest.fixture
def supervise(request: pytest.FixtureRequest) -> Iterator[Callable[..., Supervisor]]:
    """Makes runs on the room (or `at` another), each with a supervisor that only lives."""
    made: list[Supervisor] = []

    def supervise(*activities: dict[str, object], at: Room | None = None, **more: object) -> Supervisor:
        where: Room = at or request.getfixturevalue("room")
        made.append(Supervisor(where.environment(), *activities, **more))  # type: ignore[arg-type]
        return made[-1]

    yield supervise
    for one in made:
        one.close()
