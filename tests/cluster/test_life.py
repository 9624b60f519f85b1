"""A rig leaves nothing on the machine, whoever ended it and when, and two of them do not see each other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rig import build, cluster, ending
from rig.api import condition_of, until
from rig.build import PRODUCTS
from rig.cluster import Rig
from rig.network import KERNEL_SETTINGS
from rig.places import RigError, fresh_name, rigs
from rig.processes import Process, start_of
from rig.state import State, read_state

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
COMMAND = [sys.executable, str(HERE / "run_rig.py")]


def machine() -> dict[str, list[str]]:
    """What of this machine a rig could have changed: links, filter rules, kernel settings, mounts and namespaces of containers."""
    seen = {
        "links": subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout.splitlines(),
        "routes": subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True).stdout.splitlines(),
        "rules": subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout.splitlines(),
        "settings": [],
        "mounts": [],
    }
    for name in (*KERNEL_SETTINGS, "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/bridge/bridge-nf-call-iptables"):
        if (setting := Path("/proc/sys") / name).exists():
            seen["settings"].append(f"{name} = {setting.read_text().strip()}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if any(word in line for word in ("rigs", "netns", "containerd", "kubelet", "cni")):
            seen["mounts"].append(line)
    return seen


def folders() -> list[str]:
    """Folders that Kubernetes makes where nobody tells it otherwise."""
    usual = (
        "/var/lib/kubelet",
        "/var/lib/containerd",
        "/var/lib/cni",
        "/run/containerd",
        "/run/netns",
        "/var/log/pods",
        "/var/log/containers",
        "/etc/cni",
        "/usr/libexec/kubernetes",
    )
    return [name for name in usual if Path(name).exists()] + [str(path) for path in Path("/run/netns").glob("cni-*")]


def ready_nodes(rig: Rig) -> int:
    """How many of its nodes are Ready."""
    return sum(condition_of(node, "Ready") == "True" for node in rig.api.read("/api/v1/nodes")["items"])


def test_a_second_rig_stands_beside_the_first_and_leaves_nothing(rig: Rig) -> None:
    before = machine(), folders()
    second = cluster.up()
    assert second.api.read("/api/v1/namespaces/kube-system")["metadata"]["uid"] != rig.api.read("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert (machine(), folders()) == before
    second.cut_zone("a")
    assert second.is_cut("a")
    assert not rig.is_cut("a")
    second.down()
    assert ending.leftovers(second.state.name) == []
    assert (machine(), folders()) == before
    assert ready_nodes(rig) >= 3
    second.down()  # twice is harmless


@pytest.mark.parametrize("moment", ["apiserver", "kubelet node-b", "ready"])
def test_what_a_killed_maker_left_is_taken_down_by_the_next(rig: Rig, moment: str) -> None:
    name = fresh_name()
    program = f"import sys, time; sys.path.insert(0, {str(HERE)!r})\nfrom rig import cluster\ncluster.up({name!r})\ntime.sleep(600)"
    maker = subprocess.Popen([sys.executable, "-c", program])

    def reached() -> bool:
        if maker.poll() is not None:
            raise RuntimeError(f"the maker ended with {maker.returncode}")
        state = read_state(rigs() / name)
        return state.ready if moment == "ready" else any(process.name == moment for process in state.processes)

    try:
        until(reached, f"a rig that has got as far as {moment}")
    finally:
        maker.kill()
        maker.wait()
    assert any(line.startswith("process") for line in ending.leftovers(name))
    assert name in ending.sweep()
    assert ending.leftovers(name) == []
    assert ready_nodes(rig) >= 3


def test_a_kept_rig_outlives_its_maker_and_is_used_by_its_name(rig: Rig) -> None:
    name = fresh_name()
    started = subprocess.run([*COMMAND, "up", name], capture_output=True, text=True, timeout=300)
    try:
        assert started.returncode == 0, started.stdout
        assert name not in ending.sweep()
        said = subprocess.run([*COMMAND, "enter", name, "node-c", "--", "ip", "-brief", "address"], capture_output=True, text=True, timeout=60)
        assert "10.77.0.13/24" in said.stdout
        again = subprocess.run([*COMMAND, "up", name], capture_output=True, text=True, timeout=60)
        assert again.returncode == 1
        assert f"there is a rig of that name; take it down first (`run_rig.py down {name}`)" in again.stdout
        assert ready_nodes(cluster.running(name)) == 3
    finally:
        subprocess.run([*COMMAND, "down", name], check=True, timeout=120)
    assert ending.leftovers(name) == []


def test_a_rig_that_cannot_start_says_why_and_leaves_nothing(rig: Rig) -> None:
    name = fresh_name()
    with pytest.raises(RigError, match="kubelet-node-A! ended; its log ends: "):
        cluster.up(name, zones=("A!",))  # no label may have this value
    assert ending.leftovers(name) == []


def test_a_process_that_took_over_a_pid_is_not_ended(tmp_path: Path) -> None:
    """The start time tells it from the one in the state file."""
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        state = State("none", tmp_path / "none", Process("maker", 0, 0), kept=False)
        state.processes = [Process("kubelet node-a", stranger.pid, start_of(stranger.pid) - 1)]
        ending.take_down(state)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_folder_that_is_no_rigs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(RigError, match="no rig's"):
        ending.take_down(read_state(tmp_path))
    assert (tmp_path / "diary.txt").exists()


@pytest.mark.skipif(shutil.which("go") is None, reason="building needs Go")
def test_a_build_that_was_killed_leaves_no_half_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_RIG_PROGRAMS", str(tmp_path))
    relay = next(product for product in PRODUCTS if product.name == "relay")
    program = f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom rig import build\nbuild.build([build.PRODUCTS[0]], print)"
    builder = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stdout=subprocess.DEVNULL)
    until(lambda: list(tmp_path.glob(".part-*/relay-*")) or builder.poll() is not None, "a build that has begun", every_s=0.001)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.wait()
    assert not relay.file.exists()
    said: list[str] = []
    build.build([relay], said.append)
    assert os.access(relay.file, os.X_OK)
    assert not list(tmp_path.glob(".part-*"))
    assert "[1/1]" in said[-1]
    build.build([relay], said.append)
    assert len(said) == 2  # what is there is not built again
