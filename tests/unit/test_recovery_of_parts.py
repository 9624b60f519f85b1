"""
Recovery from outages of a part: how often the bracket holds the truth, from seeds.

A failing share that fades has recovered by definition where it is as small as the target allows.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from chaoslib_ext.recovery import Question, recover
from chaoslib_ext.samples import Known

S = 1_000_000
Share = Callable[[float], float]


def held(
    share: Share, up_s: float, rate: float, rng: random.Random, target: float = 0.95, stable_s: float = 2.0, failed: Callable[[float], bool] | None = None
) -> bool:
    """Whether the bracket of one history holds the moment `up_s`; arrivals fail by chance as often as `share` says of their moment, or as `failed` does."""
    until_s, at_s = up_s + 1.5 * stable_s, rng.random() / rate
    at, good = [], []
    while at_s < until_s:
        at.append(round(at_s * S))
        good.append(int(not (failed(at_s) if failed else rng.random() < share(at_s))))
        at_s += 1 / rate
    found = recover(Known(at, at, [each + 3000 for each in at], good), Question(target, round(stable_s * S), 0, at[-1], 0))
    assert found.hi_us is not None
    return found.lo_us <= round((up_s + 1 / rate) * S) and round(up_s * S) <= found.hi_us


@pytest.mark.parametrize("share", [0.12, 1 / 6, 1 / 3, 0.9])
@pytest.mark.parametrize("rate", [20.0, 50.0, 200.0])
def test_the_bracket_holds_the_truth_of_at_least_95_in_100_outages_of_a_share(share: float, rate: float) -> None:
    rng, inside, times = random.Random(f"{share} {rate}"), 0, 150
    for _ in range(times):
        up_s = rng.uniform(2, 3)
        inside += held(lambda at_s, up_s=up_s: share if at_s < up_s else 0.0, up_s, rate, rng, stable_s=4.0)  # type: ignore[misc]
    assert inside >= 0.95 * times, inside


@pytest.mark.parametrize("every", [2, 3, 6])
@pytest.mark.parametrize("rate", [20.0, 50.0, 200.0])
def test_the_bracket_holds_the_truth_of_at_least_95_in_100_outages_of_every_nth_arrival(every: int, rate: float) -> None:
    rng, inside, times = random.Random(f"{every} {rate}"), 0, 150
    for _ in range(times):
        up_s, turn = rng.uniform(2, 3), rng.randrange(every)
        inside += held(
            lambda _: 0.0, up_s, rate, rng, stable_s=4.0, failed=lambda at_s, up_s=up_s, turn=turn: at_s < up_s and (round(at_s * rate) + turn) % every == 0
        )  # type: ignore[misc]
    assert inside >= 0.95 * times, inside


@pytest.mark.parametrize(("begins", "over_s"), [(1.0, 2.0), (0.6, 2.0), (0.6, 5.0), (0.6, 10.0), (0.33, 5.0)])
@pytest.mark.parametrize("rate", [20.0, 50.0, 200.0])
def test_the_bracket_holds_the_truth_of_at_least_90_in_100_outages_that_fade_away(begins: float, over_s: float, rate: float) -> None:
    rng, inside, times, target = random.Random(f"{begins} {over_s} {rate}"), 0, 100, 0.99
    for _ in range(times):
        down_s = rng.uniform(2, 4)
        up_s = down_s + over_s * (1 - (1 - target) / begins)
        inside += held(lambda at_s, down_s=down_s: begins * min(1.0, max(0.0, 1 - (at_s - down_s) / over_s)), up_s, rate, rng, target, 10.0)  # type: ignore[misc]
    assert inside >= 0.90 * times, inside
