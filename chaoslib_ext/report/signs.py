"""The sign beside each verdict and each outcome: a shape of its own, so that colour is never the only difference."""

from __future__ import annotations

from chaoslib_ext.report.svg import Svg, tag

# Okabe and Ito's hues, darkened until white on them is legible
ACCENTS = {"PASS": "#00724f", "FAIL": "#b23a00", "INCONCLUSIVE": "#8a5a00", "ABORTED": "#8c3a6c", "ERROR": "#3d4650", "DIRTY": "#7a0010"}
CONTROL = "#2f5d86"
MARKS_OF_VERDICTS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ABORTED": "■", "ERROR": "▲", "DIRTY": "!"}
MARKS = {"met": "✓", "missed": "✗", "inconclusive": "?"}

_CIRCLE = "M20 2a18 18 0 1 0 0 36a18 18 0 1 0 0-36z"
_DRAWN = {
    "PASS": (_CIRCLE, "M11.5 20.5l6 6l11.5-13"),
    "FAIL": (_CIRCLE, "M13 13l14 14M27 13l-14 14"),
    "INCONCLUSIVE": ("M20 1L39 20L20 39L1 20z", "M15.2 16.2c0-6.6 9.8-6.4 9.8-.4c0 4-5 3.8-5 7.8M20 28.6v.6"),
    "ABORTED": ("M13 2h14l11 11v14l-11 11h-14l-11-11v-14z", "M14 14h12v12h-12z"),
    "ERROR": ("M20 3L39 37H1z", "M20 15v10M20 30.4v.8"),
    "DIRTY": ("M4 2h32a2 2 0 0 1 2 2v32a2 2 0 0 1-2 2h-32a2 2 0 0 1-2-2v-32a2 2 0 0 1 2-2z", "M20 9v14M20 30v1"),
}


def sign(verdict: str, control: bool) -> Svg:
    """The verdict's shape, 40 pixels; a control that passes is not painted as a pass."""
    outline, inside = _DRAWN.get(verdict, _DRAWN["INCONCLUSIVE"])
    colour = CONTROL if control and verdict == "PASS" else ACCENTS.get(verdict, ACCENTS["INCONCLUSIVE"])
    shape = tag("path", {"class": "sign", "d": Svg(outline), "fill": colour})
    stroke = {"fill": "none", "stroke": "#ffffff", "stroke_width": 4, "stroke_linecap": "round", "stroke_linejoin": "round"}
    return tag("svg", {"width": 40, "height": 40, "viewBox": "0 0 40 40", "aria-hidden": "true"}, shape, tag("path", {"d": Svg(inside), **stroke}))


def accent_class(verdict: str, control: bool) -> str:
    """The class of the page's body that carries the accent."""
    if control and verdict == "PASS":
        return "v-control"
    return f"v-{verdict.lower()}" if verdict in ACCENTS else "v-inconclusive"
