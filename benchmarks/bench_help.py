"""`chaosx --help` beside `chaos --help`, alternating in one run; prints medians in milliseconds and their ratio."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15


def once(name: str) -> float:
    """Milliseconds of one whole process."""
    began = time.perf_counter()
    subprocess.run([str(Path(sys.executable).parent / name), "--help"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Prints the comparison."""
    times: dict[str, list[float]] = {"chaosx": [], "chaos": []}
    for _ in range(ROUNDS):
        for name in times:
            times[name].append(once(name))
    ours, theirs = (statistics.median(times[name]) for name in ("chaosx", "chaos"))
    print(f"chaosx --help {ours:.0f} ms, chaos --help {theirs:.0f} ms, ratio {ours / theirs:.2f} (median of {ROUNDS})")


if __name__ == "__main__":
    main()
