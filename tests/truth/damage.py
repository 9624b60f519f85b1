"""What happens to the evidence of a situation: bytes cut, changed, taken away or added, and records that vanish so that only a count can tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaoslib_ext.rundir import write_json
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, block, blocks, read_seconds
from chaoslib_ext.writelog import ACKS_MAGIC


def damaged(what: dict[str, Any] | str) -> Callable[[Path], None]:
    """The change to a run directory that a file describes, by name or as `{how: of}`."""
    if isinstance(what, str):
        return {"lose_rows": lose_rows, "lose_a_journey": lose_a_journey, "drop_event": drop_event, "unsay_a_write": unsay_a_write}[what]
    [(how, of)] = what.items()
    if how == "remove":
        return lambda folder: (folder / of).unlink()
    if how == "never_had":
        return never_had(of)
    path, value = of
    changes: dict[str, Callable[[bytes], bytes]] = {
        "cut": lambda data: data[:-value],
        "append": lambda data: data + value.encode(),
        "add": lambda _data: value.encode(),
        "flip": lambda data: data[:value] + bytes([data[value] ^ 1]) + data[value + 1 :],
    }

    def change(folder: Path) -> None:
        file = folder / path
        file.write_bytes(changes[how](file.read_bytes() if file.exists() else b""))

    return change


def never_had(phase: str) -> Callable[[Path], None]:
    """A phase of the run is noted under another name, so that the run went its whole way without it."""

    def rename(folder: Path) -> None:
        path = folder / "events.jsonl"
        events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        named = [{**one, "name": "pause"} if one.get("kind") == "phase" and one.get("name") == phase else one for one in events]
        path.write_text("".join(f"{json.dumps(one)}\n" for one in named), encoding="utf-8")

    return rename


def _rows(folder: Path) -> Path:
    return folder / "load" / "w0" / "rows-0000.bin"


def lose_rows(folder: Path) -> None:
    """The last block of rows never reached the disk."""
    payloads = [payload for payload in blocks(_rows(folder), ROWS_MAGIC) if payload is not None]
    _rows(folder).write_bytes(ROWS_MAGIC + b"".join(map(block, payloads[:-1])))


def lose_a_journey(folder: Path) -> None:
    """A bad arrival was dropped from the rows, the totals and the summaries: only the schedule knows."""
    seconds, _ = read_seconds(folder / "load/w0/seconds.bin")
    fewer = [replace(one, scheduled=one.scheduled - 1, released=one.released - 1, bad=one.bad - 1) if one.second == 10 else one for one in seconds]
    (folder / "load/w0/seconds.bin").write_bytes(SECONDS_MAGIC + block(b"".join(one.pack() for one in fewer)))
    payloads = [payload for payload in blocks(_rows(folder), ROWS_MAGIC) if payload is not None]
    rows = [row for payload in payloads for row in ROW.iter_unpack(payload)]
    kept = [row for row in rows if row[0] != 10_500_000]
    _rows(folder).write_bytes(ROWS_MAGIC + block(b"".join(ROW.pack(*row) for row in kept)))
    meta = json.loads((folder / "load/w0/meta.json").read_text())
    counts = {
        "rows": len(kept),
        "scheduled": meta["scheduled"] - 1,
        "released": meta["released"] - 1,
        "outcomes": {**meta["outcomes"], "TIMEOUT": meta["outcomes"]["TIMEOUT"] - 2},
    }
    write_json(folder / "load/w0/meta.json", {**meta, **counts})


def drop_event(folder: Path) -> None:
    """One reading is missing from the events."""
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    gone = next(line for line in lines if b"in_effect" in line)
    (folder / "events.jsonl").write_bytes(b"".join(line for line in lines if line != gone))


def unsay_a_write(folder: Path) -> None:
    """A lost write vanishes from the ledger, and the last line is mended: only the rows know."""
    path = folder / "writes/acks-w0.bin"
    records = [json.loads(line) for payload in blocks(path, ACKS_MAGIC) if payload for line in payload.splitlines()]
    gone = next(one["id"] for one in records if one.get("t_done_us", 0) > 9_980_000)
    kept = [one for one in records[:-1] if one["id"] != gone]
    last = {"closed": True, "attempted": records[-1]["attempted"] - 1, "ok": records[-1]["ok"] - 1, "fail": records[-1]["fail"]}
    path.write_bytes(ACKS_MAGIC + block(b"".join(json.dumps(one).encode() + b"\n" for one in [*kept, last])))
