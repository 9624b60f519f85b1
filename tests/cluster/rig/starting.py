"""Starts a rig: from an empty folder to three Ready nodes, each step written down before the next."""

from __future__ import annotations

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rig import cgroups, control
from rig import node as nodes
from rig.api import Api, condition_of, own_api, until
from rig.build import not_built, program
from rig.certificates import make_certificate, make_control_certificates, write_kubeconfig
from rig.images import PAUSE, SHOP, write_image
from rig.network import CONTROL, FIRST_SERVICE, Place, add_routes, inside, join_node, lay_control, make_anchor
from rig.packages import BUSYBOX, missing_packages
from rig.places import Ended, RigError, alone, rigs
from rig.processes import Process, is_alive, spawn
from rig.state import Node, State, me


def reason_against() -> str:
    """Why no rig can be started here, in a sentence; empty when it can."""
    if os.uname().sysname != "Linux":
        return f"the rig needs Linux, this is {os.uname().sysname}"
    if os.geteuid() != 0:
        return "the rig needs root, for network namespaces and containers"
    if missing := missing_packages():
        return f"the rig needs these packages: {' '.join(missing)} (`python tests/cluster/run_rig.py build` installs them)"
    if unbuilt := not_built():
        return f"not built: {', '.join(product.name for product in unbuilt)} (`python tests/cluster/run_rig.py build`, minutes, once; needs Go)"
    return ""


def begin(name: str, kept: bool) -> State:
    """Makes the rig's folder and state file; RigError when there is one of that name or the machine cannot have one."""
    if reason := reason_against():
        raise RigError(reason)
    folder = rigs() / name
    state = State(name, folder, me(), kept)
    with alone(rigs()):  # so that nobody's sweep sees a folder without its state
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise RigError(f"{folder}: there is a rig of that name; take it down first (`run_rig.py down {name}`)") from None
        (folder / ".rig").touch()
        state.write()
    return state


def start(state: State, name: str, command: list[str], within: Process | None = None, socket_fd: int | None = None) -> Process:
    """Starts a process of the rig and writes it down; one killed between the two is found by its mark."""
    full = [*inside(within), *command] if within else command
    process = spawn(name, full, state.name, state.folder / f"{name.replace(' ', '-')}.log", socket_fd)
    state.write(process)
    return process


def start_anchor(state: State, name: str) -> Process:
    """Makes the namespaces of the control plane or of one node, and waits until they are ready."""
    folder = state.folder / name
    anchor = make_anchor(name, state.name, folder)
    state.write(anchor)
    until(lambda: (folder / "anchored").exists() or not is_alive(anchor), f"namespace of {name}", every_s=0.01)
    if not is_alive(anchor):
        raise RigError(f"namespace of {name}: {(folder / 'anchor.log').read_text()[-400:]}")
    return anchor


def start_control(state: State, grace_s: int) -> None:
    """Starts etcd and the API server, then, when it answers, what steers the cluster."""
    folder, certificates = state.folder, state.folder / "pki"
    make_control_certificates(certificates, CONTROL, FIRST_SERVICE)
    anchor = start_anchor(state, "control")
    lay_control(anchor)
    start(state, "etcd", control.etcd(folder), anchor)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        state.port = listening.getsockname()[1]
        start(state, "apiserver", control.apiserver(certificates, state.port), anchor)
        start(state, "relay", [str(program("relay")), f"127.0.0.1:{state.port}"], anchor, listening.fileno())
    here, across = f"https://127.0.0.1:{state.port}", f"https://{CONTROL}:{state.port}"
    write_kubeconfig(folder / "kubeconfig", certificates, "admin", here, f"rig-{state.name}")
    for user in ("kube-controller-manager", "kube-scheduler"):
        write_kubeconfig(folder / f"{user}.kubeconfig", certificates, user, here, "rig")
    write_kubeconfig(folder / "kube-proxy.kubeconfig", certificates, "kube-proxy", across, "rig")
    api = own_api(folder / "kubeconfig")
    state.write()
    await_api(state, api)
    start(state, "controller-manager", control.controller_manager(folder, certificates, grace_s), anchor)
    start(state, "scheduler", control.scheduler(folder), anchor)


def await_api(state: State, api: Api) -> None:
    """Waits until the API server says it is ready; RigError with its last words when it ended instead."""

    def answered() -> bool:
        for name in ("etcd", "apiserver"):
            if not is_alive(state.process(name)):
                raise Ended(last_words(state, name))
        return api.call("GET", "/readyz")[0] == 200

    until(answered, "the API server is ready")


def last_words(state: State, name: str) -> str:
    """What a process wrote last."""
    return f"{name} ended; its log ends: {(state.folder / f'{name}.log').read_text(errors='replace')[-800:]}"


def write_images(folder: Path) -> list[Path]:
    """Writes the images every node gets: the pause image (busybox) and the shop."""
    shell = {"bin/busybox": BUSYBOX, "bin/sh": BUSYBOX}
    return [
        write_image(folder / "pause.tar", PAUSE, shell, ["/bin/busybox", "sleep", "2147483647"]),
        write_image(folder / "shop.tar", SHOP, {"bin/shop": program("shop"), **shell}, ["/bin/shop"]),
    ]


def start_node(state: State, node: Node, archives: list[Path]) -> None:
    """Starts a node up to its kubelet; that it becomes Ready is awaited elsewhere."""
    folder, certificates, place = state.folder / node.name, state.folder / "pki", Place(node.number)
    make_certificate(certificates, node.name, f"/O=system:nodes/CN=system:node:{node.name}")
    nodes.write_files(folder, node, certificates, cgroups.make(state.name, node.name))
    write_kubeconfig(folder / "kubelet.kubeconfig", certificates, node.name, f"https://{CONTROL}:{state.port}", "rig")
    anchor = start_anchor(state, node.name)
    others = [Place(other.number) for other in state.nodes if other.name != node.name]
    join_node(state.process("control namespace"), anchor, place, others)
    start(state, f"containerd {node.name}", nodes.containerd(folder), anchor)
    for archive in archives:
        command = [*inside(anchor), *nodes.import_image(archive)]
        until(lambda command=command: subprocess.run(command, capture_output=True).returncode == 0, f"{archive.name} in {node.name}")
    start(state, f"kubelet {node.name}", nodes.kubelet(folder, node), anchor)
    start(state, f"proxy {node.name}", control.proxy(state.folder, node.name), anchor)


def start_nodes(state: State, zones: list[str]) -> None:
    """Starts one node per zone, side by side, and a kube-proxy for the control namespace, where load generators stand."""
    archives = write_images(state.folder)
    state.nodes = [Node(f"node-{zone}", zone, number) for number, zone in enumerate(zones, 1)]
    with ThreadPoolExecutor(len(zones)) as pool:
        list(pool.map(lambda node: start_node(state, node, archives), state.nodes))
    start(state, "proxy control", control.proxy(state.folder, state.nodes[0].name), state.process("control namespace"))


def await_nodes(state: State, names: list[str]) -> None:
    """Waits until the nodes of these names are Ready; RigError with the last words of what ended instead."""
    api = own_api(state.folder / "kubeconfig")

    def ready() -> bool:
        for process in state.processes:
            if process.name.split()[0] in ("containerd", "kubelet", "proxy") and not is_alive(process):
                raise Ended(last_words(state, process.name.replace(" ", "-")))
        items = api.read("/api/v1/nodes")["items"]
        return {one["metadata"]["name"] for one in items if condition_of(one, "Ready") == "True"} >= set(names)

    until(ready, f"Ready: {', '.join(names)}")


def join(state: State, zone: str) -> Node:
    """Starts one more node in a zone of a running rig and waits until it is Ready."""
    number = max(node.number for node in state.nodes) + 1
    node = Node(f"node-{zone}{number}", zone, number)
    add_routes([state.process(f"{other.name} namespace") for other in state.nodes], Place(number))
    state.nodes.append(node)
    start_node(state, node, [state.folder / "pause.tar", state.folder / "shop.tar"])
    await_nodes(state, [node.name])
    return node
