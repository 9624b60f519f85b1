"""The recovery brackets of several runs side by side: a bar each from its lower to its upper end, its verdict's shape above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.report.scale import linear
from chaoslib_ext.report.signs import ACCENTS, CONTROL, MARKS_OF_VERDICTS
from chaoslib_ext.report.svg import GRID, INK, Svg, drawing, pct, tag, words
from chaoslib_ext.report.words import seconds

_HEAD, _HIGH, _FOOT = 26, 110, 22
_LEFT = 0.1  # the share of the width that the scale's words take


@dataclass(frozen=True, slots=True)
class Bar:
    """One run: the bracket in seconds (None: not measured; its upper end None: never seen), its verdict, whether it is this page's own, or a control."""

    ends: tuple[float, float | None] | None
    verdict: str
    own: bool
    control: bool = False


def trend_line(runs: Sequence[Bar], objective_s: float | None, label: str, ends: tuple[str, str] | None = None) -> Svg:
    """The picture; runs are spread evenly, the last one is named, or both ends are by `ends`."""
    tops = [end for run in runs if run.ends for end in run.ends if end is not None]
    scale = linear(0.0, max([*tops, objective_s or 0.0, 0.1]), _HIGH, seconds, most=3)
    drawn: list[Svg] = []
    for tick in scale.ticks:
        y = _HEAD + scale.y(tick)
        drawn.append(tag("line", {"class": "g", "x1": 0, "x2": "100%", "y1": y, "y2": y, "stroke": GRID}))
        drawn.append(words("0", y - 4, scale.label(tick)))
    if objective_s is not None:
        y = _HEAD + scale.y(objective_s)
        drawn.append(tag("line", {"class": "m", "x1": 0, "x2": "100%", "y1": y, "y2": y, "stroke": INK, "stroke_width": 1.25, "stroke_dasharray": "9 3 2 3"}))
    step = (1 - _LEFT - 0.05) / max(1, len(runs) - 1)
    for index, run in enumerate(runs):
        left = pct(_LEFT + step * index if len(runs) > 1 else 0.5)
        drawn.append(_bar(run, left, [_HEAD + scale.y(end if end is not None else scale.high) for end in run.ends] if run.ends else None))
    for x, text, anchor in zip((pct(_LEFT), "100%"), ends or (), ("start", "end"), strict=False):
        drawn.append(words(x, _HEAD + _HIGH + 16, text, anchor))
    return drawing(_HEAD + _HIGH + _FOOT, label, *drawn)


def _bar(run: Bar, left: str, ends: list[float] | None) -> Svg:
    colour = CONTROL if run.control and run.verdict == "PASS" else ACCENTS.get(run.verdict, INK)
    mark = tag("text", {"class": "pt", "y": _HEAD - 12, "text_anchor": "middle", "fill": INK, "font_weight": 700}, MARKS_OF_VERDICTS.get(run.verdict, "?"))
    parts = [mark]
    if ends is not None:
        low, high = ends
        parts.append(tag("rect", {"class": "be", "x": -6, "width": 12, "y": high, "height": max(3.0, low - high), "fill": colour, "stroke": colour}))
        parts.append(tag("line", {"class": "a", "x1": 0, "x2": 0, "y1": low, "y2": _HEAD + _HIGH, "stroke": colour}))
    if run.own:
        parts.append(tag("text", {"class": "pt", "x": 10, "y": _HEAD + _HIGH + 16, "text_anchor": "end", "fill": INK}, "this run"))
    return tag("svg", {"x": left, "overflow": "visible"}, *parts)
