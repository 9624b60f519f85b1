"""One node's own files and command lines: containerd, its pods' network, kubelet."""

from __future__ import annotations

import json
import resource
from pathlib import Path

from rig.build import program
from rig.images import PAUSE
from rig.network import DNS_SERVICE, Place
from rig.packages import CNI
from rig.state import Node

LEASE_S = 8  # a node says that it lives every quarter of this


def write_files(folder: Path, node: Node, certificates: Path, cgroup: str) -> None:
    """Writes everything a node reads, below its folder."""
    for name in ("cni", "cni-state", "containerd", "kubelet", "logs", "plugins", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "resolv.conf").write_text("")
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network(folder, Place(node.number))))
    (folder / "containerd.toml").write_text(_containerd(folder))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(folder, certificates, cgroup), indent=1))


def _pod_network(folder: Path, place: Place) -> dict[str, object]:
    ranges = {"type": "host-local", "ranges": [[{"subnet": place.pods}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": f"{folder}/cni-state"}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": ranges}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}


def _containerd(folder: Path) -> str:
    """Containerd 1.6's file; `restrict_oom_score_adj` is what lets runc work without CAP_SYS_RESOURCE."""
    return f"""
version = 2
root = "{folder}/containerd"
state = "/run/containerd-state"
[grpc]
  address = "/run/containerd.sock"
[ttrpc]
  address = "/run/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def _kubelet(folder: Path, certificates: Path, cgroup: str) -> dict[str, object]:
    """Kubelet's file: real in what pods see; what would touch the machine, or judge it by its disk or swap, is off."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}, "x509": {"clientCAFile": f"{certificates}/ca.crt"}},
        "authorization": {"mode": "AlwaysAllow"},  # whoever has a certificate of ours: the API server
        "containerRuntimeEndpoint": "unix:///run/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1000000),
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE],
        "resolvConf": f"{folder}/resolv.conf",
        "podLogsDir": f"{folder}/logs",
        "volumePluginDir": f"{folder}/plugins",
        "nodeLeaseDurationSeconds": LEASE_S,
        "nodeStatusUpdateFrequency": "4s",
        "imageGCHighThresholdPercent": 100,  # a full disk of the machine must not take the images that nobody can pull again
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "shutdownGracePeriod": "0s",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
    }


def containerd(folder: Path) -> list[str]:
    """The node's containerd."""
    return ["containerd", "--config", f"{folder}/containerd.toml", "--log-level", "warn"]


def kubelet(folder: Path, node: Node) -> list[str]:
    """The node's kubelet, which registers it with its zone."""
    labels = f"topology.kubernetes.io/region=rig,topology.kubernetes.io/zone={node.zone}"
    return [
        *(str(program("kubelet")), f"--config={folder}/kubelet.json", f"--kubeconfig={folder}/kubelet.kubeconfig", f"--hostname-override={node.name}"),
        *(f"--node-ip={Place(node.number).address}", f"--node-labels={labels}", f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet/pki"),
    ]


def import_image(archive: Path) -> list[str]:
    """Puts an image into the node's containerd, where kubelet looks for it."""
    return ["ctr", "--address", "/run/containerd.sock", "--namespace", "k8s.io", "images", "import", str(archive)]
