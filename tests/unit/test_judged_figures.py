"""
The figures beside a verdict, each counted by hand from what was planted.

The usual scene: 50 arrivals a second from 1 s to 24 s, answered in 20 ms, sent half a millisecond late; a fault is seen in effect between 8.00 s and
8.02 s and gone between 18.02 s and 18.05 s. It is bad from 8.5 s to 10 s and from 10.5 s to 11 s.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import AVAILABILITY, LATENCY, FaultScene, Scene, Serve, WriteScene, block_of, both, build, down, healthy, slow

from chaoslib_ext.block import Block, Objective, Rpo, Rto, Windows
from chaoslib_ext.judging.case import case_of
from chaoslib_ext.judging.rpo import judge_rpo
from chaoslib_ext.result import Finding, Result
from chaoslib_ext.rundir import Run
from chaoslib_ext.verdict import judge
from chaoslib_ext.writelog import Attempt, NodeRead

LOOSE = replace(AVAILABILITY, target=0.95)
BLOCK = block_of(
    slos=[LOOSE, LATENCY],
    windows=Windows(2.0, 4.0, 6.0, 2.0),
    rto=Rto(5.0, ["availability", "latency"]),
    objectives=[Objective("availability", "fault", 0.5)],
    recovery_after_removal_s=3.0,
)
HELD = FaultScene(effect=(8.0000004, 8.0200004), removed=(18.0200004, 18.0500004), planned_s=10.0)  # figures are told in microseconds
USUAL = Scene(serve=down((8.5, 10.0), (10.5, 11.0)), block=BLOCK, rate=50.0, start=1.0, baseline=(3.0, 7.0), method=(7.0, 18.1), stop=24.0, faults=(HELD,))
TERMS = {"effect_ms": 20.0, "arrival_gap_ms": 20.0, "lateness_ms": 0.5, "response_ms": 20.0, "clock_ms": 0.0}
FIGURES: dict[str, Any] = {
    "objective_s": 5.0, "lo_s": 2.9605, "hi_s": 3.0205, "from": HELD.name, "slos": ["availability", "latency"], "mode": "self-healed", "observed_s": 16.0,
    "held_s": 10.0, "false_dawns": 1, "last_slo": "availability", "terms": TERMS, "impact_s": 0.5, "lost_s": 2.0, "depth": 1.0,
}  # fmt: skip
NO_TERMS = {"effect_ms": 20.0, "arrival_gap_ms": 0.0, "lateness_ms": 0.0, "response_ms": 0.0, "clock_ms": 0.0}


def judged(folder: Path, scene: Scene) -> Result:
    return judge(build(folder / "run", scene))


def finding_of(result: Result, id_: str) -> Finding:
    [found] = [one for one in result.findings if one.id == id_]
    return found


@pytest.mark.parametrize(
    ("serve", "figures"),
    [
        pytest.param(USUAL.serve, {}, id="two outages: the last bad one was sent at 10.9805 s, the first good one answered at 11.0205 s"),
        pytest.param(
            healthy,
            {"mode": "absorbed", "lo_s": 0.0, "hi_s": 0.0205, "impact_s": None, "lost_s": 0.0, "depth": 0.0, "false_dawns": 0,
             "terms": {**TERMS, "arrival_gap_ms": 0.0}},
            id="never bad",
        ),
        pytest.param(
            both(down((8.5, 10.0)), slow(0.6, (9.0, 11.0))),
            {"last_slo": "latency", "lost_s": 2.5, "false_dawns": 0},
            id="answered at 10 s, but in 600 ms until 11 s",
        ),
        pytest.param(
            down((8.5, 10.0), (10.5, 99.0)),
            {"mode": "not-recovered", "lo_s": 15.9605, "hi_s": None, "lost_s": 15.0, "terms": NO_TERMS},
            id="bad to the end",
        ),
        pytest.param(
            down((8.5, 18.03)),
            {"mode": "after-removal", "lo_s": 10.0005, "hi_s": 10.0605, "lost_s": 9.54, "false_dawns": 0},
            id="back with the removal",
        ),
        pytest.param(
            lambda t_s, k: down((8.5, 9.0))(t_s, k) if k % 2 else healthy(t_s, k),
            {"lo_s": 0.9205, "hi_s": 1.5805, "lost_s": 0.24, "depth": 0.25, "false_dawns": 0, "terms": {**TERMS, "arrival_gap_ms": 620.0}},
            id="every other one for half a second: the bad one at 8.98 s is one of twenty, and luck is ruled out after 29 good ones",
        ),
    ],
)  # fmt: skip
def test_the_figures_of_a_recovery_time_are_those_that_were_planted(serve: Serve, figures: dict[str, Any], tmp_path: Path) -> None:
    result = judged(tmp_path, replace(USUAL, serve=serve))
    assert result.rto == {**FIGURES, **figures}
    found = finding_of(result, "rto")
    assert (found.kind, found.target, found.lo, found.hi, found.n) == ("rto", 5.0, result.rto["lo_s"], result.rto["hi_s"], 800)


def test_a_recovery_time_without_an_effect_has_no_figures(tmp_path: Path) -> None:
    result = judged(tmp_path, replace(USUAL, faults=(replace(HELD, effect=None, removed=None),)))
    nothing: dict[str, Any] = dict.fromkeys(("hi_s", "from", "held_s", "last_slo", "terms", "impact_s"), None)
    nothing |= {"lo_s": 0.0, "mode": "undecided", "observed_s": 0.0, "false_dawns": 0, "lost_s": 0.0, "depth": 0.0}
    assert result.rto == {**FIGURES, **nothing}
    found = finding_of(result, "rto")
    assert (found.outcome, found.reasons, found.target) == ("inconclusive", ("EFFECT_UNPROVEN",), 5.0)


def test_the_clock_starts_with_the_first_fault_or_with_the_one_that_is_named(tmp_path: Path) -> None:
    two = (HELD, replace(HELD, name="kill", effect=(10.2, 10.24)))
    for named, of, effect_s, begin_s in ((None, HELD.name, 8.0, 8.02), ("kill", "kill", 10.2, 10.24)):
        rto = judged(tmp_path / of, replace(USUAL, faults=two, block=replace(BLOCK, rto=Rto(5.0, ["availability"], named)))).rto
        assert rto is not None
        assert (rto["from"], rto["lo_s"], rto["hi_s"]) == (of, round(10.9805 - begin_s, 6), round(11.0205 - effect_s, 6))
        assert (rto["observed_s"], rto["impact_s"]) == (round(24 - effect_s, 6), round((8.5 if named is None else 10.5) - effect_s, 6))


def test_a_closed_model_widens_the_bracket_by_the_longest_answer_and_the_longest_pause(tmp_path: Path) -> None:
    slos = [replace(LOOSE, sli=replace(LOOSE.sli, select_name=None, select_class="step"))]
    block = replace(BLOCK, slos=slos, rto=Rto(5.0, ["availability"]), recovery_after_removal_s=None, objectives=[])
    rto = judged(tmp_path, replace(USUAL, closed=True, block=block)).rto
    assert rto is not None
    assert (rto["lo_s"], rto["hi_s"]) == (round(2.9605 - 1.0005 - 0.02, 6), round(3.0205 + 1.0005 + 0.02, 6))


@pytest.mark.parametrize(
    ("again", "lo_s", "hi_s", "outcome", "reasons"),
    [
        pytest.param((18.0, 18.0), 0.0, 0.0205, "met", (), id="well at once: the first arrival at or after 18.02 s is answered at 18.0405 s"),
        pytest.param((18.0, 20.0), 1.9305, 2.0005, "met", (), id="bad until 20 s"),
        pytest.param((18.0, 21.02), 2.9505, 3.0205, "inconclusive", ("RTO_STRADDLES",), id="the objective lies in the bracket"),
        pytest.param((18.0, 21.2), 3.1305, 3.2005, "missed", ("RECOVERY_AFTER_REMOVAL_MISSED",), id="too late"),
        pytest.param((18.0, 99.0), 5.9305, None, "missed", ("RECOVERY_AFTER_REMOVAL_MISSED",), id="never"),
    ],
)
def test_the_recovery_after_the_removal_counts_from_its_own_bracket(
    again: tuple[float, float], lo_s: float, hi_s: float | None, outcome: str, reasons: tuple[str, ...], tmp_path: Path
) -> None:
    result = judged(tmp_path, replace(USUAL, serve=down(again)))
    assert result.recovery_after_removal == {"objective_s": 3.0, "lo_s": lo_s, "hi_s": hi_s}
    found = finding_of(result, "recovery_after_removal")
    assert (found.outcome, found.reasons, found.lo, found.hi, found.target, found.n) == (outcome, reasons, lo_s, hi_s, 3.0, 299)


# data loss -------------------------------------------------------------------------------------------------------------


def lost(*spans: tuple[float, float]) -> WriteScene:
    """What was acknowledged in these spans is gone."""
    return WriteScene(kept=lambda t_s, _k, word: int(word == "ok" and not any(a <= t_s + 0.02 < b for a, b in spans)), read_s=30.0)


def test_the_figures_of_a_loss_are_those_that_were_planted(tmp_path: Path) -> None:
    """Twenty acknowledged from 7.50 s to 7.88 s are gone, and one at 8.24 s, sent after the effect; the seventeen between them are there."""
    block = replace(BLOCK, rpo=Rpo("orders", 0.2, None))
    result = judged(tmp_path, replace(USUAL, serve=healthy, block=block, writes=lost((7.49, 7.89), (8.23, 8.25))))
    assert result.rpo is not None
    assert {name: result.rpo[name] for name in result.rpo if name != "nodes"} == {
        "ledger": "orders", "objective_s": 0.2, "max_writes": None, "outcome": "missed", "attempted": 1151, "acknowledged": 1151, "unknown": 0,
        "lost": 21, "lost_after_fault": 1, "recovered": 0, "never_seen": 0, "resurrected": 0, "phantom": 0, "duplicated": 0,
        "lo_s": 0.5, "hi_s": 0.54, "first_lost_t_ns": 7_500_000_000, "last_lost_t_ns": 8_240_000_000, "loss_span_s": 0.74, "kept_between": 17,
    }  # fmt: skip
    assert result.rpo["nodes"] == {"store-a": 21}
    found = finding_of(result, "rpo:orders")
    assert (found.kind, found.window, found.target, found.outcome, found.reasons) == ("rpo", "fault", 0.2, "missed", ("RPO_MISSED",))


def test_a_loss_that_was_not_measured_has_no_figures_and_no_zero(tmp_path: Path) -> None:
    block = replace(BLOCK, rpo=Rpo("orders", 0.2, 3))
    rpo = judged(tmp_path, replace(USUAL, serve=healthy, block=block, writes=replace(lost(), read_s=None))).rpo
    assert rpo is not None
    told = {"ledger": "orders", "objective_s": 0.2, "max_writes": 3, "attempted": 1151, "outcome": "inconclusive"}
    assert {name: value for name, value in rpo.items() if value is not None} == told
    assert len(rpo) == 21


def test_what_a_finding_on_a_loss_rests_on_is_told(tmp_path: Path) -> None:
    block = replace(BLOCK, rpo=Rpo("orders", 0.2, None))
    found = finding_of(judged(tmp_path, replace(USUAL, serve=healthy, block=block, writes=lost((7.49, 7.89), (8.23, 8.25)))), "rpo:orders")
    assert (found.lo, found.hi, found.n, found.bad) == (0.5, 0.54, 1151, 21)
    assert found.evidence == (
        "21 of 1151 acknowledged writes are gone; 0 writes ended unknown",
        "acknowledged before the effect 20, around it 0, after it 1",
        "17 acknowledged in between are there: no clean point in time was recovered",
    )
    kept = finding_of(judged(tmp_path / "kept", replace(USUAL, serve=healthy, block=block, writes=lost())), "rpo:orders")
    assert (kept.outcome, kept.lo, kept.hi, kept.bad) == ("met", 0.0, 0.0, 0)
    assert kept.evidence == ("0 of 1151 acknowledged writes are gone; 0 writes ended unknown",)


def test_without_a_proven_effect_a_loss_is_told_and_held_against_nobody(tmp_path: Path) -> None:
    block, fault = replace(BLOCK, rpo=Rpo("orders", 0.2, None)), replace(HELD, effect=None, removed=None)
    drifted = {"clock": {"boot_id": "b", "drift_ms_end": 900.0}}
    scene = replace(USUAL, serve=healthy, block=block, faults=(fault,), writes=lost((7.49, 7.89)), header=drifted)
    found = finding_of(judged(tmp_path, scene), "rpo:orders")
    assert (found.outcome, found.reasons) == ("inconclusive", ("CLOCK_UNSOUND", "EFFECT_UNPROVEN"))
    assert found.evidence == ("20 acknowledged writes are gone, but no fault was seen in effect",)


def test_a_control_puts_data_at_risk_from_the_begin_of_its_method(tmp_path: Path) -> None:
    block = replace(BLOCK, rpo=Rpo("orders", 0.2, None), control="a-a")
    rpo = judged(tmp_path, replace(USUAL, serve=healthy, block=block, faults=(), writes=lost((6.49, 6.59)))).rpo
    assert rpo is not None
    assert (rpo["outcome"], rpo["lost"], rpo["lo_s"], rpo["hi_s"]) == ("missed", 5, 0.5, 0.52)


def test_a_loss_needs_the_proof_of_the_first_fault_only(tmp_path: Path) -> None:
    """The plan names first what took effect second, and of that one a target was never seen in effect."""
    later = replace(HELD, name="kill", effect=(10.2, 10.24), uids=["kill-0"])
    block = replace(BLOCK, rpo=Rpo("orders", 0.2, None))
    result = judged(tmp_path, replace(USUAL, serve=healthy, block=block, faults=(later, HELD), writes=lost((7.49, 7.89))))
    assert finding_of(result, "effect:kill").reasons == ("EFFECT_UNPROVEN",)
    assert finding_of(result, "rpo:orders").reasons == ("RPO_MISSED",)


# the edges of what is asked of writes ----------------------------------------------------------------------------------

US, NS = 1_000_000, 1_000_000_000
RUN = "r"
AT_RISK = [("ok", done_us - 10_000, done_us) for done_us in (7_000_000, 7_500_000, 7_600_000, 7_700_000, 8_000_000)]
WENT_ON = [("ok", 8_100_000, 8_110_000)]
Op = tuple[str, int, int]


def kept(ops: list[Op], read_us: int = 30 * US, barriers: tuple[str, ...] = ("1",), more: dict[str, int] | None = None) -> Finding:
    """The finding on writes of which none is lost: a fault in effect from 8.00 s to 8.02 s, gone at 15 s; one node for each barrier, all believed."""
    run = Run(Path("nowhere"), {"id": RUN, "end": {"how": "completed"}}, Block(rpo=Rpo("orders", 0.2, None)))
    run.plan, run.endpoints = {"resolved": [{"activity": "kill", "kind": "held"}]}, []
    run.meta = {"stop_ns": 20 * NS}
    run.events = [
        {"seq": 1, "kind": "effect", "fault": "kill", "lo_ns": 8 * NS, "hi_ns": 8_020_000_000, "t_ns": 8_020_000_000, "proof": "seen"},
        {"seq": 2, "kind": "removed", "fault": "kill", "lo_ns": 15 * NS, "hi_ns": 15 * NS, "t_ns": 15 * NS},
    ]
    run.attempts = [Attempt(f"{RUN}:0:{n}", "orders", sent_us, done_us, word) for n, (word, sent_us, done_us) in enumerate(ops)]
    counts = {one.id: 1 for one in run.attempts if one.outcome == "ok"} | (more or {})
    run.reads = [NodeRead(f"store-{barrier}", {**counts, f"{RUN}:barrier:{barrier}": 1}, True, True, True, read_us) for barrier in barriers]
    told = judge_rpo(case_of(run))
    assert told is not None and told[1]["outcome"] == told[0].outcome
    return told[0]


@pytest.mark.parametrize(
    ("ops", "reasons"),
    [
        pytest.param([*AT_RISK, *WENT_ON], (), id="five were acknowledged in the last second, its first and its last instant included"),
        pytest.param([("ok", 6_900_000, 6_999_999), *AT_RISK[1:], *WENT_ON], ("NO_WRITES_AT_RISK",), id="the first one a microsecond too early"),
        pytest.param([*AT_RISK[:-1], ("ok", 7_990_000, 8_000_001), *WENT_ON], ("NO_WRITES_AT_RISK",), id="the last one a microsecond too late"),
        pytest.param([*AT_RISK, ("ok", 8_000_000, 8_001_000)], (), id="one was sent at the first instant of the effect"),
        pytest.param([*AT_RISK, ("ok", 8_010_000, 8_011_000)], (), id="one was sent inside the bracket of the effect"),
        pytest.param([*AT_RISK, ("ok", 9_020_000, 9_021_000)], (), id="one was sent a second after the last instant of the effect"),
        pytest.param([*AT_RISK, ("ok", 9_020_001, 9_021_000)], ("NO_WRITES_AT_RISK",), id="one was sent later than that"),
        pytest.param(AT_RISK, ("NO_WRITES_AT_RISK",), id="none was sent since"),
        pytest.param([*AT_RISK, *WENT_ON * 3, ("info", 8_000_000, 0)], ("RPO_UNDECIDED",), id="a quarter ended unknown, sent at the first instant"),
        pytest.param([*AT_RISK, *WENT_ON * 4, ("info", 8_000_000, 0)], (), id="a fifth ended unknown"),
        pytest.param([*AT_RISK, *WENT_ON * 4, ("info", 8_500_000, 0), ("info", 15_000_000, 0)], (), id="one that was sent at the removal is outside"),
        pytest.param([*AT_RISK, *WENT_ON * 4, ("info", 8_500_000, 0), ("info", 14_999_999, 0)], ("RPO_UNDECIDED",), id="one sent just before it is inside"),
    ],
)
def test_a_loss_is_excluded_only_where_writes_were_at_risk_and_their_ends_are_known(ops: list[Op], reasons: tuple[str, ...]) -> None:
    found = kept(ops)
    assert (found.outcome, found.reasons) == ("inconclusive" if reasons else "met", reasons)


@pytest.mark.parametrize(
    ("last_us", "read_us", "believed"),
    [
        pytest.param(19 * US, 20 * US, True, id="read at the instant at which the load stopped"),
        pytest.param(19 * US, 20 * US - 1, False, id="read before the load stopped"),
        pytest.param(21 * US, 21 * US, True, id="read at the instant at which the last write ended"),
        pytest.param(21 * US, 21 * US - 1, False, id="read before the last write ended"),
    ],
)
def test_a_read_is_believed_from_the_last_word_of_the_writers_on(last_us: int, read_us: int, believed: bool) -> None:
    found = kept([*AT_RISK, *WENT_ON, ("ok", last_us - 5, last_us)], read_us)
    assert found.reasons == (() if believed else ("READBACK_FAILED",))
    assert believed or found.evidence == ("it was read before the writers had stopped",)


def test_two_nodes_that_differ_in_barrier_writes_only_hold_the_same() -> None:
    assert kept([*AT_RISK, *WENT_ON], barriers=("1", "2")).outcome == "met"


def test_records_that_should_not_be_there_are_told_by_name_three_of_each() -> None:
    refused = [("fail", 8_300_000 + n, 8_400_000) for n in range(4)]
    more = {f"{RUN}:0:{n}": 1 for n in range(6, 10)} | {f"{RUN}:9:{n}": 1 for n in range(4)} | {f"{RUN}:0:0": 2}
    found = kept([*AT_RISK, *WENT_ON, *refused], more=more)
    assert found.reasons == ("WRITES_RESURRECTED", "WRITES_PHANTOM")
    assert found.evidence == (
        "0 of 6 acknowledged writes are gone; 0 writes ended unknown",
        "there although refused: r:0:6, r:0:7, r:0:8",
        "there although never sent: r:9:0, r:9:1, r:9:2",
        "1 are there more than once",
    )
