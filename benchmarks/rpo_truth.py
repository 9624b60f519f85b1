"""
What `chaosx` says of lost writes beside what Postgres itself holds, through real failovers of the sandbox's store.

`python benchmarks/rpo_truth.py [--n TIMES]`: every kind of failover so many times; 2 makes 16 failovers, beside runs that count nothing
because the machine is too busy, which are repeated. The truth is told by a witness on the wire and by psql, see tests/store/rpo_rig.py. `same`
says that all ids of all classes are the same; `age` is how old the first lost acknowledgement was when the failover began: the bracket of the
verdict, and the one seen from outside. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from rpo_rig import KINDS, Kind, Told, failed_over
from store_rig import Box

ATTEMPTS = 3  # a run that counts nothing, because this machine was too busy to begin or to read back, is repeated
COLUMNS = (
    f"{'failover':33} {'verdict':12} {'sent':>5} {'acked':>5} {'lost':>5} {'after':>5} {'recov':>5} {'never':>5}  same  {'age, s: verdict':>19}  {'truth':>17}"
)


def line(told: Told) -> str:
    """One failover as a line of the table."""
    rpo, classes = told.rpo, told.truth.classes()
    verdict = "-" if rpo["lo_s"] is None else f"[{rpo['lo_s']:8.3f},{rpo['hi_s']:8.3f}]"
    truth = "-" if told.age_s is None else f"[{told.age_s[0]:7.3f},{told.age_s[1]:7.3f}]"
    counts = f"{len(told.truth.sent):5} {len(told.truth.acknowledged):5} {len(classes['lost']):5} {rpo['lost_after_fault'] or 0:5}"
    counts += f" {len(classes['recovered']):5} {len(classes['never_seen']):5}"
    return f"{told.kind.name:33} {told.result['verdict']:12} {counts}  {('NO' if told.differences() else 'yes') if told.counted else '-':4}  {verdict:>19}  {truth:>17}"


def through(switches: tuple[str, ...], kinds: list[Kind], times: int, folder: Path, first: int) -> list[Told]:
    """All failovers of one sandbox."""
    box = Box(f"rpo-{os.getpid()}-{first}", *switches)
    try:
        found: list[Told] = []
        for kind in kinds:
            for _ in range(times):
                for _ in range(ATTEMPTS):
                    found.append(failed_over(box, kind, folder, first + len(found)))
                    print(line(found[-1]), flush=True)
                    for text in found[-1].differences() + ([] if found[-1].counted else found[-1].result["reasons"]):
                        print(f"    {text}", flush=True)
                    if found[-1].counted:
                        break
        return found
    finally:
        box.down()


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="lost writes as chaosx counts them, beside Postgres' own content")
    parser.add_argument("--n", type=int, default=2, help="how often each kind of failover is run")
    times = parser.parse_args().n
    told: list[Told] = []
    print(COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAOSX_SANDBOX"] = str(Path(folder) / "sandboxes")
        for switches, kinds in groupby(sorted(KINDS, key=lambda kind: kind.switches), key=lambda kind: kind.switches):
            told += through(switches, list(kinds), times, Path(folder), len(told))
    wrong = sum(bool(one.differences()) for one in told)
    lost = sum(len(one.truth.classes()["lost"]) for one in told)
    counted, apart = sum(one.counted for one in told), sum(not one.ages_meet for one in told)
    print(f"{len(told)} runs, {counted} failovers counted; {lost} acknowledged writes lost in all; {wrong} counted otherwise than Postgres holds")
    print(f"{apart} times the two brackets of the age have no moment in common")
    return 1 if wrong or not counted else 0


if __name__ == "__main__":
    sys.exit(main())
