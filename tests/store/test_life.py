"""A store comes and goes with its sandbox: whatever way that ends, no process, segment or file is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from store_rig import Box, gone, there, until

from chaoslib_ext import sandbox
from chaoslib_ext.errors import UsageError
from chaoslib_ext.process.client import signal_exact

Boxes = Callable[..., Box]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_down_leaves_nothing(boxes: Boxes, frozen: bool) -> None:
    box = boxes(f"down{frozen:d}", "store")
    made = box.segments()
    found = box.processes()
    if frozen:
        box.controller(op="set", detection_s=3600)
        box.freeze("store-a")
    assert sandbox.down(box.name) is True
    assert gone(found)
    assert not Path(box.info.dir).exists()
    assert not there(made)


@pytest.mark.slow
@pytest.mark.alone
def test_kill_nine_of_the_keeper_leaves_nothing_though_a_node_is_frozen_and_another_was_killed(boxes: Boxes) -> None:
    box = boxes("orphan", "store")
    made = box.segments()
    box.controller(op="set", detection_s=3600)
    box.kill("store-c")
    box.freeze("store-a")
    found = box.processes()
    assert signal_exact(*found[0], signal.SIGKILL)
    until(lambda: gone(found), "no process left")
    until(lambda: not there(made), "no segment left")
    assert "orphan" not in [row["name"] for row in sandbox.status()]
    assert not Path(box.info.dir).exists()


@pytest.mark.slow
@pytest.mark.alone
def test_the_next_look_buries_what_nobody_could(boxes: Boxes) -> None:
    box = boxes("unburied", "store")
    made = box.segments()
    box.controller(op="set", detection_s=3600)
    box.freeze("store-b")
    found, warden = box.processes(), box.store()["health"]
    assert signal_exact(warden["pid"], warden["start_ticks"], signal.SIGSTOP)
    assert signal_exact(*found[0], signal.SIGKILL)
    keeper = found[0]
    until(lambda: gone([keeper]), "the keeper ended")
    sandbox.status()
    until(lambda: gone(found), "no process left")
    assert not there(made)
    assert not Path(box.info.dir).exists()


@pytest.mark.parametrize(
    ("switches", "text"),
    [
        pytest.param(("store", "one_zone"), "one_zone with a store", id="a store in one zone"),
        pytest.param(("store_sync", "store_async_50ms"), "one or the other", id="both kinds"),
    ],
)
def test_switches_that_contradict_each_other_are_refused(switches: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        sandbox.up("never", switches)
