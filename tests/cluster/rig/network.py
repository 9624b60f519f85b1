"""The rig's network: a namespace for the control plane with a bridge, one per node, all of it gone with the last process in it.

A namespace has no name on the machine: it lives as long as its *anchor*, a sleeping process, and what was started in it. So nothing of the
host's network is changed, and the mounts made for a node (its own mount namespace) go the same way.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rig.places import RigError
from rig.processes import Process, spawn

# The same numbers in every rig: each rig's namespaces see only themselves.
CONTROL = "10.77.0.1"
SERVICES = "10.79.0.0/20"
FIRST_SERVICE = "10.79.0.1"
DNS_SERVICE = "10.79.0.10"
PODS = "10.78.0.0/16"

# kubelet writes these for the whole machine unless they already are so; a file laid over each keeps the machine as it is.
KERNEL_SETTINGS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1, "kernel/keys/root_maxkeys": 1000000}
KERNEL_SETTINGS |= {"kernel/keys/root_maxbytes": 25000000}


@dataclass(frozen=True, slots=True)
class Place:
    """The address, the pods' network and the link of one node, all from its number (1, 2, 3, …)."""

    number: int

    @property
    def address(self) -> str:
        return f"10.77.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        return f"10.78.{self.number}.0/24"

    @property
    def link(self) -> str:
        return f"link{self.number}"


def inside(anchor: Process) -> list[str]:
    """What to put before a command so that it runs in the anchor's namespaces; the pid stays the same."""
    return ["nsenter", f"--net=/proc/{anchor.pid}/ns/net", f"--mount=/proc/{anchor.pid}/ns/mnt", "--wdns=/"]


def run_inside(anchor: Process, script: str) -> str:
    """Runs a shell script in the anchor's namespaces and returns what it printed; RigError when a line fails."""
    done = subprocess.run([*inside(anchor), "sh", "-ec", script], capture_output=True, text=True)
    if done.returncode != 0:
        raise RigError(f"in namespace {anchor.name}: ended with {done.returncode}; it said: {done.stderr.strip()}; the script was: {script}")
    return done.stdout


def make_anchor(name: str, rig: str, folder: Path) -> Process:
    """
    Makes a network and a mount namespace and the process that keeps them.

    In it /run and /var/log are empty, what is written below /var/lib stays in the rig's folder, and the machine-wide kernel settings look
    as kubelet wants them.
    """
    settings = folder / "settings"
    settings.mkdir(parents=True)
    lines = ["mount --make-rprivate /", "mount --make-rshared /", "mount -t tmpfs -o mode=755 run /run", "mount -t tmpfs -o mode=755 log /var/log"]
    lines += ["mkdir -p /run/netns /run/lock", f"mkdir {folder}/var-lib {folder}/var-lib.work"]
    # kubelet's device plugins and the pods' network results have their places there, which no option changes
    lines += [f"mount -t overlay -o lowerdir=/var/lib,upperdir={folder}/var-lib,workdir={folder}/var-lib.work var-lib /var/lib"]
    for setting, value in KERNEL_SETTINGS.items():
        laid = settings / setting.replace("/", ".")
        laid.write_text(f"{value}\n")
        lines.append(f"if [ -e /proc/sys/{setting} ]; then mount --bind {laid} /proc/sys/{setting}; fi")
    lines += ["ip link set lo up", f"touch {folder}/anchored", "exec sleep 2147483647"]
    return spawn(f"{name} namespace", ["unshare", "--net", "--mount", "sh", "-ec", "\n".join(lines)], rig, folder / "anchor.log")


def lay_control(control: Process) -> None:
    """Makes the bridge that nodes are joined by, and the way to the Services."""
    run_inside(
        control,
        f"""
        ip link add name nodes type bridge
        ip address add {CONTROL}/24 dev nodes
        ip link set nodes up
        echo 1 > /proc/sys/net/ipv4/ip_forward
        ip route add {SERVICES} dev nodes
        """,
    )


def join_node(control: Process, node: Process, place: Place, others: list[Place]) -> None:
    """Joins a node's namespace to the bridge, with routes to the pods of all nodes, there and back."""
    run_inside(
        control,
        f"""
        ip link add {place.link} type veth peer name eth0 netns {node.pid}
        ip link set {place.link} master nodes up
        ip route add {place.pods} via {place.address}
        """,
    )
    routes = "\n".join(f"ip route add {other.pods} via {other.address}" for other in others)
    run_inside(
        node,
        f"""
        ip address add {place.address}/24 dev eth0
        ip link set eth0 up
        ip route add default via {CONTROL}
        {routes}
        echo 1 > /proc/sys/net/ipv4/ip_forward
        for file in /proc/sys/net/bridge/bridge-nf-call-iptables; do if [ -e $file ]; then echo 1 > $file; fi; done
        """,
    )


def add_routes(nodes: list[Process], place: Place) -> None:
    """Tells nodes that were there before where the pods of a new one are."""
    for node in nodes:
        run_inside(node, f"ip route add {place.pods} via {place.address}")


def set_link(control: Process, place: Place, up: bool) -> None:
    """Cuts or restores the one cable of a node: `ip link set … down` at the bridge."""
    run_inside(control, f"ip link set {place.link} {'up' if up else 'down'}")


def link_is_up(control: Process, place: Place) -> bool:
    """Whether the node's cable is plugged in."""
    return "state DOWN" not in run_inside(control, f"ip -oneline link show {place.link}")
