"""Brackets of effect and removal always hold the true instant, and nothing is claimed without proof."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.prober.bracket import Aim, Bracket, Look, effect_bracket, removal_bracket, together, usual_ns
from chaoslib_ext.prober.looking import LIMIT_NS, answer

MS = 1_000_000
UID = "old"


def ms(sent: float, took: float, ending: str = "answered", incarnation: str = UID, status: int = 200) -> Look:
    answered = ending == "answered"
    return Look(round(sent * MS), round((sent + took) * MS), ending, status if answered else 0, incarnation if answered else "")


def silent(sent: float) -> Look:
    return ms(sent, LIMIT_NS / MS, "silent")


SILENCE, KILL = Aim("silence", UID, 3 * MS), Aim("kill", UID, 3 * MS)


@pytest.mark.parametrize(
    ("aim", "looks", "expected"),
    [
        pytest.param(SILENCE, [ms(90, 2), ms(102, 2), silent(112), silent(122)], (102, 115), id="silence: last answered, first unanswered and the usual time"),
        pytest.param(SILENCE, [ms(90, 2), silent(98), silent(108)], (100, 105), id="never before the intent, never before it was applied"),
        pytest.param(SILENCE, [ms(90, 2), silent(112), ms(115, 2), silent(125), silent(135)], (115, 128), id="a lost look before the edge is none"),
        pytest.param(KILL, [ms(102, 2), ms(112, 1, "closed"), ms(122, 1, "closed")], (102, 113), id="kill: a reset proves it when it arrives"),
        pytest.param(KILL, [ms(102, 2), ms(112, 4, incarnation="new"), ms(122, 1, incarnation="new")], (102, 116), id="kill: a stranger answers"),
        pytest.param(SILENCE, [ms(102, 2), silent(112)], None, id="one look is no proof"),
        pytest.param(SILENCE, [silent(112), silent(122), ms(130, 2)], None, id="it answers again"),
        pytest.param(KILL, [ms(102, 2), ms(112, 2)], None, id="untouched"),
        pytest.param(SILENCE, [ms(102, 2), ms(112, 2, incarnation="new")], None, id="silence: a stranger that answers is no silence"),
        pytest.param(KILL, [ms(80, 1, "closed"), ms(90, 1, "closed")], None, id="what was closed before the intent is not ours"),
    ],
)
def test_an_effect_lies_between_the_last_look_without_and_the_first_with_it(aim: Aim, looks: list[Look], expected: tuple[float, float] | None) -> None:
    found = effect_bracket(looks, aim, 100 * MS, 105 * MS)
    assert (found and (found.lo_ns / MS, found.hi_ns / MS)) == expected


@pytest.mark.parametrize(
    ("aim", "undo", "looks", "expected"),
    [
        pytest.param(SILENCE, 500, [silent(400), silent(510), ms(520, 2), ms(530, 2)], (510, 522), id="last unanswered, first answered"),
        pytest.param(SILENCE, 500, [silent(490), ms(498, 9), ms(510, 2)], (500, 507), id="not before the first undo's try"),
        pytest.param(SILENCE, 500, [silent(510), ms(520, 2), silent(530)], None, id="it stopped answering again"),
        pytest.param(SILENCE, 500, [silent(400), ms(450, 2), ms(460, 2)], (400, 452), id="back before anything was undone"),
        pytest.param(SILENCE, None, [silent(400), ms(450, 2), ms(460, 2)], None, id="two answers of a fault nobody has begun to undo are no return"),
        pytest.param(SILENCE, 500, [silent(510), ms(520, 2, status=503), ms(530, 2, status=503)], None, id="answers, but not well"),
        pytest.param(KILL, None, [ms(400, 1, "closed"), ms(410, 2, incarnation="new"), ms(420, 2, incarnation="new")], (400, 412), id="replaced"),
        pytest.param(Aim("crash", UID), 500, [ms(510, 1, "closed"), ms(520, 2), ms(530, 2)], None, id="crash: the old one cannot come back"),
    ],
)
def test_a_removal_lies_between_the_last_look_away_and_the_first_back(
    aim: Aim, undo: int | None, looks: list[Look], expected: tuple[float, float] | None
) -> None:
    found = removal_bracket(looks, aim, 300 * MS, undo and undo * MS)
    assert (found and (found.lo_ns / MS, found.hi_ns / MS)) == expected


@given(instant=st.integers(100_000, 900_000), answers=st.lists(st.integers(200, 8_000), min_size=100, max_size=100), phase=st.integers(0, 9_999))
def test_the_true_instant_of_a_silence_lies_in_its_bracket(instant: int, answers: list[int], phase: int) -> None:
    """A target that answers within its usual time until the very instant, looked at every 10 ms; in microseconds."""
    looks, calm = [], []
    for number, took in enumerate(answers):
        sent = phase + number * 10_000
        gone = sent + took > instant
        look = Look(sent * 1000, sent * 1000 + (LIMIT_NS if gone else took * 1000), "silent" if gone else "answered", 200, "" if gone else UID)
        looks.append(look)
        calm.append(Look(sent * 1000, (sent + took) * 1000, "answered", 200, UID))
    aim = Aim("silence", UID, usual_ns(calm, LIMIT_NS))
    found = effect_bracket(looks, aim, 0, 0)
    if found is not None:
        assert found.lo_ns <= instant * 1000 <= found.hi_ns


def test_a_whole_fault_spans_its_targets() -> None:
    assert together([Bracket(5, 9), Bracket(3, 4)]) == Bracket(3, 9)


def test_an_answer_without_an_incarnation_comes_from_something_in_between() -> None:
    assert answer(b"HTTP/1.1 503 Service Unavailable\r\nServer: proxy\r\n\r\n", 1, 2) == Look(1, 2, "closed")
    assert answer(b"HTTP/1.1 200 OK\r\nx-incarnation: abc\r\n\r\n", 1, 2) == Look(1, 2, "answered", 200, "abc")
    assert answer(b"nonsense\r\n\r\n", 1, 2) == Look(1, 2, "closed")
