"""
In which order faults are taken back: the one on which most hangs first, for whoever heals may have only seconds left.

It needs nothing but the ledger. Of faults that hit the same target the newer one always comes first.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaoslib_ext.ledger import Entry

REACH = {  # how much stands still because of one part, measured in single processes; chosen by feel
    "process.release_zone": 10,
    "process.open_link": 10,
    "process.thaw_store": 5,
    "process.empty_disk": 5,
    "process.end_tracer": 5,
}


def most_urgent_first(found: Iterable[Entry]) -> list[Entry]:
    """Whole faults, by what all their parts reach together; where that is the same, and within a fault, the newest part first."""
    by_fault: dict[str, list[Entry]] = {}
    for entry in sorted(found, key=lambda entry: entry.seq):
        by_fault.setdefault(entry.fault, []).append(entry)
    urgency: dict[str, int] = {}
    hit: dict[str, int] = {}  # the most urgent of the older faults on each target
    for fault, parts in by_fault.items():
        uids = {entry.target.uid for entry in parts}
        own = sum(REACH.get(entry.handler, 1) for entry in parts)
        urgency[fault] = max(own, *(hit.get(uid, 0) for uid in uids))
        hit.update(dict.fromkeys(uids, urgency[fault]))
    everything = [entry for parts in by_fault.values() for entry in parts]
    return sorted(everything, key=lambda entry: (-urgency[entry.fault], -entry.seq))
