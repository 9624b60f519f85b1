"""
What a page costs: ten million samples to report.html, beside a plain numpy script that computes the same series per second.

`python benchmarks/report_cost.py [SAMPLES] [PYTHON]`: PYTHON is an interpreter that has numpy, which the project itself does not
use (its own unless given). One run each; seconds of processor and peak memory of the whole process, comparable with each other only.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "tests" / folder) for folder in ("report", "many")]

RATE = 5_000  # journeys per second, each with one step
BLOCK_ROWS = 4_096

NUMPY = """
import sys, zlib
import numpy as np
data = np.fromfile(sys.argv[1], dtype=np.uint8)
at, parts = 8, []
while at < len(data):
    size, crc = (int(x) for x in data[at : at + 8].view("<u4"))
    assert zlib.crc32(data[at + 8 : at + 8 + size]) == crc
    parts.append(data[at + 8 : at + 8 + size])
    at += 8 + size
row = np.dtype([("t", "<i8"), ("late", "<u4"), ("lat", "<u4"), ("ep", "<u2"), ("out", "u1"), ("pad", "u1")])
rows = np.concatenate(parts).view(row)
rows = rows[rows["ep"] == 0]
second = rows["t"] // 1_000_000
ended = (rows["t"] + rows["lat"]) // 1_000_000
n = int(max(second.max(), ended.max())) + 1
offered, completed = np.bincount(second, minlength=n), np.bincount(ended, minlength=n)
known = (rows["out"] < 8) & (rows["late"] <= 50_000)
good = np.bincount(second[known & (rows["out"] == 0)], minlength=n)
classes = [np.bincount(second[rows["out"] == k], minlength=n) for k in range(1, 10)]
timed = np.isin(rows["out"], (0, 3, 7))
s, latency = second[timed], rows["lat"][timed]
order = np.lexsort((latency, s))
s, latency = s[order], latency[order]
starts = np.searchsorted(s, np.arange(n + 1))
count = np.diff(starts)
quantiles = [latency[np.minimum(starts[:-1] + np.maximum(0, np.ceil(q * count).astype(int) - 1), len(latency) - 1)] for q in (0.5, 0.95, 0.99)]
print(int(quantiles[2][30]), int(good.sum()))
"""
PAGE = """
import sys
from pathlib import Path
from chaoslib_ext import report
html = report.render(Path(sys.argv[1]))
print(0, len(html.encode()))
"""


def main() -> None:
    """Prints one table."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    numpy = sys.argv[2] if len(sys.argv) > 2 else sys.executable
    with tempfile.TemporaryDirectory(prefix="chaosx-bench-") as top:
        folder = _made(Path(top) / "run", samples)
        page = _timed([sys.executable, "-c", PAGE, str(folder)])
        plain = _timed([numpy, "-c", NUMPY, str(folder / "load/w0/rows-0000.bin")])
    print(f"{samples:,} samples                 {'CPU s':>8} {'peak MB':>8}")
    print(f"report.html ({page[2] / 1000:,.0f} KB)        {page[0]:8.1f} {page[1]:8.0f}")
    print(f"plain numpy, the series only {plain[0]:8.1f} {plain[1]:8.0f}")
    print(f"ratio                        {page[0] / plain[0]:8.1f} {page[1] / plain[1]:8.1f}")


def _timed(argv: list[str]) -> tuple[float, float, int]:
    """Seconds of processor of the whole process, its peak memory in MB, and the second word it said."""
    code = f"import resource, subprocess, sys; done = subprocess.run({argv!r}); use = resource.getrusage(resource.RUSAGE_CHILDREN); print(use.ru_utime + use.ru_stime, use.ru_maxrss); sys.exit(done.returncode)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return float(told[-2]), int(told[-1]) / 1024, int(told[1])


def _made(folder: Path, samples: int) -> Path:
    """A sealed run: a steady load with an outage of thirty seconds in its middle, journeys and steps alternating, by completion."""
    from shelf_of_runs import make

    from chaoslib_ext import rundir
    from chaoslib_ext.timeline import ROW, ROWS_MAGIC, block

    make(folder, samples=True)
    (folder / "SEALED").unlink()
    chance, seconds = random.Random(20261124), samples // (2 * RATE)
    waves = [int(2_000 + chance.expovariate(1 / 8_000)) for _ in range(65_521)]
    with (folder / "load/w0/rows-0000.bin").open("wb") as file:
        file.write(ROWS_MAGIC)
        payload = bytearray()
        for k in range(samples // 2):
            at_us = k * 1_000_000 // RATE
            down = seconds // 2 <= at_us // 1_000_000 < seconds // 2 + 30
            outcome = (3, 4, 0)[k % 3] if down else 0
            latency = (1_000_000, 900, 180_000)[k % 3] if down else waves[k * 7919 % 65_521]
            payload += ROW.pack(at_us, 300, latency, 0, outcome, 0) + ROW.pack(at_us, 300, latency, 1, outcome, 0)
            if len(payload) >= BLOCK_ROWS * ROW.size:
                file.write(block(bytes(payload)))
                payload.clear()
        file.write(block(bytes(payload)) if payload else b"")
    rundir.seal(folder)
    result = json.loads((folder / "result.json").read_bytes())
    second, middle = 1_000_000_000, seconds // 2
    windows = {"warmup": [0, 5], "baseline": [5, middle], "fault": [middle, middle + 30], "recovered": [middle + 30, seconds], "whole": [0, seconds]}
    result |= {"seal": rundir.seal_of(folder), "windows": {name: [a * second, b * second] for name, (a, b) in windows.items()}}
    rundir.write_json(folder / "result.json", result)
    return folder


if __name__ == "__main__":
    begin = time.monotonic()
    main()
    print(f"(all of it {time.monotonic() - begin:.0f} s, this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB)")
