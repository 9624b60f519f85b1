"""
Whole runs in which a real Prometheus counts beside our load: it agrees where it looks at the same requests, and disagrees where it does not.

On a busy machine a run may end INCONCLUSIVE; what is asserted holds whatever the machine's mood: sources that disagree never pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from source_rig import prometheus
from test_whole_runs import Proxy, events, finding, marks, real, run

from chaoslib_ext import sandbox

pytestmark = [pytest.mark.slow, real]

MOODS = {"GENERATOR_SATURATED", "LOAD_NOT_DELIVERED", "TOO_FEW_SAMPLES", "SOURCE_TOO_COARSE", "SOURCE_UNREACHABLE", "SOURCE_INCOMPLETE", "NO_DATA"}
# what clients get from the proxy, and what the replicas answered: of requests that clients gave up on, the second one knows nothing
CLIENTS = 'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="ingress"%s}'
REPLICAS = "envoy_cluster_upstream_rq_xx{%s}"
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: browsing, annotations: {chaoslib-ext.dev/beside: counted, chaoslib-ext.dev/tolerance: 6%%}}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: locust, spec: {select: {name: browse}, condition: success}}}
        total: {metricSource: {type: locust, spec: {select: {name: browse}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: counted}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: '%s'}}}
    total: {metricSource: {type: Prometheus, spec: {query: '%s'}}}
"""

LOAD = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 40/s}]
journeys: [{name: browse, steps: [{request: GET /catalog/1, timeout: 1s}]}]
"""


@pytest.fixture(scope="module")
def room() -> Iterator[sandbox.SandboxInfo]:
    """Nobody repeats a request, and nobody takes out a replica that does not answer."""
    name = f"two-sources-{os.getpid()}"
    yield sandbox.up(name, ("no_retries", "slow_health_check"), owner_pid=os.getpid())
    sandbox.down(name)


@pytest.fixture
def source(tmp_path: Path, room: sandbox.SandboxInfo) -> Iterator[str]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    proxy = Proxy(room.admin)
    try:
        with prometheus(folder, [proxy.port], "groups: []\n", scrape="500ms") as url:
            yield url
    finally:
        proxy.end()


def judged(folder: Path, room: sandbox.SandboxInfo, url: str, good: str, total: str, how: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    (folder / "two.yaml").write_text(SLO % (good, total))
    (folder / "calm.yaml").write_text(LOAD)
    block = {"slos": ["two.yaml"], "load": "calm.yaml", "objectives": [{"slo": "browsing", "window": "fault", "target": "30%"}]}
    code, told, err = run(folder, room, block, f"10s, how: {how}", url)
    assert told, (code, err)
    assert marks(room) == []
    assert told["verdict"] in ("PASS", "INCONCLUSIVE"), err
    if not events(told, "effect"):
        pytest.skip(f"undecided: this machine was too busy to begin ({', '.join(told['reasons'])})")
    return told, finding(told, "sources:browsing:fault"), (Path(told["directory"]) / "report.html").read_text(encoding="utf-8")


def test_sources_that_look_at_different_things_disagree_and_nothing_passes(tmp_path: Path, room: sandbox.SandboxInfo, source: str) -> None:
    answered = REPLICAS % 'envoy_response_code_class!="5"'
    told, sources, page = judged(tmp_path, room, source, answered, REPLICAS % "", "silent")
    print(told["verdict"], told["reasons"], sources)
    assert told["verdict"] == "INCONCLUSIVE"
    assert sources["outcome"] == "inconclusive" and set(sources["reasons"]) <= {"SOURCES_DISAGREE"} | MOODS
    if sources["reasons"] == ["SOURCES_DISAGREE"]:
        assert "SOURCES_DISAGREE" in told["reasons"]
        assert sources["evidence"][0].startswith("apart by ") and sources["evidence"][1].startswith("locust, which judges: ")
        assert "browsing · beside it, prometheus" in page and "Two sources of one SLO say different things" in page


def test_sources_that_look_at_the_same_agree(tmp_path: Path, room: sandbox.SandboxInfo, source: str) -> None:
    told, sources, page = judged(tmp_path, room, source, CLIENTS % ',envoy_response_code_class!="5"', CLIENTS % "", "crash")
    print(told["verdict"], told["reasons"], sources)
    assert sources["outcome"] == "met" or set(sources["reasons"]) <= MOODS, sources
    assert "browsing · beside it, prometheus" in page
