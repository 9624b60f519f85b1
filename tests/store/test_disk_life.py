"""The small disks of a store come and go with its sandbox: nobody outside ever sees them, and whatever way it ends, none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from store_rig import ZONES, Box, gone, there, until

from chaoslib_ext import sandbox
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process import disk
from chaoslib_ext.process.client import signal_exact
from chaoslib_ext.sandbox.store_disk import DISK_MB, refusal

WHY = refusal()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY), reason=WHY)]
Boxes = Callable[..., Box]


def mounted(source: str) -> list[str]:
    """The processes that have a disk of this source mounted."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and source in (entry / "mountinfo").read_text():
                found.append(entry.name)
        except OSError:  # it has ended
            continue
    return found


def test_each_node_has_a_disk_of_its_own_that_only_the_sandbox_sees(boxes: Boxes) -> None:
    box = boxes("small", "store_small_disk")
    nodes = box.store()["nodes"]
    devices = set()
    for node in nodes:
        with disk.opened(node["disk"]) as fd:
            space = os.fstatvfs(fd)
            devices.add(os.fstat(fd).st_dev)
            assert space.f_blocks * space.f_frsize == DISK_MB << 20
            assert disk.free(fd) > space.f_blocks * space.f_frsize // 2
    assert len(devices) == len(ZONES)
    place = nodes[0]["disk"]
    for wrong in ({"source": "chaosx-other"}, {"folder": f"{place['folder']}/data"}, {"folder": str(Path(place["folder"]).parent)}):
        with pytest.raises(FaultFailed, match="not a small disk of its own"):
            disk.fill({**place, **wrong}, "ballast", "me")
    source = nodes[0]["disk"]["source"]
    assert source not in Path("/proc/self/mountinfo").read_text()
    assert str(os.getpid()) not in mounted(source)
    assert not list(Path(nodes[0]["folder"]).iterdir())
    old = box.primary()
    box.kill(old)
    box.promoted(old)
    box.sound()  # a copy into a disk that is there already


@pytest.mark.alone
@pytest.mark.parametrize("way", ["down", "kill -9"])
def test_no_mount_process_segment_or_folder_is_left(boxes: Boxes, way: str) -> None:
    box = boxes(f"end-{way[:4].strip()}", "store_small_disk")
    nodes, found = box.store()["nodes"], box.processes()
    source, made = nodes[0]["disk"]["source"], {str(node["segment"][1]) for node in nodes}
    disk.fill(nodes[0]["disk"], "ballast", "me")
    assert mounted(source)
    assert there(made) == made
    if way == "down":
        assert sandbox.down(box.name) is True
    else:
        box.controller(op="set", detection_s=3600)
        box.freeze("store-b")
        warden = box.store()["health"]
        assert signal_exact(warden["pid"], warden["start_ticks"], signal.SIGSTOP)  # so nobody inside can bury what is left
        assert signal_exact(*found[0], signal.SIGKILL)
        until(lambda: gone(found[:1]), "the keeper ended")
        sandbox.status()
    until(lambda: gone(found), "no process left")
    until(lambda: not mounted(source), "no mount left")
    assert not there(made)
    assert not Path(box.info.dir).exists()


@pytest.mark.skipif(which("strace") is None, reason="strace is missing")
def test_where_nothing_can_be_mounted_the_sandbox_is_refused_by_name(place: None) -> None:
    code = "from chaoslib_ext import sandbox; sandbox.up('never', ('store_small_disk',))"
    forbidden = ["strace", "-f", "-qq", "-e", "trace=mount", "-e", "inject=mount:error=EPERM", "-o", os.devnull]
    done = subprocess.run([*forbidden, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "this machine cannot give the store disks of their own (PermissionError: [Errno 1] mount: Operation not permitted)" in done.stderr
    assert "leave out store_small_disk, run as root, or allow user namespaces" in done.stderr
    assert "never" not in [row["name"] for row in sandbox.status()]
