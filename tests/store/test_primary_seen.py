"""Whom the store's health takes for the primary: what Postgres itself has done counts before what the controller has told."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoslib_ext.sandbox.store_health import primary_of


@pytest.mark.parametrize(
    ("roles", "standbys", "found"),
    [
        pytest.param(("primary", "standby", "standby"), (1, 2), 0, id="as told"),
        pytest.param(("primary", "standby", "standby"), (1,), 2, id="one was promoted, and nobody has told yet"),
        pytest.param(("down", "primary", "standby"), (2,), 1, id="a deposed primary that came back is none"),
        pytest.param(("fenced", "standby", "standby"), (1, 2), None, id="nobody"),
    ],
)
def test_a_promoted_standby_is_the_primary_before_anybody_tells(tmp_path: Path, roles: tuple[str, ...], standbys: tuple[int, ...], found: int | None) -> None:
    nodes = [{"name": f"store-{at}", "role": role, "folder": str(tmp_path / str(at))} for at, role in enumerate(roles)]
    for at in range(len(roles)):
        (tmp_path / str(at)).mkdir()
    for at in standbys:
        (tmp_path / str(at) / "standby.signal").touch()
    primary = primary_of(nodes)
    assert (primary and primary["name"]) == (None if found is None else f"store-{found}")
