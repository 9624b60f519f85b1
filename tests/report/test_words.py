"""Numbers and foreign text as they are printed; places of labels; series from rows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.report import words
from chaoslib_ext.report.findings import row
from chaoslib_ext.report.scale import Span, linear, logarithmic, spread
from chaoslib_ext.report.series import slices, thin
from chaoslib_ext.timeline import Outcome, Rows


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.95, "95 %"), (0.999999, "99.99 %"), (0.9737, "97.37 %"), (0.000001, "0.0001 %"), (0.57, "57 %"), (1.5, "150 %")],
)
def test_a_share_is_cut_so_that_one_bad_sample_never_reads_as_all_good(ratio: float, shown: str) -> None:
    assert words.percent(ratio).replace(words.NBSP, " ") == shown


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_only_everything_reads_as_100_percent_and_only_nothing_as_0(good: int, bad: int) -> None:
    assert words.percent(good / (good + bad)) not in ("100\u00a0%", "0\u00a0%")


@given(st.text(st.characters(codec=None), max_size=2000))
def test_cleaned_text_is_short_plain_and_encodable(text: str) -> None:
    cleaned = words.clean(text)
    assert len(cleaned) <= 300
    assert not any(ord(c) < 32 or 0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) <= 0xDFFF for c in cleaned)
    cleaned.encode()


@pytest.mark.parametrize(
    ("lo", "hi", "shown"),
    [
        (3.1, 3.4, "3.1–3.4 s"),
        (3.11, 3.12, "3.11–3.12 s"),
        (3.111, 3.112, "3.1 s"),
        (40.4, 40.9, "40.4–40.9 s"),
        (12.0, None, "more than 12 s"),
        (0.0, 0.06, "0–0.06 s"),
        (599.9, 605.0, "599.9–605 s"),
    ],
)
def test_a_bracket_shows_both_ends(lo: float, hi: float | None, shown: str) -> None:
    assert words.bracket(lo, hi).replace(words.NBSP, " ") == shown


@pytest.mark.parametrize(
    ("finding", "measured", "margin"),
    [
        ({"kind": "slo", "n": 1600, "bad": 57, "target": 0.95, "outcome": "met"}, "96.43 %", "+1.44 pp"),
        ({"kind": "slo", "n": 1600, "bad": 1068, "target": 0.95, "outcome": "missed"}, "33.25 %", "−61.75 pp"),
        ({"kind": "slo", "n": 0, "bad": 0, "target": 0.95, "outcome": "inconclusive"}, "no data", "–"),
        ({"kind": "rto", "lo": 12.0, "hi": 12.5, "target": 10.0, "outcome": "missed"}, "12–12.5 s", "over by 2–2.5 s"),
        ({"kind": "rto", "lo": 9.5, "hi": 10.5, "target": 10.0, "outcome": "inconclusive"}, "9.5–10.5 s", "objective inside the bracket"),
        ({"kind": "rto", "lo": 60.0, "hi": None, "target": 10.0, "outcome": "missed"}, "more than 60 s", "over by at least 50 s"),
        ({"kind": "rto", "lo": None, "hi": None, "target": 10.0, "outcome": "inconclusive"}, "not measured", "–"),
        ({"kind": "effect", "id": "effect:x", "outcome": "inconclusive"}, "not proven", "–"),
    ],
)
def test_a_finding_is_told_with_its_margin(finding: dict[str, object], measured: str, margin: str) -> None:
    told = row(finding)
    assert (told.measured.replace(words.NBSP, " "), told.margin.replace(words.NBSP, " ")) == (measured, margin)


@given(st.lists(st.floats(0, 150), max_size=8))
def test_labels_are_moved_apart_and_keep_their_order(places: list[float]) -> None:
    moved = spread(places, 14.0, 12.0, 150.0)
    ordered = sorted(moved)
    assert all(after - before >= 14.0 - 1e-6 for before, after in pairwise(ordered))
    assert [moved[i] for i in sorted(range(len(places)), key=places.__getitem__)] == ordered


@given(st.floats(1, 100_000))
def test_a_time_axis_never_has_more_labels_than_fit_a_telephone(end_s: float) -> None:
    assert 1 <= len(Span(0.0, end_s).ticks()) <= 7


@given(st.floats(0.1, 1e5), st.floats(1.0, 1e4))
def test_scales_hold_their_values(low: float, factor: float) -> None:
    for scale in (logarithmic(low, low * factor, 100, str), linear(0.0, low * factor, 100, str)):
        assert 0 <= scale.y(low * factor) <= scale.y(low) + 1e-6 <= 100 + 1e-5
        assert 2 <= len(scale.ticks) <= 8


def test_a_sample_counts_where_it_was_intended_and_completes_where_it_ended() -> None:
    rows = Rows()
    rows.append(900_000, 0, 2_000_000, 0, Outcome.TIMEOUT)
    rows.append(950_000, 60_000, 10_000, 0, Outcome.OK)
    rows.append(1_000_000, 0, 0, 0, Outcome.NOT_SENT)
    rows.append(1_100_000, 0, 5_000, 0, Outcome.OK)
    rows.append(1_200_000, 0, 5_000, 1, Outcome.OK)
    first, second, third = slices(rows, frozenset({0}), 0, 3)
    assert (first.offered, first.good, first.bad, first.unknown, first.completed) == (2, 0, 1, 1, 1)
    assert (second.offered, second.good, second.bad, second.unknown, second.completed) == (2, 1, 0, 1, 1)
    assert (third.offered, third.completed, third.availability) == (0, 1, None)
    assert first.percentile_ms(0.99) == 2000.0


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=5000))
def test_thinning_keeps_every_extreme_and_is_bounded(values: list[float | None]) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    kept = thin(points, 100)
    known = [y for y in values if y is not None]
    assert len(kept) <= 3 * 100 + 3
    if known:
        shown = [y for _, y in kept if y is not None]
        assert (min(shown), max(shown)) == (min(known), max(known))
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
