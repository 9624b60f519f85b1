"""A measured time as a bar: solid to what is certain, hatched to what is possible, a thick line at the objective."""

from __future__ import annotations

from chaoslib_ext.report.charts import time_axis
from chaoslib_ext.report.scale import Span
from chaoslib_ext.report.svg import INK, MUTED, Svg, drawing, tag, words
from chaoslib_ext.report.words import bracket, seconds

_TOP, _BAR, _HELD = 24, 26, 8
_ROOM = 0.32  # the share of a telephone's width that the words of a bracket take


def bracket_bar(
    lo_s: float,
    hi_s: float | None,
    objective_s: float | None,
    label: str,
    held_s: float | None = None,
    observed_s: float | None = None,
    detected_s: float | None = None,
) -> Svg:
    """The bar on an axis of its own, whose zero is the effect (or the removal). `hi_s` None: recovery was never seen."""
    longest = max(lo_s, detected_s or 0.0, hi_s or 0.0, objective_s or 0.0, held_s or 0.0, (observed_s or 0.0) if hi_s is None else 0.0, 1.0)
    span = Span(0.0, longest * 1.08)
    end_s = hi_s if hi_s is not None else span.end_s
    bottom = _TOP + _BAR + (36 if held_s else 8)
    drawn = [
        tag("rect", {"class": "bar", "x": 0, "width": span.left(lo_s), "y": _TOP, "height": _BAR, "fill": "#0072b2"}),
        tag("rect", {"x": span.left(lo_s), "width": span.width(lo_s, end_s), "y": _TOP, "height": _BAR, "fill": "url(#maybe)"}),
        tag("rect", {"class": "be", "x": 0, "width": span.left(end_s), "y": _TOP, "height": _BAR, "fill": "none", "stroke": "#0072b2"}),
        *_value(span, lo_s, hi_s, end_s, objective_s),
    ]
    if detected_s is not None:
        drawn += _detected(span, detected_s)
    if held_s:
        drawn += _held(span, held_s)
    if objective_s is not None:
        drawn += _objective(span, objective_s, _TOP + _BAR + (6 + _HELD if held_s else 8))
    axis = tag("line", {"class": "a", "x1": 0, "x2": "100%", "y1": bottom, "y2": bottom, "stroke": MUTED})
    return drawing(bottom + 22, label, *drawn, axis, *time_axis(span, bottom))


def _value(span: Span, lo_s: float, hi_s: float | None, end_s: float, objective_s: float | None) -> list[Svg]:
    text = bracket(lo_s, hi_s)
    if span.share(end_s) <= 0.6:
        near = objective_s is not None and end_s < objective_s and span.share(objective_s) - span.share(end_s) < _ROOM
        if near and span.share(objective_s or 0.0) > 1 - _ROOM:
            return []  # the line of the objective would cross the words, and behind it is no room for them; the caption has them
        x = span.left(objective_s if near and objective_s is not None else end_s)
        return [tag("svg", {"x": x, "y": _TOP, "overflow": "visible"}, words("8", 18, text, fill=INK, font_weight=600))]
    if span.share(lo_s) <= 0.4:
        return []
    at_end = objective_s is not None and span.share(objective_s) < 0.4  # or the line of the objective would cross the words
    place: dict[str, object] = {"x": "-10" if at_end else "10", "y": 18, "text_anchor": "end" if at_end else "start"}
    words_ = tag("text", {"class": "bt", **place, "fill": "#ffffff", "font_weight": 600}, text)
    return [tag("svg", {"x": span.left(lo_s) if at_end else "0", "y": _TOP, "overflow": "visible"}, words_)]


def _held(span: Span, held_s: float) -> list[Svg]:
    top = _TOP + _BAR + 6
    text = f"fault in force for {seconds(held_s)}"
    bar = tag("rect", {"x": 0, "width": span.left(held_s), "y": top, "height": _HELD, "fill": "url(#fault)", "stroke": "#8a5a00", "class": "fe"})
    return [bar, words("0", top + _HELD + 14, text)]


def _detected(span: Span, detected_s: float) -> list[Svg]:
    """A tick with a triangle where the alert fired, at the lower edge of the bar."""
    bottom = _TOP + _BAR
    shape = tag("path", {"class": "m", "d": Svg(f"M-5 {bottom + 1}h10l-5-8z"), "fill": INK, "stroke": "#ffffff"})
    return [tag("svg", {"x": span.left(detected_s), "overflow": "visible"}, tag("title", {}, f"the alert fired after {seconds(detected_s)}"), shape)]


def _objective(span: Span, objective_s: float, bottom: float) -> list[Svg]:
    left, share = span.left(objective_s), span.share(objective_s)
    anchor = "start" if share < 0.3 else "end" if share > 0.7 else "middle"
    line = tag("line", {"class": "m", "x1": left, "x2": left, "y1": 18, "y2": bottom, "stroke": INK, "stroke_width": 3})
    return [line, words(left, 12, f"objective {seconds(objective_s)}", anchor, fill=INK, font_weight=600)]
