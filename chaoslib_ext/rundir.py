"""
The directory of one run: its append-only facts, and reading them back.

Reading never raises for evidence that is missing or damaged: it says so in `problems`, and what could not be read is empty.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from chaoslib_ext import ledger
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.experiment import Block
from chaoslib_ext.result import Result
from chaoslib_ext.seal import RESULT, SEALED, canonical, seal, seal_of, verify, write_whole
from chaoslib_ext.timeline import Rows, Second, read_rows, read_seconds
from chaoslib_ext.writelog import Attempt, NodeRead, read_acks, read_node

__all__ = ["KINDS", "RESULT", "SEALED", "Run", "Writer", "read", "seal", "seal_of", "seal_result", "verify", "write_json"]

SCHEMA = 1
KINDS = frozenset({"phase", "activity", "reading", "effect", "removed", "stop", "note", "decision", "target", "alert"})
LOAD = "load/w0"
_Read = TypeVar("_Read")


class Writer:
    """
    Writes the facts of one run. The supervisor is its only user; events are numbered here, from 1.

    An event line is handed to the kernel when `event` returns, so it outlives the death of this process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seq = 0
        self._events = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    @classmethod
    def create(cls, folder: Path, header: dict[str, Any] | None = None) -> Writer:
        """A new run directory, with a first `run.json` when `header` is given. Raises FileExistsError when `folder` exists: no run writes over another."""
        folder.mkdir(parents=True, exist_ok=False)
        if header is not None:
            write_json(folder / "run.json", {"schema": SCHEMA, **header})
        return cls(folder)

    def event(self, src: str, kind: str, t_ns: int, **fields: Any) -> int:
        """Appends one event and returns its number. Raises ValueError for a kind that is not on the list."""
        if kind not in KINDS:
            raise ValueError(f"event kind: got {kind!r}, expected one of {', '.join(sorted(KINDS))}")
        self._seq += 1
        line = canonical(_plain({**fields, "seq": self._seq, "t_ns": t_ns, "src": src, "kind": kind})).encode() + b"\n"
        if os.write(self._events, line) != len(line):
            raise OSError(f"{self.folder / 'events.jsonl'}: an event was not written whole (is the disk full?)")
        return self._seq

    def seal(self, header: dict[str, Any] | None = None) -> str:
        """
        Writes the final `run.json` (when `header` is given), then `SEALED`; returns the seal, a SHA-256 in hex.

        No event can be appended afterwards.
        """
        if self._events >= 0:
            os.fsync(self._events)
        self.close()
        if header is not None:
            write_json(self.folder / "run.json", {"schema": SCHEMA, **header})
        return seal(self.folder)

    def close(self) -> None:
        """Lets go of the events file without sealing."""
        if self._events >= 0:
            os.close(self._events)
            self._events = -1


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all, durably, in its one canonical spelling."""
    write_whole(path, canonical(value).encode() + b"\n")


def seal_result(folder: Path, result: Result) -> str:
    """Writes `result.json`, appends its hash to `SEALED` and returns the seal of the run. Raises FileExistsError when it was judged before."""
    if (folder / RESULT).exists():
        raise FileExistsError(f"{folder / RESULT}: this run is judged already; `chaosx judge` writes beside it")
    write_json(folder / RESULT, result.to_json())
    digest = hashlib.sha256((folder / RESULT).read_bytes()).hexdigest()
    with (folder / SEALED).open("ab") as sealed:
        sealed.write(f"{digest}  {RESULT}\n".encode())
        sealed.flush()
        os.fsync(sealed.fileno())
    return seal_of(folder)


@dataclass(slots=True)
class Run:
    """
    All that is known of a run. `problems` says what of the evidence is missing or damaged.

    `meta` is None when the load child never wrote its last word; `endpoints` is then empty. `ledger_corrupt`
    says that the undo ledger cannot be read with certainty. `attempts` are all noted writes, `reads` the final read of each node.
    """

    folder: Path
    header: dict[str, Any] = field(default_factory=dict)
    block: Block | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    seconds: list[Second] = field(default_factory=list)
    meta: dict[str, Any] | None = None
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    undo: tuple[ledger.Frame, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)
    reads: list[NodeRead] = field(default_factory=list)
    ledger_corrupt: bool = False
    problems: list[str] = field(default_factory=list)
    seal: str = ""

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in the order written."""
        return [event for event in self.events if event["kind"] == kind]


def read(folder: Path) -> Run:
    """The facts of a run directory; see `Run.problems` for what is missing or damaged."""
    run = Run(folder, problems=verify(folder), seal=seal_of(folder))
    run.header = _document(run, "run.json")
    run.plan = _document(run, "plan.json")
    if run.header and run.header.get("schema") != SCHEMA:
        run.problems.append(f"run.json: has schema {run.header.get('schema')!r}, expected {SCHEMA}")
    _check_shapes(run)
    if run.header.get("block") is not None:
        run.block = _attempt(run, "run.json: block", lambda: Block.from_json(run.header["block"]))
    _read_events(run)
    _read_load(run)
    _read_undo(run)
    _read_writes(run)
    return run


def _attempt(run: Run, name: str, reading: Callable[[], _Read]) -> _Read | None:
    """What `reading` returns, or None with a problem noted. Damage shows as any of these errors, and none may end the reading."""
    try:
        return reading()
    except FileNotFoundError:
        run.problems.append(f"{name}: missing")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        run.problems.append(f"{name}: cannot be read: {error!r}")
    return None


def _document(run: Run, name: str) -> dict[str, Any]:
    """A JSON object, or an empty one with a problem noted."""
    found = _attempt(run, name, lambda: json.loads((run.folder / name).read_bytes()))
    if found is None or isinstance(found, dict):
        return found or {}
    run.problems.append(f"{name}: is no JSON object")
    return {}


def _check_shapes(run: Run) -> None:
    """What is not of the kind that the verdict reads is noted and left out."""
    for key in ("clock", "end", "clean", "children", "attempt"):
        if not isinstance(run.header.get(key, {}), dict):
            run.problems.append(f"run.json: {key} is no JSON object")
            del run.header[key]
    rows = run.plan.get("resolved", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("targets", []), list) for row in rows):
        run.problems.append("plan.json: resolved is no list of faults")
        run.plan["resolved"] = []


def _read_events(run: Run) -> None:
    data = _attempt(run, "events.jsonl", (run.folder / "events.jsonl").read_bytes) or b""
    if data and not data.endswith(b"\n"):
        run.problems.append("events.jsonl: its last line is torn")
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        event: Any = _attempt(run, f"events.jsonl:{number}", partial(json.loads, line))
        if not _is_event(event):
            run.problems.append(f"events.jsonl:{number}: is no event")
            continue
        run.events.append(event)
    if [event["seq"] for event in run.events] != list(range(1, len(run.events) + 1)):
        run.problems.append("events.jsonl: its events are not numbered 1, 2, 3, …: some are missing")


def _is_event(event: Any) -> bool:
    if not isinstance(event, dict) or event.get("kind") not in KINDS:
        return False
    whole = [event.get("seq"), event.get("t_ns"), *(event.get(key, 0) for key in ("lo_ns", "hi_ns"))]
    return all(type(value) is int for value in whole)


def _read_load(run: Run) -> None:
    folder = run.folder / LOAD
    if run.header.get("load") is None and not folder.exists():
        return
    meta = _attempt(run, f"{LOAD}/meta.json", lambda: json.loads((folder / "meta.json").read_bytes()))
    if meta is not None and not _is_meta(meta):
        run.problems.append(f"{LOAD}/meta.json: does not name the endpoints of its rows")
        meta = None
    run.meta, run.endpoints = meta, (meta["endpoints"] if meta else [])
    seconds = _attempt(run, f"{LOAD}/seconds.bin", lambda: read_seconds(folder / "seconds.bin"))
    if seconds is not None:
        run.seconds = seconds[0]
        if seconds[1]:
            run.problems.append(f"{LOAD}/seconds.bin: its end is torn")
    segments = sorted(folder.glob("rows-*.bin"))
    if not segments:
        run.problems.append(f"{LOAD}: has no rows")
    for path in segments:
        if _attempt(run, f"{LOAD}/{path.name}", partial(read_rows, path, run.rows)):
            run.problems.append(f"{LOAD}/{path.name}: its end is torn")


def _is_meta(meta: Any) -> bool:
    """Whether it says what the rows mean; `stop_ns` stays None when the load child died before its end."""
    if not isinstance(meta, dict) or not isinstance(meta.get("endpoints"), list):
        return False
    whole = [row.get("index") if isinstance(row, dict) else None for row in meta["endpoints"]]
    times = [meta.get(key) for key in ("start_ns", "stop_ns") if meta.get(key) is not None]
    return all(type(value) is int for value in whole + times)


def _read_undo(run: Run) -> None:
    """The copy of the undo ledger. A run that planned nothing to inject has none."""
    path = run.folder / "undo.wal"
    if not path.exists():
        if run.plan.get("resolved") and (run.header.get("clean") or {}).get("state") != "nothing-injected":
            run.problems.append("undo.wal: missing")
        return
    try:
        run.undo = ledger.read(path).frames
    except LedgerCorrupt as error:
        run.ledger_corrupt = True
        run.problems.append(str(error).replace(str(run.folder) + "/", ""))
    except OSError as error:
        run.problems.append(f"undo.wal: cannot be read: {error!r}")


def _read_writes(run: Run) -> None:
    """The write ledger and what was read back. That a promised one is missing altogether, the load's own rows tell."""
    folder = run.folder / "writes"
    for path in sorted(folder.glob("acks-*.bin")):
        acks = _attempt(run, f"writes/{path.name}", partial(read_acks, path))
        if acks is not None:
            run.attempts += acks.attempts
            if not acks.closed:
                run.problems.append(f"writes/{path.name}: " + ("its end is torn" if acks.torn else "its writer did not live to end it"))
    for path in sorted(folder.glob("readback-*.bin")):
        read = _attempt(run, f"writes/{path.name}", partial(read_node, path))
        if read is not None:
            run.reads.append(read)
    if len({one.id for one in run.attempts}) < len(run.attempts):
        run.problems.append("writes: two workers gave out the same id")


def _plain(value: Any) -> Any:
    """Plain JSON of whatever an activity returned: one probe's odd output must not end the record of a run."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
