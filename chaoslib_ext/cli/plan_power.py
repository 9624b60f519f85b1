"""What a plan says of its promises: which a run could decide, how small a change it would tell, and what to change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from chaoslib_ext.clock import format_duration
from chaoslib_ext.stats import LEVEL, POWER

Json = dict[str, Any]

ASSUMED = f"could decide (a loss counts from the target, where the service is assumed to be; told: with {LEVEL:.0%} confidence, in {POWER:.0%} of all runs)"


def decisions(seen: Json) -> Iterator[str]:
    """The promises of an outlook, each with what its samples tell. Plans of an earlier version lack some of it."""
    rows = [line for one in seen["objectives"] for line in _objective(one)]
    for name, told in (("RTO", seen["rto"]), ("recovery after removal", seen.get("recovery_after_removal"))):
        rows += _recovery(name, told) if told else []
    rows += _rpo(seen["rpo"]) if seen.get("rpo") else []
    if rows:
        yield ASSUMED
        yield from rows


def _head(told: Json, name: str, window: str, promise: str, more: str) -> str:
    word = {True: "yes", False: "NO", None: "?"}[told["decides"]]
    change = f"; {told['change']}" if told["change"] else ""
    return f"  {word:4}{name:24} {window:10} {promise}{more}{change}"


def _objective(one: Json) -> Iterator[str]:
    sure = f"{one['how_sure']} " if one["how_sure"] in ("at least", "at most") else ""
    samples = "  unknown" if one["samples"] is None else f"  {sure}{one['samples']:,} samples, {one['needed'] or 'no number'} needed"
    yield _head(one, one["slo"], one["window"], f">= {one['target'] * 100:.6g}%", samples)
    if one["samples"] and one.get("rate_per_s"):
        yield f"      {_loss(one)}{_ranks(one)}"


def _loss(one: Json) -> str:
    """The smallest loss that is told, cut off to two digits: what lies below it is certainly not told."""
    at = f"at {one['rate_per_s']:g}/s for {format_duration(one['window_s'])}"
    limit = one["max_latency_ms"]
    what = "an availability loss" if limit is None else f"a loss of answers within {format_duration(limit / 1000)}"
    if one["detectable_loss"] is None:
        return f"{at} {what}, however large, cannot be told from none"
    return f"{at} {what} under {points(one['detectable_loss'])} points cannot be told from none"


def points(loss: float) -> str:
    """A ratio as percentage points with two significant digits, never more than it is."""
    if loss <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(loss * 100)) - 1)
    return f"{math.floor(loss * 100 / step + 1e-9) * step:.6g}"


def _ranks(one: Json) -> str:
    if one["max_latency_ms"] is None:
        return ""
    name = f"p{one['target'] * 100:.6g}"
    if one["ranks"] is None:
        return f"; {name} is not bounded by {one['samples']:,} samples"
    return f"; {name} is known to within the samples of ranks {one['ranks'][0]:,} to {one['ranks'][1]:,} of {one['samples']:,}"


def _recovery(name: str, told: Json) -> Iterator[str]:
    yield _head(told, name, "", f"<= {format_duration(told['objective_s'])}", "")
    if told["resolution_s"] is not None:
        at = f"at {told['rate_per_s']:g}/s " if told.get("rate_per_s") else ""
        yield f"      {at}the bracket of an outage is at least {_fine(told['resolution_s'])} wide, plus the effect's bracket, lateness and response time"


def _fine(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else format_duration(seconds)


def _rpo(told: Json) -> Iterator[str]:
    writes = [f"<= {told['max_writes']:,} writes"] if told["max_writes"] is not None else []
    age = [f"<= {format_duration(told['objective_s'])}"] if told["objective_s"] is not None else []
    yield _head(told, f"RPO {told['ledger']}", "", ", ".join(writes + age), f"  {told['at_risk']:,} writes at risk in the last second before the fault")
    if told["writes"] and told["resolution_s"]:
        gap = f"a loss shorter than {_fine(told['resolution_s'])} may leave no trace"
        planned = f"at {told['rate_per_s']:g}/s at least {told['writes']:,} writes are planned"
        yield f"      {planned}: `max_writes` from 0 to {told['writes'] - 1:,} can be decided; {gap}"
