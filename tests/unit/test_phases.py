"""What keeps the supervisor from injecting, and what ends the recovery phase."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chaoslib_ext.clock import NS
from chaoslib_ext.runner.phases import Course, baseline_trouble, recovered


def course(**more: Any) -> Course:
    usual: dict[str, Any] = {
        "warmup_s": 1, "baseline_s": 3, "recovery_s": 10, "stable_s": 3, "has_load": True, "has_hypothesis": False, "has_rollbacks": False, "ours": True,
        "faults": ("f",), "targets": {"up": 0.99}, "baseline_targets": {"up": 0.99}, "needed": {"up": 100}, "heal_deadline_s": 5,
    }  # fmt: skip
    return Course(**{**usual, **more})


def seconds(count: int, good: int = 100, total: int = 100, **more: Any) -> list[dict[str, Any]]:
    usual = {"scheduled": 100, "not_released": 0, "late": 0, "slis": {"up": [good, total]}}
    return [{"second": number, **usual, **more} for number in range(count)]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(seconds(3), None, id="all good: go on"),
        pytest.param(seconds(3, good=99), None, id="exactly at the target: go on"),
        pytest.param(seconds(3, good=98), "BASELINE_UNHEALTHY", id="under the target: inject nothing"),
        pytest.param(seconds(9, good=0) + seconds(3), None, id="what went wrong before the baseline does not count"),
        pytest.param(seconds(3, good=0, total=0), "NO_DATA", id="no sample: inject nothing"),
        pytest.param(seconds(3, late=6), "GENERATOR_SATURATED", id="too much sent late: inject nothing"),
        pytest.param(seconds(3, not_released=6), "GENERATOR_SATURATED", id="too much not sent: inject nothing"),
        pytest.param(seconds(3, late=5), None, id="five of a hundred late: go on"),
        pytest.param([], "NO_DATA", id="nothing at all: inject nothing"),
    ],
)
def test_a_fault_is_only_injected_after_a_sound_baseline(seen: list[dict[str, Any]], reason: str | None) -> None:
    found = baseline_trouble(seen, course())
    assert (found and found[0]) == reason


def stage(seen: list[dict[str, Any]], effects: set[str], removed: set[str]) -> Any:
    return SimpleNamespace(seen=SimpleNamespace(seconds=seen, effects=effects, removed=removed), proven_at_ns=0 * NS)


@pytest.mark.parametrize(
    ("seen", "removed", "over"),
    [
        pytest.param(seconds(8), {"f"}, True, id="good for stable and two seconds more: over"),
        pytest.param(seconds(5), {"f"}, False, id="good, but not for long enough"),
        pytest.param(seconds(8), set(), False, id="good, but the targets were not seen to return"),
        pytest.param([*seconds(7), {**seconds(1, good=0)[0], "second": 7}], {"f"}, False, id="a bad second starts the time again"),
        pytest.param(seconds(8, good=0, total=0), {"f"}, False, id="silence is not recovery"),
        pytest.param(seconds(8, good=10, total=10), {"f"}, False, id="too few samples for the objective: observe on"),
    ],
)
def test_recovery_ends_once_it_was_seen_for_long_enough(seen: list[dict[str, Any]], removed: set[str], over: bool) -> None:
    assert recovered(stage(seen, {"f"}, removed), course()) is over
