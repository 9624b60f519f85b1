"""
The write ledger on disk: every write that was sent, what became of it, and what each node held at the end.

`writes/acks-w0.bin` is the magic `CXACKS1\n` and blocks of JSON lines (see `timeline.block`): `{ledger, id, t_send_us}` before a
write is sent, `{id, t_send_us, t_done_us, outcome}` once it has ended, and at the very end `{closed, attempted, ok, fail}`.
`writes/readback-NODE.bin` is `CXREAD1\n` and `{id, n}` for every id found, `n` times, then `{node, complete, settled, authority,
t_us, why}`. A write without an end is unknown: it was on its way when the process died, or was given up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.timeline import blocks

ACKS_MAGIC = b"CXACKS1\n"
READ_MAGIC = b"CXREAD1\n"
OK, FAIL, INFO = "ok", "fail", "info"
OUTCOMES = (OK, FAIL, INFO)
BARRIER = "barrier"  # in the place of the worker's number: a write of the read-back itself, never judged


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One write. `outcome` is `ok` (acknowledged), `fail` (certainly not done) or `info` (anything is possible, also later).

    Microseconds from the run's zero; `done_us` is None where it never ended.
    """

    id: str
    ledger: str
    sent_us: int
    done_us: int | None = None
    outcome: str = INFO


@dataclass(frozen=True, slots=True)
class Acks:
    """All writes of one worker, in the order sent. `closed`: the worker lived to write its last line, and its counts agree."""

    attempts: tuple[Attempt, ...] = ()
    closed: bool = False
    torn: bool = False


@dataclass(frozen=True, slots=True)
class NodeRead:
    """
    The final read of one node: how often each id of the run was found, the read-back's own barrier writes among them.

    `settled` says that the whole read-back had settled, `authority` that this node's word is the store's. `why` says what was lacking.
    """

    node: str
    counts: dict[str, int] = field(default_factory=dict)
    complete: bool = False
    settled: bool = False
    authority: bool = False
    t_us: int = 0
    why: str = ""


def write_id(run: str, worker: int | str, number: int) -> str:
    """The id of one write: `RUN:WORKER:NUMBER`, unique for ever."""
    return f"{run}:{worker}:{number}"


def is_barrier(id_: str, run: str) -> bool:
    """Whether an id is one of the read-back's own writes."""
    return id_.startswith(f"{run}:{BARRIER}:")


def lines(*records: dict[str, Any]) -> bytes:
    """The payload of one block."""
    return b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)


def read_acks(path: Path) -> Acks:
    """The writes of one worker, as far as the file goes. Raises ValueError on corruption, OSError when it cannot be read."""
    sent: dict[str, Attempt] = {}
    closed: dict[str, Any] | None = None
    records, torn = _records(path, ACKS_MAGIC)
    for record in records:
        if closed is not None:
            raise ValueError(f"{path.name}: goes on after its last line")
        if record.get("closed") is True:
            closed = record
        elif "outcome" in record:
            _end(path, sent, record)
        else:
            _begin(path, sent, record)
    counts = {"attempted": len(sent), **{name: sum(one.outcome == name for one in sent.values()) for name in (OK, FAIL)}}
    if closed is not None and any(closed.get(name) != count for name, count in counts.items()):
        raise ValueError(f"{path.name}: its last line counts otherwise: {closed}, found {counts}")
    return Acks(tuple(sent.values()), closed is not None, torn)


def _begin(path: Path, sent: dict[str, Attempt], record: dict[str, Any]) -> None:
    id_, ledger, sent_us = record.get("id"), record.get("ledger"), record.get("t_send_us")
    if not isinstance(id_, str) or not isinstance(ledger, str) or type(sent_us) is not int or id_ in sent:
        raise ValueError(f"{path.name}: is no write, or one sent twice: {record}")
    sent[id_] = Attempt(id_, ledger, sent_us)


def _end(path: Path, sent: dict[str, Attempt], record: dict[str, Any]) -> None:
    begun = sent.get(str(record.get("id")))
    done_us, outcome = record.get("t_done_us"), record["outcome"]
    if begun is None or begun.done_us is not None or outcome not in OUTCOMES or type(done_us) is not int or done_us < begun.sent_us:
        raise ValueError(f"{path.name}: is no end of a write that was sent: {record}")
    sent[begun.id] = Attempt(begun.id, begun.ledger, begun.sent_us, done_us, outcome)


def read_node(path: Path) -> NodeRead:
    """The final read of one node. A file without its last line is incomplete. Raises ValueError on corruption."""
    counts: dict[str, int] = {}
    records, torn = _records(path, READ_MAGIC)
    last: dict[str, Any] = {}
    for record in records:
        id_, n = record.get("id"), record.get("n")
        if "node" in record and not last:
            last = record
        elif last or not isinstance(id_, str) or type(n) is not int or n < 1 or id_ in counts:
            raise ValueError(f"{path.name}: is no line of a read: {record}")
        else:
            counts[id_] = n
    node = str(last.get("node") or path.stem.removeprefix("readback-"))
    if not last or torn or type(last.get("t_us")) is not int:
        return NodeRead(node, counts, why="its file ends before its last line")
    flags = {name: last.get(name) is True for name in ("complete", "settled", "authority")}
    return NodeRead(node, counts, t_us=last["t_us"], why=str(last.get("why") or ""), **flags)


def _records(path: Path, magic: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The JSON lines of a file, and whether its tail was torn."""
    found: list[dict[str, Any]] = []
    for payload in blocks(path, magic):
        if payload is None:
            return found, True
        for line in payload.splitlines():
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"{path.name}: has a line that is no JSON object")  # noqa: TRY004 - damaged evidence, not a wrong program
            found.append(record)
    return found, False
