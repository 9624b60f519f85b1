"""
When arrivals happen: a pure function of stages, seed and arrival number.

With R(t) the integral of the rate, uniform arrival k is where R reaches k; poisson arrivals are where R reaches the
sums of unit-exponential gaps, which makes a Poisson process of that rate.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of `for_s` seconds (None: open-ended) at `rate` arrivals per second, or from `rate` to `to` in a straight line."""

    rate: float
    to: float | None = None
    for_s: float | None = None


class Schedule:
    """
    The arrivals of a load profile. Its last stage is open-ended: after its `for_s`, if any, its final rate goes on.

    Same arguments, same arrivals, on every machine and Python. Raises ValueError for stages that make no endless schedule.
    """

    def __init__(self, stages: tuple[Stage, ...], arrivals: str = "uniform", seed: int = 0) -> None:
        if arrivals not in ("uniform", "poisson"):
            raise ValueError(f"arrivals: got {arrivals!r}, expected uniform or poisson")
        self._seed, self._poisson = seed, arrivals == "poisson"
        self._starts: list[float] = []  # seconds, one for each piece
        self._counts: list[float] = []  # arrivals due before that piece, the integral of the rate
        self._rates: list[float] = []  # at the start of the piece
        self._slopes: list[float] = []  # change of rate per second
        self._peak = 0.0
        self._lay(stages)
        self._drawn = array("d")  # poisson arrivals drawn so far, so that counting does not draw them again
        self._more = self._draw()

    def _lay(self, stages: tuple[Stage, ...]) -> None:
        """Turns stages into pieces of constant slope; the last piece is endless."""
        at_s, count = 0.0, 0.0
        final = 0.0
        for number, stage in enumerate(stages):
            final = stage.rate if stage.to is None else stage.to
            self._peak = max(self._peak, stage.rate, final)
            if stage.for_s is None and (number < len(stages) - 1 or stage.to is not None):
                raise ValueError(f"stages[{number}]: needs `for`; only a last stage without `to` is open-ended")
            if stage.for_s is None:
                break
            self._piece(at_s, count, stage.rate, (final - stage.rate) / stage.for_s)
            at_s += stage.for_s
            count += (stage.rate + final) / 2 * stage.for_s
        if final <= 0:
            raise ValueError("stages: the last one must end at a rate above 0")
        self._piece(at_s, count, final, 0.0)

    def _piece(self, start_s: float, count: float, rate: float, slope: float) -> None:
        self._starts.append(start_s)
        self._counts.append(count)
        self._rates.append(rate)
        self._slopes.append(slope)

    def times(self) -> Iterator[float]:
        """Arrival instants in seconds from the start, never decreasing, without end."""
        return self._draw() if self._poisson else self._uniform()

    def _uniform(self) -> Iterator[float]:
        last = len(self._starts) - 1
        for piece, count in enumerate(self._counts):
            number = math.ceil(count)
            end = math.inf if piece == last else self._counts[piece + 1]
            if piece == last or self._slopes[piece] == 0:
                start_s, rate, limit = self._starts[piece], self._rates[piece], math.inf if piece == last else self._starts[piece + 1]
                while number < end:
                    yield min(start_s + (number - count) / rate, limit)
                    number += 1
            else:
                while number < end:
                    yield self._reached(piece, number)
                    number += 1

    def _draw(self) -> Iterator[float]:
        uniform = random.Random(self._seed).random
        total, piece, last = 0.0, 0, len(self._starts) - 1
        while True:
            total -= math.log(1.0 - uniform())  # a unit-exponential gap; the same sum on every Python
            while piece < last and self._counts[piece + 1] <= total:
                piece += 1
            yield self._reached(piece, total)

    def _reached(self, piece: int, level: float) -> float:
        """The instant at which the integral of the rate reaches `level`, which lies in `piece`."""
        due, rate, slope = level - self._counts[piece], self._rates[piece], self._slopes[piece]
        if due <= 0:
            return self._starts[piece]
        if slope == 0:
            took = due / rate
        else:  # the stable root of slope/2·t² + rate·t = due
            took = 2 * due / (rate + math.sqrt(max(rate * rate + 2 * slope * due, 0.0)))
        at_s = self._starts[piece] + took
        return at_s if piece == len(self._starts) - 1 else min(at_s, self._starts[piece + 1])

    def _time_of(self, number: int) -> float:
        piece = bisect_right(self._counts, number) - 1
        return self._reached(piece, number)

    def count_between(self, a_s: float, b_s: float) -> int:
        """How many arrivals `times` yields in [a_s, b_s)."""
        return max(self._count_before(b_s) - self._count_before(a_s), 0)

    def _count_before(self, t_s: float) -> int:
        if t_s <= 0:
            return 0
        if self._poisson:
            while not self._drawn or self._drawn[-1] < t_s:
                self._drawn.append(next(self._more))
            return bisect_left(self._drawn, t_s)
        number = max(math.ceil(self._integral(t_s)), 0)
        while number > 0 and self._time_of(number - 1) >= t_s:  # the closed form is right to a rounding error;
            number -= 1
        while self._time_of(number) < t_s:  # these make it exact at the edges
            number += 1
        return number

    def _integral(self, t_s: float) -> float:
        piece = max(bisect_right(self._starts, t_s) - 1, 0)
        into_s = t_s - self._starts[piece]
        return self._counts[piece] + into_s * (self._rates[piece] + self._slopes[piece] * into_s / 2)

    def rate_at(self, t_s: float) -> float:
        """Arrivals per second intended at `t_s`; 0 before the start."""
        if t_s < 0:
            return 0.0
        piece = bisect_right(self._starts, t_s) - 1
        return max(self._rates[piece] + self._slopes[piece] * (t_s - self._starts[piece]), 0.0)

    def peak_rate(self) -> float:
        """The highest rate of any moment, in arrivals per second."""
        return self._peak
