"""What slows down a disk ends by itself, and nobody stands still for it: whoever dies, and whenever."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from store_rig import Box, until

from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.process import tracer
from chaoslib_ext.process.client import alive, signal_exact


def _why() -> str:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        return tracer.refusal(child.pid)
    finally:
        child.communicate()


WHY = _why()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY), reason=WHY)]


@pytest.fixture(autouse=True)
def sound(box: Box) -> Iterator[None]:
    """Every test begins with one primary, which no busy machine fails over from."""
    box.controller(op="set", detection_s=3600)
    box.sound()
    yield


@pytest.mark.parametrize("end", ["its time", "kill -9 of the tracer", "kill -9 of strace"])
def test_the_disk_is_quick_again_when_the_tracer_ends_though_nobody_heals(box: Box, end: str) -> None:
    folder = box.node(box.primary())["folder"]
    left_s = 3.0 if end == "its time" else 600.0
    tracer.start({"owner": "nobody--f", "folder": folder, "delay_us": 200_000, "until_ns": boot_ns() + round(left_s * NS)})
    both = tracer.running("nobody--f")
    assert len(both) == 2
    if end != "its time":
        strace = next(pid for pid in tracer.followed(folder).values())
        chosen = next(one for one in both if (one[0] == strace) is (end == "kill -9 of strace"))
        assert signal_exact(*chosen, signal.SIGKILL)
    until(lambda: not any(alive(*one) for one in both), "tracer and strace ended")
    until(lambda: not tracer.followed(folder), "nobody followed")
    assert tracer.still_held(folder) == []
    until(lambda: box.order(f"quick:{boot_ns()}") == 201, "a write")


def test_a_tracer_whose_starter_was_killed_before_it_was_ready_injects_nothing(box: Box) -> None:
    folder = box.node(box.primary())["folder"]
    settings = json.dumps({"owner": "orphan--f", "folder": folder, "delay_us": 200_000, "until_ns": boot_ns() + 600 * NS})
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    done = subprocess.run([sys.executable, "-m", tracer.MODULE, settings, str(dead.pid)], check=False, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert (tracer.running("orphan--f"), tracer.followed(folder)) == ([], {})
