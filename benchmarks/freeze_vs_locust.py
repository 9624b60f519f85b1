"""
What an outage looks like to an open and to a closed model: one server, stopped for 5 s, both watching at once.

Our load child sends 100 arrivals/s; beside it stock Locust runs 10 users with constant(0.1), nominally the same rate.
Prints both next to what is true by arithmetic. Takes half a minute: `python benchmarks/freeze_vs_locust.py`.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from target_server import target

from chaoslib_ext.timeline import Rows, read_rows

RATE, RUN_S, OUTAGE_S, SLOW_MS = 100, 23.0, 5.0, 500.0
BEFORE_S = 8.0

LOCUSTFILE = """
import json, os, time
from locust import FastHttpUser, constant, events, task
samples = []
@events.request.add_listener
def _(response_time, exception, start_time, **_):
    samples.append((time.monotonic() - (time.time() - start_time), response_time, exception is None))
@events.quitting.add_listener
def _(environment, **_):
    total = environment.stats.total
    with open(os.environ["SAMPLES"], "w") as file:
        json.dump({"samples": samples, "p99": total.get_response_time_percentile(0.99), "failures": total.num_failures}, file)
class User(FastHttpUser):
    wait_time = constant(0.1)
    @task
    def x(self):
        self.client.get("/x")
"""


def main() -> None:
    """Runs both and prints the table."""
    with tempfile.TemporaryDirectory() as folder, target() as (server, url):
        closed = _stock_locust(Path(folder), url)
        ours, start_s = _load_child(Path(folder), url)
        _wait_until(start_s + BEFORE_S)
        server.send_signal(signal.SIGSTOP)
        frozen_s = time.monotonic()
        _wait_until(frozen_s + OUTAGE_S)
        server.send_signal(signal.SIGCONT)
        thawed_s = time.monotonic()
        _wait_until(start_s + RUN_S)
        assert ours.stdin is not None
        ours.stdin.write(b'{"op":"stop"}\n')
        ours.stdin.flush()
        ours.wait(60)
        closed.send_signal(signal.SIGTERM)
        closed.wait(60)
        opened = _our_samples(Path(folder), start_s)
        told = json.loads((Path(folder) / "samples.json").read_text())
        raw = [(at, ms, ok) for at, ms, ok in told["samples"] if start_s <= at < start_s + RUN_S]
        _print(opened, raw, told["p99"], (frozen_s, thawed_s))


def _wait_until(instant_s: float) -> None:
    threading.Event().wait(max(instant_s - time.monotonic(), 0))


def _stock_locust(folder: Path, url: str) -> subprocess.Popen[bytes]:
    (folder / "stock.py").write_text(LOCUSTFILE)
    argv = [sys.executable, "-m", "locust", "-f", str(folder / "stock.py"), "--headless", "-u", "10", "-r", "100", "-H", url, "--only-summary"]
    environment = {"SAMPLES": str(folder / "samples.json"), "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _load_child(folder: Path, url: str) -> tuple[subprocess.Popen[bytes], float]:
    step = {"name": "GET /x", "method": "GET", "path": "/x", "timeout_s": 10.0, "statuses": []}
    stages = [{"rate": RATE, "to": None, "for_s": None}]
    profile = {"stages": stages, "arrivals": "uniform", "journeys": [{"name": "x", "weight": 1, "steps": [step]}], "locustfile": None, "source": "bench"}
    spec = {"t0_ns": 0, "out_dir": str(folder / "w0"), "base_url": url, "hosts": ["127.0.0.1"], "profile": profile, "seed": 1}
    (folder / "load.json").write_text(json.dumps(spec))
    child = subprocess.Popen([sys.executable, "-m", "chaoslib_ext.load.child", str(folder / "load.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdout.readline()
    threading.Thread(target=child.stdout.read, daemon=True).start()
    start_ns = time.monotonic_ns() + 1_000_000_000
    child.stdin.write(json.dumps({"op": "start", "at_ns": start_ns}).encode() + b"\n")
    child.stdin.flush()
    return child, start_ns / 1e9


def _our_samples(folder: Path, start_s: float) -> list[tuple[float, float, bool]]:
    rows, meta = Rows(), json.loads((folder / "w0" / "meta.json").read_text())
    for segment in sorted((folder / "w0").glob("rows-*.bin")):
        read_rows(segment, rows)
    journeys = {one["index"] for one in meta["endpoints"] if one["class"] == "journey"}
    found = zip(rows.intended_us, rows.latency_us, rows.outcome, rows.endpoint, strict=True)
    return [(at / 1e6, us / 1000, outcome == 0) for at, us, outcome, endpoint in found if endpoint in journeys and at / 1e6 < start_s + RUN_S]


def _p99(samples: list[tuple[float, float, bool]]) -> float:
    latencies = sorted(ms for _, ms, _ in samples)
    return latencies[math.ceil(0.99 * len(latencies)) - 1]


def _unavailable(samples: list[tuple[float, float, bool]]) -> float:
    return sum(not ok or ms > SLOW_MS for _, ms, ok in samples) / len(samples)


def _print(opened: list[tuple[float, float, bool]], closed: list[tuple[float, float, bool]], locust_p99: float, outage: tuple[float, float]) -> None:
    held_s = outage[1] - outage[0]
    true_bad, true_p99, true_arrivals = (held_s - SLOW_MS / 1000) / RUN_S, (held_s - 0.01 * RUN_S) * 1000, held_s * RATE
    print(f"server stopped for {held_s:.3f} s of {RUN_S:g} s, {RATE} arrivals/s, unavailable = failed or slower than {SLOW_MS:g} ms")
    print(f"{'':24} {'samples':>8} {'in outage':>9} {'unavailable':>11} {'p99 ms':>8}")
    print(f"{'truth (arithmetic)':24} {RATE * RUN_S:8.0f} {true_arrivals:9.0f} {true_bad:11.2%} {true_p99:8.0f}")
    for name, samples in (("chaosx, open model", opened), ("stock Locust, closed", closed)):
        within = sum(outage[0] <= at < outage[1] for at, _, _ in samples)
        print(f"{name:24} {len(samples):8} {within:9} {_unavailable(samples):11.2%} {_p99(samples):8.0f}")
    print(f"Locust's own summary says p99 = {locust_p99} ms")
    print(f"truth / stock Locust: unavailability {true_bad / max(_unavailable(closed), 1e-9):.0f}x, p99 {true_p99 / _p99(closed):.0f}x")
    print(f"truth / chaosx:       unavailability {true_bad / _unavailable(opened):.3f}x, p99 {true_p99 / _p99(opened):.3f}x")


if __name__ == "__main__":
    main()
