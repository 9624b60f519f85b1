"""Folders of runs for the pages over many: real run directories, sealed and judged in form, without samples unless asked for."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sample_run

from chaoslib_ext import rundir
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, block

S = sample_run.S
START_S = 1_795_500_000.0
SERVICES = ("checkout", "payment", "search", "cart", "login", "catalogue")
FAULTS = (("lose_zone", "silent"), ("kill_replicas", ""), ("delay_traffic", ""), ("abort_traffic", ""), ("lose_primary", "crash"))


def make(folder: Path, kind: str = "pass", *, at: int = 0, samples: bool = False, **changes: Any) -> Path:
    """
    A run directory of one of `sample_run.RUNS`, the `at`-th of its history, one day apart.

    `changes`: service, func, how, title, env, version, sha256, load, rto (lo, hi), result (merged last).
    """
    facts = sample_run.RUNS[kind]()
    day = datetime.fromtimestamp(START_S + at * 86400, UTC)
    run = f"{day:%Y%m%dT%H%M%SZ}-{folder.name}"
    result = {**deepcopy(facts.result), "run": run, "title": changes.get("title", facts.result["title"])}
    if "rto" in changes and result.get("rto"):
        result["rto"] |= {"lo_s": changes["rto"][0], "hi_s": changes["rto"][1]}
    result |= changes.get("result", {})
    header = _header(facts.header, run, at, changes)
    writer = rundir.Writer.create(folder)
    for event in facts.events:
        writer.event(**{"src": "supervisor", **{key: value for key, value in event.items() if key != "seq"}})
    plan = deepcopy(facts.plan)
    for row in plan.get("resolved", []):
        row |= {"service": changes.get("service", row["service"]), "func": changes.get("func", row["func"]), "how": changes.get("how", row["how"])}
    rundir.write_json(folder / "plan.json", plan)
    if samples:
        _samples(folder, facts)
    writer.seal(header)
    result["seal"] = rundir.seal_of(folder)
    rundir.write_json(folder / "result.json", result)
    digest = hashlib.sha256((folder / "result.json").read_bytes()).hexdigest()
    with (folder / "SEALED").open("a") as sealed:
        sealed.write(f"{digest}  result.json\n")
    return folder


def _header(base: dict[str, Any], run: str, at: int, changes: dict[str, Any]) -> dict[str, Any]:
    header = deepcopy(base) | {"id": run}
    header["clock"] = {**header["clock"], "wall_s": START_S + at * 86400}
    header["versions"]["chaoslib_ext"] = changes.get("version", "0.1.0")
    header["experiment"]["sha256"] = changes.get("sha256", header["experiment"]["sha256"])
    header["env"]["name"] = changes.get("env", header["env"]["name"])
    return header | {"load": changes.get("load"), "title": changes.get("title", "Does checkout survive the loss of a zone?")}


def _samples(folder: Path, facts: Any) -> None:
    load = folder / "load" / "w0"
    load.mkdir(parents=True)
    rows = facts.rows
    columns = zip(rows.intended_us, rows.late_us, rows.latency_us, rows.endpoint, rows.outcome, strict=True)
    (load / "rows-0000.bin").write_bytes(ROWS_MAGIC + block(b"".join(ROW.pack(*row, 0) for row in columns)))
    (load / "seconds.bin").write_bytes(SECONDS_MAGIC)
    endpoints = [{"index": point.index, "name": point.name, "zone": point.zone, "class": point.kind} for point in facts.endpoints]
    rundir.write_json(load / "meta.json", {"schema": 1, "model": "open", "endpoints": endpoints, "profile": None, "seed": 1, "start_ns": 0, "stop_ns": 90 * S})


def day_of_runs(top: Path, n: int = 12, samples: bool = False) -> list[Path]:
    """Runs of several services, faults and verdicts."""
    kinds = ("pass", "pass", "fail", "pass", "inconclusive", "pass", "aborted", "pass", "control", "dirty", "pass", "error")
    made = []
    for at in range(n):
        func, how = FAULTS[at % len(FAULTS)]
        service = SERVICES[(at * 7 // 3) % len(SERVICES)]
        title = f"Does {service} survive: {func.replace('_', ' ')}?"
        made.append(make(top / f"run-{at:04}", kinds[at % len(kinds)], at=at, service=service, func=func, how=how, title=title, samples=samples))
    return made
