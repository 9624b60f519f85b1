"""Laws of the verdict that hold whatever the system did; the situations are in tests/truth."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import FaultScene, Scene, block_of, build, down, partly
from damage import never_had

from chaoslib_ext.block import Budget, Objective, Rto
from chaoslib_ext.reasons import OUTRANKING, REASONS
from chaoslib_ext.result import Result
from chaoslib_ext.verdict import judge

AVAILABLE = block_of(rto=Rto(6.0, ["availability"]), objectives=[Objective("availability", "fault", 0.7)], recovery_after_removal_s=None)
QUICK = Scene(rate=60.0, baseline=(3.0, 9.0), block=AVAILABLE, faults=(FaultScene(removed=(30.02, 30.05), planned_s=20.0),), method=(9.0, 30.1), stop=38.0)


def judged(scene: Scene) -> Result:
    """The verdict of a scene, built in a folder that is gone afterwards."""
    with TemporaryDirectory() as folder:
        return judge(build(Path(folder) / "run", scene))


outages = st.lists(st.tuples(st.integers(0, 230), st.integers(1, 90)), max_size=3).map(lambda spans: [(10.05 + a / 10, 10.05 + (a + b) / 10) for a, b in spans])


@settings(max_examples=40, deadline=None)
@given(outages)
def test_the_rto_of_complete_outages_is_never_judged_against_the_truth(spans: list[tuple[float, float]]) -> None:
    """The truth: the end of the last outage that begins while the fault is in force, or sooner where a spell of 5 s was good."""
    result = judged(replace(QUICK, serve=down(*spans)))
    finding = next(finding for finding in result.findings if finding.id == "rto")
    merged: list[tuple[float, float]] = []
    for a, b in sorted(spans):
        if merged and a - merged[-1][1] < 5.0:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    at_once = [(a, b) for a, b in merged if a < 15.0 and b - a > 0.35]
    if finding.outcome == "met":
        assert all(b <= 16.1 for _, b in at_once), (spans, result.rto)
    if finding.outcome == "missed":
        assert any(b > 15.9 for _, b in merged), (spans, result.rto)


@settings(max_examples=25, deadline=None)
@given(outages, st.sampled_from(["clock", "generator", "baseline", "effect", "evidence"]))
def test_without_a_sound_measurement_nothing_passes_and_nobody_is_blamed(spans: list[tuple[float, float]], lacking: str) -> None:
    scene = replace(QUICK, serve=down(*spans))
    changed = {
        "clock": replace(scene, header={"clock": {"boot_id": "b", "drift_ms_end": 900.0}}),
        "generator": replace(scene, late_s=lambda _t, _k: 0.2),
        "baseline": replace(scene, serve=down((4.0, 6.0), *spans)),
        "effect": replace(scene, faults=(replace(QUICK.faults[0], effect=None, removed=None),)),
        "evidence": replace(scene, after_seal=lambda folder: (folder / "events.jsonl").unlink()),
    }
    assert judged(changed[lacking]).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("how", ["completed", "undecided", "aborted", "error"])
@pytest.mark.parametrize("clean", ["clean", "dirty"])
@pytest.mark.parametrize("bad", [False, True], ids=["well", "bad"])
def test_the_worst_word_wins_and_its_reasons_come_first(how: str, clean: str, bad: bool) -> None:
    reason = {"completed": None, "undecided": "PROBER_LOST", "aborted": "STOPPED_BY_PERSON", "error": "TOOL_FAILED"}[how]
    header = {"end": {"how": how, "reason": reason, "detail": ""}, "clean": {"state": clean, "proven_at_ns": 1, "pending": []}}
    result = judged(replace(QUICK, serve=down((10.05, 25.0)) if bad else down((10.05, 11.0)), header=header))
    words = {"DIRTY": clean == "dirty", "ERROR": how == "error", "FAIL": bad, "ABORTED": how == "aborted", "INCONCLUSIVE": how == "undecided"}
    expected = next((word for word in OUTRANKING if words.get(word)), "PASS")
    first = {"DIRTY": "UNDO_FAILED", "ERROR": "TOOL_FAILED", "FAIL": "SLO_MISSED", "ABORTED": "STOPPED_BY_PERSON", "INCONCLUSIVE": "PROBER_LOST"}
    assert result.verdict == expected
    assert result.reasons[:1] == ([first[expected]] if expected != "PASS" else [])
    assert set(result.reasons) <= set(REASONS) and len(set(result.reasons)) == len(result.reasons)


def test_every_finding_that_is_not_met_has_a_reason_and_every_met_one_has_none() -> None:
    for scene in (QUICK, replace(QUICK, serve=partly(0.5, (10.05, 99.0))), replace(QUICK, load=False)):
        for finding in judged(scene).findings:
            assert bool(finding.reasons) == (finding.outcome != "met") and finding.evidence, finding


def test_a_bad_arrival_less_never_makes_the_fault_window_worse() -> None:
    def outcome(until: float) -> int:
        finding = next(one for one in judged(replace(QUICK, serve=down((10.05, until)))).findings if one.id == "slo:availability:fault")
        return ["met", "inconclusive", "missed"].index(finding.outcome)

    outcomes = [outcome(10.05 + step) for step in (0.0, 2.0, 5.0, 5.9, 6.1, 9.0)]
    assert outcomes == sorted(outcomes) and outcomes[0] == 0 and outcomes[-1] == 2


@pytest.mark.parametrize(
    ("window", "scene"),
    [
        pytest.param("whole", Scene(before_seal=never_had("baseline")), id="the whole run"),
        pytest.param("baseline", Scene(before_seal=never_had("baseline")), id="the baseline"),
        pytest.param("fault", Scene(faults=(), before_seal=never_had("method")), id="the fault of a control whose method never ended"),
    ],
)
def test_a_promise_for_a_window_that_did_not_happen_is_never_met(window: str, scene: Scene) -> None:
    block = block_of(objectives=[Objective("availability", window)], rto=None, recovery_after_removal_s=None, control="none" if scene.faults else "a-a")
    [finding] = [finding for finding in judged(replace(scene, block=block)).findings if finding.kind == "slo"]
    assert (finding.outcome, finding.reasons) == ("inconclusive", ("NO_DATA",))


@pytest.mark.parametrize(
    "scene",
    [pytest.param(Scene(before_seal=never_had("baseline")), id="no baseline"), pytest.param(Scene(start=9.2), id="no request in the baseline")],
)
def test_a_budget_without_a_request_to_count_is_not_unspent(scene: Scene) -> None:
    result = judged(replace(scene, block=block_of(budget=Budget("availability", 0.5))))
    [finding] = [finding for finding in result.findings if finding.kind == "budget"]
    assert (finding.outcome, finding.reasons) == ("inconclusive", ("NO_DATA",))
    assert result.budget is not None and result.budget["spent"] is None
