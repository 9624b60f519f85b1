"""Fixtures of the Kubernetes tests: a stand-in cluster of the test's own, and its kubeconfig."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages; the kube_ modules are theirs alone

from kube_standin import Cluster

from chaoslib_ext.kubernetes.calls import Cluster as Calls
from chaoslib_ext.kubernetes.client import Access, Limits

NODES = {f"node-{zone}{number}": f"zone-{zone}" for zone in "abc" for number in (1, 2)}


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory of the test's own, and no kubeconfig and no proxy of the person who runs the tests."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three zones with two nodes each, and the namespace `shop`."""
    one = Cluster(NODES)
    one.namespace("shop")
    yield one
    one.close()


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Path:
    """A kubeconfig with the context `standin`, at the place that KUBECONFIG names."""
    return cluster.kubeconfig(tmp_path / "config")


@pytest.fixture
def door(cluster: Cluster, kubeconfig: Path) -> Calls:
    """The stand-in through our adapter, with time limits that a slow machine keeps."""
    return Calls(Access("standin", str(kubeconfig)), cluster.uid, Limits(30.0, 30.0, 60.0), base_s=0.01, deadline_s=60.0)
