"""A cluster that is not ours, named by `KUBECONFIG`: asked through `kubectl proxy`, which knows every way to log in."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rig.api import Api
from rig.build import program
from rig.places import RigError


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody's cluster, with the image its shop is made of (empty: no shop can be opened there)."""

    kubeconfig: Path
    api: Api
    proxy: subprocess.Popen[str]
    image: str

    def down(self) -> None:
        """Ends the way in; the cluster stays as it is."""
        self.proxy.kill()
        self.proxy.communicate()


def enter(kubeconfig: Path, image: str) -> Foreign:
    """Opens the way in; RigError with what kubectl said when there is none."""
    kubectl = shutil.which("kubectl") or str(program("kubectl"))
    command = [kubectl, f"--kubeconfig={kubeconfig}", "proxy", "--port=0", "--address=127.0.0.1"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = proxy.stdout.readline() if proxy.stdout else ""
    if "127.0.0.1:" not in line:
        proxy.kill()
        proxy.communicate()
        raise RigError(f"{' '.join(command)}: said {line.strip()!r}; is KUBECONFIG right?")
    found = Foreign(kubeconfig, Api(f"http://{line.split()[-1]}"), proxy, image)
    status, answer = found.api.call("GET", "/version", timeout_s=30.0)
    if status != 200:
        found.down()
        raise RigError(f"KUBECONFIG={kubeconfig}: /version answered {status} {str(answer)[:200]}; is the cluster up, and the login valid?")
    return found
