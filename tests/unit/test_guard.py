"""The guard stops for silence, and takes a black hole for data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.block import Block
from chaoslib_ext.clock import NS
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.guard import SILENT_S, Alert, Rules, Watch, capped, step
from chaoslib_ext.runner.session import rules_of

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


SILENT = Rules(silent_s=15.0)


@pytest.mark.parametrize(
    ("spoke_s", "now_s", "stops"),
    [
        pytest.param(None, 14.9, False, id="it was just started"),
        pytest.param(None, 15.0, True, id="it never said a word"),
        pytest.param(4.0, 18.9, False, id="near miss: not silent for long enough"),
        pytest.param(4.0, 19.0, True, id="it fell silent"),
    ],
)
def test_a_load_child_that_falls_silent_stops_a_run_that_has_no_rule_on_data(spoke_s: float | None, now_s: float, stops: bool) -> None:
    watch = Watch(0)
    if spoke_s is not None:
        watch, _ = step(SILENT, watch, round(spoke_s * NS), second())
    halt = step(SILENT, watch, round(now_s * NS), None)[1]
    assert (halt is not None) == stops
    assert halt is None or (halt.rule, halt.reason) == ("no_data: 15s (by default)", "STOP_NO_DATA")


def test_by_default_summaries_without_a_request_are_no_silence() -> None:
    watch = Watch(0)
    for at_s in range(1, 100):
        watch, halt = step(SILENT, watch, at_s * NS, second())
        assert halt is None


def test_a_file_that_says_nothing_on_data_has_the_default_and_one_that_does_has_its_own() -> None:
    def rules(*stop: dict[str, Any]) -> Rules:
        return rules_of(Experiment(Path("x"), "t", {}, Block(stop=list(stop)), [], []))

    assert (rules().no_data_s, rules().silent_s) == (None, SILENT_S)
    assert (rules({"error_ratio": 0.2, "for_s": 5.0}).silent_s, rules({"no_data": 60.0}).silent_s) == (SILENT_S, None)


def test_as_many_writes_as_allowed_is_a_stop_rule_of_its_own() -> None:
    halt = capped(1500)
    assert (halt.rule, halt.reason) == ("caps.writes: 1500", "STOP_RULE")
    assert "1,500 writes, as many as the environment allows a run" in halt.detail


def test_a_halt_names_rule_reason_and_what_was_seen() -> None:
    halt = step(RULES, Watch(0), 6 * NS, None)[1]
    assert halt is not None
    assert (halt.rule, halt.reason) == ("no_data: 5s", "STOP_NO_DATA")
    assert "6.0 s" in halt.detail


def run(rules: Rules, *seconds: dict[str, Any]) -> int | None:
    """The number of the second that stops the run, from 1; None when none does."""
    watch = Watch(0)
    for number, one in enumerate(seconds, 1):
        watch, halt = step(rules, watch, number * NS, one)
        if halt is not None:
            return number
    return None


ERRORS = Rules.of([{"error_ratio": 0.2, "for_s": 5.0}])
WELL, ILL, EDGE = second(good=100), second(good=79, bad=21), second(good=80, bad=20)


@pytest.mark.parametrize(
    ("seconds", "stops_at"),
    [
        pytest.param([ILL] * 5, 5, id="as long as the rule"),
        pytest.param([ILL] * 4 + [WELL] + [ILL] * 4, None, id="near miss: one good second in between"),
        pytest.param([ILL] * 4, None, id="near miss: a second too short"),
        pytest.param([EDGE] * 5, 5, id="exactly the share"),
        pytest.param([second(good=81, bad=19)] * 9, None, id="near miss: a hair below the share"),
        pytest.param([ILL, second(), ILL, ILL, ILL], 5, id="a second without any answer mends nothing"),
        pytest.param([ILL] * 4 + [second()] * 5, None, id="near miss: a second without any answer does not stop by itself"),
        pytest.param([second()] * 9, None, id="nothing at all is silence, not errors"),
        pytest.param([second(overdue=100 * n) for n in range(1, 6)], 5, id="a black hole: ever more is overdue, nothing ends"),
        pytest.param([second(good=100, overdue=50)] * 9, None, id="near miss: a steady crowd of slow requests that end well"),
        pytest.param([second(good=10, overdue=90 * n) for n in range(1, 6)], 5, id="a hole that swallows nine of ten"),
        pytest.param([second(bad=100)] * 5, 5, id="all fail at once"),
    ],
)
def test_too_many_errors_for_too_long_stop_the_run(seconds: list[dict[str, Any]], stops_at: int | None) -> None:
    assert run(ERRORS, *seconds) == stops_at


def test_a_request_that_was_overdue_fails_once_not_twice() -> None:
    one_hole = [second(good=100, overdue=60), second(good=100, bad=60, overdue=0), second(good=100)]
    assert run(Rules.of([{"error_ratio": 0.2, "for_s": 2.0}]), *one_hole) is None


SLO = Rules.of([{"slo": "pay", "below": 0.5, "for_s": 3.0}])


def pay(good: int, total: int, **more: int) -> dict[str, Any]:
    return second(good=100, **more) | {"slis": {"pay": [good, total], "other": [0, 10]}}


@pytest.mark.parametrize(
    ("seconds", "stops_at"),
    [
        pytest.param([pay(4, 10)] * 3, 3, id="below for as long as the rule"),
        pytest.param([pay(5, 10)] * 9, None, id="near miss: exactly the share is not below it"),
        pytest.param([pay(4, 10), pay(4, 10), pay(5, 10), pay(4, 10), pay(4, 10)], None, id="near miss: mended in between"),
        pytest.param([pay(0, 1), pay(0, 0), pay(0, 1)], 3, id="a seldom journey: seconds without one do not mend it"),
        pytest.param([pay(0, 0, overdue=5)] * 3, 3, id="not answered at all while requests are overdue"),
        pytest.param([pay(0, 0)] * 9, None, id="near miss: nobody pays, and nothing is overdue"),
        pytest.param([second(good=1)] * 9, None, id="an SLI that no summary names"),
    ],
)
def test_an_slo_below_its_floor_for_too_long_stops_the_run(seconds: list[dict[str, Any]], stops_at: int | None) -> None:
    assert run(SLO, *seconds) == stops_at


@pytest.mark.parametrize(
    ("alert", "now_s", "reason"),
    [
        pytest.param(Alert("firing", 5 * NS), 5, "STOP_RULE", id="firing"),
        pytest.param(Alert("pending", 5 * NS), 5, None, id="near miss: pending"),
        pytest.param(Alert("inactive", 5 * NS), 14.9, None, id="near miss: read not long ago"),
        pytest.param(Alert("inactive", 5 * NS), 15, "SOURCE_UNREACHABLE", id="not read for too long: no brake"),
        pytest.param(None, 5, "SOURCE_UNREACHABLE", id="never read"),
    ],
)
def test_a_firing_alert_stops_the_run_and_so_does_one_that_cannot_be_read(alert: Alert | None, now_s: float, reason: str | None) -> None:
    rules = Rules.of([{"alert": "Burning"}])
    known = {"Other": Alert("firing", 5 * NS)} | ({} if alert is None else {"Burning": alert})
    halt = step(rules, Watch(0), round(now_s * NS), None, known)[1]
    assert (halt.reason if halt else None) == reason
    assert halt is None or halt.rule == "alert: Burning"


def test_several_rules_stand_side_by_side() -> None:
    rules = Rules.of([{"no_data": 9.0}, {"no_data": 4.0}, {"slo": "pay", "below": 0.5, "for_s": 2.0}, {"error_ratio": 0.2, "for_s": 1.0}, {"alert": "A"}])
    assert (rules.no_data_s, len(rules.limits), rules.alerts) == (4.0, 2, ("A",))
    halt = step(rules, Watch(0), NS, second(good=1, bad=9) | {"slis": {"pay": [0, 1]}}, {"A": Alert("inactive", NS)})[1]
    assert halt is not None
    assert halt.rule == "error_ratio: 0.2 for 1s"
    assert "10.0% good in the last second" in halt.detail
