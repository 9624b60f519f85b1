"""Whole runs on a real sandbox whose ledger cannot be written, or whose healer is killed: aborted, clean, and said so by the exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from undo_rig import until

from chaoslib_ext import sandbox, state
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact

pytestmark = pytest.mark.slow
LIMIT_S = 180
EXPERIMENT = """
title: a disk that fails
method:
- type: action
  name: first
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: HELD, how: silent}}
- type: action
  name: second
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: c, duration: HELD, how: isolate}}
extensions:
- {name: chaoslib_ext, version: 1}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[sandbox.SandboxInfo]:
    info = sandbox.up("disk-runs", (), owner_pid=os.getpid())
    yield info
    sandbox.down("disk-runs")


def started(box: sandbox.SandboxInfo, folder: Path, held: str, *around: str) -> subprocess.Popen[str]:
    path = folder / "disk.yaml"
    path.write_text(EXPERIMENT.replace("HELD", held), encoding="utf-8")
    argv = [*around, sys.executable, "-m", "chaoslib_ext.cli", "run", str(path), "--env", f"sandbox@{box.name}", "--out", str(folder / "reports"), "--json"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(run: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = run.communicate(timeout=LIMIT_S)
    assert out.strip(), err
    return run.returncode, json.loads(out)


def left_in(box: sandbox.SandboxInfo) -> list[str]:
    """What still carries a mark of a fault."""
    roster = read_roster(box.roster)
    found = [f"link {zone}" for zone, link in roster["links"].items() if control(link["control"], {"op": "status"}, 10.0)["owner"] is not None]
    found += [replica["name"] for replica in roster["replicas"] if replica["pid"] and process_state(replica["pid"]) == "T"]
    return found + [path.name for folder in ("markers", "fuses") for path in (Path(box.dir) / folder).glob("*")]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("when", ["1", "2", "3", "4"])
def test_a_record_that_cannot_be_written_ends_the_run_with_everything_taken_back(when: str, box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    """Of each process of the run one record fails: the first, the second …; nothing is injected after it, and all is healed."""
    around = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=pwrite64", "-e", f"inject=pwrite64:error=EIO:when={when}"]
    code, result = told(started(box, tmp_path, "1s", *around))
    assert (code, result["verdict"]) in ((4, "ABORTED"), (3, "INCONCLUSIVE")), result
    assert result["reasons"][0] in ("LEDGER_UNWRITABLE", "PROBER_LOST")  # whoever of them writes first
    assert when != "1" or result["reasons"] == ["LEDGER_UNWRITABLE"]  # the method child writes the first
    print(f"record {when} fails: exit {code}, {', '.join(result['reasons'])}")
    assert left_in(box) == []
    (folder,) = state.all_runs()
    assert (folder / state.CLOSED).exists()


def test_a_run_whose_healer_is_killed_has_another_one_and_is_aborted(box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    run = started(box, tmp_path, "60s")

    def healer_in_need() -> dict[str, int] | None:
        """The healer's identity, once a replica stands still."""
        runs = state.all_runs()
        children = state.read_json(runs[0] / state.CHILDREN) if runs else {}
        return children.get("healer") if any(name.startswith("shop") for name in left_in(box)) else None

    healer = until(healer_in_need, "a fault in force")
    assert signal_exact(healer["pid"], healer["start_ticks"], signal.SIGKILL)
    code, result = told(run)
    assert (code, result["verdict"], result["reasons"]) == (4, "ABORTED", ["HEALER_LOST"])
    assert left_in(box) == []
    (folder,) = state.all_runs()
    assert state.read_json(folder / state.CLOSED)["by"] == "supervisor"
    assert state.read_json(folder / state.CHILDREN)["healer"]["pid"] != healer["pid"]
