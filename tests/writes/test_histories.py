"""
The judging of write histories against a second account of what they mean, and the laws that hold for all of them.

CHAOSX_HISTORIES sets how many the long test draws.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from oracle import RUN, Expected, History, S, draw, expected, told

from chaoslib_ext.block import Block, Rpo
from chaoslib_ext.judging.case import Case, case_of
from chaoslib_ext.judging.rpo import judge_rpo
from chaoslib_ext.rundir import Run
from chaoslib_ext.writelog import Attempt, NodeRead
from chaoslib_ext.writes import classify, missing, recovery_point

FAULT = "lose zone b"


def case(history: History) -> Case:
    """The history as a run that was read; no file is involved."""
    run = Run(Path("nowhere"), {"id": RUN, "end": {"how": "completed"}}, Block(rpo=Rpo("orders", history.objective_s, history.max_writes)))
    run.plan = {"resolved": [{"activity": FAULT, "kind": "held" if history.held else "instant"}]}
    run.meta, run.endpoints = {"stop_ns": 20 * S}, []
    if history.effect is not None:
        lo, hi = history.effect
        run.events = [
            {"seq": 1, "kind": "effect", "fault": FAULT, "lo_ns": lo, "hi_ns": hi, "t_ns": hi, "proof": "seen"},
            {"seq": 2, "kind": "removed", "fault": FAULT, "lo_ns": 15 * S, "hi_ns": 15 * S, "t_ns": 15 * S},
        ]
    run.attempts = [Attempt(op.id, op.ledger, op.sent_us, op.done_us, op.outcome) for op in history.ops]
    run.reads = [
        NodeRead(node.name, node.counts or {}, node.counts is not None, node.settled, node.authority and node.counts is not None, node.t_us)
        for node in history.nodes
    ]
    found = case_of(run)
    found.against.update(history.against)
    return found


def compare(seed: int) -> Expected:
    history = draw(seed)
    want, judged = expected(history), judge_rpo(case(history))
    assert judged is not None
    finding, figures = judged
    assert (finding.outcome, set(finding.reasons)) == (want.outcome, want.reasons), (seed, finding, told(history))
    assert figures["outcome"] == want.outcome
    if want.classes is None:
        assert figures["lost"] is None and figures["nodes"] is None, seed  # not measured is never 0
        return want
    assert {name: figures[name] for name in want.classes} == {name: len(ids) for name, ids in want.classes.items()}, (seed, told(history))
    assert figures["nodes"] == want.nodes, (seed, told(history))
    if want.bracket is not None:
        assert (figures["lo_s"], figures["hi_s"]) == tuple(round(one, 6) for one in want.bracket), (seed, told(history))
        assert figures["lost_after_fault"] == want.after, (seed, told(history))
    exactly(history, want)
    return want


def exactly(history: History, want: Expected) -> None:
    """The classes by id, and not only by number."""
    assert want.classes is not None
    mine = [Attempt(op.id, op.ledger, op.sent_us, op.done_us, op.outcome) for op in history.ops if op.ledger == "orders"]
    others = {op.id for op in history.ops if op.ledger != "orders"}
    counts = next(node.counts for node in history.nodes if node.authority and node.settled and node.counts is not None)
    assert counts is not None
    found = classify(mine, {id_: n for id_, n in counts.items() if id_ not in others}, RUN)
    assert {name: set(getattr(found, name)) for name in want.classes} == want.classes
    ends = Counter(op.outcome for op in history.ops if op.ledger == "orders")
    assert (found.attempted, found.acknowledged, found.unknown) == (ends.total(), ends["ok"], ends["info"])


def agree(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        want = compare(seed)
        seen.update([want.outcome, *want.reasons, *(name for name, ids in (want.classes or {}).items() if ids)])
    everything = {
        "met", "missed", "inconclusive", "RPO_MISSED", "RPO_UNDECIDED", "WRITES_PHANTOM", "WRITES_RESURRECTED", "READBACK_FAILED", "NO_WRITES_AT_RISK",
        "EFFECT_UNPROVEN", "WORKER_LOST", "lost", "recovered", "never_seen", "resurrected", "phantom", "duplicated",
    }  # fmt: skip
    assert everything <= seen.keys() and min(seen[name] for name in everything) >= len(seeds) // 500, seen


def test_five_thousand_histories_are_judged_as_their_definitions_say() -> None:
    agree(range(5000))


@pytest.mark.slow
def test_fifty_thousand_more_histories_are_judged_as_their_definitions_say() -> None:
    agree(range(100_000, 100_000 + int(os.environ.get("CHAOSX_HISTORIES", "50000"))))


def ok(id_: str, at_us: int) -> Attempt:
    return Attempt(f"{RUN}:0:{id_}", "orders", at_us - 10, at_us, "ok")


def test_nothing_lost_is_no_age_at_all() -> None:
    assert recovery_point([ok("1", 5)], [], (0, 10)).hi_s == 0.0


@pytest.mark.parametrize(
    ("sent_us", "noted_us", "lo_s", "hi_s", "place"),
    [
        pytest.param(8_900_000, 9_000_000, 1.0, 1.6, "before", id="a second before the bracket"),
        pytest.param(9_999_000, 10_000_000, 0.0, 0.501, "before", id="noted at its very begin"),
        pytest.param(10_000_000, 10_000_001, 0.0, 0.5, "around", id="noted just inside"),
        pytest.param(9_000_000, 10_000_001, 0.0, 1.5, "around", id="sent long before, noted just inside"),
        pytest.param(9_000_000, 12_000_000, 0.0, 1.5, "around", id="sent long before, noted long after: acknowledged whenever in between"),
        pytest.param(10_500_000, 10_600_000, 0.0, 0.0, "around", id="sent at its very end"),
        pytest.param(10_500_001, 10_600_000, 0.0, 0.0, "after", id="sent just after it"),
    ],
)
def test_an_acknowledgement_came_between_sending_and_noting_and_the_age_counts_from_the_first_that_is_lost(
    sent_us: int, noted_us: int, lo_s: float, hi_s: float, place: str
) -> None:
    point = recovery_point([Attempt("1", "orders", sent_us, noted_us, "ok")], ["1"], (10 * S, 10 * S + S // 2))
    assert (round(point.lo_s, 6), round(point.hi_s, 6)) == (lo_s, hi_s)
    assert {"before": point.before, "around": point.around, "after": point.after}[place] == 1
    assert point.before + point.around + point.after == 1


def test_the_first_to_be_sent_and_the_first_to_be_noted_may_be_two_writes() -> None:
    slow, quick = Attempt("1", "orders", 7_000_000, 9_500_000, "ok"), Attempt("2", "orders", 8_000_000, 8_100_000, "ok")
    point = recovery_point([slow, quick], ["1", "2"], (10 * S, 10 * S))
    assert (point.lo_s, point.hi_s, point.first_ns, point.last_ns) == (1.9, 3.0, 8_100_000_000, 9_500_000_000)


def test_a_kept_write_between_lost_ones_is_no_clean_point_in_time() -> None:
    point = recovery_point([ok("1", 1), ok("2", 2), ok("3", 3)], [f"{RUN}:0:1", f"{RUN}:0:3"], (S, S))
    assert (point.kept_between, point.first_ns, point.last_ns, point.span_s) == (1, 1000, 3000, 2e-6)


def test_what_was_acknowledged_with_the_first_or_the_last_lost_one_is_not_between_them_and_what_failed_is_not_kept() -> None:
    failed = Attempt(f"{RUN}:0:5", "orders", 1, 2, "fail")
    point = recovery_point([ok("1", 1), ok("2", 1), ok("3", 3), ok("4", 3), failed], [f"{RUN}:0:1", f"{RUN}:0:3"], (S, S))
    assert point.kept_between == 0


def test_a_record_that_was_found_no_times_is_not_there() -> None:
    assert classify([ok("1", 1)], {f"{RUN}:0:1": 0}, RUN).lost == (f"{RUN}:0:1",)


def test_an_unknown_write_is_never_lost_and_never_missing() -> None:
    unknown = Attempt(f"{RUN}:0:1", "orders", 1)
    found = classify([unknown], {}, RUN)
    assert (found.lost, found.never_seen, missing([unknown], {})) == ((), (unknown.id,), 0)
