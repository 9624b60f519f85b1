"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.clock import Clock, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("40s", 40), ("5m", 300), ("1h30m", 5400), ("30d", 2592000), ("1.5s", 1.5), ("2w", 1209600), ("1m 30s", 90)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "40", 40, 4.5, True, "s", "5x", "5 s 3", "-5s", "5s!", None])
def test_a_duration_without_its_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration with its unit"):
        parse_duration(text)  # type: ignore[arg-type]


@given(st.integers(0, 10_000_000))
def test_what_is_formatted_is_read_back(ms: int) -> None:
    shown = format_duration(ms / 1000)
    rounding = 1e-9 if ms < 60_000 else 1.0
    assert abs(parse_duration(shown) - ms / 1000) <= rounding


def test_a_clock_counts_from_its_start_and_knows_wall_time() -> None:
    clock = Clock(t0_ns=0, wall_s=0.0, boot_id="x")
    assert clock.utc(1_500_000_000) == "1970-01-01T00:00:01.500Z"
    assert Clock.start().now_ns() >= 0
