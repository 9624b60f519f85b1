"""
What a run says of lost writes is what Postgres holds: every id of every class, for real failovers of several kinds.

Runs are told by a witness on the wire and by psql, see rpo_rig; `benchmarks/rpo_truth.py` does the same for all kinds, as often as wanted. On
a busy machine a run may count nothing; what it counts must be the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rpo_rig import KINDS, Kind, failed_over
from store_rig import Box

pytestmark = pytest.mark.slow

WANTED = ("killed, asynchronous, links 50 ms", "frozen, fenced", "switched over without demotion")


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS if kind.name in WANTED])
def test_what_was_lost_is_what_postgres_does_not_hold(boxes: Callable[..., Box], tmp_path: Path, kind: Kind) -> None:
    told = failed_over(boxes("truth", *kind.switches), kind, tmp_path, 0)
    print(kind.name, told.result["verdict"], told.result["reasons"], {name: len(ids) for name, ids in told.truth.classes().items()}, told.age_s)
    assert told.differences() == []
    assert told.truth.sent and set(told.truth.acknowledged) <= told.truth.sent
    if told.truth.classes()["lost"]:
        assert told.result["verdict"] in ("FAIL", "INCONCLUSIVE")
    if not told.counted:
        pytest.skip(f"undecided, this machine was too busy: {', '.join(told.result['reasons'])}")
