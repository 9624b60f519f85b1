"""A load makes exactly as many writes as its environment allows a run, and then says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from load_rig import LoadChild, profile, step
from writes_rig import RUN, Lossy, writing

from chaoslib_ext.timeline import Outcome
from chaoslib_ext.writelog import read_acks

Start = Callable[..., LoadChild]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Start]:
    """Starts a load child that may make only so many writes; its run directory is `tmp_path/run`."""
    started: list[LoadChild] = []

    def start(url: str, most: int | None, told: dict[str, Any]) -> LoadChild:
        (tmp_path / "run").mkdir()
        started.append(LoadChild(tmp_path / "run", base_url=url, hosts=["127.0.0.1"], profile=told, run=RUN, max_writes=most))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_the_write_that_would_be_one_too_many_is_not_sent_and_is_told_once(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    child = writer(lossy.url, 37, writing(rate=100.0))
    child.start()
    assert child.until("capped") == {"op": "capped", "writes": 37}
    child.run_until(lambda _: sum(second["released"] for second in child.seconds) > 150)
    found = child.stop()
    assert child.lines.empty() or all(line is None or line["op"] != "capped" for line in child.lines.queue)
    noted = read_acks(tmp_path / "run/writes/acks-w0.bin")
    assert noted.closed
    assert len(noted.attempts) == found.outcomes("step").total() == 37
    journeys = found.outcomes("journey")
    assert journeys.total() - journeys[Outcome.NOT_SENT] == 37


def test_what_does_not_write_goes_on_at_the_cap(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    post = [step("GET /orders?prefix=x", statuses=[200]), writing()["journeys"][0]["steps"][0]]
    child = writer(lossy.url, 0, profile(post, rate=50.0, writes=writing()["writes"]))
    child.start()
    child.until("capped")
    found = child.run_until(lambda _: sum(second["released"] for second in child.seconds) > 60) and child.stop()
    assert found.outcomes("step", "GET /orders")[Outcome.OK] > 0
    assert found.outcomes("step", "POST /orders") == {}
    assert not read_acks(tmp_path / "run/writes/acks-w0.bin").attempts


@pytest.mark.parametrize("most", [None, 10**9])
def test_near_miss_a_load_below_its_cap_says_nothing(lossy: Lossy, writer: Start, tmp_path: Path, most: int | None) -> None:
    child = writer(lossy.url, most, writing(rate=100.0))
    found = child.run(released=60)
    assert len(read_acks(tmp_path / "run/writes/acks-w0.bin").attempts) == found.outcomes("step").total() > 37
