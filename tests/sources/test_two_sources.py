"""
One SLO from two sources: which judges, what the other one says beside it, and what becomes of the verdict when they disagree.

The situations are whole run directories with real files, as in test_judging_by_sources: 100 requests a second, and counters of a proxy.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from build import AVAILABILITY, Scene, block_of, build, down, healthy
from test_judging_by_sources import SERVER, Event, readings, share

from chaoslib_ext import report
from chaoslib_ext.block import Block, Objective
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.explain import explain
from chaoslib_ext.result import Finding, Result
from chaoslib_ext.rundir import seal_result
from chaoslib_ext.runner.sources import source_orders
from chaoslib_ext.slo import Slo, read_slo_files
from chaoslib_ext.timeline import Outcome
from chaoslib_ext.verdict import judge

BOTH = replace(AVAILABILITY, beside=SERVER.sli)
REMOTE_JUDGES = replace(SERVER, name="availability", beside=AVAILABILITY.sli)
FAULT = Objective("availability", "fault", 0.5)


def of(events: list[Event]) -> tuple[Event, ...]:
    return tuple({**event, "slo": "availability"} for event in events)


def judged(folder: Path, slo: Slo, events: list[Event], objective: Objective = FAULT, **scene: Any) -> tuple[Result, Finding, Finding]:
    """The result, and the findings on the SLO and on its sources."""
    block = block_of(slos=[slo], objectives=[objective], rto=None, recovery_after_removal_s=None)
    result = judge(build(folder / "run", Scene(block=block, events=of(events), **scene)))
    return result, *(next(one for one in result.findings if one.kind == kind) for kind in ("slo", "sources"))


def failing(every: int) -> Any:
    """The load sees every n-th request fail while the fault is in force."""
    return lambda t_s, k: (Outcome.STATUS, 0.005) if 10.02 <= t_s < 40.02 and k % every == 0 else healthy(t_s, k)


@pytest.mark.parametrize(
    ("slo", "events", "serve", "outcome", "reason"),
    [
        pytest.param(BOTH, readings(share(0.1)), failing(10), "met", "", id="both say one in ten"),
        pytest.param(BOTH, readings(share(0.0)), failing(10), "inconclusive", "SOURCES_DISAGREE", id="clients see errors that the proxy does not count"),
        pytest.param(BOTH, readings(share(0.1)), healthy, "inconclusive", "SOURCES_DISAGREE", id="retries hide what the proxy counts"),
        pytest.param(BOTH, readings(share(0.1)), failing(9), "met", "", id="near miss: a percentage point apart"),
        pytest.param(replace(BOTH, tolerance=0.15), readings(share(0.1)), healthy, "met", "", id="near miss: as far apart as the file admits"),
        pytest.param(BOTH, readings(share(0.1), ok=lambda t: False), failing(10), "inconclusive", "SOURCE_UNREACHABLE", id="the second one cannot be read"),
        pytest.param(BOTH, [], failing(10), "inconclusive", "NO_DATA", id="the second one was never read"),
        pytest.param(BOTH, readings(share(0.1), gone=lambda t: int(t > 12)), failing(10), "inconclusive", "SOURCE_INCOMPLETE", id="a part of it vanished"),
        pytest.param(BOTH, readings(share(0.1), rate=0.1), failing(10), "inconclusive", "TOO_FEW_SAMPLES", id="the second one counts too little"),
        pytest.param(REMOTE_JUDGES, readings(share(0.0)), failing(10), "inconclusive", "SOURCES_DISAGREE", id="the load beside a proxy that judges"),
        pytest.param(REMOTE_JUDGES, readings(share(0.1)), failing(10), "met", "", id="near miss: the same, and they agree"),
    ],
)  # fmt: skip
def test_sources_that_disagree_are_a_finding_and_no_pass(tmp_path: Path, slo: Slo, events: list[Event], serve: Any, outcome: str, reason: str) -> None:
    result, _, sources = judged(tmp_path, slo, events, serve=serve)
    assert (sources.outcome, sources.reasons) == (outcome, (reason,) if reason else ()), sources
    assert (result.verdict == "PASS") == (outcome == "met"), (result.reasons, result.findings)
    assert not reason or reason in result.reasons


def test_both_are_told_with_what_they_counted(tmp_path: Path) -> None:
    _, slo, sources = judged(tmp_path, BOTH, readings(share(0.0)), serve=failing(10))
    assert (slo.outcome, sources.source, sources.target, sources.id) == ("met", "prometheus", 0.02, "sources:availability:fault")
    assert sources.n is not None and sources.n > 2000 and sources.bad == 0
    told = " · ".join(sources.evidence)
    assert "locust, which judges: 27" in told and "prometheus, beside it: " in told and ", 100.00 %" in told
    assert "apart by 9." in told and "2 allowed" in told


def test_a_miss_stays_a_miss_whatever_the_second_source_says(tmp_path: Path) -> None:
    result, slo, sources = judged(tmp_path, BOTH, readings(share(0.0)), Objective("availability", "fault", 0.95), serve=failing(10))
    assert (result.verdict, slo.outcome, sources.reasons) == ("FAIL", "missed", ("SOURCES_DISAGREE",))
    assert result.reasons == ["SLO_MISSED", "SOURCES_DISAGREE"]


def test_what_lies_at_the_edges_of_a_window_is_no_disagreement(tmp_path: Path) -> None:
    """The whole outage lies in the two seconds that counters cannot place."""
    result, _, sources = judged(tmp_path, BOTH, readings(lambda t_s: 1.0 if 10.02 <= t_s < 11.0 else 0.0), serve=down((10.02, 11.0)))
    assert (sources.outcome, result.verdict) == ("met", "PASS"), sources
    assert sources.lo is not None and sources.hi is not None and sources.lo < sources.hi


@pytest.mark.parametrize("window", ["baseline", "recovered", "whole"])
def test_every_window_is_compared(tmp_path: Path, window: str) -> None:
    quiet = readings(share(0.1))
    result, _, sources = judged(tmp_path / "a", BOTH, quiet, Objective("availability", window, 0.5), serve=failing(10))
    assert (sources.outcome, result.verdict) == ("met", "PASS"), sources
    _, _, sources = judged(tmp_path / "b", BOTH, readings(lambda _t: 0.2), Objective("availability", window, 0.5), serve=failing(10))
    assert sources.reasons == ("SOURCES_DISAGREE",), sources


def test_a_window_that_did_not_happen_is_told_once(tmp_path: Path) -> None:
    block = block_of(slos=[BOTH], objectives=[FAULT], rto=None, recovery_after_removal_s=None)
    result = judge(build(tmp_path / "run", Scene(block=block, events=of(readings()), faults=())))
    assert [one.kind for one in result.findings if one.slo == "availability" and one.window == "fault"] == ["slo"]


def test_the_page_and_the_explanation_show_both(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    block = block_of(slos=[BOTH], objectives=[FAULT], rto=None, recovery_after_removal_s=None)
    run = build(folder, Scene(block=block, events=of(readings(share(0.0))), serve=failing(10)))
    seal_result(folder, judge(run))
    text = report.render(folder)
    assert "availability · beside it, prometheus" in text and "within 2\u00a0pp" in text
    assert "Two sources of one SLO say different things" in text
    [told] = [one for one in explain(folder)["findings"] if one["kind"] == "sources"]
    assert told["sources"] == ["events.jsonl (kind reading, name sli)", "load/w0 (rows)", "run.json (block)"] and told["evidence"]


# the file ---------------------------------------------------------------------------------------------------------

FILE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: pay, annotations: {chaoslib-ext.dev/beside: at-the-proxy, chaoslib-ext.dev/tolerance: 3%}}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: locust, spec: {select: {name: pay}, condition: success}}}
        total: {metricSource: {type: locust, spec: {select: {name: pay}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: at-the-proxy}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: good_total}}}
    total: {metricSource: {type: Prometheus, spec: {query: all_total}}}
"""


def read(folder: Path, text: str) -> list[Slo]:
    (folder / "slo.yaml").write_text(text)
    found = read_slo_files([folder / "slo.yaml"], ["pay"])
    assert found.warnings == []
    return found.slos


def test_a_second_source_is_an_sli_that_the_slo_names(tmp_path: Path) -> None:
    [slo] = read(tmp_path, FILE)
    assert slo.sli.source == "locust" and slo.beside is not None
    assert (slo.beside.source, slo.beside.good_query, slo.tolerance) == ("prometheus", "good_total", 0.03)
    assert Slo.from_json(slo.to_json()) == slo


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        pytest.param("beside: at-the-proxy", "beside: at-the-prxy", "no SLI is called 'at-the-prxy'; did you mean `at-the-proxy`?", id="a typo"),
        pytest.param("tolerance: 3%", "tolerance: wide", "got 'wide', expected percentage points in quotes, like \"2%\"", id="no tolerance"),
        pytest.param("chaoslib-ext.dev/beside: at-the-proxy, ", "", "says nothing without `chaoslib-ext.dev/beside`", id="a tolerance of nothing"),
    ],
)
def test_a_wrong_second_source_says_what_to_do(tmp_path: Path, good: str, bad: str, said: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(tmp_path, FILE.replace(good, bad))
    assert said in str(refused.value)


def test_two_indicators_of_one_source_are_no_second_opinion(tmp_path: Path) -> None:
    locust = "{type: locust, spec: {select: {name: pay}%s}}"
    text = FILE.replace("{type: Prometheus, spec: {query: good_total}}", locust % ", condition: success")
    text = text.replace("{type: Prometheus, spec: {query: all_total}}", locust % "")
    with pytest.raises(InvalidFile, match="'at-the-proxy' is read from locust, like the one that judges; expected an SLI of another source"):
        read(tmp_path, text)


def test_the_watcher_is_told_to_ask_for_what_stands_beside() -> None:
    environment = Environment(name="test", sli_sources={"prometheus": {"url": "http://127.0.0.1:9"}})
    orders = source_orders(Block(slos=[BOTH], objectives=[FAULT]), environment)
    assert orders is not None
    assert orders["slos"] == [{"slo": "availability", "good": "good_total", "total": "all_total"}]
    assert source_orders(Block(slos=[AVAILABILITY], objectives=[FAULT]), environment) is None
