"""A cluster to test on: the rig itself, or whichever cluster `KUBECONFIG` names, with what only the rig can do kept apart."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rig import ending, starting
from rig.api import Api, own_api
from rig.network import Place, inside, link_is_up, set_link
from rig.places import RigError, fresh_name, rigs
from rig.state import Node, State, read_state

ZONES = ("a", "b", "c")
GRACE_S = 10  # how long a node may be silent before it counts as lost; 40 by Kubernetes' default


@dataclass(frozen=True, slots=True)
class Rig:
    """A running rig."""

    state: State

    @property
    def kubeconfig(self) -> Path:
        """Works from the host's namespace and from the control namespace: both reach the API server on their loopback."""
        return self.state.folder / "kubeconfig"

    @property
    def context(self) -> str:
        return f"rig-{self.state.name}"

    @property
    def api(self) -> Api:
        return own_api(self.kubeconfig)

    def nodes_of(self, zone: str) -> list[Node]:
        """The nodes of a zone; RigError when it has none."""
        if not (found := [node for node in self.state.nodes if node.zone == zone]):
            raise RigError(f"rig {self.state.name}: no zone {zone!r}; there are {', '.join(sorted({node.zone for node in self.state.nodes}))}")
        return found

    def outside(self) -> list[str]:
        """What to put before a command so that it runs where clients stand: in the control namespace, which reaches Services and pods."""
        return inside(self.state.process("control namespace"))

    def within(self, node: str) -> list[str]:
        """What to put before a command so that it runs on a node, in its network and with its mounts."""
        return inside(self.state.process(f"{node} namespace"))

    def cut_zone(self, zone: str) -> None:
        """Pulls the cables of all nodes of a zone: silence both ways, at once."""
        for node in self.nodes_of(zone):
            set_link(self.state.process("control namespace"), Place(node.number), up=False)

    def restore_zone(self, zone: str) -> None:
        """Plugs them in again."""
        for node in self.nodes_of(zone):
            set_link(self.state.process("control namespace"), Place(node.number), up=True)

    def is_cut(self, zone: str) -> bool:
        """Whether any cable of the zone is out."""
        control = self.state.process("control namespace")
        return not all(link_is_up(control, Place(node.number)) for node in self.nodes_of(zone))

    def add_node(self, zone: str) -> Node:
        """Adds a node to a zone, Ready when this returns."""
        return starting.join(self.state, zone)

    def containers(self, node: str) -> set[str]:
        """The ids of the containers that run on a node, as containerd there says."""
        command = [*self.within(node), "ctr", "--address", "/run/containerd.sock", "--namespace", "k8s.io", "tasks", "list", "--quiet"]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    def down(self) -> None:
        """Ends it; nothing is left."""
        ending.take_down(self.state)


def up(name: str = "", kept: bool = False, zones: tuple[str, ...] = ZONES, grace_s: int = GRACE_S) -> Rig:
    """
    Starts a rig, ready when this returns; abandoned ones are taken down first.

    One that is not `kept` counts as abandoned when this process is gone. Raises RigError, with nothing left, when it cannot be started.
    """
    ending.sweep()
    state = starting.begin(name or fresh_name(), kept)
    try:
        starting.start_control(state, grace_s)
        starting.start_nodes(state, list(zones))
        starting.await_nodes(state, [node.name for node in state.nodes])
    except BaseException:  # also an interrupt: what was started ends
        ending.take_down(state)
        raise
    state.ready = True
    state.write()
    return Rig(state)


def running(name: str) -> Rig:
    """The rig of that name, started earlier and kept; RigError when there is none."""
    folder = rigs() / name
    if not (folder / "rig.json").exists():
        known = sorted(mark.parent.name for mark in rigs().glob("*/.rig"))
        raise RigError(f"{folder}: no rig of that name; there are: {', '.join(known) or 'none'}")
    return Rig(read_state(folder))
