"""Effect and removal of a fault that hits a share of the requests: proven by enough looks, bracketed truly, never by one pause of the machine."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoslib_ext.ledger import Frame
from chaoslib_ext.prober.bracket import CHANCE, EFFECT_MOST, REMOVAL_MOST, Aim, Look, chance_of_at_most, effect_bracket, looks_needed, removal_bracket
from chaoslib_ext.prober.looking import answer
from chaoslib_ext.prober.watching import watch_of

MS = 1_000_000
REPLICA = "replica"


def look(sent_ms: float, took_ms: float = 2, status: int = 200, incarnation: str = REPLICA, ending: str = "answered") -> Look:
    return Look(round(sent_ms * MS), round((sent_ms + took_ms) * MS), ending, status, incarnation)


def aborted(sent_ms: float) -> Look:
    return look(sent_ms, 1, 503, "")


def delay(share: float = 1.0, usual_ms: float = 5) -> Aim:
    return Aim("delay", "envoy", round(usual_ms * MS), share, 100 * MS)


def abort(share: float = 1.0) -> Aim:
    return Aim("abort", "envoy", 5 * MS, share, 0, 503)


@pytest.mark.parametrize(
    ("share", "most", "looks"), [(1.0, None, 1), (0.5, None, 20), (0.2, None, 62), (0.01, None, 1375), (0.01, EFFECT_MOST, 200), (1e-6, REMOVAL_MOST, 1400)]
)
def test_so_many_looks_cannot_all_miss_a_share(share: float, most: int | None, looks: int) -> None:
    assert looks_needed(share, most) == looks
    if most is None and share < 1:
        assert (1 - share) ** looks < CHANCE <= (1 - share) ** (looks - 1)


@pytest.mark.parametrize(
    ("count", "looks", "share", "chance"), [(0, 20, 0.5, 0.5**20), (20, 20, 0.5, 1.0), (1, 3, 0.5, 0.5), (2, 3, 1.0, 0.0), (3, 3, 1.0, 1.0), (0, 0, 0.3, 1.0)]
)
def test_the_chance_of_so_few_affected_looks(count: int, looks: int, share: float, chance: float) -> None:
    assert chance_of_at_most(count, looks, share) == pytest.approx(chance)


@pytest.mark.parametrize(
    ("aim", "shown", "holds", "returned"),
    [
        pytest.param(delay(), look(0, 97), True, False, id="delayed, a little short"),
        pytest.param(delay(), look(0, 79), False, True, id="slow, but not delayed"),
        pytest.param(delay(), look(0, 300, ending="silent", status=0, incarnation=""), False, False, id="delay: no answer says nothing"),
        pytest.param(delay(), look(0, 1, 503, ""), False, False, id="delay: an answer of the proxy itself says nothing"),
        pytest.param(abort(), aborted(0), True, False, id="aborted"),
        pytest.param(abort(), look(0, 1, 503), False, True, id="a 503 of the replica is no abort"),
        pytest.param(abort(), look(0, 1, 504, ""), False, False, id="another status of the proxy says nothing"),
        pytest.param(abort(), look(0, 1, ending="closed", status=0, incarnation=""), False, False, id="abort: a refused look says nothing"),
    ],
)
def test_a_look_is_affected_or_not_or_says_nothing(aim: Aim, shown: Look, holds: bool, returned: bool) -> None:
    assert (aim.holds(shown), aim.returned(shown)) == (holds, returned)


HALF = [aborted(110 + 10 * n) if n % 2 == 0 else look(110 + 10 * n) for n in range(24)]


@pytest.mark.parametrize(
    ("aim", "looks", "expected"),
    [
        pytest.param(abort(), [look(90), look(102), aborted(112), aborted(122)], (102, 113), id="all: last unaffected, first affected"),
        pytest.param(abort(), [look(102), aborted(112)], None, id="one look is no proof"),
        pytest.param(abort(), [aborted(112), aborted(122), look(130)], None, id="all, and yet one passes"),
        pytest.param(
            delay(), [look(95), look(102), look(112, 101), look(122, 101), look(213, 101)], (102, 133), id="a delay was decided on before it was waited for"
        ),
        pytest.param(delay(), [look(102), *(look(112 + n, 120 - n) for n in range(0, 90, 10))], None, id="many slow looks at the same time have one cause"),
        pytest.param(delay(usual_ms=90), [look(102), look(112, 101), look(222, 101), look(332, 101)], None, id="where calm looks were slow, more is needed"),
        pytest.param(delay(usual_ms=90), [look(102), *(look(112 + 110 * n, 101) for n in range(5))], (102, 133), id="… and five are enough"),
        pytest.param(abort(0.5), HALF, (100, 111), id="half: from the intent to the first affected look"),
        pytest.param(abort(0.5), HALF[:20], None, id="half: not enough looks"),
        pytest.param(abort(0.5), [aborted(101), aborted(112), *(look(120 + n) for n in range(60))], None, id="half: far too few of them affected"),
        pytest.param(abort(0.5), [aborted(80), aborted(90), *(look(110 + 10 * n) for n in range(30))], None, id="what was before the intent is not ours"),
    ],
)
def test_an_effect_on_a_share_is_proven_by_enough_looks(aim: Aim, looks: list[Look], expected: tuple[float, float] | None) -> None:
    found = effect_bracket(looks, aim, 100 * MS, 105 * MS)
    assert (found and (found.lo_ns / MS, found.hi_ns / MS)) == expected


ROW = [look(520 + 10 * n) for n in range(20)]


@pytest.mark.parametrize(
    ("aim", "undo", "looks", "expected"),
    [
        pytest.param(abort(), 500, [aborted(400), aborted(510), look(520), look(530)], (510, 522), id="all: last affected, first unaffected"),
        pytest.param(abort(), 500, [aborted(510), look(520)], None, id="one look is no proof"),
        pytest.param(delay(), 500, [look(505, 101), look(520), look(530)], (505, 522), id="the delayed look ends after the first quick one"),
        pytest.param(delay(usual_ms=90), 500, [look(515, 101), look(520), look(530)], (500, 522), id="where calm looks were slow, a slow look proves nothing"),
        pytest.param(abort(0.5), 500, [aborted(510), *ROW], (510, 712), id="half: a row that chance cannot make"),
        pytest.param(abort(0.5), 500, [aborted(510), *ROW[:19]], None, id="half: one look too few"),
        pytest.param(abort(0.5), 500, [*ROW, aborted(720)], None, id="half: affected again"),
        pytest.param(abort(0.5), None, [aborted(510), *ROW], None, id="nobody has begun to undo: twenty are not steady"),
        pytest.param(abort(0.5), None, [aborted(510), *ROW, *(look(720 + 10 * n) for n in range(20))], (510, 712), id="… and forty are"),
        pytest.param(
            abort(0.0001), None, [look(510 + n) for n in range(1500)], None, id="a share that no row of ours can exclude is not called gone by itself"
        ),
    ],
)
def test_a_removal_is_a_row_of_unaffected_looks(aim: Aim, undo: int | None, looks: list[Look], expected: tuple[float, float] | None) -> None:
    found = removal_bracket(looks, aim, 300 * MS, undo and undo * MS)
    assert (found and (found.lo_ns / MS, found.hi_ns / MS)) == expected


@settings(max_examples=60, deadline=None)
@given(
    share=st.sampled_from([0.05, 0.2, 0.5, 1.0]),
    rule=st.sampled_from(["delay", "abort"]),
    seed=st.integers(0, 10**6),
    begin=st.integers(100, 900),
    phase=st.integers(0, 9),
)
def test_the_true_instants_lie_in_their_brackets(share: float, rule: str, seed: int, begin: int, phase: int) -> None:
    """A look every 10 ms that takes 1 to 8 ms; affected by its share from the instant `begin` on, until `end`; in milliseconds."""
    draw, end = random.Random(seed), begin + 4000
    aim = delay(share, 10) if rule == "delay" else abort(share)
    looks = []
    for sent in range(phase, end + 4000, 10):
        arrives, took = sent + draw.random(), draw.uniform(1, 8)
        hit = begin <= arrives < end and draw.random() < share
        looks.append(look(sent, took) if not hit else aborted(sent) if rule == "abort" else look(sent, 97 + took))
    effect = effect_bracket([one for one in looks if one.done_ns < end * MS], aim, 50 * MS, 60 * MS)
    assert effect is not None
    assert effect.lo_ns <= begin * MS <= effect.hi_ns
    removed = removal_bracket(looks, aim, effect.hi_ns, (end - 2) * MS)
    assert removed is not None
    assert removed.lo_ns <= end * MS <= removed.hi_ns


def test_an_answer_of_the_proxy_itself_counts_when_it_is_looked_through() -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\n\r\n"
    assert answer(head, 1, 2) == Look(1, 2, "closed")
    assert answer(head, 1, 2, through=True) == Look(1, 2, "answered", 503, "")


def target(uid: str) -> dict[str, object]:
    return {"uid": uid, "name": uid, "probe": {"host": "127.0.0.1", "port": 1, "path": "/catalog/0"}}


def row(activity: str, how: str, **traffic: float) -> dict[str, object]:
    return {
        "activity": activity,
        "how": how,
        "kind": "held",
        "duration_s": 5.0,
        "traffic": {"share": 1.0, "delay_s": 0.0, "status": 0, **traffic},
        "targets": [target("envoy")],
    }


def test_two_faults_of_one_envoy_are_looked_at_each_by_itself() -> None:
    views: dict = {}
    slow, bad = watch_of(row("slow", "delay", delay_s=2.0), views), watch_of(row("bad", "abort", status=503), views)
    assert len(views) == 2
    assert [view.uid for watch in (slow, bad) for view in watch.views] == ["envoy", "envoy"]
    assert (slow.views[0].limit_ns, slow.views[0].pause_ns, bad.views[0].pause_ns) == (3500 * MS, 100 * MS, 0)
    assert (slow.aim(slow.views[0]).slow_ns, bad.aim(bad.views[0]).status) == (1600 * MS, 503)


def test_a_share_is_in_effect_while_any_look_of_late_was_affected() -> None:
    watch = watch_of(row("half", "abort", status=503, share=0.5), {})
    watch.read([Frame("half", "INTENT", "mesh.strip_fault", t_ns=5 * MS)])
    view = watch.views[0]
    for one in [aborted(10), *(look(20 + 10 * n) for n in range(19))]:
        view.add(one, calm=False)
    assert (watch.in_effect(), watch.tally()) == (1, (1, 20))
    view.add(look(300), calm=False)
    assert watch.in_effect() == 0
