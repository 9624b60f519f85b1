"""
kill -9 at every kind of point × every fault of the sandbox, alone and beside another, and with a second kill inside whoever heals.

Everything is real: one sandbox a lane, the real injection, healer and `recover`, killed by ptrace at the system calls by which they change or
say something. The state is compared before and after, byte by byte. CHAOSX_MATRIX says how many runs (from 1,000 on with every
recorded point of every fault), CHAOSX_SEED which array (else the commit does), CHAOSX_LANES how many side by side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from matrix_array import FIRST, kind_of
from matrix_case import IN_FORCE, Case
from matrix_lead import FULL, Result, matrix
from point_tracing import refusal

pytestmark = pytest.mark.crash

RUNS = int(os.environ.get("CHAOSX_MATRIX", "320"))
LANES = int(os.environ.get("CHAOSX_LANES", "2"))


def seed_of_the_commit() -> int:
    """Another array with every commit; a fixed one where there is no repository."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return int(head.stdout[:8], 16) if head.returncode == 0 else 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """All runs, made once; the table is printed, and matrix.json lies in the folder of the tests."""
    if why := refusal():
        pytest.skip(f"no process can be killed at its points here: {why}")
    folder = tmp_path_factory.mktemp("matrix")
    result = matrix(RUNS, int(os.environ.get("CHAOSX_SEED") or seed_of_the_commit()), folder, LANES)
    result.write(folder / "matrix.json")
    return result


def test_no_run_leaves_a_difference(made: Result, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{made.table()}")
    left = [{key: one[key] for key in ("case", "point", "again", "differences")} for one in made.differences()]
    assert not left, f"{len(left)} of {len(made.told)} runs left something; the first:\n" + "\n".join(json.dumps(one, indent=1) for one in left[:3])


def test_every_fault_was_killed_at_every_kind_of_its_points_and_beside_every_other_that_it_can_be_beside(made: Result) -> None:
    missed = sorted(pair for pair in made.wanted - made.covered() if (pair[0], pair[2]) in FIRST)
    assert not missed or RUNS < FULL, f"never come to: {missed}"


def test_most_runs_died_with_a_fault_in_force(made: Result) -> None:
    assert sum(one["live"] for one in made.told) > len(made.told) / 2
    assert sum(bool(one["again"]) for one in made.told) > len(made.told) / 4


def test_a_point_has_the_kind_of_what_it_is_about() -> None:
    kinds = {
        name: kind_of(name) for name in ("write undo.wal INTENT", "fsync undo.wal INTENT", "send links set", "receive links set", "send links status", IN_FORCE)
    }
    assert len(set(kinds.values())) == len(kinds)
    assert kinds["send links set"] == "the change, before it"


def test_a_case_survives_its_json() -> None:
    case = Case(1, ("a", "b"), ("send x", 2), "stop", "healer", (("fsync y", 1),))
    assert Case.of(json.loads(json.dumps({name: getattr(case, name) for name in case.__dataclass_fields__}))) == case
