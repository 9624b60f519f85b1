"""A trend in words: the cells of its table, and the lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from chaoslib_ext.report.many import frame
from chaoslib_ext.report.many.shelf import number_in
from chaoslib_ext.report.many.trend import Point, Trend, changes
from chaoslib_ext.report.words import Prose, bracket, clean, count, number, percent

NOTHING = "–"


def recovery(point: Point) -> str:
    """`4.6–4.8 s`; a dash where nothing was measured."""
    return bracket(*point.past.rto) if point.past.rto else NOTHING


def loss(point: Point) -> str:
    """`12 writes, 3.1–3.4 s`; `not measured` is never 0."""
    if point.past.lost is None:
        return "not measured"
    lo, hi = (number_in(point.card.result["rpo"], key) for key in ("lo_s", "hi_s"))
    return count(point.past.lost, "write") + (f", {bracket(lo, hi)}" if lo is not None and hi is not None and point.past.lost else "")


def availability(point: Point) -> list[str]:
    """`checkout-availability 96.44 % of 1,600`, one for each SLO in the fault window."""
    return [Prose(f"{clean(slo, 80)} {percent((n - bad) / n)} of {number(n)}") for slo, (bad, n) in sorted(point.past.availability.items())[:6]]


def noted(points: Sequence[Point]) -> dict[str, list[str]]:
    """Run id to the versions that changed just before it, within comparable runs."""
    return {after.card.run: told for before, after in pairwise(points) if (told := changes(before, after))}


def lines(found: Sequence[Trend]) -> Iterator[str]:
    """The trends for a terminal."""
    for trend in found:
        yield f"trend of {trend.name} in {trend.environment or 'an unnamed environment'}: {count(len(trend.points), 'run')}"
        for stretch in trend.stretches:
            if stretch.changed:
                yield f"  ---- not comparable with those above: {', '.join(stretch.changed)}"
            told = noted(stretch.points)
            for point in stretch.points:
                for words in told.get(point.card.run, []):
                    yield f"       {words}"
                yield f"  {_line(point)}"
            yield f"  {stretch.told}"


def _line(point: Point) -> str:
    word = frame.word(point.card)
    objective = f" ({frame.objective(point.objective_s)})" if point.objective_s is not None else ""
    shares = "; ".join(availability(point)) or "no availability in a fault"
    remark = f" ({word.remark})" if word.remark else ""
    return f"{frame.moment(point.card)}  {word.sign} {word.word:12} RTO {recovery(point)}{objective}  RPO {loss(point)}  {shares}  {point.card.run}{remark}"
