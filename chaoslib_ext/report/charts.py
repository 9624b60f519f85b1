"""
The charts of the page: lines over time, and bars stacked by class.

Each takes numbers and gives finished SVG. Colours are Okabe and Ito's; every line also has its own dash, every
stack its own shade, so that a black-and-white print tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.report.scale import Scale, Span, spread
from chaoslib_ext.report.series import Points, thin
from chaoslib_ext.report.svg import GRID, INK, MUTED, PAPER, Svg, drawing, path, stretched, tag, words

HEAD, FOOT = 20, 22  # room for the topmost label and for the time axis
_LABEL_GAP = 14.0
_AREA_STEPS = 150


@dataclass(frozen=True, slots=True)
class Pen:
    """How a series is painted: a colour, its dash, the style class that repaints it in the dark."""

    name: str
    colour: str
    css: str
    dash: str | None = None
    width: float = 1.75


@dataclass(frozen=True, slots=True)
class Told:
    """What a chart is for those who do not see it: its name, and its numbers in words."""

    name: str
    numbers: str = ""


@dataclass(frozen=True, slots=True)
class Between:
    """The area between two series of the same seconds, such as p50 and p99, painted pale behind the lines."""

    colour: str
    css: str
    low: Points
    high: Points


@dataclass(frozen=True, slots=True)
class Line:
    """A series of (second, value); None is a gap."""

    pen: Pen
    points: Points


@dataclass(frozen=True, slots=True)
class Mark:
    """A horizontal line with its words, such as the target of an SLO."""

    value: float
    text: str
    below: bool = False  # the words stand where the data is not: below a target, above a limit


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time behind a chart. `kind` is `fault` (hatched) or `aside` (grey: warm-up)."""

    start_s: float
    end_s: float
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """The height per slice of one class in a stack of bars."""

    pen: Pen
    values: Sequence[float]


def lines(span: Span, scale: Scale, series: Sequence[Line], marks: Sequence[Mark], bands: Sequence[Band], label: Told, between: Sequence[Between] = ()) -> Svg:
    """Series over the shared time axis."""
    areas = [_area(span, scale, area) for area in between]
    strokes = [_stroke(span, scale, line) for line in series]
    return _frame(span, scale, [*areas, *strokes], marks, bands, label)


def bars(span: Span, scale: Scale, starts_s: Sequence[float], step_s: float, stacks: Sequence[Stack], bands: Sequence[Band], label: Told) -> Svg:
    """One bar per slice, the classes stacked in the order given; slices without anything cost no bytes."""
    floor = [0.0] * len(starts_s)
    painted = []
    for stack in stacks:
        boxes: list[str] = []
        for index, value in enumerate(stack.values):
            if value > 0:
                boxes.append(_box(span, scale, starts_s[index], step_s, floor[index], floor[index] + value))
                floor[index] += value
        painted.append(tag("path", {"class": stack.pen.css, "d": Svg("".join(boxes)), "fill": stack.pen.colour}))
    return _frame(span, scale, painted, (), bands, label)


def _box(span: Span, scale: Scale, start_s: float, step_s: float, low: float, high: float) -> str:
    left, right = span.x(start_s), span.x(start_s + step_s)
    gap = (right - left) * 0.12
    bottom, top = scale.y(low), scale.y(high)
    return f"M{round(left + gap)} {round(bottom)}V{round(top)}H{round(right - gap)}V{round(bottom)}z"


def _stroke(span: Span, scale: Scale, line: Line) -> Svg:
    placed: Points = [(span.x(x), None if y is None else scale.y(y)) for x, y in thin(line.points)]
    pen = line.pen
    paint: dict[str, object] = {
        "class": pen.css,
        "d": path(placed),
        "fill": "none",
        "stroke": pen.colour,
        "stroke_width": pen.width,
        "stroke_dasharray": pen.dash,
    }
    ends = {"stroke_linecap": "round" if pen.dash is None else "butt", "stroke_linejoin": "round", "vector_effect": "non-scaling-stroke"}
    return tag("path", paint | ends)


def _area(span: Span, scale: Scale, area: Between) -> Svg:
    """At most `_AREA_STEPS` steps: of each stretch of seconds the lowest low and the highest high, so that the area holds both lines."""
    size = max(1, math.ceil(len(area.low) / _AREA_STEPS))
    shapes: list[str] = []
    run: list[tuple[float, float, float]] = []
    for at in range(0, len(area.low) + size, size):
        group = [(x, low, high) for (x, low), (_, high) in zip(area.low[at : at + size], area.high[at : at + size], strict=True) if None not in (low, high)]
        if group:
            run.append((span.x(group[len(group) // 2][0]), min(low or 0.0 for _, low, _ in group), max(high or 0.0 for _, _, high in group)))
        elif run:
            shapes.append(_outline(scale, run))
            run = []
    return tag("path", {"class": area.css, "d": Svg("".join(shapes)), "fill": area.colour, "fill_opacity": 0.16})


def _outline(scale: Scale, run: list[tuple[float, float, float]]) -> str:
    top = "L".join(f"{round(x)} {round(scale.y(high))}" for x, _, high in run)
    floor = "L".join(f"{round(x)} {round(scale.y(low))}" for x, low, _ in reversed(run))
    return f"M{top}L{floor}z"


def _frame(span: Span, scale: Scale, painted: Sequence[Svg], marks: Sequence[Mark], bands: Sequence[Band], label: Told) -> Svg:
    total = HEAD + scale.height + FOOT
    behind = [*_behind(span, bands, scale.height)]
    grid = [_rule(HEAD + scale.y(tick)) for tick in scale.ticks]
    names = [words("0", HEAD + scale.y(tick) - 4, scale.label(tick)) for tick in scale.ticks]
    plot = stretched(HEAD, scale.height, *_edges(span, bands, scale.height), *painted)
    return drawing(
        total, label.name, *behind, *grid, plot, *_targets(scale, marks), *names, *time_axis(span, HEAD + scale.height), told=label.numbers, end_s=span.end_s
    )


def _behind(span: Span, bands: Sequence[Band], height: int) -> list[Svg]:
    """The stretches of time behind a chart: hatched for faults, grey for asides; a hundred of them must stay small."""
    drawn = [band_box(span, band, HEAD, height) for band in bands if band.kind != "fault"]
    hatched = [
        tag("rect", {"x": span.left(band.start_s), "width": span.width(band.start_s, band.end_s), "y": HEAD, "height": height, "fill": Svg("url(#fault)")})
        for band in _faults(bands)
    ]
    return drawn + hatched


def _edges(span: Span, bands: Sequence[Band], height: int) -> list[Svg]:
    ends = "".join(f"M{round(span.x(t_s))} 0V{height}" for band in _faults(bands) for t_s in (band.start_s, band.end_s))
    paint: dict[str, object] = {"class": "fe", "d": Svg(ends), "fill": "none", "stroke": "#8a5a00", "vector_effect": "non-scaling-stroke"}
    return [tag("path", paint)] if ends else []


def _faults(bands: Sequence[Band]) -> list[Band]:
    return [band for band in bands if band.kind == "fault"]


def _rule(y: float) -> Svg:
    return tag("line", {"class": "g", "x1": 0, "x2": "100%", "y1": y, "y2": y, "stroke": GRID})


def _targets(scale: Scale, marks: Sequence[Mark]) -> list[Svg]:
    at = [HEAD + scale.y(mark.value) for mark in marks]
    wanted = [y + 14 if mark.below else y - 5 for mark, y in zip(marks, at, strict=True)]
    places = spread(wanted, _LABEL_GAP, 12, HEAD + scale.height - 4)
    drawn: list[Svg] = []
    for mark, y, place in zip(marks, at, places, strict=True):
        drawn.append(tag("line", {"class": "m", "x1": 0, "x2": "100%", "y1": y, "y2": y, "stroke": INK, "stroke_width": 1.25, "stroke_dasharray": "9 3 2 3"}))
        drawn.append(words("100%", place, mark.text, "end", fill=INK, font_weight=600))
    return drawn


def time_axis(span: Span, top: float) -> list[Svg]:
    """Ticks and their seconds below a plot."""
    drawn: list[Svg] = []
    ticks = span.ticks() if span.end_s < 10_000 else span.ticks(5)  # longer labels
    hours = span.end_s >= 7200 and not any(tick % 3600 for tick in ticks)
    for tick in ticks:
        share = span.share(tick)
        anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
        left = span.left(tick)
        drawn.append(tag("line", {"class": "a", "x1": left, "x2": left, "y1": top, "y2": top + 4, "stroke": MUTED}))
        drawn.append(words(left, top + 17, f"{tick // 3600} h" if hours else f"{tick} s", anchor))
    return drawn


def band_box(span: Span, band: Band, top: float, height: float) -> Svg:
    """A stretch of time as a box: hatched with an edge for a fault, plain grey for an aside."""
    place: dict[str, object] = {"x": span.left(band.start_s), "width": span.width(band.start_s, band.end_s), "y": top, "height": height}
    if band.kind == "fault":
        edge = [
            tag("line", {"class": "fe", "x1": span.left(t), "x2": span.left(t), "y1": top, "y2": top + height, "stroke": "#8a5a00"})
            for t in (band.start_s, band.end_s)
        ]
        return tag("g", {}, tag("rect", {"fill": "url(#fault)", **place}), *edge)
    return tag("rect", {"class": "aside", "fill": "#f1f3f5", **place})


def swatch(pen: Pen, solid: bool = False) -> Svg:
    """The sample of a series in its legend: a piece of its line, or a filled box."""
    box: dict[str, object] = {"class": "swatch", "width": 14 if solid else 28, "height": 10, "aria-hidden": "true"}
    if solid:
        return tag(
            "svg",
            box,
            tag(
                "rect",
                {"class": pen.css, "width": 14, "height": 10, "fill": pen.colour, "fill_opacity": 0.3 if pen.css == "bd" else None, "stroke": PAPER},
            ),
        )
    paint = {"class": pen.css, "x1": 0, "x2": 28, "y1": 5, "y2": 5, "stroke": pen.colour, "stroke_width": pen.width + 0.5, "stroke_dasharray": pen.dash}
    return tag("svg", box, tag("line", paint))
