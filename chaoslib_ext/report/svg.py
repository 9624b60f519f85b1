"""
SVG as text, painted with presentation attributes so that it stays readable where no style sheet may load.

A chart has no fixed width: lines live in an inner picture that stretches (its strokes do not), words are placed
by percentages in the outer one and keep their size. So one drawing serves a telephone, a wall screen and paper.
"""

from __future__ import annotations

from html import escape

from chaoslib_ext.report.words import clean

WIDE = 10_000  # x units of the stretched inner picture
INK, MUTED, GRID, PAPER = "#1b1f24", "#59626d", "#dfe3e8", "#ffffff"


class Svg(str):
    """Finished markup: templates print it as it is (`__html__` is jinja2's sign for that)."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def tag(name: str, attributes: dict[str, object], *children: str) -> Svg:
    """One element; attribute values and children that are not `Svg` are cleaned and escaped. None drops an attribute."""
    written = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    if not children:
        return Svg(f"<{name}{written}/>")
    inner = "".join(child if isinstance(child, Svg) else escape(clean(child)) for child in children)
    return Svg(f"<{name}{written}>{inner}</{name}>")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value) if isinstance(value, int | Svg) else escape(clean(value))


def drawing(height: int, label: str, *children: Svg, told: str = "", end_s: float | None = None) -> Svg:
    """
    The outer picture: as wide as its place, `height` pixels high, `label` its name and `told` its description for those who do not see it.

    `end_s` is the last second of a time axis that begins with the run, for the script that reads a moment out.
    """
    face: dict[str, object] = {"class": "chart", "role": "img", "aria-label": label, "width": "100%", "height": height, "data_end": end_s}
    described = [tag("desc", {}, told)] if told else []
    return tag("svg", face | {"font_family": "system-ui, sans-serif", "font_size": 12}, *described, *children)


def stretched(top: int, height: int, *children: Svg) -> Svg:
    """The inner picture: x runs from 0 to WIDE over the whole width, y in pixels from its own top."""
    box = f"0 0 {WIDE} {height}"
    return tag("svg", {"y": top, "width": "100%", "height": height, "viewBox": box, "preserveAspectRatio": "none", "overflow": "visible"}, *children)


def words(x: str, y: float, text: str, anchor: str = "start", **more: object) -> Svg:
    """A label with a halo of paper, so that a line passing behind leaves it legible."""
    face: dict[str, object] = {"class": "t", "x": x, "y": y, "text_anchor": None if anchor == "start" else anchor, "fill": MUTED}
    halo: dict[str, object] = {"stroke": PAPER, "stroke_width": 3, "stroke_linejoin": "round", "paint_order": "stroke"}
    return tag("text", face | halo | more, text)


def pct(share: float) -> str:
    """`0.25` as `25%`: a horizontal place in the outer picture."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "%"


def path(points: list[tuple[float, float | None]]) -> Svg:
    """
    Path data through the points; None breaks the line, and a point alone becomes a dot (with a round cap).

    Written as steps from point to point, which is half as long; steps are between rounded places, so errors do not add up.
    """
    out: list[str] = []
    here: tuple[int, int] | None = None  # x, and y in tenths
    steps = 0
    for x, y in [*points, (0.0, None)]:
        if y is None:
            out += ["h0"] if here is not None and steps == 1 else []
            here, steps = None, 0
            continue
        there = round(x), round(y * 10)
        if here is None:
            out.append(f"M{there[0]} {_tenths(there[1])}")
        else:
            across, down = str(there[0] - here[0]), _tenths(there[1] - here[1])
            lead = "l" if steps == 1 else "" if across.startswith("-") else " "
            out.append(f"{lead}{across}{'' if down.startswith('-') else ' '}{down}")
        here, steps = there, steps + 1
    return Svg("".join(out))


def _tenths(value: int) -> str:
    """`-34` as `-3.4`, `5` as `.5`, `30` as `3`."""
    whole, tenth = divmod(abs(value), 10)
    text = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{text}" if value < 0 else text


def hatch(name: str, colour: str, gap: int, width: float, css: str = "hatch") -> Svg:
    """A pattern of slanted lines for `fill="url(#name)"`; tells areas apart without colour."""
    line = tag("path", {"class": css, "d": f"M0 0V{gap}", "stroke": colour, "stroke_width": width})
    box: dict[str, object] = {"id": name, "width": gap, "height": gap, "patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    return tag("pattern", box, line)


def ticked(text: str) -> Svg:
    """Text of ours with its `commands` set as code."""
    parts = [tag("code", {}, part) if index % 2 else escape(part, quote=False) for index, part in enumerate(text.split("`"))]
    return Svg("".join(parts))
