"""The rail above the charts: phases as a strip, faults as hatched bars, events as numbered marks of the list below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.report.charts import Band, band_box, time_axis
from chaoslib_ext.report.chronicle import Entry
from chaoslib_ext.report.scale import Span
from chaoslib_ext.report.svg import INK, MUTED, PAPER, Svg, drawing, tag, words
from chaoslib_ext.report.words import Prose, clean

_STRIP, _LANE, _MARKS = 22, 34, 26
_NARROW, _WIDE = 320, 900  # pixels a chart has at least on a telephone, and usually
_LETTER = 6.4  # pixels of an average letter at this size
_APART = 0.05  # marks nearer than this share of the width become one, "3–7"
_MOST_TOLD = 4  # events that a mark names by itself; the list below has all
_KINDS = ("bad", "fault", "alert", "decision")  # a mark of several events has the shape of the first of these among them
_SHAPES: dict[str, dict[str, object]] = {
    "bad": {"rx": 2},
    "fault": {"rx": 2},
    "alert": {"rx": 9, "stroke_dasharray": "3 2", "stroke_width": 1.5},
    "decision": {"rx": 9, "stroke_width": 2.5},
}
_MOST_LETTERS = 28  # a fault's label must fit beside its bar on a telephone


@dataclass(frozen=True, slots=True)
class Phase:
    """A named stretch of the run."""

    name: str
    start_s: float
    end_s: float


def rail(span: Span, phases: Sequence[Phase], faults: Sequence[Sequence[Band]], entries: Sequence[Entry], label: str) -> Svg:
    """The whole rail with the time axis below."""
    top = _STRIP + 10
    lanes: list[Svg] = []
    for bands in faults:
        lanes += [shape for band in bands for shape in _lane(span, band, top)]
        top += _LANE
    marks = _marks(span, entries, top + 12)
    bottom = top + (2 * _MARKS if marks else 0) + 4
    line = tag("line", {"class": "a", "x1": 0, "x2": "100%", "y1": bottom, "y2": bottom, "stroke": MUTED})
    return drawing(bottom + 22, label, *_strip(span, phases), *lanes, *marks, line, *time_axis(span, bottom), end_s=span.end_s)


def _strip(span: Span, phases: Sequence[Phase]) -> list[Svg]:
    drawn: list[Svg] = []
    for index, phase in enumerate(phases):
        shade = ("p0", "#e4e8ec") if index % 2 == 0 else ("p1", "#f1f3f5")
        box: dict[str, object] = {
            "class": shade[0],
            "x": span.left(phase.start_s),
            "width": span.width(phase.start_s, phase.end_s),
            "height": _STRIP,
            "fill": shade[1],
        }
        drawn.append(tag("rect", box))
        share = span.share(phase.end_s) - span.share(phase.start_s)
        needed = len(phase.name) * _LETTER + 12
        if share * _WIDE >= needed:
            middle = span.left((phase.start_s + phase.end_s) / 2)
            css = "pt" if share * _NARROW >= needed else "pt roomy"
            drawn.append(tag("text", {"class": css, "x": middle, "y": 15, "text_anchor": "middle", "fill": INK}, phase.name))
    return drawn


def _lane(span: Span, fault: Band, top: float) -> list[Svg]:
    text = clean(fault.text, _MOST_LETTERS)
    at_start = span.share(fault.start_s) <= 0.45
    x, anchor = (span.left(fault.start_s), "start") if at_start else (span.left(fault.end_s), "end")
    if not at_start and span.share(fault.end_s) < 0.55:
        anchor = "middle"
    width = span.width(fault.start_s, fault.end_s)
    outline = tag("rect", {"class": "fe", "x": span.left(fault.start_s), "width": width, "y": top + 16, "height": 12, "fill": "none", "stroke": "#8a5a00"})
    name = [words(x, top + 11, text, anchor, fill=INK, font_weight=600)] if text else []
    return [*name, band_box(span, fault, top + 16, 12), outline]


def _marks(span: Span, entries: Sequence[Entry], top: float) -> list[Svg]:
    drawn: list[Svg] = []
    for index, group in enumerate(_groups(span, [entry for entry in entries if entry.number])):
        first, last = group[0], group[-1]
        text = str(first.number) if first is last else f"{first.number}–{last.number}"
        edge = _half(text) / _NARROW
        share = min(1 - edge, max(edge, span.share(first.t_ns / 1e9)))
        y = top + (index % 2) * _MARKS
        told = Prose(" · ".join(entry.text for entry in group[:_MOST_TOLD]) + (" · …" if len(group) > _MOST_TOLD else ""))
        drawn.append(_mark(f"{share * 100:.2f}%", y, text, min((entry.kind for entry in group), key=_rank), told))
    return drawn


def _groups(span: Span, entries: Sequence[Entry]) -> list[list[Entry]]:
    groups: list[list[Entry]] = []
    for entry in entries:
        if groups and span.share(entry.t_ns / 1e9) - span.share(groups[-1][0].t_ns / 1e9) < _APART:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _half(text: str) -> float:
    """Half the width of a mark, in pixels."""
    return 9 if len(text) <= 2 else 4 + len(text) * 3.6


def _mark(x: str, y: float, text: str, kind: str, told: str) -> Svg:
    half = _half(text)
    bad = kind == "bad"
    face: dict[str, object] = {"class": "mb" if bad else "mk", "fill": INK if bad else PAPER, "stroke": INK, "height": 18, **_SHAPES.get(kind, {"rx": 9})}
    box = tag("rect", {"x": -half, "y": -9, "width": 2 * half, **face})
    number = tag("text", {"class": "mbt" if bad else "pt", "y": 4, "text_anchor": "middle", "font_size": 11, "fill": PAPER if bad else INK}, text)
    return tag("svg", {"x": x, "y": y, "overflow": "visible"}, tag("title", {}, told), box, number)
