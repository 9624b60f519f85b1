"""The first screen reads right for each way in which a run can end, and beside the runs before it."""

from __future__ import annotations

from dataclasses import replace

import more_runs
import pytest
import sample_run
from pages import Page

from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.page import draw
from chaoslib_ext.report.standing import standing

RUNS = {**sample_run.RUNS, **more_runs.RUNS}


def first_screen(facts: Facts) -> str:
    """The words above the fold."""
    return Page(draw(facts)).text.split(" Objectives ")[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pass", ["PASS", "57 of 3,560 checkout journeys failed", "Every objective was met and every proof is in."]),
        ("fail", ["FAIL", "did not recover by itself: it took 40.4–40.9 s", "1,068 of 3,560 checkout journeys failed", "Next:"]),
        ("inconclusive", ["INCONCLUSIVE", "No verdict.", "was never seen in effect from outside", "EFFECT_UNPROVEN", "Next:"]),
        (
            "aborted",
            ["ABORTED stopped by a rule", "The stop rule “error_ratio 20% for 5s” ended the run at T+26.2 s: error ratio 72 %", "Every fault was taken back."],
        ),
        ("stopped-by-person", ["ABORTED stopped by a person", "A person stopped the run at T+26.2 s (abort requested: payment incident in the shop)"]),
        ("stopped-by-signal", ["ABORTED stopped by a signal", "A signal stopped the run at T+26.2 s (SIGINT)."]),
        (
            "not-begun",
            ["INCONCLUSIVE not begun", "The run was not begun, and nothing was touched.", "blackout window", "Month end", "Next: Run outside of it."],
        ),
        ("killed", ["ABORTED cut off", "Stopped: the supervisor died; the healer took everything back."]),
        ("error", ["ERROR cut off", "Nothing can be concluded about the system under test."]),
        ("dirty", ["DIRTY", "Look at the target before anything else runs on it.", "Environment not proven clean. Run chaosx recover"]),
        ("control", ["PASS control: a-a", "Control run (a-a), not a test of resilience."]),
        ("expected-failure", ["FAIL", "The experiment file expects FAIL (a self-test of the tool)."]),
        ("lossy", ["312 of 1,502 acknowledged writes were lost.", "Data loss (RPO) 312 writes, 3.1–3.3 s"]),
        ("compared", ["Last comparable run (2026-11-15 06:31 UTC): FAIL too; findings: 2 new, 1 fixed, 1 the same."]),
    ],
)
def test_the_first_screen_says_how_the_run_ended_and_why(name: str, said: list[str]) -> None:
    text = first_screen(RUNS[name]())
    assert [words for words in said if words not in text] == []


@pytest.mark.parametrize(
    "reason", ["LOCK_HELD", "EARLIER_RUN_DIRTY", "FUSE_MISSING", "PREFLIGHT_FAILED", "CAPS_EXCEEDED", "PROTECTED", "NOT_APPROVED", "BLACKOUT"]
)
def test_a_run_that_was_not_begun_says_so_and_never_that_a_fault_was_missing(reason: str) -> None:
    text = first_screen(more_runs.not_begun(reason, "why"))
    assert "INCONCLUSIVE not begun" in text and "No fault was seen" not in text


def test_a_run_with_an_injected_fault_is_never_called_not_begun() -> None:
    base = sample_run.undecided()
    assert "not begun" not in first_screen(replace(base, result={**base.result, "reasons": ["PREFLIGHT_FAILED"]}))


@pytest.mark.parametrize("name", sorted(RUNS))
def test_there_are_at_most_six_tiles_and_each_has_a_value(name: str) -> None:
    html = draw(RUNS[name]())
    assert html.count('<dd class="value">') == html.count("<dt ") <= 6
    assert '<dd class="value"></dd>' not in html


def test_what_is_green_is_a_pass_and_nothing_else() -> None:
    for name, make in RUNS.items():
        body = draw(make()).split("</style>", 1)[1]
        assert ("v-pass" in body) == (name == "pass"), name


def test_a_finding_says_new_same_or_fixed_beside_the_last_comparable_run() -> None:
    text = Page(draw(more_runs.compared())).text.split("Findings")[-1]
    assert "✗ missed checkout-availability, during the fault same as last time, in the last 2 comparable runs too" in text
    assert "✗ missed Recovery time (RTO), from the effect new" in text
    assert "Fixed since the last comparable run ✓ checkout-latency" in text


@pytest.mark.parametrize(
    ("before", "now", "word"),
    [
        ("met", "met", "same as last time"),
        ("missed", "missed", "same as last time"),
        ("inconclusive", "inconclusive", "same as last time"),
        ("met", "missed", "new"),
        ("met", "inconclusive", "new"),
        ("missed", "met", "fixed"),
        ("missed", "inconclusive", "missed last time, undecided now"),
        ("inconclusive", "met", "undecided last time"),
        ("inconclusive", "missed", "undecided last time"),
        (None, "met", "not compared last time"),
        (None, "missed", "new"),
        (None, "inconclusive", "new"),
    ],
)
def test_only_what_was_met_becomes_new_and_only_what_was_missed_is_fixed(before: str | None, now: str, word: str) -> None:
    base = more_runs.compared()
    last = replace(base.history[-1], findings={"other": "met"} | ({} if before is None else {"rto": before}))
    assert standing(replace(base, history=(*base.history[:-1], last)), {"id": "rto", "outcome": now}) == word


def test_a_run_of_other_files_is_left_out_of_the_trend_and_calls_nothing_new() -> None:
    base = more_runs.compared()
    text = Page(draw(replace(base, header={**base.header, "experiment": {"path": "zone-loss.yaml", "sha256": "0" * 64}}))).text
    assert "5 earlier runs of this experiment are not comparable" in text and "5 earlier runs of this experiment are left out" in text
    assert "nothing is called new or fixed" in text


def test_the_trend_says_what_changed_against_the_median() -> None:
    text = Page(draw(more_runs.compared())).text
    assert "Worse (+718 %, outside the usual spread): the median of 5 runs is 5 s." in text


def test_the_command_that_repeats_the_run_names_the_seed_that_was_drawn() -> None:
    base = sample_run.facts()
    text = Page(draw(replace(base, header={**base.header, "command": ["chaosx", "run", "x.yaml"], "seed": 77}))).text
    assert "chaosx run x.yaml --seed 77" in text


def test_times_are_told_in_utc_and_in_the_zone_that_was_recorded() -> None:
    base = sample_run.facts()
    clock = {**base.header["clock"], "zone": {"name": "CET", "offset_s": 3600}}
    text = Page(draw(replace(base, header={**base.header, "clock": clock}))).text
    assert "2026-11-24 06:31:02.250 UTC (07:31:02 CET, UTC+01:00)" in text


def test_names_from_right_to_left_and_without_a_break_stay_whole() -> None:
    html = draw(more_runs.foreign_script())
    assert more_runs.HEBREW in Page(html).text and not Page(html).crossed


def test_the_services_that_a_zone_took_with_it_stand_above_the_title() -> None:
    base = sample_run.facts()
    row = {**base.plan["resolved"][0], "service": "", "of": {"shop": {"total": 6, "hit": 2}, "cart": {"total": 3, "hit": 1}}}
    html = draw(replace(base, plan={"resolved": [row]}))
    assert Page(html).text.startswith("cart, shop · sandbox · ")


@pytest.mark.parametrize("name", ["fail", "inconclusive", "aborted", "error", "dirty", "not-begun", "stopped-by-person", "killed"])
def test_the_first_screen_says_what_to_do_next_and_no_reason_twice(name: str) -> None:
    facts = RUNS[name]()
    text = first_screen(facts)
    assert text.count("Next:") == len(facts.result["reasons"])
    for code in facts.result["reasons"]:
        assert text.count(code) == 1 and text.count(REASONS[code].sentence.replace("`", "").rstrip(".")) <= 1


def test_a_missed_row_is_told_by_its_numbers_and_a_code_by_its_words_once() -> None:
    rows = Page(draw(sample_run.undecided())).text.split(" Objectives Findings")[1].split("What could not be proven")[0]
    assert rows.count("EFFECT_UNPROVEN") == 5 and rows.count(REASONS["EFFECT_UNPROVEN"].sentence) == 1
    assert "MISSED" not in Page(draw(sample_run.failing())).text.split(" Objectives Findings")[1].split(" Timeline ")[0]
