"""Whom the store's health asks whether it is the primary: what Postgres itself has done counts before what the controller has told."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoslib_ext.sandbox.store_health import primaries


@pytest.mark.parametrize(
    ("roles", "standbys", "found"),
    [
        pytest.param(("primary", "standby", "standby"), (1, 2), [0], id="as told"),
        pytest.param(("primary", "standby", "standby"), (1,), [2, 0], id="one was promoted, and nobody has told yet"),
        pytest.param(("down", "primary", "standby"), (2,), [1], id="a deposed primary that came back is none"),
        pytest.param(("fenced", "standby", "standby"), (1, 2), [], id="nobody"),
    ],
)
def test_a_promoted_standby_is_asked_before_anybody_tells(tmp_path: Path, roles: tuple[str, ...], standbys: tuple[int, ...], found: list[int]) -> None:
    nodes = [{"name": f"store-{at}", "role": role, "folder": str(tmp_path / str(at))} for at, role in enumerate(roles)]
    for at in range(len(roles)):
        (tmp_path / str(at)).mkdir()
    for at in standbys:
        (tmp_path / str(at) / "standby.signal").touch()
    assert [node["name"] for node in primaries(nodes)] == [f"store-{at}" for at in found]
