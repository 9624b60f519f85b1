"""
When a fault came into effect and when it was gone, from looks at its targets from outside: pure computation.

A *look* is one small HTTP request on a connection of its own. Nobody can see the very instant at which a
fault takes hold; two looks around it bound it. All times are nanoseconds since the run's zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_USUAL_NS = 2_000_000
CONFIRM = 2  # one look may be lost by chance; chosen by feel
STEADY = 40  # looks, two seconds of them: how long targets must answer to be called back before anything was undone


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look and how it ended: `answered` (HTTP, by a replica), `closed` (refused, reset, or an answer that is no replica's) or `silent` (its limit passed).

    `incarnation` is the uid in the answer's X-Incarnation header, `status` its HTTP status; both empty unless answered.
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
    that nobody answers or that another incarnation does. `usual_ns` is as `usual_ns()` gives it.
    """

    rule: str
    uid: str
    usual_ns: int = LEAST_USUAL_NS

    def holds(self, look: Look) -> bool:
        """Whether a look shows the fault in force."""
        return look.ending != "answered" or (self.rule == "kill" and look.incarnation != self.uid)

    def returned(self, look: Look) -> bool:
        """Whether a look shows the target back: it answers well, and where it was killed, in a new incarnation."""
        well = look.ending == "answered" and look.status < 400
        return well and (self.rule == "silence" or look.incarnation != self.uid)


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


def together(brackets: Sequence[Bracket]) -> Bracket:
    """The bracket of a whole fault: from the earliest of its targets to the latest."""
    return Bracket(min(one.lo_ns for one in brackets), max(one.hi_ns for one in brackets))
