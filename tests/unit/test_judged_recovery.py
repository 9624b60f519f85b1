"""What a recovery time rests on: the clock that starts it, the proof of the effect, the SLO that came last, and the next fault that ends the question."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_judged_figures import BLOCK, HELD, LOOSE, USUAL, finding_of, judged

from chaoslib_ext.block import Rto

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import both, down, slow


def test_a_recovery_time_that_is_met_has_no_reason_and_tells_its_bracket(tmp_path: Path) -> None:
    found = finding_of(judged(tmp_path, USUAL), "rto")
    assert (found.outcome, found.reasons, found.evidence) == ("met", (), ("recovered within [2.960 s, 3.020 s]",))


def test_a_recovery_time_of_an_slo_that_the_run_does_not_hold_is_not_decided(tmp_path: Path) -> None:
    result = judged(tmp_path, replace(USUAL, block=replace(BLOCK, slos=[LOOSE])))
    found = finding_of(result, "rto")
    assert (found.kind, found.outcome, found.reasons) == ("rto", "inconclusive", ("EVIDENCE_INCOMPLETE",))
    assert found.evidence == ("run.json lacks an SLO that it names",)
    assert result.rto is not None and result.rto["mode"] == "undecided"


def test_a_clock_that_nothing_started_names_the_fault_that_should_have(tmp_path: Path) -> None:
    result = judged(tmp_path, replace(USUAL, block=replace(BLOCK, rto=Rto(5.0, ["availability"], "kill"))))
    found = finding_of(result, "rto")
    assert (found.kind, found.reasons, found.evidence) == ("rto", ("EFFECT_UNPROVEN",), ("no effect was proven that could start the clock",))
    assert result.rto is not None and result.rto["from"] == "kill"


def test_a_missed_recovery_time_needs_the_whole_proof_of_its_own_fault(tmp_path: Path) -> None:
    too_slow = replace(USUAL, serve=down((8.5, 15.0)))
    whole = finding_of(judged(tmp_path / "whole", too_slow), "rto")
    half = finding_of(judged(tmp_path / "half", replace(too_slow, faults=(replace(HELD, uids=[f"{HELD.name}-0"]),))), "rto")
    assert (whole.outcome, whole.reasons) == ("missed", ("RTO_MISSED",))
    assert (half.outcome, half.reasons) == ("inconclusive", ("EFFECT_UNPROVEN",))


def test_the_slo_that_came_last_is_the_one_that_never_came(tmp_path: Path) -> None:
    rto = judged(tmp_path, replace(USUAL, serve=both(down((8.5, 10.0)), slow(0.6, (8.5, 99.0))))).rto
    assert rto is not None and (rto["last_slo"], rto["hi_s"], rto["lo_s"]) == ("latency", None, 15.9605)


def test_a_hold_is_counted_from_the_effect_and_not_from_the_begin_of_the_run(tmp_path: Path) -> None:
    """Held for 10 s, which is less than 12 s, and bad for longer than both."""
    scene = replace(USUAL, serve=down((8.5, 99.0)), block=replace(BLOCK, rto=Rto(12.0, ["availability", "latency"])))
    assert finding_of(judged(tmp_path, scene), "rto").reasons == ("HELD_SHORTER_THAN_RTO",)


@pytest.mark.parametrize(
    ("bad", "lo_s", "hi_s"),
    [
        pytest.param(((8.5, 11.0), (14.5, 16.0)), 2.9605, 3.0205, id="bad again under the next fault: that is the next fault's"),
        pytest.param(((8.5, 9.5), (12.0, 13.0)), 4.9605, 5.0205, id="bad again before the next fault: a relapse"),
    ],
)
def test_after_an_instant_fault_a_relapse_is_one_until_the_next_fault(bad: tuple[tuple[float, float], ...], lo_s: float, hi_s: float, tmp_path: Path) -> None:
    instant = replace(HELD, name="kill", kind="instant", planned_s=None, replaced=True, removed=(8.3, 8.4))
    later = replace(HELD, effect=(14.0, 14.02))
    rto = judged(tmp_path, replace(USUAL, serve=down(*bad), faults=(later, instant))).rto
    assert rto is not None and (rto["from"], rto["lo_s"], rto["hi_s"]) == ("kill", lo_s, hi_s)
