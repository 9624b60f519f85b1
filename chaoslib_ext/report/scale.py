"""Axes: the shared time axis, and value scales with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from chaoslib_ext.report.svg import WIDE, pct

_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, slots=True)
class Span:
    """The seconds that every chart of a page shares as its x axis."""

    start_s: float
    end_s: float

    def share(self, t_s: float) -> float:
        """Where `t_s` lies, 0 at the left and 1 at the right, clipped."""
        return min(1.0, max(0.0, (t_s - self.start_s) / (self.end_s - self.start_s)))

    def x(self, t_s: float) -> float:
        """The same in units of the stretched picture."""
        return self.share(t_s) * WIDE

    def left(self, t_s: float) -> str:
        """The same in percent of the outer picture."""
        return pct(self.share(t_s))

    def width(self, from_s: float, to_s: float) -> str:
        """How wide a stretch is, in percent of the outer picture."""
        return pct(self.share(to_s) - self.share(from_s))

    def ticks(self, most: int = 7) -> list[int]:
        """Round seconds inside the span, at most `most` of them (seven labels fit a telephone)."""
        length = self.end_s - self.start_s
        step = next((step for step in _STEPS_S if length / step <= most - 0.5), max(1, math.ceil(length / (most - 1))))
        first = math.ceil(self.start_s / step) * step
        return list(range(first, math.floor(self.end_s) + 1, step))


@dataclass(frozen=True, slots=True)
class Scale:
    """
    Values to pixels from the top of a plot `height` high.

    `log` spaces decades evenly; values outside are clipped to the edge.
    """

    low: float
    high: float
    height: int
    ticks: tuple[float, ...]
    label: Callable[[float], str]
    log: bool = False

    def y(self, value: float) -> float:
        """Pixels from the top."""
        turn = math.log10 if self.log else float
        low, high = turn(self.low), turn(self.high)
        share = (turn(max(value, self.low)) - low) / (high - low)
        return (1 - min(1.0, share)) * self.height


def linear(low: float, high: float, height: int, label: Callable[[float], str], most: int = 4) -> Scale:
    """A scale from `low` to the next round value above `high`."""
    step = _round_step((high - low) / most)
    count = max(1, math.ceil((high - low) / step - 1e-9))
    ticks = tuple(low + step * i for i in range(count + 1))
    return Scale(low, ticks[-1], height, ticks, label)


def logarithmic(low: float, high: float, height: int, label: Callable[[float], str]) -> Scale:
    """A scale in decades, from 1-2-5 steps around `low` to around `high`; both above 0."""
    steps = sorted(m * 10.0**e for e in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5))
    floor = max(step for step in steps if step <= low * 1.0001)
    ceiling = next((step for step in steps if step >= high * 0.9999), high)
    if ceiling <= floor:
        ceiling = floor * 10
    inside = [step for step in steps if floor <= step <= ceiling]
    decades = [step for step in inside if abs(math.log10(step) - round(math.log10(step))) < 1e-9]
    ends = [step for step in (floor, ceiling) if all(max(step / decade, decade / step) > 1.5 for decade in decades)]
    few = inside if len(inside) <= 5 else sorted(decades + ends)
    return Scale(floor, ceiling, height, tuple(few), label, log=True)


def _round_step(raw: float) -> float:
    if raw <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(raw))
    return next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.9999)


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """
    Label places moved apart so that neighbours are at least `gap` from each other, inside [low, high] where they fit.

    The order of the places is kept; the answer is in the order given.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = [min(high, max(low, place)) for place in places]
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    ceiling = high
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved
