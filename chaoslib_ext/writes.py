"""
What a history of writes and a final read say of lost data. Pure: no file, no clock.

Words after Jepsen: a write ended `ok`, `fail` (definitely not done) or `info` (unknown, and it may still take effect
later). Only an acknowledged write can be lost; an unknown one never is.

Source: Jepsen, checker.clj, `set`; that one hides writes which failed and are there all the same, this one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaoslib_ext.writelog import FAIL, INFO, OK, Attempt, is_barrier

US = 1000  # nanoseconds
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Classes:
    """
    The ids of each class, in the order sent; `phantom` and `duplicated` in alphabetical order.

    `lost` acknowledged and absent · `recovered` unknown and there · `never_seen` unknown and absent · `resurrected` failed and there ·
    `phantom` there and never sent · `duplicated` there more than once.
    """

    lost: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()
    never_seen: tuple[str, ...] = ()
    resurrected: tuple[str, ...] = ()
    phantom: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    acknowledged: int = 0
    unknown: int = 0
    attempted: int = 0


def classify(attempts: Iterable[Attempt], final: Mapping[str, int], run: str) -> Classes:
    """
    The classes of all writes, given how often the final read found each id.

    Ids that do not begin with the run's own are other people's; barrier writes are the read-back's.
    """
    ours = {id_: n for id_, n in final.items() if n > 0 and id_.startswith(f"{run}:") and not is_barrier(id_, run)}
    writes = list(attempts)
    sent = {one.id for one in writes}

    def chosen(outcome: str, there: bool) -> tuple[str, ...]:
        return tuple(one.id for one in writes if one.outcome == outcome and (one.id in ours) == there)

    return Classes(
        lost=chosen(OK, False),
        recovered=chosen(INFO, True),
        never_seen=chosen(INFO, False),
        resurrected=chosen(FAIL, True),
        phantom=tuple(sorted(ours.keys() - sent)),
        duplicated=tuple(sorted(id_ for id_, n in ours.items() if n > 1)),
        acknowledged=sum(one.outcome == OK for one in writes),
        unknown=sum(one.outcome == INFO for one in writes),
        attempted=len(writes),
    )


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """
    How old the data is that is left. `[lo_s, hi_s]` is the age of the first lost acknowledgement when the fault took effect; 0 with none before it.

    An acknowledgement is given after its write was sent and before our client noted it; a starved client notes it late, so
    neither end may be taken for the moment itself. `before` and `after` count lost writes acknowledged surely before the effect's
    bracket and surely after it, `around` all others: those after it are no matter of age, the system lied while it failed over.
    `first_ns` and `last_ns` are when the first and the last lost acknowledgement were noted, `span_s` is the time between them, `kept_between`
    how many noted in between are there: not zero means that no clean point in time was recovered.
    """

    lo_s: float = 0.0
    hi_s: float = 0.0
    before: int = 0
    around: int = 0
    after: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    span_s: float = 0.0
    kept_between: int = 0


def recovery_point(attempts: Iterable[Attempt], lost: Iterable[str], effect_ns: tuple[int, int]) -> RecoveryPoint:
    """
    The recovery point, and RPO in seconds, for a fault that took effect somewhere in `effect_ns`.

    The recovery point is the latest instant up to which every acknowledged write is there: just before the first lost acknowledgement, which
    came no earlier than the first of the lost writes was sent, and no later than the first of their acknowledgements was noted.
    RPO = max(0, effect - recovery point): its lower end has the begin of the effect and the noting, its upper end the effect's
    end and the sending.
    """
    gone = set(lost)
    acked = {one.id: (one.sent_us * US, one.done_us * US) for one in attempts if one.outcome == OK and one.done_us is not None}
    spans = [acked[id_] for id_ in gone]
    if not spans:
        return RecoveryPoint()
    lo_ns, hi_ns = effect_ns
    before, after = sum(noted <= lo_ns for _, noted in spans), sum(sent > hi_ns for sent, _ in spans)
    first_ns, last_ns = min(noted for _, noted in spans), max(noted for _, noted in spans)
    return RecoveryPoint(
        lo_s=max(0, lo_ns - first_ns) / NS,
        hi_s=max(0, hi_ns - min(sent for sent, _ in spans)) / NS,
        before=before,
        around=len(spans) - before - after,
        after=after,
        first_ns=first_ns,
        last_ns=last_ns,
        span_s=(last_ns - first_ns) / NS,
        kept_between=sum(first_ns < noted < last_ns for id_, (_, noted) in acked.items() if id_ not in gone),
    )


def missing(attempts: Iterable[Attempt], counts: Mapping[str, int]) -> int:
    """How many acknowledged writes one node lacks."""
    return sum(one.outcome == OK and not counts.get(one.id) for one in attempts)
