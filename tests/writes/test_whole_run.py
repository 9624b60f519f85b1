"""
`chaosx run` with a write ledger, as a user starts it, on a real sandbox with a replicated store.

On a busy machine a run may end INCONCLUSIVE; what is asserted must hold whatever the machine's mood.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import read_roster
from chaoslib_ext.rundir import read
from chaoslib_ext.sandbox.store_launch import refusal
from chaoslib_ext.seal import verify

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(refusal()), reason=refusal() or "-")]
psycopg: Any = pytest.importorskip("psycopg", reason="the store needs psycopg")

LOAD = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 60/s}]
journeys:
- name: order
  steps:
  - {request: POST /orders, json: {id: "${write_id}"}, check: {status: 201}, timeout: 2s, write: orders}
writes:
  orders:
    acknowledged: {status: 201}
    readback: {http: {url_path: "/orders?prefix=${run}&node=${node}", ids: $.ids, nodes: [store-a, store-b, store-c]}}
    settled: {for: 1s, within: 40s, nodes: 2}
"""
EXPERIMENT = """
title: writes
method: %s
extensions:
- name: chaoslib_ext
  version: 1
  load: load.yaml
  windows: {warmup: 1s, baseline: 3s, recovery: 15s, stable: 3s}
  rpo: {objective: 0s, max_writes: 0, ledger: orders}
  control: %s
"""
LOSE = """
- {type: action, name: lose the primary, provider: {type: python, module: chaoslib_ext.faults, func: lose_primary}}
"""


@pytest.fixture
def room() -> Iterator[sandbox.SandboxInfo]:
    name = f"rpo-{os.getpid()}"
    yield sandbox.up(name, ("store_async_50ms",), owner_pid=os.getpid())
    sandbox.down(name)


def run(tmp_path: Path, room: sandbox.SandboxInfo, text: str) -> dict[str, Any]:
    (tmp_path / "load.yaml").write_text(LOAD, encoding="utf-8")
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", f"sandbox@{room.name}", "--json"]
    environment = {**os.environ, "CHAOSX_STATE": str(tmp_path / "state"), "NO_COLOR": "1"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip(), done.stderr
    folder = Path(json.loads(done.stdout)["directory"])
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {**found, "directory": str(folder)}


def held(room: sandbox.SandboxInfo, node: str) -> set[str]:
    dsn = next(one["dsn"] for one in read_roster(room.roster)["store"]["nodes"] if one["name"] == node)
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("select id from orders").fetchall() if ":barrier:" not in row[0]}


def test_a_run_without_a_fault_loses_nothing_and_says_so(tmp_path: Path, room: sandbox.SandboxInfo) -> None:
    result = run(tmp_path, room, EXPERIMENT % ("[]", "a-a"))
    folder = Path(result["directory"])
    assert result["verdict"] in ("PASS", "INCONCLUSIVE"), result["reasons"]
    assert result["rpo"]["lost"] == 0 and result["rpo"]["acknowledged"] > 100
    assert (result["rpo"]["phantom"], result["rpo"]["resurrected"]) == (0, 0)
    assert {"acks-w0.bin", "readback-store-a.bin", "readback-store-b.bin", "readback-store-c.bin"} == {path.name for path in (folder / "writes").iterdir()}
    assert verify(folder) == [] and 'id="data"' in (folder / "report.html").read_text(encoding="utf-8")
    assert any("remain in orders" in notice for notice in result["notices"])  # the profile says no clean-up


def test_what_a_lost_primary_takes_along_is_what_the_run_says(tmp_path: Path, room: sandbox.SandboxInfo) -> None:
    result = run(tmp_path, room, EXPERIMENT % (LOSE, "none"))
    rpo, folder = result["rpo"], Path(result["directory"])
    print(json.dumps({"verdict": result["verdict"], "reasons": result["reasons"], **rpo}))
    assert verify(folder) == []
    if rpo["lost"] is None:
        assert result["verdict"] != "PASS" and "READBACK_FAILED" in str(result["findings"])
        return
    assert result["verdict"] in ("FAIL", "INCONCLUSIVE") if rpo["lost"] else result["verdict"] != "FAIL", result
    readable = [node for node, lacking in rpo["nodes"].items() if lacking is not None]
    assert rpo["lost"] in [rpo["nodes"][node] for node in readable]
    attempts = read(folder).attempts
    believed = [node.node for node in read(folder).reads if node.authority]
    assert rpo["lost"] == len({one.id for one in attempts if one.outcome == "ok"} - held(room, believed[0]))
