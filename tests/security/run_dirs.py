"""A small run directory, sealed and judged by the code that does so in earnest."""

from __future__ import annotations

from pathlib import Path

from chaoslib_ext import rundir
from chaoslib_ext.block import Block
from chaoslib_ext.ledger import Frame, Ledger, Target
from chaoslib_ext.loadprofile import Journey, LoadProfile, Stage, Step
from chaoslib_ext.seal import write_whole
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, Outcome, block
from chaoslib_ext.verdict import judge

S = 1_000_000_000
SLO = Slo("availability", "shop", "Checkout works", Sli("availability", "checkout", "journey", None), 0.99, 30 * 86400.0, "slos.yaml#0")


def sealed(folder: Path, title: str = "A control") -> Path:
    """A control run of ten seconds with load, a ledger and inputs."""
    profile = LoadProfile((Stage(50.0),), "uniform", (Journey("checkout", 1.0, (Step("GET /checkout", "GET", "/checkout"),)),), None, "load.yaml")
    writer = rundir.Writer.create(folder)
    for t_s, name, state in [(0, "warm-up", "start"), (2, "warm-up", "end"), (2, "baseline", "start"), (10, "baseline", "end")]:
        writer.event(src="supervisor", kind="phase", t_ns=t_s * S, name=name, state=state)
    rundir.write_json(folder / "plan.json", {"resolved": []})
    write_whole(folder / "inputs/x.yaml", b"title: A control\nmethod: []\n")
    rows = b"".join(ROW.pack(k * 20_000, 100, 21_000, k % 2, Outcome.OK if k % 100 else Outcome.CONNECT, 0) for k in range(500))
    write_whole(folder / "load/w0/rows-0000.bin", ROWS_MAGIC + block(rows))
    write_whole(folder / "load/w0/seconds.bin", SECONDS_MAGIC)
    endpoints = [{"index": 0, "name": "checkout", "zone": "", "class": "journey"}, {"index": 1, "name": "GET /checkout", "zone": "a", "class": "step"}]
    meta = {"schema": 1, "model": "open", "endpoints": endpoints, "profile": profile.to_json(), "seed": 1, "start_ns": 0, "stop_ns": 10 * S}
    rundir.write_json(folder / "load/w0/meta.json", meta)
    undo = Ledger(folder / "undo.wal", 0)
    for rec in ("INTENT", "APPLIED", "UNDO_TRY", "UNDONE"):
        undo.append(Frame("lose b", rec, "process.open_link", Target("process", "i", "link", "", "b", "u"), {"owner": "o"}))
    header = {"id": folder.name, "title": title, "block": Block(slos=[SLO], control="a-a").to_json(), "load": profile.to_json()}
    writer.seal({**header, "clock": {"t0_ns": 1, "wall_s": 1.0, "boot_id": "b", "drift_ms_end": 0.5}, "end": {"how": "completed"}})
    rundir.seal_result(folder, judge(rundir.read(folder)))
    return folder
