"""
What a sample costs to record, beside Locust's own statistics, and how many arrivals one core sustains.

`python benchmarks/recorder_cost.py [RATE …]`: figures of one run, comparable with each other only; costs are the
lowest of five rounds. Rates are arrivals of one GET each (1000 2000 4000 6000 unless given).
"""

from __future__ import annotations

from chaoslib_ext.load import client  # isort: skip  # Locust first

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from locust.env import Environment
from target_server import target

from chaoslib_ext.load.closed import Listener
from chaoslib_ext.load.recorder import Recorder
from chaoslib_ext.load.spec import SliRule

ROUNDS, SAMPLES, RATE_S = 5, 100_000, 8
SLIS = (SliRule("availability", "x", "journey", None), SliRule("latency", "x", "journey", 250.0))


def main() -> None:
    """Prints both tables."""
    _costs()
    _rates([int(rate) for rate in sys.argv[1:]] or [1000, 2000, 4000, 6000])


def _lowest_us(once: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(SAMPLES):
            once()
        best = min(best, time.process_time() - begin)
    return best / SAMPLES * 1e6


def _fire_us(listener: Any | None, error: Exception | None = None) -> float:
    """CPU of firing Locust's request event into one listener, or into none."""
    environment = Environment()
    if listener == "stats":
        environment.create_local_runner()
    elif listener is not None:
        environment.events.request.add_listener(listener)
    fields = {"request_type": "GET", "name": "/x", "response_length": 2, "context": {}, "exception": error, "response": None}
    return _lowest_us(lambda: environment.events.request.fire(response_time=1.5, start_time=time.time(), url="/x", **fields))


def _costs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), 0, SLIS, "journey", {})
        recorder.start(time.monotonic_ns())
        step, journey = recorder.endpoint("GET /x", "a", "step"), recorder.endpoint("x", "a", "journey")
        now = time.monotonic_ns

        def add_step() -> None:
            end = now()
            recorder.add(step, end, end, end, 0)

        def add_journey() -> None:
            end = now()
            recorder.add(journey, end, end, end, 0)

        empty, refused = _fire_us(None), client.CatchResponseError("TIMEOUT")
        costs = {
            "Locust's stats listener, ok": _fire_us("stats") - empty,
            "Locust's stats listener, error": _fire_us("stats", refused) - empty,
            "our listener (closed model), ok": _fire_us(Listener(recorder, "X-Zone").hear) - empty,
            "our row of a step": _lowest_us(add_step),
            "our row of a journey, two SLIs": _lowest_us(add_journey),
        }
        recorder.close()
    base = costs["Locust's stats listener, ok"]
    print(f"{'CPU of one sample':36} {'µs':>6} {'ratio':>6}")
    for name, cost in costs.items():
        print(f"{name:36} {cost:6.2f} {cost / base:6.2f}")


def _rates(rates: list[int]) -> None:
    print(f"\n{'arrivals/s':>10} {'released':>9} {'not sent':>9} {'late p50 ms':>12} {'late p99 ms':>12}", end="")
    print(f" {'> 50 ms':>8} {'CPU of a core':>14} {'µs/arrival':>11} {'all OK':>7}")
    for rate in rates:
        with tempfile.TemporaryDirectory() as folder, target() as (_, url):
            meta, late = _one(Path(folder), url, rate)
        ran_s = (meta["stop_ns"] - meta["start_ns"]) / 1e9
        print(
            f"{rate:10} {meta['released']:9} {meta['not_released']:9} {meta['late_p50_ms']:12.2f} {meta['late_p99_ms']:12.2f} {late:8} "
            f"{meta['busy_s'] / ran_s:14.0%} {meta['busy_s'] / meta['released'] * 1e6:11.0f} {meta['outcomes'].keys() == {'OK'}!s:>7}"
        )


def _one(folder: Path, url: str, rate: int) -> tuple[dict[str, Any], int]:
    step = {"name": "GET /x", "method": "GET", "path": "/x", "timeout_s": 2.0, "statuses": []}
    stages = [{"rate": rate, "to": None, "for_s": None}]
    profile = {"stages": stages, "arrivals": "uniform", "journeys": [{"name": "x", "weight": 1, "steps": [step]}], "locustfile": None, "source": "bench"}
    slis = [{"name": s.name, "select_name": s.select_name, "select_class": s.select_class, "max_latency_ms": s.max_latency_ms} for s in SLIS]
    spec = {"t0_ns": 0, "out_dir": str(folder / "w0"), "base_url": url, "hosts": ["127.0.0.1"], "profile": profile, "seed": 1, "slis": slis}
    (folder / "load.json").write_text(json.dumps(spec))
    child = subprocess.Popen([sys.executable, "-m", "chaoslib_ext.load.child", str(folder / "load.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdout.readline()
    before = _cpu_s(child.pid)
    child.stdin.write(json.dumps({"op": "start", "at_ns": time.monotonic_ns() + 100_000_000}).encode() + b"\n")
    child.stdin.flush()
    threading.Event().wait(RATE_S)
    child.stdin.write(b'{"op":"stop"}\n')
    child.stdin.flush()
    lines = [json.loads(line) for line in child.stdout]
    child.wait()
    meta = json.loads((folder / "w0" / "meta.json").read_text())
    return {**meta, "busy_s": meta["cpu_s"] - before}, sum(line["late"] for line in lines if line["op"] == "second")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
