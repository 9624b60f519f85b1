"""What the rig stands on, without Kubernetes: namespaces, cables, containers, and that all of it goes without a trace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import cgroups, ending, node, starting
from rig.api import until
from rig.cluster import Rig
from rig.images import PAUSE, write_image
from rig.network import KERNEL_SETTINGS, Place, inside, join_node, lay_control, run_inside
from rig.packages import BUSYBOX, missing_packages
from rig.places import RigError, fresh_name, rigs
from rig.state import Node, State, me

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces and containers"),
    pytest.mark.skipif(bool(missing_packages()), reason=f"needs these packages: {' '.join(missing_packages())}"),
]


@pytest.fixture
def ground() -> Iterator[Rig]:
    """Two nodes with containerd and an image, joined; no Kubernetes."""
    name = fresh_name()
    state = State(name, rigs() / name, me(), kept=False)
    state.folder.mkdir(parents=True)
    (state.folder / ".rig").touch()
    state.write()
    try:
        control = starting.start_anchor(state, "control")
        lay_control(control)
        archive = write_image(state.folder / "pause.tar", PAUSE, {"bin/busybox": BUSYBOX, "bin/sh": BUSYBOX}, ["/bin/busybox", "sleep", "2147483647"])
        state.nodes = [Node("node-a", "a", 1), Node("node-b", "b", 2)]
        for one in state.nodes:
            node.write_files(state.folder / one.name, one, state.folder / "pki", cgroups.make(name, one.name))
            anchor = starting.start_anchor(state, one.name)
            join_node(control, anchor, Place(one.number), [Place(other.number) for other in state.nodes if other is not one])
            starting.start(state, f"containerd {one.name}", node.containerd(state.folder / one.name), anchor)
            command = [*inside(anchor), *node.import_image(archive)]
            until(lambda command=command: subprocess.run(command, capture_output=True).returncode == 0, f"the image in {one.name}")
        yield Rig(state)
    finally:
        ending.take_down(state)
    assert ending.leftovers(name) == []


def answers(rig: Rig, number: int) -> bool:
    """Whether node a reaches that node's address."""
    try:
        run_inside(rig.state.process("node-a namespace"), f"busybox ping -c 1 -W 1 {Place(number).address}")
    except RigError:
        return False
    return True


def run_container(rig: Rig, on: str) -> None:
    """Starts a container that goes on for ever, in the node's cgroup."""
    ctr = ["ctr", "--address", "/run/containerd.sock", "--namespace", "k8s.io", "run", "--detach", "--cgroup", f"/{cgroups.own(rig.state.name)}/{on}/one"]
    subprocess.run([*rig.within(on), *ctr, PAUSE, "one"], check=True, capture_output=True, timeout=120)


def test_a_cut_cable_silences_its_node_alone_until_it_is_plugged_in(ground: Rig) -> None:
    assert answers(ground, 2)
    ground.cut_zone("b")
    assert ground.is_cut("b")
    assert not ground.is_cut("a")
    assert not answers(ground, 2)
    ground.restore_zone("b")
    until(lambda: answers(ground, 2), "an answer over the cable")


def test_kernel_settings_look_as_kubelet_wants_them_inside_and_stay_as_they_are_outside(ground: Rig) -> None:
    before = {name: (Path("/proc/sys") / name).read_text() for name in KERNEL_SETTINGS}
    seen = run_inside(ground.state.process("node-a namespace"), f"cd /proc/sys; cat {' '.join(KERNEL_SETTINGS)}")
    assert [int(value) for value in seen.split()] == list(KERNEL_SETTINGS.values())
    assert {name: (Path("/proc/sys") / name).read_text() for name in KERNEL_SETTINGS} == before


def test_containers_run_and_end_with_the_rig(ground: Rig) -> None:
    for name in ("node-a", "node-b"):
        run_container(ground, name)
        assert ground.containers(name) == {"one"}
    assert len(cgroups.members(ground.state.name)) == 2
    ground.down()
    assert ending.leftovers(ground.state.name) == []


def test_a_frozen_container_ends_too(ground: Rig) -> None:
    run_container(ground, "node-b")
    pause = ["ctr", "--address", "/run/containerd.sock", "--namespace", "k8s.io", "tasks", "pause", "one"]
    subprocess.run([*ground.within("node-b"), *pause], check=True, timeout=120)
    ground.down()
    assert ending.leftovers(ground.state.name) == []


def test_what_is_not_in_the_state_file_is_found_by_its_mark(ground: Rig) -> None:
    """A maker killed between starting a process and writing it down."""
    ground.state.processes = []
    ground.state.write()
    ground.down()
    assert ending.leftovers(ground.state.name) == []
