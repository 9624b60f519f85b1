"""What a rig costs: seconds until it is ready, until its shop is open, until nothing of it is left; memory while it stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rig import cluster, ending
from rig.cgroups import members
from rig.processes import marked
from rig.shop import open_shop


def memory_mb(name: str) -> Counter[str]:
    """Proportional memory (PSS: what is shared counts once in all) of the rig's processes in MB, by program."""
    found: Counter[str] = Counter()
    for pid in {process.pid for process in (*marked(name), *members(name))}:
        try:
            program = (Path("/proc") / str(pid) / "comm").read_text().strip()
            rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[program] += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) // 1000
    return found


def measure(rounds: int, say: Callable[[str], None]) -> None:
    """Starts and ends so many rigs, one after the other, and says each one's figures."""
    for n in range(1, rounds + 1):
        started_s = time.monotonic()
        rig = cluster.up()
        ready_s = time.monotonic() - started_s
        try:
            empty = memory_mb(rig.state.name)
            open_shop(rig.api, "shop")
            open_s = time.monotonic() - started_s
            full = memory_mb(rig.state.name)
        finally:
            ending_s = time.monotonic()
            rig.down()
        down_s = time.monotonic() - ending_s
        left = ", ".join(ending.leftovers(rig.state.name)) or "nothing"
        say(f"{n}: ready {ready_s:.1f} s, shop open {open_s:.1f} s, down {down_s:.1f} s, left: {left}; PSS {empty.total()} MB, with the shop {full.total()} MB")
        say("   " + ", ".join(f"{program} {mb}" for program, mb in full.most_common()))
