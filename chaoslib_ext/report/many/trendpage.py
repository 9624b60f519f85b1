"""The trend as a page: for each experiment and environment the recovery brackets side by side, and a table with what changed when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaoslib_ext.report.many import frame, trendwords
from chaoslib_ext.report.many.shelf import Foreign, Json
from chaoslib_ext.report.many.trend import Point, Stretch, Trend
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.svg import Svg
from chaoslib_ext.report.trendline import Bar, trend_line
from chaoslib_ext.report.words import Prose, count

FILE = "trend.html"
_MOST_BARS = 40  # the latest; more would touch each other on a telephone
_MOST_ROWS = 200


def draw(found: Sequence[Trend], foreign: Sequence[Foreign], page: Path) -> str:
    """The page of some trends, as the file `page` that its links start from."""
    sections = [_section(trend, f"trend-{at}", page) for at, trend in enumerate(found, 1)]
    strangers = frame.strangers(foreign, page.parent)
    total = sum(len(trend.points) for trend in found)
    heading = f"Trend of {count(total, 'run')}"
    empty = [] if found else [Section("none", "Nothing", "many_none.html.j2")]
    return frame.draw(frame.Page(heading, heading, [count(len(found), "experiment")]), [*sections, *empty, *([strangers] if strangers else [])])


def _section(trend: Trend, anchor: str, page: Path) -> Section:
    data: Json = {
        "anchor": anchor,
        "name": trend.name,
        "title": trend.title,
        "environment": trend.environment or "an unnamed environment",
        "stretches": [_stretch(stretch, page) for stretch in reversed(trend.stretches)],
        "runs": count(len(trend.points), "run"),
    }
    return Section(anchor, trend.title, "many_trend.html.j2", data)


def _stretch(stretch: Stretch, page: Path) -> Json:
    noted = trendwords.noted(stretch.points)
    shown = stretch.points[::-1][:_MOST_ROWS]
    return {
        "changed": list(stretch.changed),
        "told": stretch.told,
        "chart": _chart(stretch),
        "rows": [_row(point, noted.get(point.card.run, []), page) for point in shown],
        "more": len(stretch.points) - len(shown),
        "parts": Prose(", ".join(f"{name} {value}" for name, value in sorted(stretch.points[0].past.parts.items()))),
    }


def _chart(stretch: Stretch) -> Svg | None:
    points = stretch.points[-_MOST_BARS:]
    bars = [Bar(point.past.rto, point.past.verdict, False) for point in points]
    if sum(bar.ends is not None for bar in bars) < 2:
        return None
    objectives = [point.objective_s for point in points if point.objective_s is not None]
    label = Prose(f"Recovery time of {count(len(points), 'run')}, the oldest at the left. {stretch.told}")
    return trend_line(bars, objectives[-1] if objectives else None, label, (_day(points[0]), _day(points[-1])))


def _day(point: Point) -> str:
    return Prose(frame.moment(point.card)[:10])


def _row(point: Point, noted: list[str], page: Path) -> Json:
    card = point.card
    return {
        "word": frame.word(card),
        "run": card.run,
        "href": frame.href(card.report, page) if card.report else "",
        "started": frame.moment(card),
        "recovery": trendwords.recovery(point),
        "objective": frame.objective(point.objective_s),
        "loss": trendwords.loss(point),
        "availability": trendwords.availability(point),
        "noted": noted,
    }
