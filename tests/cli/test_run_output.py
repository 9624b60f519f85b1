"""What `chaosx run --json` prints of a run: the verdict and the figures of its recovery, as they stand in the sealed result."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from build import Scene, WriteScene, block_of, build

from chaoslib_ext.block import Rpo
from chaoslib_ext.cli.run_command import shown
from chaoslib_ext.rundir import seal_result
from chaoslib_ext.runner.session import Finished
from chaoslib_ext.verdict import judge

SCENES = [
    pytest.param(Scene(block=block_of(rpo=Rpo("orders", 1.0, 0)), writes=WriteScene()), id="a promise on lost writes"),
    pytest.param(Scene(block=block_of(rpo=Rpo("orders", 1.0, 0)), writes=WriteScene(read_s=None)), id="one that was not read back"),
    pytest.param(Scene(), id="no such promise"),
]


@pytest.mark.parametrize("scene", SCENES)
def test_the_json_of_a_run_holds_the_recovery_figures_of_its_result(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = judge(build(folder, scene))
    finished = Finished(folder, result, seal_result(folder, result), "")
    told = json.loads(json.dumps(shown(finished, [], "0badc0de").as_json))
    sealed = json.loads((folder / "result.json").read_text())
    for name in ("verdict", "exit_code", "reasons", "rto", "recovery_after_removal", "rpo"):
        assert told[name] == sealed[name], name
    assert (told["rpo"] is None) == (scene.writes is None)
    assert told["rto"]["objective_s"] == 10.0
