"""What the supervisor makes of its children's lines, in whatever order they come."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.clock import Clock
from chaoslib_ext.guard import Rules
from chaoslib_ext.rundir import Writer
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.live import Live
from chaoslib_ext.runner.stage import Stage


def line(**fields: Any) -> dict[str, Any]:
    return {"kind": "activity", "name": "lose b", "type": "action", "where": "method", **fields}


SEEN = {"fault": "lose b", "effect": {"lo_ns": 1, "hi_ns": 2, "proof": "unanswered"}, "targets": []}


@pytest.mark.parametrize(
    ("ended", "in_force"),
    [
        pytest.param(line(state="ended", status="succeeded", output=SEEN), {"lose b"}, id="seen by its action: the prober's line is still under way"),
        pytest.param(line(state="ended", status="failed", output=None), set(), id="failed"),
        pytest.param(line(state="ended", status="succeeded", output={"fault": "another", "effect": {}}), set(), id="no fault of ours"),
    ],
)
def test_a_held_fault_is_in_force_once_its_action_has_seen_it(tmp_path: Path, ended: dict[str, Any], in_force: set[str]) -> None:
    stage = Stage(Clock.start(), tmp_path, Writer.create(tmp_path / "report"), Rules(), Live(quiet=True))
    stage.held = {"lose b"}
    lines = [line(state="started"), ended, {"op": "done"}]
    code = f"import sys; sys.stdout.write({''.join(json.dumps(one) + chr(10) for one in lines)!r})"
    child = stage.add(Child("method", [sys.executable, "-c", code], tmp_path))
    assert stage.pump(lambda: "method" in stage.seen.done, 30.0)
    assert stage.held_in_force() == in_force
    child.process.wait()
    for opened in (child.process.stdin, child.process.stdout, stage._wake_r, stage._wake_w, stage._selector):  # a run's process simply ends
        assert opened is not None
        opened.close()
