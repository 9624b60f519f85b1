"""
When a system had recovered: a bracket in time, found from the census of arrivals.

*Recovered* is the first good arrival t such that every prefix [t, t'] of the `stable` stretch [t, t + stable)
with enough arrivals (as many as it takes for one bad one to be allowed) meets the SLO. The stretch must have
been observed to its end and must hold enough arrivals. A candidate whose service fails again over a whole
`stable` window that ends before `relapse_before_us` was a false dawn.

The bracket: recovery was not before the last bad arrival that precedes t was *sent*, and not after t was
*answered*; where bad ones follow among the first `enough` arrivals of the stretch, not after the first good
one behind them was answered. For a complete outage it contains the truth whatever the arrival process. Behind a partial
one the first good arrivals may be luck, and failing may fade away instead of ending: there the late end waits for as
many good ones as a service that still failed a third as often as it had just done would give once in `LUCK` times (at most to
the end of the stretch). Drawn from seeds, that holds the truth for at least 95 % of steady shares, and 90 % of fading ones.

Thousands of overlapping windows are asked about a relapse, so that by chance alone some miss a target that the
service just about meets. Such a relapse moves only the late end of the bracket; the early end moves for a relapse
that chance does not explain (`CLEARLY` standard deviations), so that noise makes a run undecided, never failed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from chaoslib_ext.samples import Known
from chaoslib_ext.stats import enough, exact

CLEARLY = 4.0  # standard deviations above what the target allows: 3 in 100,000 windows by chance
LUCK = 40  # 2.5 %: with the error of the share that is estimated from so few arrivals, at least 95 % of the brackets hold the truth
FADED = 3  # how much less often than it had just done a service may fail that is still failing; measured in tests/unit/test_recovery_of_parts.py
LOOKED = 20  # arrivals before the last bad one, which say how often it failed; all of them bad is a complete outage
DAWN_SHARE = 10  # a good spell counts as a false dawn from a tenth of `stable` on; chosen by feel


@dataclass(frozen=True, slots=True)
class Question:
    """
    What is asked of a stretch of arrivals; times are microseconds from the run's zero.

    The arrivals begin at `from_us` (the clock's start) and were observed until `until_us`.
    """

    target: float
    stable_us: int
    from_us: int
    until_us: int
    relapse_before_us: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    Where the recovery lies. `at_us` is t, None when there was none in the observation.

    `lo_us` is proven either way: before it the system had not recovered. `hi_us` is None without a recovery.
    `too_few`: a stretch was observed to its end, but held fewer arrivals than the target needs.
    `impact_us` is the first bad arrival of the first failing window; None when the SLO never failed (absorbed).
    """

    at_us: int | None
    lo_us: int
    hi_us: int | None
    too_few: bool
    impact_us: int | None
    false_dawns: int
    gap_us: int = 0
    lateness_us: int = 0
    response_us: int = 0


@dataclass(frozen=True, slots=True)
class _Walk:
    """Arrivals with running sums: `sums[j] - sums[i]` is at least 0 when arrivals i..j-1 meet the target."""

    known: Known
    question: Question
    enough: int
    sums: list[int]
    ends: list[int]
    failing: bytearray
    clearly: bytearray


def recover(known: Known, question: Question) -> Recovery:
    """The recovery from `question.from_us` on; `known` holds exactly the arrivals from there to `until_us`. O(n)."""
    walk = _walk(known, question)
    first_open, found, too_few = _candidates(walk)
    last_bad = _last_bad(known.good, first_open)  # no open candidate is no proven one either
    lo_us = question.from_us if last_bad is None else known.sent_us[last_bad]
    impact, dawns = _spells(walk, len(known.at_us) if found is None else found)
    if found is None:
        return Recovery(None, lo_us, None, too_few, impact, dawns)
    proof = _proof(walk, found)
    hi_us = max(known.end_us[found], known.end_us[proof], lo_us)
    before = question.from_us if last_bad is None else known.at_us[last_bad]
    lateness = known.sent_us[proof] - known.at_us[proof]
    if last_bad is not None:
        lateness = max(lateness, known.sent_us[last_bad] - known.at_us[last_bad])
    response = max(0, known.end_us[proof] - known.sent_us[proof])
    return Recovery(known.at_us[found], lo_us, hi_us, False, impact, dawns, known.at_us[proof] - before, lateness, response)


def _walk(known: Known, question: Question) -> _Walk:
    ratio = exact(question.target)
    up, down = ratio.denominator - ratio.numerator, -ratio.numerator
    sums = list(accumulate((up if good else down for good in known.good), initial=0))
    needed = enough(question.target) or 1  # at 1.0 any bad arrival fails any prefix
    failing, clearly = _failing(known.at_us, sums, question, needed)
    return _Walk(known, question, needed, sums, _ends(known.at_us, question.stable_us), failing, clearly)


def _ends(at_us: Sequence[int], stable_us: int) -> list[int]:
    """For each arrival the index behind its stretch [at, at + stable)."""
    ends, stop, n = [], 0, len(at_us)
    for at in at_us:
        limit = at + stable_us
        while stop < n and at_us[stop] < limit:
            stop += 1
        ends.append(stop)
    return ends


def _failing(at_us: Sequence[int], sums: Sequence[int], question: Question, needed: int) -> tuple[bytearray, bytearray]:
    """For each arrival whether the window (at - stable, at] holds enough arrivals and misses the target, and whether it does so clearly."""
    ratio = exact(question.target)
    one, allowed_share = ratio.denominator, float(1 - ratio)
    failing, clearly, start, last = bytearray(len(at_us)), bytearray(len(at_us)), 0, len(at_us) - 1
    for j, at in enumerate(at_us):
        limit = at - question.stable_us
        while at_us[start] <= limit:
            start += 1
        if j < last and at_us[j + 1] == at:
            continue  # the window ends behind all arrivals of this instant
        short = sums[start] - sums[j + 1]
        if short > 0 and j - start + 1 >= needed:
            failing[j] = 1
            clearly[j] = short > one * (1.0 + CLEARLY * math.sqrt((j - start + 1) * allowed_share))
    return failing, clearly


def _candidates(walk: _Walk) -> tuple[int | None, int | None, bool]:
    """The first candidate that nothing refutes, the first one proven, and whether any was short of arrivals only."""
    at_us, good, sums, ends = walk.known.at_us, walk.known.good, walk.sums, walk.ends
    until, stable, needed = walk.question.until_us, walk.question.stable_us, walk.enough
    barrier, lowest = _barrier(walk, walk.failing), _barrier(walk, walk.clearly)
    first_open: int | None = None
    too_few = False
    lows: deque[int] = deque()  # indexes of sums, increasing, with increasing values: the minimum of the window is first
    right = 0
    for i in range(len(at_us)):
        while right <= ends[i]:
            value = sums[right]
            while lows and sums[lows[-1]] >= value:
                lows.pop()
            lows.append(right)
            right += 1
        while lows and lows[0] < i + needed:
            lows.popleft()
        if not good[i] or at_us[i] <= lowest or (lows and sums[lows[0]] < sums[i]):
            continue
        first_open = i if first_open is None else first_open
        if at_us[i] <= barrier:
            continue
        if at_us[i] + stable > until:
            break  # neither this one nor a later one was observed to its end
        if lows:
            return first_open, i, False
        too_few = True
    return first_open, None, too_few


def _barrier(walk: _Walk, failing: bytearray) -> int:
    """No candidate at or before this time: a whole window failed behind it, before `relapse_before_us`."""
    at_us = walk.known.at_us
    last = failing.rfind(1, 0, bisect_left(at_us, walk.question.relapse_before_us))
    return walk.question.from_us - 1 if last < 0 else at_us[last] - walk.question.stable_us


def _last_bad(good: Sequence[int], before: int | None) -> int | None:
    """The index of the last bad arrival before index `before` (None: the end)."""
    for i in range((len(good) if before is None else before) - 1, -1, -1):
        if not good[i]:
            return i
    return None


def _proof(walk: _Walk, found: int) -> int:
    """The arrival whose answer proves recovery: t, or the first good one behind the last bad one of the first `enough`; later when that may be luck."""
    good, stop = walk.known.good, min(found + walk.enough, len(walk.known.good))
    last = next((i for i in range(stop - 1, found, -1) if not good[i]), None)
    first = found if last is None else next((i for i in range(last + 1, len(good)) if good[i]), found)
    allowed, failing = float(1 - exact(walk.question.target)), _failing_share(walk, found)
    if failing == 1.0:
        return first
    more, less = math.log((1.0 - allowed) / (1.0 - failing)), math.log(allowed / failing) if allowed else -math.inf
    sure, last_good = 0.0, first
    for i in range(first, walk.ends[found]):
        sure = max(0.0, sure + (more if good[i] else less))
        last_good = i if good[i] else last_good
        if sure >= math.log(LUCK):
            break
    return last_good


def _failing_share(walk: _Walk, found: int) -> float:
    """How often arrivals may still fail at index `found`, by how often they just did: more than the target allows; 1.0 where all or none did."""
    last = _last_bad(walk.known.good, found)
    looked = [] if last is None else walk.known.good[max(0, last - LOOKED) : last]
    if not any(looked):
        return 1.0
    just_now = max(looked.count(0) / len(looked), 1.0 / (len(looked) + 1))
    return min(1.0, max(just_now / FADED, 2.0 * float(1 - exact(walk.question.target))))


def _spells(walk: _Walk, stop: int) -> tuple[int | None, int]:
    """
    The first bad arrival of the first failing window, and how many false dawns came after it, before index `stop`.

    Walks from spell to spell: each begins at a good arrival whose first `enough` meet the target and ends where
    a prefix, or a whole window, fails.
    """
    at_us, good, sums = walk.known.at_us, walk.known.good, walk.sums
    end = _fails(walk, 0)
    if end is None:
        return None, 0
    start = max(0, bisect_left(at_us, at_us[end - 1] - walk.question.stable_us, 0, end))
    impact = next(at_us[i] for i in range(start, end) if not good[i])
    dawns, i, shortest = 0, end, walk.question.stable_us // DAWN_SHARE
    while i + walk.enough < min(stop, len(at_us)):
        if not good[i] or sums[i + walk.enough] < sums[i]:
            i += 1
            continue
        end = _fails(walk, i)
        if end is None:
            break
        dawns += at_us[end - 1] - at_us[i] >= shortest
        i = end
    return impact, dawns


def _fails(walk: _Walk, i: int) -> int | None:
    """The index behind the arrival at which a spell that begins at `i` fails, or None."""
    at_us, sums = walk.known.at_us, walk.sums
    if i >= len(at_us):
        return None
    for k in range(i + walk.enough, walk.ends[i] + 1):
        if sums[k] < sums[i]:
            return k
    later = walk.failing.find(1, walk.ends[i], bisect_left(at_us, walk.question.relapse_before_us))
    return None if later < 0 else later + 1
