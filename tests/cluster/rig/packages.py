"""What the rig needs from the distribution, named, and installed when it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from rig.places import RigError

CNI = Path("/usr/lib/cni")
BUSYBOX = Path("/bin/busybox")

# Debian's package → what of it the rig runs. Go is not among them: the modules want 1.26, and Debian 12 has 1.19.
NEEDED = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": str(CNI / "bridge"),
    "iptables": "iptables",
    "nftables": "nft",
    "conntrack": "conntrack",
    "busybox-static": str(BUSYBOX),
    "iproute2": "ip",
    "openssl": "openssl",
    "util-linux": "nsenter",
}


def missing_packages() -> list[str]:
    """The packages whose programs are not on this machine."""
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    return [package for package, program in NEEDED.items() if shutil.which(program, path=path) is None]


def install_packages(say: Callable[[str], None]) -> None:
    """Installs the packages that are missing; RigError where that needs another hand."""
    if not (missing := missing_packages()):
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RigError(f"missing: {names} (Debian's names); install them, as root, and start again")
    say(f"installing {names}")
    # RUNLEVEL=1 keeps a package's script from starting its service: the rig runs a containerd per node itself.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RigError(f"{' '.join(command)}: ended with {done.returncode}; it said: {(done.stderr or done.stdout)[-400:]}")
    if still := missing_packages():
        raise RigError(f"installed {names}, yet not found: {' '.join(still)}")
