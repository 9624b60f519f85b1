"""What stands beside a recovery, on histories small enough to be counted by hand: its early end, impact, false dawns, and the terms of its bracket."""

from __future__ import annotations

import pytest

from chaoslib_ext.recovery import Question, Recovery, recover
from chaoslib_ext.samples import Known

RESPONSE_US = 3


def asked(told: list[tuple[int, str]], target: float, stable_us: int, relapse_before_us: int = 10**6, until_us: int = 10**6) -> Recovery:
    """The recovery of arrivals that were sent on time and answered 3 µs later; `g` is good, `b` is bad."""
    at = [at_us for at_us, _ in told]
    known = Known(at, at, [each + RESPONSE_US for each in at], [int(word == "g") for _, word in told])
    return recover(known, Question(target, stable_us, 0, until_us, relapse_before_us))


def each_us(words: str, step_us: int = 1) -> list[tuple[int, str]]:
    return [(n * step_us, word) for n, word in enumerate(words)]


@pytest.mark.parametrize(
    ("target", "bad", "of", "clearly"),
    [
        pytest.param(0.75, 13, 16, False, id="nine more than allowed, as many as four standard deviations and one"),
        pytest.param(0.75, 14, 16, True, id="ten more than allowed"),
        pytest.param(0.95, 7, 27, True, id="5.65 more than allowed, 5.6476 is the limit"),
        pytest.param(0.95, 6, 27, False, id="4.65 more than allowed"),
    ],
)
def test_a_relapse_moves_the_early_end_only_when_chance_does_not_explain_it(target: float, bad: int, of: int, clearly: bool) -> None:
    words = "b" + "g" * (2 * of) + "b" * bad + "g" * (of - bad) + "g" * (3 * of)
    found = asked(each_us(words), target, of)
    last_of_the_relapse = 2 * of + bad
    assert found.lo_us == (last_of_the_relapse if clearly else 0)
    assert found.at_us is not None and found.at_us > last_of_the_relapse - of


def test_the_early_end_is_the_last_bad_arrival_before_the_first_one_that_nothing_refutes() -> None:
    """Arrival 12 is refuted by the two bad ones among its first twenty; 13 has but eighteen behind it, which prove nothing either way."""
    found = asked(each_us("g" * 11 + "b" + "g" * 13 + "bb" + "g" * 5), 0.95, 1000)
    assert (found.lo_us, found.at_us, found.too_few) == (11, None, True)


def test_a_window_that_begins_just_behind_an_arrival_refutes_it() -> None:
    """Twenty bad ones at one instant, exactly one `stable` behind the first arrival, whose own stretch is all good."""
    told = [*each_us("g" * 10), *[(10, "b")] * 20, *[(11 + n, "g") for n in range(40)]]
    assert asked(told, 0.95, 10, relapse_before_us=11).lo_us == 10


def test_a_window_holds_all_arrivals_of_its_last_instant() -> None:
    """With the last arrival, which is good, the window (0, 10] is as good as it must be; without it, it is not."""
    assert asked([(0, "g"), (1, "g"), (9, "b"), (10, "b"), (10, "g")], 0.5, 10, until_us=20).at_us == 0


@pytest.mark.parametrize(
    ("words", "impact_us"),
    [
        pytest.param("bb" + "g" * 40, 0, id="two of the first twenty"),
        pytest.param("b" + "g" * 40, None, id="one of the first twenty is allowed"),
        pytest.param("g" * 30 + "bb" + "g" * 40, 30, id="two of twenty, later"),
        pytest.param("g" * 5 + "b" + "g" * 40 + "bb" + "g" * 60, 46, id="one that is allowed long before is no impact"),
        pytest.param("g" * 60 + "bb" + "g" * 60 + "bb" + "g" * 60, 60, id="the first of two relapses"),
    ],
)
def test_the_impact_is_the_first_bad_arrival_of_the_first_failing_window(words: str, impact_us: int | None) -> None:
    assert asked(each_us(words), 0.95, 20).impact_us == impact_us


def test_a_window_that_fails_once_the_fault_was_taken_back_is_no_impact() -> None:
    found = asked(each_us("g" * 60 + "bb" + "g" * 60), 0.95, 20, relapse_before_us=30)
    assert (found.at_us, found.impact_us) == (0, None)


@pytest.mark.parametrize(
    ("told", "dawns", "target"),
    [
        pytest.param(each_us("b" * 30 + "g" * 200, 10), 0, 0.5, id="an outage"),
        pytest.param(each_us("b" * 30 + "gg" + "b" * 30 + "g" * 200, 30), 1, 0.5, id="a good spell of more than a tenth of stable"),
        pytest.param(each_us("b" * 30 + "gg" + "b" * 30 + "g" * 200, 20), 0, 0.5, id="a good spell of less than a tenth of stable"),
        pytest.param(each_us("b" * 30 + "gg" + "b" * 30 + "g" * 200, 25), 1, 0.5, id="a good spell of just a tenth of stable"),
        pytest.param(each_us("b" * 31 + "gg" + "b" * 30 + "g" * 200, 30), 1, 0.5, id="the same, one arrival later"),
        pytest.param(each_us("b" * 30 + "gb" + "b" * 30 + "g" * 200, 60), 1, 0.5, id="a spell that is as good as it must be"),
        pytest.param(each_us("b" * 60 + "gb" + "g" * 23 + "b" + "g" * 200, 10), 0, 0.95, id="a spell that the recovery is a part of"),
        pytest.param(each_us("g" * 60), 0, 0.5, id="never bad"),
        pytest.param(each_us("b" * 30 + "gg" + "b" * 30, 30), 1, 0.5, id="without any recovery after it"),
        pytest.param(each_us("b" * 30 + "gg" + "b" * 30 + "ggg" + "b" * 30 + "g" * 200, 30), 2, 0.5, id="two of them"),
        pytest.param(each_us("b" * 30 + "gbb" * 30 + "b" * 30 + "g" * 200, 60), 0, 0.75, id="one good in three is no dawn at any time"),
        pytest.param(
            [*each_us("b" * 10), *[(9 + 110 + n, word) for n, word in enumerate("ggbbbbbb" + "g" * 2000)]],
            0,
            0.5,
            id="the silence before a spell is none of it",
        ),
    ],
)
def test_a_false_dawn_is_a_good_spell_of_at_least_a_tenth_of_stable_that_ends(told: list[tuple[int, str]], dawns: int, target: float) -> None:
    assert asked(told, target, 1000).false_dawns == dawns


def test_the_terms_of_a_bracket_are_those_of_the_arrivals_that_made_it() -> None:
    at = [0, 100, 200, 300, 400, 500]
    sent = [7, 105, 211, 302, 401, 500]
    ends = [90, 190, 260, 340, 440, 540]
    found = recover(Known(at, sent, ends, [0, 0, 1, 1, 1, 1]), Question(0.5, 300, 0, 1000, 0))
    assert (found.at_us, found.lo_us, found.hi_us) == (200, 105, 260)
    assert (found.gap_us, found.lateness_us, found.response_us) == (100, 11, 49)
    assert (found.impact_us, found.false_dawns, found.too_few) == (0, 0, False)


def test_the_lateness_of_the_last_bad_arrival_counts_too() -> None:
    found = recover(Known([0, 100, 200, 300, 400], [0, 130, 200, 300, 400], [9, 139, 209, 309, 409], [0, 0, 1, 1, 1]), Question(0.5, 200, 0, 1000, 0))
    assert (found.lo_us, found.lateness_us, found.response_us) == (130, 30, 9)


def test_what_never_failed_was_recovered_at_its_first_arrival() -> None:
    found = recover(Known([50, 150, 250], [52, 150, 250], [60, 160, 260], [1, 1, 1]), Question(0.5, 200, 10, 1000, 0))
    assert (found.at_us, found.lo_us, found.hi_us, found.impact_us, found.gap_us, found.lateness_us, found.response_us) == (50, 10, 60, None, 40, 2, 8)


def test_the_late_end_waits_for_the_answer_of_the_recovered_arrival_itself_too() -> None:
    """The bad one among the first two moves the proof to the arrival behind it, which is answered sooner than the first."""
    found = recover(
        Known([0, 100, 200, 300, 400, 500], [0, 100, 200, 300, 400, 500], [9, 109, 990, 309, 409, 509], [0, 0, 1, 0, 1, 1]), Question(0.5, 300, 0, 1000, 0)
    )
    assert (found.at_us, found.hi_us, found.gap_us, found.response_us) == (200, 990, 300, 9)


def test_a_bad_arrival_that_was_sent_late_keeps_the_ends_in_their_order() -> None:
    found = recover(Known([0, 100, 200, 300, 400], [0, 350, 200, 300, 400], [9, 359, 200, 309, 409], [0, 0, 1, 1, 1]), Question(0.5, 200, 0, 1000, 0))
    assert (found.lo_us, found.hi_us, found.response_us) == (350, 350, 0)


def test_a_promise_of_everything_needs_one_arrival_and_one_of_little_no_wait_for_luck() -> None:
    assert asked([(0, "g")], 1.0, 5).at_us == 0
    found = asked(each_us("b" * 20 + "bgb" * 9 + "b" + "g" * 90), 0.4, 50, relapse_before_us=0)
    assert found.at_us is not None and found.hi_us == found.at_us + RESPONSE_US


@pytest.mark.parametrize(
    ("words", "until_us", "too_few", "lo_us"),
    [
        pytest.param("bbbb" + "g" * 3, 20, True, 3, id="a stretch that was observed and holds three of four"),
        pytest.param("bbbb" + "g" * 3, 10, False, 3, id="a stretch that was not observed to its end"),
        pytest.param("bbbbbbb", 20, False, 6, id="never good"),
        pytest.param("", 20, False, 0, id="no arrival at all"),
    ],
)
def test_without_a_recovery_it_says_whether_arrivals_were_all_that_was_lacking(words: str, until_us: int, too_few: bool, lo_us: int) -> None:
    found = asked(each_us(words), 0.75, 7, until_us=until_us)
    assert (found.at_us, found.hi_us, found.too_few, found.lo_us) == (None, None, too_few, lo_us)
    assert found.impact_us == (0 if words else None)


OF_TWENTY = {n: "b" * 60 + "g" * (20 - n) + "b" * n + "b" for n in (1, 6, 7, 15, 19)}


@pytest.mark.parametrize(
    ("before", "after", "stable", "nth"),
    [
        pytest.param("b" * 60, "g" * 200, 100, 1, id="a complete outage: the first good one proves it"),
        pytest.param(OF_TWENTY[19], "g" * 200, 100, 12, id="19 of the last 20 failed"),
        pytest.param(OF_TWENTY[15], "g" * 200, 100, 16, id="15 of the last 20 failed"),
        pytest.param(OF_TWENTY[7], "g" * 200, 100, 51, id="7 of the last 20 failed"),
        pytest.param(OF_TWENTY[6], "g" * 200, 100, 69, id="6 of the last 20 failed: a third of it is twice what the target allows"),
        pytest.param(OF_TWENTY[1], "g" * 200, 100, 69, id="1 of the last 20 failed: twice what the target allows"),
        pytest.param("gbbb" + "b", "g" * 200, 100, 16, id="3 of the only 4 failed"),
        pytest.param("gb" + "b", "g" * 200, 100, 29, id="1 of the only 2 failed"),
        pytest.param("b", "g" * 200, 100, 1, id="nothing was seen before the only bad one"),
        pytest.param(OF_TWENTY[1], "g" * 200, 40, 40, id="the end of the stretch comes before"),
        pytest.param(OF_TWENTY[1], "g" * 39 + "b" + "g" * 200, 40, 39, id="the last good one of the stretch, where its last one is bad"),
        pytest.param(OF_TWENTY[1], "g" * 40 + "b" + "g" * 200, 100, 83, id="a bad one in the wait sets it back"),
        pytest.param(OF_TWENTY[15], "g" * 9 + "b" + "g" * 200, 100, 26, id="a bad one among the first twenty: the wait begins behind it"),
        pytest.param("b" * 60, "g" * 9 + "b" + "g" * 200, 100, 11, id="a bad one among the first twenty behind a complete outage"),
        pytest.param("b" * 60, "g" * 10 + "b" + "g" * 200, 100, 12, id="the same, one arrival later"),
        pytest.param("gb", "g" * 18 + "b" + "g" * 200, 100, 48, id="the only one before was good: as if 1 of 2 had failed, and a third of that"),
        pytest.param("b" * 60, "g" * 19 + "b" + "g" * 200, 100, 21, id="a bad one as the twentieth"),
        pytest.param("b" * 60, "g" * 20 + "b" + "g" * 200, 100, 1, id="a bad one behind the first twenty"),
    ],
)
def test_the_late_end_waits_for_as_many_good_arrivals_as_luck_gives_once_in_forty_times(before: str, after: str, stable: int, nth: int) -> None:
    """The wait is for n good ones with (0.95 / (1 - share)) ** n >= 40; the share is a third of what just failed, a bad one costs share / 0.05."""
    found = asked(each_us(before + after), 0.95, stable, relapse_before_us=0)
    assert found.at_us == len(before)
    assert found.hi_us == len(before) + nth - 1 + RESPONSE_US


def test_a_promise_of_everything_waits_for_the_most_good_arrivals_that_the_stretch_holds() -> None:
    """Where no failure is allowed, a third of 15 in 20 is a quarter: (1 / 0.75) ** 13 >= 40."""
    found = asked(each_us(OF_TWENTY[15] + "g" * 200), 1.0, 100, relapse_before_us=0)
    assert (found.at_us, found.hi_us) == (len(OF_TWENTY[15]), len(OF_TWENTY[15]) + 12 + RESPONSE_US)
