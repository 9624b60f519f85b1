"""The four charts of the timeline, each with a caption that says its numbers in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.report.charts import Band, Line, Mark, Pen, Stack, bars, lines, swatch
from chaoslib_ext.report.facts import Promise
from chaoslib_ext.report.scale import Scale, Span, linear, logarithmic
from chaoslib_ext.report.series import Points, Slice
from chaoslib_ext.report.svg import Svg
from chaoslib_ext.report.words import Prose, at, millis, number, percent
from chaoslib_ext.timeline import UNKNOWN, Outcome

_GOOD = Pen("good per second", "#0072b2", "s1")
_P50 = Pen("p50", "#0072b2", "s1")
_P95 = Pen("p95", "#d55e00", "s2", "7 3")
_P99 = Pen("p99", "#8c4a73", "s3", "2 3")
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


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its caption and legend (swatch, words)."""

    title: str
    told: str
    legend: tuple[tuple[Svg, str], ...]
    chart: Svg


def availability(span: Span, found: Sequence[Slice], noun: str, promises: Sequence[Promise], bands: Sequence[Band]) -> Figure:
    """Share of good samples per second, against the targets of SLOs without a latency limit."""
    points: Points = [(piece.start_s + 0.5, piece.availability) for piece in found]
    marks = [Mark(promise.target, f"target {percent(promise.target, 3)}", below=True) for promise in _distinct(promises) if promise.max_latency_ms is None]
    known = [piece for piece in found if piece.decided]
    floor = min([piece.availability or 0.0 for piece in known] + [mark.value for mark in marks], default=0.0)
    told = _availability_told(known)
    chart = lines(span, _share_scale(floor), [Line(_GOOD, points)], marks, bands, f"Availability of {noun}. {told}")
    return Figure(Prose(f"Availability of {noun}"), Prose(told), (), chart)


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


def latency(span: Span, found: Sequence[Slice], noun: str, promises: Sequence[Promise], bands: Sequence[Band]) -> Figure:
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
    chart = lines(span, scale, drawn, marks, bands, f"Latency of {noun}. {told}{note}")
    return Figure(Prose(f"Latency of {noun}"), Prose(told + note), tuple((swatch(pen), pen.name) for pen, _ in shares), chart)


def _latency_scale(values: Sequence[float]) -> Scale:
    positive = [value for value in values if value > 0] or [1.0]
    if max(positive) / min(positive) > 12:
        return logarithmic(max(min(positive), 0.1), max(positive), 150, millis)
    return linear(0.0, max(positive), 150, millis)


def rates(span: Span, found: Sequence[Slice], bands: Sequence[Band]) -> Figure:
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
        f"Offered and completed rate. {told}",
    )
    return Figure("Offered and completed rate", Prose(told), tuple((swatch(pen), pen.name) for pen in (_OFFERED, _COMPLETED)), chart)


def _between(points: Points) -> Points:
    """
    The points from the first to the last that is not 0: before and after there was no load, which is not a rate of 0.

    The first and the last second are cut by the load's start and stop, so they are left out where enough others are there.
    """
    busy = [index for index, (_, y) in enumerate(points) if y]
    cut = 1 if len(busy) > 4 else 0
    return points[busy[0] + cut : busy[-1] + 1 - cut] if busy else []


def errors(span: Span, found: Sequence[Slice], step_s: int, bands: Sequence[Band]) -> Figure:
    """Samples that were not good, stacked by class, per second."""
    stacks, legend = [], []
    for outcome, pen in _CLASSES:
        total = sum(piece.errors.get(outcome, 0) for piece in found)
        if total:
            stacks.append(Stack(pen, [piece.errors.get(outcome, 0) / step_s for piece in found]))
            legend.append((swatch(pen, solid=True), f"{pen.name}: {number(total)}"))
    every = sum(piece.offered for piece in found)
    bad = sum(n for piece in found for outcome, n in piece.errors.items() if outcome not in UNKNOWN)
    told = f"{number(bad)} of {number(every)} journeys ended in an error." if bad else f"None of {number(every)} journeys ended in an error."
    highest = max((sum(stack.values[index] for stack in stacks) for index in range(len(found))), default=0.0)
    scale = linear(0.0, max(1.0, highest), 90, lambda n: f"{number(round(n, 1))}/s", most=3)
    chart = bars(span, scale, [piece.start_s for piece in found], step_s, stacks, bands, f"Errors by class. {told}")
    return Figure("Errors by class", Prose(told), tuple(legend), chart)


def _distinct(promises: Sequence[Promise]) -> list[Promise]:
    return list({promise.target: promise for promise in promises if promise.max_latency_ms is None}.values())
