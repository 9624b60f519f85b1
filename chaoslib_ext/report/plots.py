"""The four charts of the timeline, each with a caption that says its numbers in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from chaoslib_ext.report.charts import Band, Between, Line, Mark, Pen, Stack, Told, bars, lines, swatch
from chaoslib_ext.report.facts import Promise
from chaoslib_ext.report.scale import Scale, Span, linear, logarithmic
from chaoslib_ext.report.series import Points, Slice, joined
from chaoslib_ext.report.svg import Svg
from chaoslib_ext.report.words import NBSP, Prose, at, millis, number, percent
from chaoslib_ext.timeline import UNKNOWN, Outcome

_GOOD = Pen("good share of each second", "#0072b2", "s1")
_TARGET = Pen("target of the whole window, not of each second", "#1b1f24", "m", "9 3 2 3", 0.75)
_P50 = Pen("p50", "#0072b2", "s1")
_P95 = Pen("p95", "#d55e00", "s2", "7 3")
_P99 = Pen("p99", "#8c4a73", "s3", "2 3")
_BAND = Pen("p50 to p99", "#0072b2", "bd")
_OFFERED = Pen("offered", "#1b1f24", "s4", "6 3")
_COMPLETED = Pen("completed", "#0072b2", "s1")
# dark to light, so that the stack stays legible in grey
_CLASSES = (
    (Outcome.TIMEOUT, Pen("timed out", "#5c1f00", "e1")),
    (Outcome.UNFINISHED, Pen("unanswered at the end", "#8c4a73", "e2")),
    (Outcome.CONNECT, Pen("no connection", "#b84a00", "e3")),
    (Outcome.RESET, Pen("connection cut", "#0072b2", "e4")),
    (Outcome.STATUS, Pen("refused status", "#e69f00", "e5")),
    (Outcome.CHECK, Pen("wrong content", "#56b4e9", "e6")),
    (Outcome.OFF_LIMITS, Pen("redirected off limits", "#cc79a7", "e7")),
    (Outcome.NOT_SENT, Pen("not sent (generator)", "#b4bcc4", "e8")),
    (Outcome.GENERATOR, Pen("generator error", "#d3d9de", "e9")),
)


Columns = Sequence[tuple[str, Callable[[Slice, float], str]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its caption, its legend (swatch, words) and the names and cells of its data table."""

    title: str
    told: str
    legend: tuple[tuple[Svg, str], ...]
    chart: Svg
    heads: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


def availability(span: Span, found: Sequence[Slice], noun: str, promises: Sequence[Promise], bands: Sequence[Band], every: int) -> Figure:
    """Share of good samples per second, against the targets of SLOs without a latency limit, which hold for a window as a whole."""
    points: Points = [(piece.start_s + 0.5, piece.availability) for piece in found]
    marks = [Mark(promise.target, f"target {percent(promise.target, 3)}", below=True) for promise in _distinct(promises) if promise.max_latency_ms is None]
    known = [piece for piece in found if piece.decided]
    floor = min([piece.availability or 0.0 for piece in known] + [mark.value for mark in marks], default=0.0)
    told = _availability_told(known)
    chart = lines(span, _share_scale(floor), [Line(_GOOD, points)], marks, bands, Told(Prose(f"Availability of {noun}"), Prose(told)))
    legend = tuple((swatch(pen), pen.name) for pen in ((_GOOD, _TARGET) if marks else (_GOOD,)))
    return Figure(Prose(f"Availability of {noun}"), Prose(told), legend, chart, *_table(found, every, _AVAILABILITY))


def _availability_told(known: Sequence[Slice]) -> str:
    if not known:
        return "Nothing was measured."
    worst = min(known, key=lambda piece: piece.availability or 0.0)
    total, bad = sum(piece.decided for piece in known), sum(piece.bad for piece in known)
    counted = f"{number(bad)} bad of {number(total)} samples"
    if not bad:
        return f"{counted}; no second fell below 100 %."
    return f"{counted}. Lowest second: {percent(worst.good / worst.decided)} at {at(worst.start_s * 1e9)} ({number(worst.bad)} bad of {number(worst.decided)})."


def _share_scale(floor: float) -> Scale:
    low = next((edge for edge in (0.999, 0.99, 0.9) if floor >= edge + (1 - edge) * 0.1), 0.0)
    return linear(low, 1.0, 132, lambda share: percent(round(share, 6)))


def latency(span: Span, found: Sequence[Slice], noun: str, promises: Sequence[Promise], bands: Sequence[Band], every: int) -> Figure:
    """p50, p95, p99 per second from the intended start, against the limits of latency SLOs."""
    shares = ((_P50, 0.5), (_P95, 0.95), (_P99, 0.99))
    drawn = [Line(pen, [(piece.start_s + 0.5, piece.percentile_ms(share)) for piece in found]) for pen, share in shares]
    limits = {promise.max_latency_ms: promise.target for promise in promises if promise.max_latency_ms is not None}
    marks = [Mark(limit, f"limit {millis(limit)} for {percent(target, 3)}") for limit, target in sorted(limits.items())]
    values = [y for line in drawn for _, y in line.points if y is not None]
    counted = sum(len(piece.latency_ms) for piece in found)
    told = f"From the intended start; {number(counted)} samples, good ones and timeouts at their limit."
    if values:
        told += f" Highest second: p99 of {millis(max(values))}."
    scale = _latency_scale(values + [mark.value for mark in marks])
    note = " Logarithmic scale." if scale.log else ""
    band = Between(_BAND.colour, _BAND.css, drawn[0].points, drawn[2].points)
    chart = lines(span, scale, drawn, marks, bands, Told(Prose(f"Latency of {noun}"), Prose(told + note)), [band])
    legend = (*((swatch(pen), pen.name) for pen, _ in shares), (swatch(_BAND, solid=True), _BAND.name))
    return Figure(Prose(f"Latency of {noun}"), Prose(told + note), legend, chart, *_table(found, every, _LATENCY))


def _latency_scale(values: Sequence[float]) -> Scale:
    positive = [value for value in values if value > 0] or [1.0]
    if max(positive) / min(positive) > 12:
        return logarithmic(max(min(positive), 0.1), max(positive), 150, millis)
    return linear(0.0, max(positive), 150, millis)


def rates(span: Span, found: Sequence[Slice], bands: Sequence[Band], every: int) -> Figure:
    """Arrivals offered per second against journeys completed per second."""
    offered = Line(_OFFERED, _between([(piece.start_s + 0.5, float(piece.offered)) for piece in found]))
    completed = Line(_COMPLETED, _between([(piece.start_s + 0.5, float(piece.completed)) for piece in found]))
    highest = max((max(piece.offered, piece.completed) for piece in found), default=1)
    sums = [number(sum(getattr(piece, name) for piece in found)) for name in ("offered", "completed")]
    told = f"{sums[0]} journeys offered, {sums[1]} completed. A gap between the lines is work that waits."
    chart = lines(
        span,
        linear(0.0, max(1.0, float(highest)), 110, lambda n: f"{number(round(n, 1))}/s"),
        [completed, offered],
        (),
        bands,
        Told("Offered and completed rate", Prose(told)),
    )
    legend = tuple((swatch(pen), pen.name) for pen in (_OFFERED, _COMPLETED))
    return Figure("Offered and completed rate", Prose(told), legend, chart, *_table(found, every, _RATES))


def _between(points: Points) -> Points:
    """
    The points from the first to the last that is not 0: before and after there was no load, which is not a rate of 0.

    The first and the last second are cut by the load's start and stop, so they are left out where enough others are there.
    """
    busy = [index for index, (_, y) in enumerate(points) if y]
    cut = 1 if len(busy) > 4 else 0
    return points[busy[0] + cut : busy[-1] + 1 - cut] if busy else []


def errors(span: Span, found: Sequence[Slice], step_s: int, bands: Sequence[Band], every_s: int) -> Figure:
    """Samples that were not good, stacked by class, per second."""
    stacks, legend = [], []
    for outcome, pen in _CLASSES:
        total = sum(piece.errors.get(outcome, 0) for piece in found)
        if total:
            stacks.append(Stack(pen, [piece.errors.get(outcome, 0) / step_s for piece in found]))
            legend.append((swatch(pen, solid=True), f"{pen.name}: {number(total)}"))
    offered = sum(piece.offered for piece in found)
    bad = sum(n for piece in found for outcome, n in piece.errors.items() if outcome not in UNKNOWN)
    told = f"{number(bad)} of {number(offered)} journeys ended in an error." if bad else f"None of {number(offered)} journeys ended in an error."
    highest = max((sum(stack.values[index] for stack in stacks) for index in range(len(found))), default=0.0)
    scale = linear(0.0, max(1.0, highest), 90, lambda n: f"{number(round(n, 1))}/s", most=3)
    chart = bars(span, scale, [piece.start_s for piece in found], step_s, stacks, bands, Told("Errors by class", Prose(told)))
    columns = [(pen.name, partial(_of_class, outcome)) for outcome, pen in _CLASSES if any(piece.errors.get(outcome) for piece in found)]
    return Figure("Errors by class", Prose(told), tuple(legend), chart, *(_table(found, max(1, every_s // step_s), columns) if columns else ()))


def _ms(value: float | None) -> str:
    return "–" if value is None else millis(value).removesuffix(f"{NBSP}ms")


def _per_second(n: int, length_s: float) -> str:
    return number(round(n / length_s, 1))


def _of_class(outcome: Outcome, piece: Slice, _length_s: float) -> str:
    return number(piece.errors.get(outcome, 0))


_AVAILABILITY: Columns = (
    ("Good", lambda piece, _: number(piece.good)),
    ("Bad", lambda piece, _: number(piece.bad)),
    ("Unknown", lambda piece, _: number(piece.unknown)),
    ("Availability", lambda piece, _: "–" if piece.availability is None else percent(piece.availability)),
)
_LATENCY: Columns = (
    ("Samples", lambda piece, _: number(len(piece.latency_ms))),
    ("p50 ms", lambda piece, _: _ms(piece.percentile_ms(0.5))),
    ("p95 ms", lambda piece, _: _ms(piece.percentile_ms(0.95))),
    ("p99 ms", lambda piece, _: _ms(piece.percentile_ms(0.99))),
)
_RATES: Columns = (
    ("Offered /s", lambda piece, length_s: _per_second(piece.offered, length_s)),
    ("Completed /s", lambda piece, length_s: _per_second(piece.completed, length_s)),
)


def _table(found: Sequence[Slice], every: int, columns: Columns) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The names and the cells of a chart's data table, `every` slices to a row; stretches without samples are left out."""
    length_s = (found[1].start_s - found[0].start_s if len(found) > 1 else 1) * every
    cells = [
        (f"{piece.start_s:g}–{piece.start_s + length_s:g}", *(tell(piece, length_s) for _, tell in columns))
        for piece in joined(found, every)
        if piece.offered or piece.completed
    ]
    return ("T+ s", *(name for name, _ in columns)), tuple(cells)


def _distinct(promises: Sequence[Promise]) -> list[Promise]:
    return list({promise.target: promise for promise in promises if promise.max_latency_ms is None}.values())
