"""The control plane's command lines: etcd, API server, controller manager, scheduler, in the rig's control namespace."""

from __future__ import annotations

from pathlib import Path

from rig.build import program
from rig.network import CONTROL, PODS, SERVICES

ETCD = "http://127.0.0.1:2379"


def etcd(folder: Path) -> list[str]:
    """Etcd on the control namespace's loopback; without fsync, as a rig need not survive the machine."""
    peer = "http://127.0.0.1:2380"
    return [
        *(str(program("etcd")), "--name=rig", f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=rig={peer}"),
    ]


def apiserver(certificates: Path, port: int) -> list[str]:
    """The API server: on the nodes' bridge and on loopback, under the same port that the relay has on the host's loopback."""
    c = certificates
    return [
        *(str(program("kube-apiserver")), f"--etcd-servers={ETCD}", "--bind-address=0.0.0.0", f"--secure-port={port}"),
        *(f"--advertise-address={CONTROL}", f"--service-cluster-ip-range={SERVICES}", "--allow-privileged=true", "--profiling=false"),
        *(f"--client-ca-file={c}/ca.crt", f"--tls-cert-file={c}/apiserver.crt", f"--tls-private-key-file={c}/apiserver.key"),
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--anonymous-auth=false"),
        *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={c}/accounts.pub"),
        f"--service-account-signing-key-file={c}/accounts.key",
        # The kubelets' serving certificates are their own; without an authority to check them by, logs and exec work.
        *(f"--kubelet-client-certificate={c}/apiserver-to-kubelet.crt", f"--kubelet-client-key={c}/apiserver-to-kubelet.key"),
        "--kubelet-preferred-address-types=InternalIP",
        *(f"--requestheader-client-ca-file={c}/front.crt", "--requestheader-allowed-names=front-client"),
        *(
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
        ),
        *(f"--proxy-client-cert-file={c}/front-client.crt", f"--proxy-client-key-file={c}/front-client.key", "--enable-aggregator-routing=true"),
    ]


def controller_manager(folder: Path, certificates: Path, grace_s: int) -> list[str]:
    """The controller manager; a node is lost after `grace_s` seconds of silence (40 by Kubernetes' own default)."""
    config = f"{folder}/kube-controller-manager.kubeconfig"
    return [
        *(str(program("kube-controller-manager")), f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}"),
        *("--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials", "--allocate-node-cidrs=false"),
        *(f"--root-ca-file={certificates}/ca.crt", f"--service-account-private-key-file={certificates}/accounts.key"),
        *(f"--cluster-signing-cert-file={certificates}/ca.crt", f"--cluster-signing-key-file={certificates}/ca.key"),
        *("--node-monitor-period=1s", f"--node-monitor-grace-period={grace_s}s", "--profiling=false"),
        f"--flex-volume-plugin-dir={folder}/plugins",  # else it makes one below the machine's /usr/libexec
    ]


def scheduler(folder: Path) -> list[str]:
    """The scheduler."""
    config = f"{folder}/kube-scheduler.kubeconfig"
    return [
        *(str(program("kube-scheduler")), f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}"),
        *("--bind-address=127.0.0.1", "--leader-elect=false"),
    ]


def proxy(folder: Path, node: str) -> list[str]:
    """Kube-proxy in iptables mode, acting for the node of that name: a name that is no node's makes it wait 30 s first."""
    return [
        *(str(program("kube-proxy")), f"--kubeconfig={folder}/kube-proxy.kubeconfig", f"--hostname-override={node}", "--proxy-mode=iptables"),
        *(f"--cluster-cidr={PODS}", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
        *("--iptables-localhost-nodeports=false", "--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249"),
    ]
