"""A real Prometheus, scraping a page of ours: what is asked of it, and what the watcher says of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from source_rig import BINARY, DEADLINE_S, WHY_SKIPPED, Page, StandIn, ok, prometheus, wait_for

from chaoslib_ext.errors import NoData
from chaoslib_ext.sources.counting import Counted, Counting
from chaoslib_ext.sources.prometheus import Prometheus, Series

real = pytest.mark.skipif(BINARY is None, reason=WHY_SKIPPED)
GOOD, TOTAL = 'requests_total{code!~"5.."}', "requests_total"


def until(counting: Counting, **wanted: float) -> Counted:
    """Asks until the counts are these."""

    def asked() -> Counted | None:
        found = counting.query(time.time())
        return found if found is not None and all(getattr(found, name) == value for name, value in wanted.items()) else None

    found: Counted = wait_for(asked, f"the counts {wanted}")
    return found


@real
def test_counters_are_followed_through_errors_and_a_restart(tmp_path: Path, page: Page) -> None:
    page.set(c200=1000, c404=5)
    with prometheus(tmp_path, [page.port]) as url:
        source = Prometheus(url)
        counting = Counting(source, GOOD, TOTAL)
        until(counting, good=0, total=0)
        page.set(c200=1100, c404=5)
        until(counting, good=100, total=100)
        page.set(c200=1100, c404=6, c503=9)  # the first error: a series that was not there before
        until(counting, good=101, total=110, gone=0)
        page.set(c200=20)  # another process in the old one's place
        found = until(counting, good=121, total=130)
        assert (found.gone > 0, found.broken) == (True, 0)
        page.fails = True
        wait_for(lambda: counting.query(time.time()) is None, "a target that cannot be scraped to be no data")
        page.fails = False
        page.set(c200=30)
        until(counting, good=131, total=140)


@real
def test_instant_range_and_interval_are_as_the_real_one_says_them(tmp_path: Path, page: Page) -> None:
    page.set(c200=5)
    with prometheus(tmp_path, [page.port]) as url:
        source = Prometheus(url)
        wait_for(lambda: source.instant(TOTAL, time.time()), "a first scrape")
        now_s = time.time()
        [one] = source.instant(TOTAL, now_s)
        assert (one.value, dict(one.labels)["code"]) == (5.0, "200")
        assert source.instant("vector(7)", now_s) == [Series((), 7.0)]
        assert source.instant("nothing_at_all", now_s) == []
        [points] = source.range(TOTAL, now_s - 1, now_s, 0.5).values()
        assert {value for _, value in points} == {5.0}
        assert source.scrape_interval_s() == 0.25
        assert abs(source.ahead_s()) < 1.0
        with pytest.raises(NoData, match="bad_data"):
            source.instant("sum(", now_s)
        with pytest.raises(NoData, match="no number"):
            source.instant("vector(0)/vector(0)", now_s)


class Watched:
    """A running `python -m chaoslib_ext.sources.watcher`, its lines read by a thread."""

    def __init__(self, folder: Path, url: str, alerts: list[str], **orders: Any) -> None:
        told = {"url": url, "t0_ns": time.monotonic_ns(), "parent_pid": os.getpid(), "alerts": alerts, "slos": [{"slo": "up", "good": GOOD, "total": TOTAL}]}
        (folder / "sources.json").write_text(json.dumps({**told, **orders}))
        argv = [sys.executable, "-m", "chaoslib_ext.sources.watcher", str(folder)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The next line that holds these."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            line = self.lines.get(timeout=max(0.1, deadline_s - time.monotonic()))
            assert line is not None, f"the watcher ended before {wanted}: {self.process.communicate()[1]}"
            if all(line.get(name) == value for name, value in wanted.items()):
                return line

    def tell(self, text: str) -> None:
        """One line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Ends it by closing its standard input."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.process.communicate(timeout=DEADLINE_S)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Any]:
    started: list[Watched] = []

    def start(url: str, *alerts: str, **orders: Any) -> Watched:
        started.append(Watched(tmp_path, url, list(alerts), **orders))
        return started[-1]

    yield start
    for one in started:
        one.end()


@real
def test_the_watcher_tells_of_counts_and_of_an_alert_that_fires_and_ends(tmp_path: Path, page: Page, watch: Any) -> None:
    page.set(c200=1000, c503=0)
    with prometheus(tmp_path, [page.port]) as url:
        wait_for(lambda: Prometheus(url).instant(TOTAL, time.time()), "a first scrape")
        watched = watch(url, "ManyErrors", "Patient", "Nobody")
        watched.until(op="ready")
        calm = watched.until(kind="alert", name="ManyErrors")
        assert calm["state"] == "inactive"
        page.set(c200=1010, c503=150)
        fired = watched.until(kind="alert", name="ManyErrors", state="firing")
        assert fired["starts_at"].startswith("20")
        watched.until(kind="reading", name="sli", slo="up", ok=True, good=10, total=160)
        watched.until(kind="reading", alert="Patient", state="pending")
        assert watched.until(kind="reading", alert="Nobody")["state"] == "inactive"
        page.set(c200=1010)
        watched.until(kind="alert", name="ManyErrors", state="inactive")
        watched.tell('{"op": "last"}')
        watched.until(op="done")
        assert watched.process.wait(DEADLINE_S) == 0


def test_a_source_that_is_not_there_is_said_before_anything_begins(watch: Any) -> None:
    from source_rig import free_port

    watched = watch(f"http://127.0.0.1:{free_port()}")
    assert "ConnectionRefusedError" in watched.process.communicate(timeout=DEADLINE_S)[1]
    assert watched.process.returncode == 3


def test_a_query_that_the_source_does_not_understand_is_said_before_anything_begins(standin: StandIn, watch: Any) -> None:
    standin.reply["/api/v1/query"] = (400, b'{"status":"error","errorType":"bad_data","error":"parse error"}', 0.0)
    watched = watch(standin.url)
    assert "parse error" in watched.process.communicate(timeout=DEADLINE_S)[1]
    assert watched.process.returncode == 3


def test_a_source_that_stops_answering_is_readings_that_are_not_ok(standin: StandIn, watch: Any) -> None:
    standin.reply["/api/v1/alerts"] = (200, ok({"alerts": []}), 0.0)
    watched = watch(standin.url, "A", timeout_s=0.3)
    watched.until(op="ready")
    assert watched.until(kind="reading", name="sli")["error"] == ""  # answered, and nothing there
    standin.reply = dict.fromkeys(("/api/v1/query", "/api/v1/alerts"), (500, b"oops", 0.0))
    assert "HTTP 500" in watched.until(kind="reading", name="sli", ok=False, slo="up")["error"] or "HTTP 500" in watched.until(name="sli")["error"]
    assert "HTTP 500" in watched.until(kind="reading", name="alert", ok=False)["error"]
    standin.reply = {"/api/v1/alerts": (200, ok({"alerts": []}), 0.0)}
    watched.until(kind="reading", name="alert", ok=True, state="inactive")


def test_the_watcher_dies_with_its_parent(tmp_path: Path, standin: StandIn) -> None:
    standin.reply["/api/v1/alerts"] = (200, ok({"alerts": []}), 0.0)
    orders = {"url": standin.url, "t0_ns": 0, "alerts": [], "slos": []}
    parent = (
        "import json, os, subprocess, sys\n"
        f"open({str(tmp_path / 'sources.json')!r}, 'w').write(json.dumps({{**{orders!r}, 'parent_pid': os.getpid()}}))\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'chaoslib_ext.sources.watcher', {str(tmp_path)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, timeout=DEADLINE_S)
    pid = int(done.stdout)

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
        except FileNotFoundError:
            return True

    wait_for(gone, "the watcher to be gone")
