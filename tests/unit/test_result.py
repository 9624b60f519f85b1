"""What a result says beside its verdict: who, how much load, what is left, and what a reader must know."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import KILLED, FaultScene, Scene, WriteScene, block_of, build, down, healthy

from chaoslib_ext.block import Budget, Objective, Rpo
from chaoslib_ext.result import Result
from chaoslib_ext.rundir import Run
from chaoslib_ext.verdict import judge

FAULTS = (FaultScene(removed=(14.02, 14.05), planned_s=4.0),)
CALM = block_of(rto=None, objectives=[Objective("availability", "fault", 0.7)], recovery_after_removal_s=None)
QUICK = Scene(serve=healthy, rate=60.0, baseline=(3.0, 9.0), block=CALM, faults=FAULTS, method=(9.0, 14.1), stop=20.0)

NO_FUSE = "run without fuses (--no-fuse): had this machine been lost, nothing in the target would have taken back"


def judged(folder: Path, scene: Scene = QUICK, **header: Any) -> Result:
    """The result of a scene with more in its header."""
    return judge(build(folder / "run", replace(scene, header={**scene.header, **header})))


def test_a_result_names_the_run_its_title_and_its_attempt(tmp_path: Path) -> None:
    named = judged(tmp_path, id="20260101-000000-named-0001", title="a zone is lost", attempt={"n": 3, "commit": "abc"})
    assert (named.run, named.title, named.attempt) == ("20260101-000000-named-0001", "a zone is lost", {"n": 3, "commit": "abc"})
    assert named.control == "none" and named.notices == []


def test_a_directory_without_a_header_is_named_by_its_folder_and_is_a_first_attempt(tmp_path: Path) -> None:
    bare = judge(Run(tmp_path / "some-run"))
    assert (bare.run, bare.title, bare.attempt, bare.load) == ("some-run", "", {"n": 1, "commit": None}, None)
    assert bare.clean == {"state": "unknown", "proven_at_ns": None}


def test_the_load_is_told_by_journeys(tmp_path: Path) -> None:
    late = judged(tmp_path, replace(QUICK, serve=down((10.05, 11.05)), late_s=lambda t, k: 0.2 if 12.0 <= t < 12.5 and k % 10 == 0 else 0.0005))
    load = late.load
    assert load is not None
    assert (load["intended"], load["journeys"], load["model"]) == (1141, 1141, "open")
    assert 1 <= load["unknown"] <= 6 and load["delivered"] == 1141 - load["unknown"]
    assert load["bad_journeys"] == 60 and load["late_p99_ms"] is not None


@pytest.mark.parametrize(
    ("header", "notices"),
    [
        ({"no_fuse": ["lose zone b", "kill it"]}, [f"{NO_FUSE} lose zone b, kill it"]),
        ({"approval": {"by": "kim", "until_utc": "2026-01-01T00:00:00Z", "drift": ["one pod more"]}},
         ["approved by kim until 2026-01-01T00:00:00Z", "within the approval, but not as approved: one pod more"]),
        ({"approval": {"token": "0badc0de"}}, ["confirmed with the plan's token"]),
        ({"accepted": [{"fault": "lose zone a", "run": "r1", "targets": ["a", "b"], "by": "kim", "utc": "then", "reason": "gone anyway"}]},
         ["accepted by kim at then, not healed: lose zone a of run r1, on a, b: gone anyway"]),
    ],
    ids=["no fuse", "approved", "token", "accepted"],
)  # fmt: skip
def test_what_a_person_answered_for_is_told(header: dict[str, Any], notices: list[str], tmp_path: Path) -> None:
    assert judged(tmp_path, **header).notices == notices


def test_what_remains_and_what_stopped_the_run_is_told(tmp_path: Path) -> None:
    left = [
        {"kind": "note", "t_ns": 19_000_000_000 + n, "src": "supervisor", "ledger": name, "left": many}
        for n, (name, many) in enumerate([("orders", 3), ("carts", None), ("mails", 0)])
    ]
    rule = {"kind": "stop", "t_ns": 19_500_000_000, "src": "guard", "rule": "no_data", "detail": "nothing for 5 s"}
    person = {"kind": "stop", "t_ns": 19_500_000_001, "src": "supervisor", "rule": "signal", "detail": "SIGTERM"}
    told = judged(tmp_path, replace(QUICK, events=(*left, rule, person))).notices
    assert told == [
        "test records remain in orders: 3",
        "test records remain in carts: how many is not known",
        "stopped by the rule no_data: nothing for 5 s",
    ]


def test_a_control_and_a_closed_model_are_told(tmp_path: Path) -> None:
    control = judged(tmp_path / "a", replace(QUICK, block=replace(CALM, control="a-a"), faults=()))
    assert control.control == "a-a" and control.notices == ["a control (a-a): says something about the test, nothing about resilience"]
    assert [text[:17] for text in judged(tmp_path / "b", replace(QUICK, closed=True)).notices] == ["closed-model load"]


def test_a_known_bad_control_that_met_everything_says_so_by_name(tmp_path: Path) -> None:
    result = judged(tmp_path, replace(QUICK, block=replace(CALM, control="known-bad"), faults=()))
    [finding] = [one for one in result.findings if one.reasons == ("KNOWN_BAD_NOT_SEEN",)]
    assert (finding.id, finding.outcome, finding.evidence) == ("control", "inconclusive", ("a known-bad control met everything",))


@pytest.mark.parametrize("state", ["clean", "dirty"])
def test_what_is_left_is_told_as_the_healer_proved_it(state: str, tmp_path: Path) -> None:
    pending = [{"fault": "lose zone b"}] if state == "dirty" else []
    result = judged(tmp_path, clean={"state": state, "proven_at_ns": 17, "pending": pending})
    assert result.clean == {"state": state, "proven_at_ns": 17, **({"pending": pending} if pending else {})}


def test_the_windows_are_told_and_those_that_did_not_happen_are_nothing(tmp_path: Path) -> None:
    windows = judged(tmp_path).windows
    assert list(windows) == ["warmup", "baseline", "fault", "recovered", "whole"]
    assert windows["baseline"] == [3_000_000_000, 9_000_000_000] and windows["fault"][1] == 14_050_000_000
    assert windows["recovered"] is not None and windows["whole"][0] == 3_000_000_000
    bare = judge(Run(tmp_path / "bare")).windows
    assert list(bare.values()) == [None] * 5


def test_what_was_judged_is_told_with_its_figures(tmp_path: Path) -> None:
    block = replace(CALM, recovery_after_removal_s=5.0, budget=Budget("availability", 0.9), rpo=Rpo("orders", None, 0))
    run = build(tmp_path / "run", replace(QUICK, block=block, writes=WriteScene(read_s=24.0)))
    result = judge(run)
    assert [fault["name"] for fault in result.faults] == [FAULTS[0].name] and result.seal == run.seal != ""
    assert result.recovery_after_removal is not None and result.recovery_after_removal["objective_s"] == 5.0
    assert result.budget is not None and result.budget["allowed"] == 0.9
    assert result.rpo is not None and result.rpo["lost"] == 0


def test_a_generator_that_is_late_after_the_recovery_decides_nothing_there(tmp_path: Path) -> None:
    recovered = block_of(rto=None, objectives=[Objective("availability", "recovered")], recovery_after_removal_s=None)
    bad = replace(QUICK, block=recovered, serve=down((21.0, 23.0)), stop=28.0)
    judged_well = judged(tmp_path / "well", bad)
    late = judged(tmp_path / "late", replace(bad, late_s=lambda t, k: 0.2 if t > 20.0 and k % 5 == 0 else 0.0005))
    finding = next(one for one in late.findings if one.id == "load:recovered")
    assert (judged_well.verdict, judged_well.reasons) == ("FAIL", ["SLO_MISSED"])
    assert (late.verdict, finding.outcome, finding.window) == ("INCONCLUSIVE", "inconclusive", "recovered")
    assert set(late.reasons) == set(finding.reasons) == {"GENERATOR_SATURATED"}


@pytest.mark.parametrize(
    ("how", "reason", "verdict", "told"),
    [
        ("error", "NO_SUCH_CODE", "ERROR", ["TOOL_FAILED"]),
        ("aborted", "NO_SUCH_CODE", "ABORTED", ["STOP_RULE"]),
        ("undecided", "NO_SUCH_CODE", "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
        ("undecided", "PROBER_LOST", "INCONCLUSIVE", ["PROBER_LOST"]),
    ],
)
def test_a_reason_that_is_on_no_list_is_never_told(how: str, reason: str, verdict: str, told: list[str], tmp_path: Path) -> None:
    result = judged(tmp_path, replace(QUICK, stop=10.5, faults=()), end={"how": how, "reason": reason, "detail": ""})
    assert (result.verdict, result.reasons) == (verdict, told)


def test_a_held_fault_without_any_word_on_its_undo_is_dirty(tmp_path: Path) -> None:
    forgotten = replace(QUICK, before_seal=lambda folder: (folder / "undo.wal").unlink())
    assert judged(tmp_path, forgotten, clean={}).reasons[:1] == ["UNDO_FAILED"]


def test_an_instant_fault_owes_no_word_on_an_undo(tmp_path: Path) -> None:
    instant = replace(QUICK, faults=(KILLED,), before_seal=lambda folder: (folder / "undo.wal").unlink())
    assert "UNDO_FAILED" not in judged(tmp_path, instant, clean={}).reasons


def test_the_reason_of_the_healer_is_told_where_the_ledger_says_nothing(tmp_path: Path) -> None:
    told = judged(tmp_path, clean={"state": "dirty"}, end={"how": "completed", "reason": "UNDO_CONFLICT", "detail": ""})
    assert (told.verdict, told.reasons[:1]) == ("DIRTY", ["UNDO_CONFLICT"])


def test_rows_without_the_totals_of_the_load_child_are_told_as_load(tmp_path: Path) -> None:
    load = judged(tmp_path, replace(QUICK, before_seal=lambda folder: (folder / "load/w0/meta.json").unlink())).load
    assert load is not None and load["model"] == "open"
