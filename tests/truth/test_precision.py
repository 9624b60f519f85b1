"""The verdict's recovery brackets beside real outages that were planted within one load session; benchmarks/rto_truth.py is the long version."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rto_rig import session

pytestmark = [pytest.mark.truth, pytest.mark.slow]


def test_the_bracket_of_a_complete_outage_holds_the_truth_whatever_kind_it_is(tmp_path: Path) -> None:
    found = session(tmp_path, 50.0, ["kill", "freeze", "hole"] * 4 + ["errors", "slow", "flapping"], look_ms=2.0)
    sound = [one for one in found if one.sound]
    if not sound:
        pytest.skip("this machine was too busy: the verdict stands by none of its figures")
    assert [one for one in sound if not one.inside] == []
