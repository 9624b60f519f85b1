"""
The recorded situations of the catalogue: each must get exactly the verdict, exit code and reasons that its file states.

Each cause stands beside its near miss. A situation becomes a whole run directory with real files; see `situations` and `build`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from build import AVAILABILITY, FAULT, NS, Scene, activity_event, block_of, build, down, healthy
from situations import Situation, scene_of, situations, wrong

from chaoslib_ext.block import Rto
from chaoslib_ext.formats.record_schemas import RESULT
from chaoslib_ext.reasons import REASONS
from chaoslib_ext.result import Result
from chaoslib_ext.rundir import read, seal_result, verify
from chaoslib_ext.timeline import Outcome
from chaoslib_ext.verdict import judge

RECORDED = [one for one in situations() if not one.live]


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in RECORDED])
def test_the_verdict_is_what_is_true_of_the_run(situation: Situation, tmp_path: Path, confusion: Callable[..., None]) -> None:
    result = judge(build(tmp_path / "run", scene_of(situation.planted)))
    confusion(situation, result.verdict, result.reasons)
    told = [(finding.id, finding.outcome, finding.reasons, finding.evidence) for finding in result.findings if finding.outcome != "met"]
    assert wrong(situation, result) == [], told
    jsonschema.validate(json.loads(json.dumps(result.to_json())), {**RESULT, "properties": {**RESULT["properties"], "clean": {}}})
    assert all(code in REASONS for finding in result.findings for code in finding.reasons)


def test_the_same_directory_gives_the_same_bytes(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Scene(serve=down((10.01, 13.0))))
    first, again = judge(run), judge(read(tmp_path / "run"))
    assert json.dumps(first.to_json(), sort_keys=True) == json.dumps(again.to_json(), sort_keys=True)
    assert Result.from_json(json.loads(json.dumps(first.to_json()))).to_json() == first.to_json()


def test_a_result_is_sealed_with_the_run_it_was_judged_from(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Scene())
    result = judge(run)
    assert seal_result(tmp_path / "run", result) == run.seal == result.seal
    assert verify(tmp_path / "run") == [] and judge(read(tmp_path / "run")).verdict == "PASS"
    (tmp_path / "run" / "result.json").write_text("{}")
    assert verify(tmp_path / "run") == ["result.json: does not match the seal"]


@pytest.mark.parametrize(
    ("serve", "mode", "dawns", "impact_s"),
    [
        pytest.param(healthy, "absorbed", 0, None, id="never bad"),
        pytest.param(down((10.5, 12.0)), "self-healed", 0, 0.5, id="bad half a second later"),
        pytest.param(down((10.01, 12.0), (14.0, 16.0)), "self-healed", 1, 0.01, id="a false dawn"),
        pytest.param(down((10.01, 40.04)), "after-removal", 0, 0.01, id="back with the removal"),
        pytest.param(down((10.01, 99.0)), "not-recovered", 0, 0.01, id="never back"),
    ],
)
def test_the_figures_beside_the_rto_tell_what_happened(serve: Any, mode: str, dawns: int, impact_s: float | None, tmp_path: Path) -> None:
    result = judge(build(tmp_path / "run", Scene(serve=serve)))
    assert result.rto is not None
    assert (result.rto["mode"], result.rto["false_dawns"], result.rto["impact_s"]) == (mode, dawns, impact_s)
    assert result.rto["held_s"] == 30.0 and result.rto["from"] == FAULT
    assert (result.rto["hi_s"] is None) == (mode == "not-recovered")


def test_a_closed_model_widens_the_bracket(tmp_path: Path) -> None:
    slos = [replace(AVAILABILITY, sli=replace(AVAILABILITY.sli, select_name=None, select_class="step"))]
    block_ = block_of(slos=slos, rto=Rto(10.0, ["availability"]), recovery_after_removal_s=None, objectives=[])
    wide = judge(build(tmp_path / "closed", Scene(closed=True, block=block_)))
    narrow = judge(build(tmp_path / "open", Scene(block=block_)))
    assert wide.rto is not None and narrow.rto is not None
    assert wide.rto["lo_s"] < narrow.rto["lo_s"] and wide.rto["hi_s"] > narrow.rto["hi_s"] + 1.0
    assert wide.notices


@pytest.mark.parametrize(
    "name", ["run.json", "plan.json", "events.jsonl", "undo.wal", "load/w0/meta.json", "load/w0/rows-0000.bin", "load/w0/seconds.bin", "SEALED"]
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]\n", b"\xff\x00garbage\n"], ids=["missing", "empty", "empty object", "a list", "garbage"])
def test_no_damage_passes_and_none_raises(name: str, content: bytes | None, tmp_path: Path) -> None:
    build(tmp_path / "run", Scene())
    path = tmp_path / "run" / name
    path.unlink() if content is None else path.write_bytes(content)
    result = judge(read(tmp_path / "run"))
    assert result.verdict in ("INCONCLUSIVE", "DIRTY") and result.reasons


def test_an_empty_directory_is_inconclusive(tmp_path: Path) -> None:
    result = judge(read(tmp_path))
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", 3)


def test_every_situation_is_told_once_and_there_are_enough() -> None:
    names = [one.name for one in situations()]
    assert len(names) == len(set(names)) >= 90


def test_each_cause_has_a_situation_that_triggers_it_and_one_that_nearly_does() -> None:
    causes = yaml.safe_load((Path(__file__).parent / "causes.yaml").read_text(encoding="utf-8"))
    known = {one.name: one for one in situations()}
    assert list(causes) == [f"V{n}" for n in range(1, 41)]
    for number, cause in causes.items():
        elsewhere = cause.get("not_yet") or all((Path(__file__).parents[2] / path).is_file() for path in cause.get("held_by", [""]))
        named = [*cause.get("triggers", []), *cause.get("near", [])]
        assert (named or elsewhere) and set(named) <= known.keys(), (number, set(named) - known.keys())
        assert all(known[name].verdict != "PASS" for name in cause.get("triggers", [])), number
        assert all(known[name].verdict == "PASS" for name in cause.get("near", [])), number


def test_an_activity_event_has_the_shape_of_the_supervisors(tmp_path: Path) -> None:
    assert activity_event("p")["t_ns"] == 11 * NS and Outcome.OK == 0
