"""
When a fault came into effect and when it was gone, from looks at its targets from outside: pure computation.

A *look* is one small HTTP request on a connection of its own. Nobody can see the very instant at which a
fault takes hold; two looks around it bound it. All times are nanoseconds since the run's zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_USUAL_NS = 2_000_000
FULL = 507  # HTTP: Insufficient Storage
CONFIRM = 2  # one look may be lost by chance; chosen by feel
TRAFFIC = ("delay", "abort")  # rules of faults that hit a share of the requests
CHANCE = 1e-6  # of a wrong word on a share of the requests, by bad luck of the draws
EFFECT_MOST, REMOVAL_MOST = 200, 1400  # looks at one target, at most, before a word is said: 2 s and 14 s of them near an edge; the second serves 1 %
SLOW = 0.8  # of the delay: Envoy's clock is coarse, and a delay may come out a little short
APART, APART_NOISY = 2, 5  # affected looks one after the other: a pause of this machine makes many slow looks, but all at once
STEADY = 40  # looks, two seconds of them: how long targets must answer to be called back before anything was undone


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look and how it ended: `answered` (HTTP, by a replica), `closed` (refused, reset, or an answer that is no replica's) or `silent` (its limit passed).

    `incarnation` is the uid in the answer's X-Incarnation header, `status` its HTTP status; both empty unless answered. A
    look through a proxy also counts as answered when it was the proxy itself that answered, without incarnation.
    """

    sent_ns: int
    done_ns: int
    ending: str
    status: int = 0
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """
    One target of a fault: its uid when it was planned, and how its looks are read.

    Rules: `silence` (cut off or frozen) and `crash` (killed and kept down) mean that nobody answers; `kill` means
    that nobody answers or that another incarnation does. `usual_ns` is as `usual_ns()` gives it. `delay` and `abort`
    mean that a `share` of the requests through a proxy is held back for `delay_ns`, or answered by it with `status`.
    `full` means that a node answers that its disk is full, or answers no more; silence says nothing about its disk.
    """

    rule: str
    uid: str
    usual_ns: int = LEAST_USUAL_NS
    share: float = 1.0
    delay_ns: int = 0
    status: int = 0

    @property
    def slow_ns(self) -> int:
        """How long an answer took at least that was held back; 0 for faults that hold nothing back."""
        return round(SLOW * self.delay_ns)

    def holds(self, look: Look) -> bool:
        """Whether a look shows the fault in force."""
        if self.rule == "delay":
            return look.ending == "answered" and look.done_ns - look.sent_ns >= self.slow_ns
        if self.rule == "abort":
            return look.ending == "answered" and not look.incarnation and look.status == self.status
        if self.rule == "full":
            return look.ending == "closed" or (look.ending == "answered" and look.status == FULL)
        return look.ending != "answered" or (self.rule == "kill" and look.incarnation != self.uid)

    def returned(self, look: Look) -> bool:
        """Whether a look shows the target back: it answers well, and where it was killed, in a new incarnation; or passes on unaffected."""
        if self.rule in TRAFFIC:
            return look.ending == "answered" and bool(look.incarnation) and not self.holds(look)
        well = look.ending == "answered" and look.status < 400
        return well and (self.rule in ("silence", "full") or look.incarnation != self.uid)


@dataclass(frozen=True, slots=True)
class Bracket:
    """Not before `lo_ns`, not after `hi_ns`."""

    lo_ns: int
    hi_ns: int


def usual_ns(looks: Iterable[Look], limit_ns: int) -> int:
    """The longest that a calm target took to answer: at least 2 ms, at most the limit."""
    longest = max((look.done_ns - look.sent_ns for look in looks if look.ending == "answered"), default=0)
    return min(max(longest, LEAST_USUAL_NS), limit_ns)


def effect_bracket(looks: Sequence[Look], aim: Aim, intent_ns: int, applied_ns: int) -> Bracket | None:
    """
    When the fault came into effect on one target, or None while that is not proven.

    lo: the latest of the intent (before it nothing was done) and the sending of the last look that shows the target
    untouched (then it was still there). hi: the earliest that any look after that one proves. A refused, closed or
    foreign answer proves it when it arrives. A look without an answer proves by itself only that its limit has
    passed; but a target in its usual health would have answered within its usual time (the longest answer of the calm
    baseline), so the effect was there at the latest at its sending + that time, and this is floored at the first part's
    being applied because it is an inference. hi is never earlier than lo.
    """
    if aim.rule in TRAFFIC:
        return _effect_on_share(looks, aim, intent_ns)
    untouched = max((look.sent_ns for look in looks if not aim.holds(look)), default=None)
    later = [look for look in looks if aim.holds(look) and look.done_ns > intent_ns and (untouched is None or look.sent_ns > untouched)]
    if len(later) < CONFIRM:
        return None
    lo_ns = max(intent_ns, untouched if untouched is not None else intent_ns)
    hi_ns = min(max(look.sent_ns + aim.usual_ns, applied_ns) if look.ending == "silent" else look.done_ns for look in later)
    return Bracket(lo_ns, max(lo_ns, hi_ns))


def removal_bracket(looks: Sequence[Look], aim: Aim, effect_ns: int, undo_ns: int | None) -> Bracket | None:
    """
    When the target was back, or None while that is not seen.

    lo: the sending of the last look that shows it not back (it was away then), but not before the first undo's try
    where the return came after that, and never before the effect. hi: the arrival of the first good answer after it.
    Where nobody has begun to undo a held fault (`undo_ns` None), the target must answer steadily to be called back.
    """
    if aim.rule in TRAFFIC:
        return _removal_from_share(looks, aim, effect_ns, undo_ns)
    away = max((look.sent_ns for look in looks if not aim.returned(look)), default=effect_ns)
    back = [look for look in looks if aim.returned(look) and look.sent_ns > away]
    needed = CONFIRM if undo_ns is not None or aim.rule == "kill" else STEADY
    if len(back) < needed:
        return None
    hi_ns = max(min(look.done_ns for look in back), effect_ns)
    lo_ns = max(away, effect_ns)
    if undo_ns is not None and hi_ns >= undo_ns:
        lo_ns = max(lo_ns, undo_ns)
    return Bracket(min(lo_ns, hi_ns), hi_ns)


def looks_needed(share: float, most: int | None = None) -> int:
    """How many looks are needed so that seeing none affected has a chance below `CHANCE`; at most `most`."""
    needed = 1 if share >= 1 else math.ceil(math.log(CHANCE) / math.log1p(-share))
    return needed if most is None else min(needed, most)


def chance_of_at_most(count: int, looks: int, share: float) -> float:
    """The chance that at most `count` of so many looks are affected, each by itself with the chance `share`."""
    if share >= 1:
        return 1.0 if count >= looks else 0.0
    ways = (math.lgamma(looks + 1) - math.lgamma(k + 1) - math.lgamma(looks - k + 1) + k * math.log(share) + (looks - k) * math.log1p(-share)
            for k in range(min(count, looks) + 1))  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, ways)))


def _effect_on_share(looks: Sequence[Look], aim: Aim, intent_ns: int) -> Bracket | None:
    """
    The effect of a fault that hits a share of the requests, or None while that is not proven.

    It needs affected looks that cannot have one cause, and after the first of them enough looks for the affected among them
    not to be too few for the share. lo: the intent; where all requests are hit, the sending of the last unaffected look.
    hi: the first affected look's end, less the delay that it is known to have waited: it was decided on before.
    """
    known = sorted((look for look in looks if look.sent_ns >= intent_ns and (aim.holds(look) or aim.returned(look))), key=lambda look: look.sent_ns)
    lo_ns = intent_ns
    if aim.share >= 1:
        lo_ns = max((look.sent_ns for look in known if not aim.holds(look)), default=intent_ns)
        known = [look for look in known if look.sent_ns > lo_ns]
    hits = [look for look in known if aim.holds(look)]
    if not hits or _apart(hits) < (APART_NOISY if _noisy(aim) else APART):
        return None
    since = [look for look in known if look.sent_ns > hits[0].sent_ns]
    if len(since) < looks_needed(aim.share, EFFECT_MOST) or chance_of_at_most(sum(map(aim.holds, since)), len(since), aim.share) < CHANCE:
        return None
    hi_ns = min(max(look.done_ns - aim.slow_ns, look.sent_ns) for look in hits)
    return Bracket(lo_ns, max(lo_ns, hi_ns))


def _removal_from_share(looks: Sequence[Look], aim: Aim, effect_ns: int, undo_ns: int | None) -> Bracket | None:
    """
    When a fault that hits a share of the requests was gone, or None while that is not seen: a row of unaffected looks.

    lo: the sending of the last affected look, never before the effect, nor before the first undo's try where the row ends
    after that. hi: the end of the look with which the row is too long for chance. Where even calm looks were slow at
    times, a slow one proves nothing, and lo is the undo's try.
    """
    away = max((look.sent_ns for look in looks if aim.holds(look)), default=effect_ns)
    back = sorted((look for look in looks if aim.returned(look) and look.sent_ns > away), key=lambda look: look.sent_ns)
    proof = looks_needed(aim.share, None if undo_ns is None else REMOVAL_MOST)
    if len(back) < max(proof, CONFIRM if undo_ns is not None else STEADY):
        return None
    hi_ns = max(back[proof - 1].done_ns, effect_ns)
    lo_ns = effect_ns if _noisy(aim) else max(away, effect_ns)
    if undo_ns is not None and hi_ns >= undo_ns:
        lo_ns = max(lo_ns, undo_ns)
    return Bracket(min(lo_ns, hi_ns), hi_ns)


def _apart(looks: Iterable[Look]) -> int:
    """How many looks came one after the other, each sent after the end of the one before."""
    count, free_ns = 0, 0
    for look in looks:
        if look.sent_ns >= free_ns:
            count, free_ns = count + 1, look.done_ns
    return count


def _noisy(aim: Aim) -> bool:
    """Whether answers were as slow as if they had been held back before there was a fault."""
    return aim.rule == "delay" and aim.usual_ns >= aim.slow_ns


def together(brackets: Sequence[Bracket]) -> Bracket:
    """The bracket of a whole fault: from the earliest of its targets to the latest."""
    return Bracket(min(one.lo_ns for one in brackets), max(one.hi_ns for one in brackets))
