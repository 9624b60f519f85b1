"""How deep a service fell, and for how long in seconds of full outage: reported beside the RTO, never judged."""

from __future__ import annotations

from dataclasses import dataclass

from chaoslib_ext.samples import Samples

SECOND_US = 1_000_000
LEAST = 20  # known samples that make a ratio worth drawing; chosen by feel


@dataclass(frozen=True, slots=True)
class Damage:
    """`depth` is 1 minus the lowest ratio of a second, `lost_s` the loss against the baseline, in seconds of full outage."""

    depth: float
    lost_s: float


def damage(samples: Samples, a_us: int, b_us: int, usual: float) -> Damage:
    """
    What was lost in [a, b) against the ratio `usual`, in slots of a second, or longer where fewer than 20 samples fall into one.

    Source: Bruneau et al., Earthquake Spectra 19 (2003), 733-752: loss is the integral of what is missing.
    """
    lowest, lost_s, start = 1.0, 0.0, a_us
    while start < b_us:
        end = min(start + SECOND_US, b_us)
        while end < b_us and samples.count(start, end).known < LEAST:
            end = min(end + SECOND_US, b_us)
        count = samples.count(start, end)
        if count.known:
            ratio = count.good / count.known
            lowest = min(lowest, ratio)
            lost_s += max(0.0, usual - ratio) * (end - start) / SECOND_US
        start = end
    return Damage(1.0 - lowest, lost_s)
