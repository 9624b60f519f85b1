"""A folder that can be planned in; see `plan_rig`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plan_rig import SHOP, roster, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, its load and an environment whose processes are in a roster file only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    roster(tmp_path, *SHOP)
    write(tmp_path)
    environment = "apiVersion: chaosx/v1\nkind: Environment\nname: e\nclass: local\nidentity: {sandbox: it}\nzones: {a: a, b: b, c: c}\nhosts: [127.0.0.1]\n"
    more = f"services: {{shop: {{processes: {{roster: {tmp_path}/roster.json}}, url: 'http://127.0.0.1:1'}}}}\nlock: {{file: {tmp_path}/lock}}\n"
    (tmp_path / "e.yaml").write_text(environment + more)
    return tmp_path
