"""Real runs of `chaosx` whose method child hangs with heal.lock in its hand: a signal takes the largest fault back first, and everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from undo_rig import until

from chaoslib_ext import sandbox
from chaoslib_ext.ledger import Frame, Ledger
from chaoslib_ext.process.client import control, process_state, read_roster

pytestmark = pytest.mark.slow
LIMIT_S = 240.0  # a whole run on a busy machine; nothing is asserted about how long it really takes
EXPERIMENT = """
title: a method child that hangs
method:
- type: action
  name: silence zone b
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: 600s, timeout_s: 60.0}}
- type: action
  name: cut off zone c
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: c, duration: 600s, how: isolate, timeout_s: 60.0}}
- type: action
  name: hang
  provider: {type: python, module: hanging, func: hang}
extensions:
- {name: chaoslib_ext, version: 1, faults: {hang: {neutral: true}}}
"""  # without load: whether it is injected must not hang on how healthy a baseline is on this machine
STOPPED = "import os, signal\n\ndef hang():\n    open('hangs', 'w').write(str(os.getpid()))\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
DEAF = """
import os, signal, threading

def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    if os.fork() == 0:
        os.setsid()
    open('hangs', 'a').write(f'{os.getpid()}')
    threading.Event().wait()
"""


SANDBOX = "first"  # the name of the box


def owners(box: sandbox.SandboxInfo) -> set[str]:
    links = read_roster(box.roster)["links"].values()
    return {str(owner) for link in links if (owner := control(link["control"], {"op": "status"}, 10.0)["owner"])}


def first_tries(frames: tuple[Frame, ...]) -> list[str]:
    return list(dict.fromkeys(frame.fault for frame in frames if frame.rec == "UNDO_TRY"))


@pytest.mark.parametrize("hanging", [STOPPED, DEAF], ids=["stopped", "deaf to signals, with a child in a session of its own"])
def test_a_hanging_method_child_does_not_keep_the_largest_fault_from_being_taken_back_first(hanging: str, box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(EXPERIMENT)
    (tmp_path / "hanging.py").write_text(hanging)
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", "sandbox@first", "--json", "--allow-code"]
    environment = {**os.environ, "CHAOSX_STATE": str(tmp_path / "state"), "NO_COLOR": "1"}
    with (tmp_path / "err").open("wb") as err:
        run = subprocess.Popen(argv, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        until(lambda: (tmp_path / "hangs").exists() or run.poll() is not None, "a method child that hangs", LIMIT_S)
        assert run.poll() is None, (tmp_path / "err").read_text()
        state = next((tmp_path / "state" / "runs").glob("[!.]*"))
        method = json.loads((state / "children.json").read_text())["method"]["pid"]
        until(lambda: hanging is DEAF or process_state(method) == "T", "a stopped method child")
        assert len(owners(box)) == 2
        ledger = Ledger.of_run(state)
        asked_ns = ledger.now_ns()
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=LIMIT_S)
    finally:
        run.kill()
        run.wait(LIMIT_S)
    assert run.returncode == 4, (tmp_path / "err").read_text()
    assert json.loads(out)["reasons"][0] == "STOPPED_BY_SIGNAL"
    frames = ledger.read().frames
    assert first_tries(frames) == ["silence zone b", "cut off zone c"]
    assert owners(box) == set()
    first, last = (next(frame.t_ns for frame in order if frame.rec == "UNDONE") - asked_ns for order in (frames, frames[::-1]))
    print(f"from TERM to the first undo {first / 1e9:.2f} s, to the last {last / 1e9:.2f} s")
