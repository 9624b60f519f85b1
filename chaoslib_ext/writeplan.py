"""
What a load profile says of its writes: when one is acknowledged, how they are read back, when that may be believed, how they are cleaned up.

In texts `${run}` is the run's id, with which every write id begins, and `${node}` the node that is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# A status that depends on nothing but the request: a proxy's second try would have got it the first time, too.
# 409 may be the echo of a write that succeeded, 404, 429 and the like may answer a second try: those are unknown.
REJECTED = (400, 405, 411, 413, 414, 415, 422, 431)
SERVICE = "service"  # the only node's name where the file names none


@dataclass(frozen=True, slots=True)
class HttpRead:
    """A GET for each node; `ids` is the path of the list of ids in the JSON answer, like `$.ids`."""

    url_path: str
    ids: str
    nodes: tuple[str, ...] = (SERVICE,)
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class SqlRead:
    """
    A query for each node whose first column is the id. `nodes` maps a name to a DSN, or to `env:NAME`, the variable that holds it.

    `primary` is a query that is true on the one node that takes writes; empty: the nodes that show the barrier must agree.
    """

    query: str
    nodes: dict[str, str]
    primary: str = ""
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Settled:
    """
    When a final read counts: two equal ones in a row, `for_s` apart, each with a barrier write in it, within `within_s`.

    `nodes` is how many nodes must be readable; 0 means all.
    """

    for_s: float = 3.0
    within_s: float = 60.0
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How the run's records are removed: an HTTP request `METHOD /path`, or an SQL statement on `dsn` (empty: on the node that is the authority)."""

    request: str = ""
    statement: str = ""
    dsn: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class WriteLedger:
    """One kind of write. `acknowledged` and `rejected` are statuses: certainly done, certainly not; every other end is unknown."""

    acknowledged: tuple[int, ...]
    rejected: tuple[int, ...] = REJECTED
    http: HttpRead | None = None
    sql: SqlRead | None = None
    settled: Settled = field(default_factory=Settled)
    cleanup: Cleanup | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that are read back."""
        return self.http.nodes if self.http else tuple(self.sql.nodes) if self.sql else ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WriteLedger:
        """The ledger of `asdict`, also after a trip through JSON."""
        http, sql, cleanup = data.get("http"), data.get("sql"), data.get("cleanup")
        return cls(
            acknowledged=tuple(data["acknowledged"]),
            rejected=tuple(data["rejected"]),
            http=HttpRead(**{**http, "nodes": tuple(http["nodes"])}) if http else None,
            sql=SqlRead(**sql) if sql else None,
            settled=Settled(**data["settled"]),
            cleanup=Cleanup(**cleanup) if cleanup else None,
        )
