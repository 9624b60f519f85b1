"""
Recovery brackets of our own load child beside an independent prober that looks every millisecond; for both, good is an answer within 100 ms.

`python benchmarks/rto_truth.py [OUTAGES] [RATE…]`: for kill (SIGKILL, restarted), freeze (SIGSTOP) and hole (reads, never answers), so many
outages each inside one load session per rate. Prints how often the bracket held the prober's truth, the error of its middle, and its width.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from chaoslib_ext.recovery import Question, recover
from chaoslib_ext.samples import intended_order, samples_of
from chaoslib_ext.slo import Sli
from chaoslib_ext.timeline import Rows, read_rows

HOLD_S = (0.4, 1.1)
CALM_S = 2.0
TIMEOUT_S = 1.0
SERVER = """
import asyncio, signal, sys
hole = False
def toggle(*_):
    global hole
    hole = not hole
signal.signal(signal.SIGUSR1, toggle)
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            while hole:
                if writer.transport.is_closing():
                    return
                await asyncio.sleep(3600)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), reuse_address=True, backlog=4096)
    async with server:
        await server.serve_forever()
asyncio.run(main())
"""
PROBER = """
import selectors, socket, sys, time
port, out = int(sys.argv[1]), open(sys.argv[2], "w", buffering=1)
poll, next_ns, open_ = selectors.DefaultSelector(), time.monotonic_ns(), {}
print("ready", flush=True)
while True:
    now = time.monotonic_ns()
    if now >= next_ns:
        next_ns = max(next_ns + 1_000_000, now)
        look = socket.socket(); look.setblocking(False)
        code = look.connect_ex(("127.0.0.1", port))
        open_[look] = [now, False]
        poll.register(look, selectors.EVENT_WRITE)
    for key, events in poll.select(max(0, (next_ns - time.monotonic_ns()) / 1e9)):
        look = key.fileobj; began = open_[look]
        try:
            if not began[1]:
                look.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); began[1] = True
                poll.modify(look, selectors.EVENT_READ); continue
            good = look.recv(200).startswith(b"HTTP/1.1 200")
        except OSError:
            good = False
        out.write(f"{began[0]} {time.monotonic_ns()} {int(good)}\\n")
        poll.unregister(look); look.close(); del open_[look]
    for look in [look for look, began in open_.items() if now - began[0] > 100_000_000]:
        out.write(f"{open_[look][0]} {now} 0\\n")
        poll.unregister(look); look.close(); del open_[look]
"""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The victim: it can be killed, frozen or told to swallow."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)])

    def outage(self, kind: str, hold_s: float) -> tuple[int, int]:
        """One outage; when the injector began and ended doing it, in monotonic ns."""
        before = time.monotonic_ns()
        self.process.send_signal({"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "hole": signal.SIGUSR1}[kind])
        if kind == "kill":
            self.process.wait()
        after = time.monotonic_ns()
        threading.Event().wait(hold_s)
        if kind == "kill":
            self.start()
        else:
            self.process.send_signal(signal.SIGCONT if kind == "freeze" else signal.SIGUSR1)
        return before, after


def session(kind: str, rate: int, count: int, folder: Path) -> list[tuple[float, float, float, float] | None]:
    """(lo, hi, truth lo, truth hi) of the recovery time of each outage, in ms; None where ours did not decide."""
    port, t0 = free_port(), time.monotonic_ns()
    server = Server(port)
    steps = [
        {"name": "GET /", "method": "GET", "path": "/", "headers": {}, "json": None, "capture": {}, "timeout_s": TIMEOUT_S, "statuses": [200], "slo": None}
    ]
    profile = {
        "stages": [{"rate": rate, "to": None, "for_s": None}],
        "arrivals": "uniform",
        "journeys": [{"name": "get", "weight": 1, "steps": steps}],
        "locustfile": None,
        "source": "",
    }
    spec = {
        "t0_ns": t0,
        "out_dir": str(folder / "w0"),
        "base_url": f"http://127.0.0.1:{port}",
        "hosts": ["127.0.0.1"],
        "profile": profile,
        "seed": 1,
        "slis": [],
        "max_in_flight": 20000,
        "zone_header": "X-Zone",
    }
    (folder / "w0").mkdir(parents=True)
    (folder / "load.json").write_text(json.dumps(spec))
    child = subprocess.Popen(
        [sys.executable, "-m", "chaoslib_ext.load.child", str(folder / "load.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin and child.stdout
    while json.loads(child.stdout.readline()).get("op") != "ready":
        pass
    prober = subprocess.Popen([sys.executable, "-c", PROBER, str(port), str(folder / "probes")], stdout=subprocess.PIPE, text=True)
    assert prober.stdout
    prober.stdout.readline()
    drain = threading.Thread(target=lambda: child.stdout and child.stdout.read(), daemon=True)
    drain.start()
    child.stdin.write(json.dumps({"op": "start", "at_ns": time.monotonic_ns() + 300_000_000}) + "\n")
    child.stdin.flush()
    threading.Event().wait(1.5)
    chance, moments = random.Random(5), []
    for _ in range(count):
        moments.append(server.outage(kind, chance.uniform(*HOLD_S)))
        threading.Event().wait(CALM_S + chance.uniform(0, 0.02))
    child.stdin.write('{"op": "stop"}\n')
    child.stdin.flush()
    child.wait(30)
    prober.kill()
    prober.wait()
    server.process.kill()
    server.process.wait()
    return [compare(folder, t0, moment, moments[at + 1][0] if at + 1 < len(moments) else None) for at, moment in enumerate(moments)]


def compare(folder: Path, t0: int, effect: tuple[int, int], until: int | None) -> tuple[float, float, float, float] | None:
    """Our bracket of one outage and the prober's, both from the injector's own instant."""
    rows = Rows()
    for path in sorted((folder / "w0").glob("rows-*.bin")):
        read_rows(path, rows)
    endpoints = json.loads((folder / "w0/meta.json").read_text())["endpoints"]
    samples = samples_of(rows, intended_order(rows), endpoints, Sli("get", "get", "journey", 100.0))
    lo, hi = (effect[0] - t0) // 1000, -(-(effect[1] - t0) // 1000)
    end = samples.at_us[-1] if until is None else (until - t0) // 1000
    found = recover(samples.known(lo, end), Question(0.95, 400_000, lo, end, end))
    probes = sorted(tuple(map(int, line.split())) for line in (folder / "probes").read_text().splitlines() if line.count(" ") == 2)
    span = [probe for probe in probes if effect[0] <= probe[0] < (until or 1 << 62)]
    last_bad, first_good = truth(span)
    if found.hi_us is None:
        return None
    return max(0, found.lo_us - hi) / 1000, (found.hi_us - lo) / 1000, (last_bad - effect[1]) / 1e6, (first_good - effect[0]) / 1e6


def truth(probes: list[tuple[int, ...]]) -> tuple[int, int]:
    """
    The end of the outage as the prober saw it: when it sent the last bad look, and when the first good one behind it was answered.

    A stray look that fails on a busy machine is no outage: the end is where the next 20 looks are all good.
    """
    good = [look[2] for look in probes]
    start = good.index(0)
    end = next(at for at in range(start, len(good)) if all(good[at : at + 20]))
    return probes[end - 1][0], probes[end][1]


def main(argv: list[str]) -> None:
    """Prints the table."""
    count = int(argv[1]) if len(argv) > 1 else 10
    print(f"{'kind':7} {'rate':>5} {'n':>3}  held  abs error of the middle, ms: median   p95   max   width, ms: median   max")
    for rate in [int(word) for word in argv[2:]] or [50, 200]:
        for kind in ("kill", "freeze", "hole"):
            with tempfile.TemporaryDirectory() as folder:
                every = session(kind, rate, count, Path(folder))
            found = [one for one in every if one is not None]
            held = sum(lo <= truth_hi and truth_lo <= hi for lo, hi, truth_lo, truth_hi in found)
            errors = sorted(abs((lo + hi) / 2 - (a + b) / 2) for lo, hi, a, b in found)
            widths = [hi - lo for lo, hi, _, _ in found]
            print(
                f"{kind:7} {rate:5} {len(every):3}  {held:4}  {statistics.median(errors):37.1f} {errors[int(0.95 * (len(errors) - 1))]:5.1f} {errors[-1]:5.1f}  {statistics.median(widths):17.1f} {max(widths):5.1f}",
                flush=True,
            )


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    main(sys.argv)
