"""
The weaknesses a sandbox can be planted with: one closed list of switches.

Each is a mistake that real systems have. A test that finds nothing in a sandbox with a planted weakness is
blind; a test that finds something in a sandbox without any is lying.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from chaoslib_ext.errors import UsageError

WEAKNESSES: dict[str, str] = {
    "no_retries": "The proxy sends every request once: what a lost replica held is an error for the client.",
    "slow_health_check": "Health is checked every 5 s, three failures count, and nothing else ejects a replica.",
    "one_zone": "All six replicas are in zone b: losing it loses everything.",
    "slow_start": "A replica needs 8 s before it is ready.",
    "no_timeout": "A try has no time limit of its own and a request may last 15 s: a silent replica holds requests.",
    "broken": "Three of ten answers to /catalog and /checkout are errors, before any fault too.",
    "unenforced": "Links acknowledge what they are told and report it, but go on passing.",
    "no_restart": "A replica that died is never started again.",
    "short_timeout": "No weakness: a try has 100 ms instead of 250 ms, so a dependency that is 200 ms late is given up and another one is asked.",
    "mesh": "No weakness: a sidecar Envoy stands in front of each replica, and can be given faults.",
    "store": "No weakness: orders are kept in a replicated Postgres, a node in each zone; the other switches about the store turn it on too.",
    "store_sync": "No weakness: the store acknowledges a write once one of the two standbys has it.",
    "store_async_50ms": "The store replicates asynchronously, and its links take 50 ms each way: a lost primary takes that much along.",
    "store_small_disk": "No weakness: each node of the store has a disk of its own of 64 MB, which can be filled.",
    "store_fsync": "No weakness: the store flushes each write to its disk before it acknowledges it, so a slow disk shows.",
    "write_behind": "The shop acknowledges an order up to 200 ms before it is flushed to the store.",
    "no_demotion": "A planned switchover does not demote the old primary, which goes on acknowledging for 3 s.",
    "no_fencing": "The failover controller promotes without making sure that the old primary is dead.",
}
_NEED_STORE = ("store", "store_sync", "store_async_50ms", "store_small_disk", "store_fsync", "write_behind", "no_demotion", "no_fencing")


@dataclass(frozen=True, slots=True)
class Weaknesses:
    """Which of `WEAKNESSES` a sandbox has; none by default."""

    no_retries: bool = False
    slow_health_check: bool = False
    one_zone: bool = False
    slow_start: bool = False
    no_timeout: bool = False
    broken: bool = False
    unenforced: bool = False
    no_restart: bool = False
    short_timeout: bool = False
    mesh: bool = False
    store: bool = False
    store_sync: bool = False
    store_async_50ms: bool = False
    store_small_disk: bool = False
    store_fsync: bool = False
    write_behind: bool = False
    no_demotion: bool = False
    no_fencing: bool = False

    @property
    def stored(self) -> bool:
        """Whether there is a store."""
        return any(getattr(self, name) for name in _NEED_STORE)

    def names(self) -> tuple[str, ...]:
        """The names of those that are on, in the order of the list."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


def parse_weaknesses(names: Iterable[str]) -> Weaknesses:
    """The switches of these names. Raises UsageError that lists the known ones when a name is none of them."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in WEAKNESSES]
    if unknown:
        raise UsageError(f"sandbox switches: got {', '.join(unknown)}, expected any of {', '.join(WEAKNESSES)}")
    return Weaknesses(**dict.fromkeys(wanted, True))
