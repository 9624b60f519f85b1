"""
After the load has stopped and before the seal: what was written is read back by a child of its own, and cleaned up.

An interrupted run is not read back, since nothing was given the time to recover; its records are still removed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from chaoslib_ext import children, state
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.phases import End, phase
from chaoslib_ext.runner.prepare import Prepared
from chaoslib_ext.runner.stage import Stage
from chaoslib_ext.writeplan import WriteLedger

MARGIN_S = 60.0  # beyond `settled.within`: reads under way, the clean-up, and looking what is left


def read_back(stage: Stage, prepared: Prepared, end: End) -> None:
    """
    Reads back the ledger that something is promised of, and cleans up every one that says how.

    A signal ends it: then the run has no authoritative read, which the verdict tells.
    """
    ledgers = ledgers_of(prepared.header)
    if not ledgers or not any((prepared.report_dir / "writes").glob("acks-*.bin")):
        return  # nothing was ever sent
    promised = ((prepared.header.get("block") or {}).get("rpo") or {}).get("ledger")
    for name, ledger in ledgers.items():
        read = name == promised and end.how == "completed"
        if read or ledger.cleanup is not None:
            with phase(stage, "read-back"):
                _child(stage, prepared, name, read, (ledger.settled.within_s if read else 0.0) + MARGIN_S)


def ledgers_of(header: dict[str, Any]) -> dict[str, WriteLedger]:
    """The write ledgers of a run's load profile."""
    told = (header.get("load") or {}).get("writes") or {}
    return {name: WriteLedger.from_json(one) for name, one in told.items()}


def _child(stage: Stage, prepared: Prepared, ledger: str, read: bool, seconds: float) -> None:
    name, before = f"readback-{ledger}", len(stage.signals)
    path = _spec(stage, prepared, ledger, name, read)
    stage.expected_to_end.add(name)
    child = stage.add(Child(name, [sys.executable, "-m", "chaoslib_ext.load.readback", str(path)], stage.state_dir, without=stage.withheld(name)))
    children.record(stage.state_dir, name, child.process.pid)
    stage.pump(lambda: name in stage.seen.done or child.at_end or len(stage.signals) > before, seconds)
    if name not in stage.seen.done:
        stage.event(
            "supervisor", "note", text=f"{ledger}: the read-back ended early: {child.last_words() or 'stopped'}", ledger=ledger, settled=False, left=None
        )
    stage.forget(name)
    child.kill()
    child.close()


def _spec(stage: Stage, prepared: Prepared, ledger: str, name: str, read: bool) -> Path:
    """The read-back's orders, for the most part those of the load child."""
    load = state.read_json(stage.state_dir / "load.json")
    same = {key: load[key] for key in ("t0_ns", "base_url", "hosts", "profile", "seed")}
    folder = str(prepared.report_dir / "writes")
    path = stage.state_dir / f"{name}.json"
    more = {"run": prepared.run_id, "ledger": ledger, "folder": folder, "read": read, "clean": True, "parent_pid": os.getpid()}
    state.write_json(path, {**same, **more})
    return path
