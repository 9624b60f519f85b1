"""Recovery from arrivals: against the definition spelled out, and against outages whose end is known."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoslib_ext.recovery import Question, Recovery, recover
from chaoslib_ext.samples import Known

S = 1_000_000


def known(history: list[tuple[int, bool]], response_us: int = 3) -> Known:
    """Arrivals (intended start, good) that were sent on time and answered after `response_us`."""
    at = [at_us for at_us, _ in history]
    return Known(at, at, [each + response_us for each in at], [int(good) for _, good in history])


def prefixes_hold(history: list[tuple[int, bool]], i: int, target: Fraction, needed: int, stable_us: int) -> bool | None:
    """The definition, word for word: None when the stretch held too few arrivals to be asked."""
    inside = [good for at, good in history[i:] if at < history[i][0] + stable_us]
    asked = [inside[:n] for n in range(needed, len(inside) + 1)]
    return all(Fraction(sum(prefix), len(prefix)) >= target for prefix in asked) if asked else None


def relapses(history: list[tuple[int, bool]], i: int, target: Fraction, needed: int, question: Question) -> bool:
    """Whether a whole stable window, begun after arrival i and over before the limit, misses the target."""
    for at, _ in history:
        if history[i][0] + question.stable_us <= at < question.relapse_before_us:
            window = [good for other, good in history if at - question.stable_us < other <= at]
            if len(window) >= needed and Fraction(sum(window), len(window)) < target:
                return True
    return False


def reference(history: list[tuple[int, bool]], question: Question) -> int | None:
    """The intended start of the recovery by brute force."""
    target = Fraction(str(question.target))
    needed = math.ceil(1 / (1 - target))
    for i, (at, good) in enumerate(history):
        observed = at + question.stable_us <= question.until_us
        if good and observed and prefixes_hold(history, i, target, needed, question.stable_us) and not relapses(history, i, target, needed, question):
            return at
    return None


def histories() -> st.SearchStrategy[list[tuple[int, bool]]]:
    """Runs of mostly good or mostly bad arrivals, 1 to 3 apart, duplicates in time included."""
    spell = st.tuples(st.integers(1, 18), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.integers(0, 3))

    def build(spells: list[tuple[int, float, int]], seed: int) -> list[tuple[int, bool]]:
        rng, at, found = random.Random(seed), 0, []
        for length, share, gap in spells:
            for _ in range(length):
                at += gap
                found.append((at, rng.random() < share))
        return found

    return st.builds(build, st.lists(spell, max_size=7), st.integers(0, 2**32))


@settings(max_examples=2000, deadline=None)
@given(histories(), st.sampled_from([0.5, 0.75, 0.8, 0.9, 0.95]), st.integers(1, 40), st.integers(0, 120), st.integers(0, 60))
def test_the_linear_search_finds_what_the_definition_says(history: list[tuple[int, bool]], target: float, stable: int, relapse: int, extra: int) -> None:
    until = (history[-1][0] if history else 0) + 1 + extra
    question = Question(target, stable, 0, until, relapse)
    assert recover(known(history), question).at_us == reference(history, question)


@settings(max_examples=500, deadline=None)
@given(histories(), st.sampled_from([0.5, 0.8, 0.95]), st.integers(1, 40))
def test_the_bracket_is_never_inside_out_and_never_before_the_clock_starts(history: list[tuple[int, bool]], target: float, stable: int) -> None:
    question = Question(target, stable, 0, (history[-1][0] if history else 0) + 30, 0)
    found = recover(known(history), question)
    assert found.lo_us >= 0 and (found.hi_us is None) == (found.at_us is None)
    assert found.hi_us is None or found.lo_us <= found.hi_us


def arrivals(rate: float, until_s: float, rng: random.Random, poisson: bool) -> list[int]:
    """Intended starts from zero, in microseconds."""
    at, found = rng.random() / rate, []
    while at < until_s:
        found.append(round(at * S))
        at += rng.expovariate(rate) if poisson else 1.0 / rate
    return found


def outage(kind: str, at_us: int, outages: list[tuple[int, int]], rng: random.Random) -> tuple[bool, int]:
    """Whether a request sent at `at_us` is good (answered within 250 ms), and when it ends; times in microseconds."""
    response = rng.randrange(500, 4000)
    for down, up in outages:
        if down <= at_us < up:
            if kind == "kill":
                return False, at_us + 200
            if kind == "freeze":  # held by the kernel, answered once it runs again
                return up + response - at_us <= 250_000, up + response
            return False, at_us + 2 * S  # black hole: the client's own limit
    return True, at_us + response


def truth(kind: str, outages: list[tuple[int, int]], limit_us: int = 250_000) -> tuple[int, int]:
    """When it was good again, as the indicator sees it: a frozen request within its limit of the thaw is already good."""
    up = outages[-1][1]
    return (up - limit_us, up) if kind == "freeze" else (up, up)


@pytest.mark.parametrize("kind", ["kill", "freeze", "hole", "flap"])
@pytest.mark.parametrize("poisson", [False, True], ids=["uniform", "poisson"])
@pytest.mark.parametrize("target", [0.95, 0.99])
def test_the_bracket_contains_the_truth_of_complete_outages(kind: str, poisson: bool, target: float) -> None:
    rng = random.Random(f"{kind} {poisson} {target}")
    for _ in range(25):
        down = rng.randrange(1 * S, 3 * S)
        outages = [(down, down + rng.randrange(2 * S, 9 * S))]
        for _ in range(rng.randrange(1, 4) if kind == "flap" else 0):
            again = outages[-1][1] + rng.randrange(S // 2, 4 * S)
            outages.append((again, again + rng.randrange(S, 3 * S)))
        until = outages[-1][1] / S + 8
        at = [each for each in arrivals(rng.choice([50.0, 200.0]), until, rng, poisson) if each >= down]
        ends = [outage(kind if kind != "flap" else "kill", each, outages, rng) for each in at]
        found = recover(Known(at, at, [end for _, end in ends], [int(good) for good, _ in ends]), Question(target, 5 * S, down, round(until * S), down))
        first, last = truth(kind, outages)
        assert found.hi_us is not None and found.lo_us <= last and first <= found.hi_us, (outages, found)
        if kind in ("kill", "hole"):
            assert found.lo_us <= outages[-1][1] <= found.hi_us


def test_a_complete_outage_is_bracketed_by_its_neighbours_whatever_the_target_and_whatever_was_before() -> None:
    for target in (0.5, 0.95, 0.99, 0.995):
        history = [(i * S // 100, not 5 <= i < 45) for i in range(2000)]
        found = recover(known(history), Question(target, 10 * S, 0, 20 * S, 0))
        assert (found.lo_us, found.hi_us) == (44 * S // 100, 45 * S // 100 + 3)


def steady(shares: list[tuple[float, float]], rate: int = 100, seed: int = 1) -> list[tuple[int, bool]]:
    """Uniform arrivals; each (seconds, share of good ones) in turn."""
    rng, found, begin = random.Random(seed), [], 0
    for seconds, share in shares:
        count = round(seconds * rate)
        found += [((begin + i) * S // rate, rng.random() < share) for i in range(count)]
        begin += count
    return found


def ask(shares: list[tuple[float, float]], target: float = 0.95, stable_s: float = 5, in_force_s: float = 0) -> Recovery:
    """The recovery of a steady history; the fault is in force until `in_force_s`."""
    history = steady(shares)
    return recover(known(history), Question(target, round(stable_s * S), 0, round(sum(seconds for seconds, _ in shares) * S), round(in_force_s * S)))


def test_good_arrivals_between_bad_ones_of_a_partial_outage_are_not_recovery() -> None:
    found = ask([(10, 0.67), (10, 1.0)])
    assert found.at_us is not None and found.hi_us is not None
    assert 9.5 * S <= found.at_us <= 10 * S and found.lo_us <= 10 * S <= found.hi_us + 2 * S / 100


def test_a_good_spell_shorter_than_stable_is_a_false_dawn() -> None:
    found = ask([(3, 0.0), (3, 1.0), (3, 0.0), (10, 1.0)])
    assert found.at_us == 9 * S and found.false_dawns == 1 and found.impact_us == 0


def test_a_relapse_while_the_fault_is_in_force_makes_the_earlier_recovery_a_false_dawn() -> None:
    shares = [(2, 0.0), (12, 1.0), (3, 0.0), (10, 1.0)]
    assert ask(shares, in_force_s=27).at_us == 17 * S
    assert ask(shares, in_force_s=27).false_dawns == 1
    assert ask(shares, in_force_s=13).false_dawns == 0
    assert ask(shares, in_force_s=13).at_us == 2 * S, "a relapse after the fault was taken back is another question"


def test_no_bad_arrival_is_absorbed() -> None:
    found = ask([(12, 1.0)])
    assert (found.at_us, found.lo_us, found.impact_us, found.false_dawns) == (0, 0, None, 0)


def test_a_stretch_that_was_not_observed_to_its_end_is_no_recovery() -> None:
    found = ask([(3, 0.0), (4.9, 1.0)])
    assert found.at_us is None and found.hi_us is None and found.lo_us == 299 * S // 100 and not found.too_few
    assert ask([(3, 0.0), (5, 1.0)]).at_us == 3 * S


def test_a_stretch_with_too_few_arrivals_is_no_recovery() -> None:
    found = ask([(3, 0.0), (8, 1.0)], target=0.999)
    assert found.at_us is None and found.too_few and found.lo_us == 299 * S // 100


def test_a_system_that_stays_bad_is_bounded_by_its_last_bad_arrival() -> None:
    found = ask([(30, 0.0)])
    assert found.at_us is None and found.lo_us == 2999 * S // 100 and not found.too_few
    assert (found.impact_us, found.false_dawns) == (0, 0)


def test_no_arrival_proves_nothing() -> None:
    found = recover(Known([], [], [], []), Question(0.95, 5 * S, 7, 100, 50))
    assert found == Recovery(None, 7, None, False, None, 0)


def test_one_bad_arrival_that_the_target_allows_widens_the_bracket_only() -> None:
    history = [(i * S // 100, i != 3) for i in range(1000)]
    found = recover(known(history), Question(0.95, 5 * S, 0, 10 * S, 0))
    assert found.at_us == 0 and found.lo_us == 0 and found.hi_us == 4 * S // 100 + 3 and found.impact_us is None


def test_a_relapse_that_chance_explains_moves_only_the_late_end() -> None:
    history = [(i * S // 100, not (i < 200 or 1500 <= i < 1530 or i in (1400, 1600))) for i in range(3000)]
    noise = recover(known(history), Question(0.95, 5 * S, 0, 30 * S, 30 * S))
    assert noise.lo_us == 199 * S // 100 and noise.at_us is not None and noise.at_us > 10 * S
    worse = [(at, good and not 1500 <= i < 1600) for i, (at, good) in enumerate(history)]
    clear = recover(known(worse), Question(0.95, 5 * S, 0, 30 * S, 30 * S))
    assert clear.lo_us == 16 * S
    longer = recover(known([(at, good and i != 1601) for i, (at, good) in enumerate(worse)]), Question(0.95, 5 * S, 0, 30 * S, 30 * S))
    assert longer.lo_us == 1601 * S // 100


def ticks(bad: list[int], many: int = 200, sent: dict[int, int] | None = None, took: dict[int, int] | None = None) -> Known:
    """An arrival every 1,000 us; those in `bad` fail, `sent` says how late some were sent, `took` how long after the intended start some ended (300 us)."""
    at = [1000 * i for i in range(many)]
    sent_us = [each + (sent or {}).get(i, 7) for i, each in enumerate(at)]
    return Known(at, sent_us, [each + (took or {}).get(i, 300) for i, each in enumerate(at)], [int(i not in bad) for i in range(many)])


DOWN, HALF, TENTH = list(range(10, 60)), list(range(10, 61, 2)), list(range(10, 101, 10))


def test_the_terms_of_the_error_are_those_of_the_two_arrivals_that_make_the_bracket() -> None:
    found = recover(ticks(DOWN, sent={59: 40, 60: 25}, took={60: 500}), Question(0.95, 100_000, 0, 200_000, 0))
    assert (found.at_us, found.lo_us, found.hi_us) == (60_000, 59_040, 60_500)
    assert (found.gap_us, found.lateness_us, found.response_us, found.too_few) == (1000, 40, 475, False)
    assert recover(ticks(DOWN, took={60: 7}), Question(0.95, 100_000, 0, 200_000, 0)).response_us == 0
    later = recover(ticks(DOWN, sent={59: 12, 60: 90}), Question(0.95, 100_000, 0, 200_000, 0))
    assert (later.lateness_us, later.response_us) == (90, 210)
    calm = recover(ticks([]), Question(0.95, 100_000, 0, 200_000, 0))
    assert (calm.gap_us, calm.lateness_us, calm.response_us) == (0, 7, 293)


def test_false_dawns_are_counted_and_the_impact_is_that_of_the_first_failing_window() -> None:
    dawns = recover(ticks([*range(60), *range(80, 120), *range(150, 200)], many=400), Question(0.95, 100_000, 0, 400_000, 0))
    late = recover(ticks([3, *range(250, 300)], many=500), Question(0.95, 100_000, 0, 500_000, 500_000))
    assert (dawns.false_dawns, dawns.impact_us, late.impact_us, late.at_us) == (2, 0, 250_000, 300_000)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_an_outage_of_the_very_first_arrivals_is_one(many: int) -> None:
    found = recover(ticks(list(range(many))), Question(0.95, 100_000, 0, 200_000, 0))
    assert (found.at_us, found.lo_us, found.hi_us) == (1000 * many, 1000 * (many - 1) + 7, 1000 * many + 300)


def test_a_bad_arrival_counts_until_it_is_the_last_of_as_many_as_it_takes_to_allow_it() -> None:
    assert recover(ticks([*DOWN, 79]), Question(0.95, 100_000, 0, 200_000, 0)).hi_us == 80_300
    assert recover(ticks([*DOWN, 80]), Question(0.95, 100_000, 0, 200_000, 0)).hi_us == 60_300


def test_a_bad_arrival_that_was_sent_after_the_first_good_answer_does_not_turn_the_bracket_inside_out() -> None:
    found = recover(ticks(DOWN, sent={59: 3000}), Question(0.95, 100_000, 0, 200_000, 0))
    assert (found.lo_us, found.hi_us) == (62_000, 62_000)


def test_recovery_is_not_certain_before_its_first_arrival_was_answered() -> None:
    found = recover(ticks([*DOWN, 62], took={60: 9000}), Question(0.95, 100_000, 0, 200_000, 0))
    assert (found.at_us, found.hi_us) == (60_000, 69_000)


@pytest.mark.parametrize(
    ("bad", "target", "stable_us", "at", "proof"),
    [
        pytest.param(HALF, 0.95, 100_000, 59, 89, id="half of them failed: 29 good ones, as if a sixth did"),
        pytest.param(HALF, 1.0, 100_000, 61, 81, id="half of them failed, none may: 21"),
        pytest.param([0, 2, 4, 6, 8], 0.95, 100_000, 7, 37, id="it began with the clock"),
        pytest.param(TENTH, 0.95, 200_000, 91, 169, id="a tenth failed: 69 good ones"),
        pytest.param([*TENTH, 131], 0.95, 200_000, 91, 183, id="a bad one among them counts against it"),
        pytest.param([*TENTH, 140], 0.95, 50_000, 91, 139, id="not certain within the stretch: its last good one"),
        pytest.param([10, 25, 40, 55, 70], 0.95, 200_000, 56, 139, id="fewer than twice the allowed share: as if it were that"),
        pytest.param([60], 1.0, 100_000, 61, 160, id="a single bad one that none may be"),
        pytest.param(list(range(60)), 1.0, 500, 60, 60, id="one arrival in a stretch"),
    ],
)
def test_the_late_end_of_a_partial_outage_waits_until_luck_is_improbable(bad: list[int], target: float, stable_us: int, at: int, proof: int) -> None:
    found = recover(ticks(bad, many=400), Question(target, stable_us, 0, 400_000, 0))
    assert (found.at_us, found.hi_us) == (1000 * at, 1000 * proof + 300)
