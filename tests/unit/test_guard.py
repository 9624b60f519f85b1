"""The guard stops for silence, and takes a black hole for data."""

from __future__ import annotations

from typing import Any

import pytest

from chaoslib_ext.clock import NS
from chaoslib_ext.guard import Rules, Watch, step

RULES = Rules(no_data_s=5.0)


def second(**more: int) -> dict[str, Any]:
    return {"good": 0, "bad": 0, "overdue": 0, **more}


@pytest.mark.parametrize(
    ("seen", "at_s", "stops"),
    [
        pytest.param(None, 4.9, False, id="silence shorter than the rule goes on"),
        pytest.param(None, 5.0, True, id="silence as long as the rule stops"),
        pytest.param(second(good=1), 5.0, False, id="one good answer is data"),
        pytest.param(second(bad=1), 5.0, False, id="one bad answer is data"),
        pytest.param(second(overdue=1), 5.0, False, id="a request that is overdue is data: a black hole is not silence"),
        pytest.param(second(), 5.0, True, id="a second in which nothing happened is silence"),
    ],
)
def test_no_data_stops_after_its_time(seen: dict[str, Any] | None, at_s: float, stops: bool) -> None:
    _, halt = step(RULES, Watch(0), round(at_s * NS), seen)
    assert (halt is not None) == stops


def test_without_a_rule_silence_goes_on_for_ever() -> None:
    assert step(Rules(), Watch(0), 10**6 * NS, None)[1] is None


def test_data_starts_the_time_again() -> None:
    watch, _ = step(RULES, Watch(0), 4 * NS, second(good=3))
    assert step(RULES, watch, 8 * NS, None)[1] is None
    assert step(RULES, watch, 9 * NS, None)[1] is not None


def test_a_halt_names_rule_reason_and_what_was_seen() -> None:
    halt = step(RULES, Watch(0), 6 * NS, None)[1]
    assert halt is not None
    assert (halt.rule, halt.reason) == ("no_data: 5s", "STOP_NO_DATA")
    assert "6.0 s" in halt.detail
