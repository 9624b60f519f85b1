"""The stand-in answers as a real API server does, by the battery of 69 checks that both pass, with the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kube_standin import Cluster

SHARED = Path(__file__).parents[3] / "shared"
BATTERY = SHARED / "kubernetes_api_battery.py"
DEFINITIONS = SHARED / "crds" / "istio-crd-all.gen.yaml"


def virtual_services() -> dict[str, object]:
    """The definition of VirtualService out of the file of all of Istio's, of which only this part is read."""
    for document in DEFINITIONS.read_text(encoding="utf-8").split("\n---\n"):
        if "\n  name: virtualservices.networking.istio.io\n" in document:
            return yaml.load(document, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # type: ignore[no-any-return]
    raise AssertionError(f"{DEFINITIONS} defines no VirtualService")


@pytest.fixture
def bare() -> Iterator[Cluster]:
    """A control plane without nodes, as the battery expects: nothing happens to its pods but what it does itself."""
    one = Cluster()
    yield one
    one.close()


@pytest.mark.skipif(not BATTERY.is_file(), reason="the battery is not beside the repository (../shared/kubernetes_api_battery.py)")
def test_the_stand_in_passes_the_battery_of_a_real_api_server_69_of_69(bare: Cluster, tmp_path: Path) -> None:
    bare.define(virtual_services())
    bare.store.compact()
    kubeconfig = bare.kubeconfig(tmp_path / "config")
    environment = {**os.environ, "COMPACTED": "1", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, str(BATTERY), str(kubeconfig), "standin"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    rows = json.loads((tmp_path / "battery_standin.json").read_text()) if (tmp_path / "battery_standin.json").exists() else []
    assert [row for row in rows if row[1] != "pass"] == [], ran.stdout + ran.stderr
    assert len(rows) == 69, ran.stdout + ran.stderr
