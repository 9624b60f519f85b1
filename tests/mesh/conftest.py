"""What the mesh tests share: a state directory of their own, and one sandbox with a mesh for all tests of a module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "undo"))  # tests are no packages; the rig is shared with the undo tests
sys.path.insert(0, str(Path(__file__).parent))

from mesh_rig import Mesh

from chaoslib_ext import sandbox


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory of the test's own."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("CHAOSX_RUN", raising=False)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A sandbox with a mesh; each test leaves its routes without a fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("boxes")))
        yield Mesh(sandbox.up("mesh", ["mesh"], os.getpid(), timeout_s=60.0))
        sandbox.down("mesh")


@pytest.fixture
def calm(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh with six healthy replicas and no fault, before and after."""
    mesh.clean()
    mesh.until_calm()
    yield mesh
    mesh.until_calm()
