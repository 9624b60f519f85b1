"""The cluster of these tests: the rig, started once and taken down at the end, or the one that `KUBECONFIG` names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from rig import cluster as rigs
from rig import foreign, starting
from rig.cluster import Rig
from rig.foreign import Foreign
from rig.shop import open_shop

NAMESPACE = "chaosx-shop"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A rig takes half a minute, a gigabyte and root: it is started only when asked for."""
    if "cluster" not in (config.option.markexpr or ""):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="only with -m cluster (make test-cluster)"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Rig | Foreign]:
    """A cluster with nodes in three zones."""
    if named := os.environ.get("KUBECONFIG"):
        found = foreign.enter(Path(named), os.environ.get("CHAOSX_SHOP_IMAGE", ""))
        yield found
        found.down()
        return
    if reason := starting.reason_against():
        pytest.skip(reason)
    rig = rigs.up()
    yield rig
    rig.down()


@pytest.fixture(scope="session")
def rig(cluster: Rig | Foreign) -> Rig:
    """The cluster, for tests of what only the rig can do: cut cables, look into its nodes, send traffic from beside them."""
    if isinstance(cluster, Foreign):
        pytest.skip("KUBECONFIG names another cluster: this needs the rig's own cables, nodes and client's place")
    return cluster


@pytest.fixture(scope="session")
def shop(rig: Rig) -> str:
    """The address of a shop of six replicas, in the namespace `chaosx-shop`."""
    return open_shop(rig.api, NAMESPACE)
