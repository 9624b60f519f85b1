"""Which nodes of a store are to be believed, from one read of all of them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chaoslib_ext.load.nodes import Reading
from chaoslib_ext.writelog import is_barrier
from chaoslib_ext.writeplan import WriteLedger


@dataclass(slots=True)
class Round:
    """One read of all nodes. `authority` are the nodes whose word counts; without any, `why` says what is lacking."""

    began_ns: int
    readings: dict[str, Reading] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    authority: tuple[str, ...] = ()
    why: str = ""


def content(reading: Reading, run: str) -> Counter[str]:
    """What a node holds, without the barriers of the read-back itself."""
    return Counter({id_: n for id_, n in reading.counts.items() if not is_barrier(id_, run)})


def same(one: Round, other: Round, run: str) -> bool:
    """Whether two reads believe the same nodes, and those say the same."""
    return one.authority == other.authority and all(content(one.readings[node], run) == content(other.readings[node], run) for node in one.authority)


def authority_of(found: Round, barrier: str, how: WriteLedger, run: str) -> tuple[tuple[str, ...], str]:
    """
    The nodes whose word is the store's, or none and why.

    With a `primary` query: the one node that says it is. Else every node that shows the barrier, and these must agree:
    a deposed primary and a node that is cut off never show it.
    """
    needed = how.settled.nodes or len(how.nodes)
    if len(found.readings) < needed:
        told = "; ".join(f"{node}: {trouble}" for node, trouble in sorted(found.troubles.items()))
        return (), f"{len(found.readings)} of {len(how.nodes)} nodes could be read, {needed} are needed: {told}"
    showing = tuple(node for node in how.nodes if node in found.readings and found.readings[node].counts[barrier])
    if how.sql is not None and how.sql.primary:
        primaries = tuple(node for node, reading in sorted(found.readings.items()) if reading.primary)
        if len(primaries) != 1:
            return (), f"{len(primaries)} nodes say that they are the primary ({', '.join(primaries) or 'none'}), expected one"
        return (primaries, "") if primaries[0] in showing else ((), f"the primary {primaries[0]} does not show what was just written through the service")
    if not showing:
        return (), "no node shows what was just written through the service"
    if any(content(found.readings[node], run) != content(found.readings[showing[0]], run) for node in showing):
        return (), f"{', '.join(showing)} all show the barrier, and do not hold the same"
    return showing, ""
