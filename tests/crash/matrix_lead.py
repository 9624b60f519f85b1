"""
The kill matrix: lanes are started, every fault is traced once, the array is made from that, dealt to the lanes and told as a table.

`python matrix_lead.py RUNS FOLDER [LANES [SEED]]` makes so many runs by hand; FOLDER gets matrix.jsonl (a line for each run) and matrix.json.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from matrix_array import Array, Pair, Trace, choice_of, pairs_of
from matrix_case import IN_FORCE, Case
from matrix_faults import FAULTS

from chaoslib_ext.sandbox.store_disk import refusal as disk_refusal

SWITCHES = ("mesh", "store_fsync")
SILENT_S = 600.0  # a lane that says nothing for so long hangs
FULL = 300  # from so many runs on, what must be covered is caught up with where a point was not come to
ROUNDS = 3
LONG = 1000  # from so many runs on, every recorded point of every fault is among them

Json = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of all runs; `wanted` are the pairs of choices that can occur."""

    told: list[Json]
    wanted: set[Pair]
    seed: int
    seconds: float

    def differences(self) -> list[Json]:
        """The runs that left something."""
        return [one for one in self.told if one["differences"]]

    def covered(self) -> set[Pair]:
        """The pairs of choices that did occur."""
        return {pair for one in self.told for pair in pairs_of(choice_of(Case.of(one["case"]), tuple(one["point"]), [tuple(again) for again in one["again"]]))}

    def table(self) -> str:
        """A row for each fault: its runs, how many of them died with something in force, with a second kill, and with a difference."""
        rows = [f"{'fault killed in':20} {'runs':>6} {'alone':>6} {'beside':>6} {'live':>6} {'second':>6} {'differ':>6}"]
        for fault in [*FAULTS, "all"]:
            mine = [one for one in self.told if fault in (one["case"]["faults"][-1], "all")]
            pairs = sum(len(one["case"]["faults"]) == 2 for one in mine)
            counts = [len(mine), len(mine) - pairs, pairs, *(sum(bool(one[key]) for one in mine) for key in ("live", "again", "differences"))]
            rows.append(f"{fault:20} " + " ".join(f"{count:6}" for count in counts))
        wanted = self.wanted
        rows.append(f"pairs of choices: {len(self.covered() & wanted)} of {len(wanted)}; seed {self.seed}; {self.seconds:.0f} s")
        again = sum(one["tries"] > 1 for one in self.told)
        rows.append(f"made again on another sandbox, as the store did not come back by itself: {again}")
        by = Counter(one["case"]["by"] for one in self.told)
        rows.append("healed by: " + ", ".join(f"{name} {count}" for name, count in sorted(by.items())))
        return "\n".join(rows)

    def write(self, path: Path) -> None:
        """The table and every run as JSON."""
        numbers = {"seed": self.seed, "seconds": self.seconds, "runs": len(self.told), "live": sum(one["live"] for one in self.told)}
        missed = sorted(self.wanted - self.covered())
        path.write_text(json.dumps({**numbers, "differ": self.differences(), "pairs": len(self.wanted), "pairs_missed": missed, "told": self.told}))


def faults_here(disks: bool) -> list[str]:
    """The faults that this machine can make."""
    cannot = set() if disks else {"disk filled"}
    cannot |= set() if which("strace") else {"disk slowed"}
    return [name for name in FAULTS if name not in cannot]


class Lanes:
    """The lanes: each is given a case as soon as it is free."""

    def __init__(self, number: int, folder: Path, disks: bool) -> None:
        self._waits = selectors.DefaultSelector()
        self.lanes = []
        for at in range(number):
            place = folder / f"lane-{at}"
            place.mkdir(parents=True)
            env = {**os.environ, "CHAOSX_STATE": str(place / "state"), "CHAOSX_SANDBOX": str(place / "sandboxes")}
            argv = [sys.executable, str(Path(__file__).with_name("matrix_lane.py")), f"lane-{at}", *SWITCHES, "store_small_disk" if disks else "store"]
            with (place / "lane.err").open("wb") as errors:
                lane = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env, cwd="/", text=True)
            self.lanes.append(lane)
            self._waits.register(lane.stdout, selectors.EVENT_READ, lane)  # type: ignore[arg-type]
        for _ in self.lanes:
            self._heard()

    def _heard(self) -> tuple[subprocess.Popen[str], Json]:
        ready = self._waits.select(SILENT_S)
        assert ready, f"no lane said anything for {SILENT_S:g} s"
        lane = ready[0][0].data
        line = lane.stdout.readline()
        assert line, f"a lane ended with {lane.wait()}; its lane.err says why"
        return lane, json.loads(line)

    def carry_out(self, cases: Iterable[Case], note: Callable[[Json], None]) -> list[Json]:
        """What became of these cases."""
        waiting, found = deque(cases), []
        free, busy = deque(self.lanes), 0
        while waiting or busy:
            while waiting and free:
                lane, case = free.popleft(), waiting.popleft()
                lane.stdin.write(json.dumps(asdict(case)) + "\n")  # type: ignore[union-attr]
                lane.stdin.flush()  # type: ignore[union-attr]
                busy += 1
            lane, told = self._heard()
            free.append(lane)
            busy -= 1
            found.append(told)
            note(told)
        return found

    def close(self) -> None:
        """Ends the lanes with their sandboxes."""
        for lane in self.lanes:
            lane.stdin.close()  # type: ignore[union-attr]
        for lane in self.lanes:
            lane.wait(60)
            lane.stdout.close()  # type: ignore[union-attr]
        self._waits.close()


def matrix(runs: int, seed: int, folder: Path, lanes: int, note: Callable[[Json], None] = lambda told: None) -> Result:
    """Makes the runs. Raises AssertionError when a lane does not go on."""
    began_s, disks = time.monotonic(), not disk_refusal()
    room = Lanes(lanes, folder, disks)
    try:
        tracing = [(fault, by) for fault in faults_here(disks) for by in ("recover", "markers")]
        told = room.carry_out((Case(at + 1, (fault,), (IN_FORCE, 1), by=by) for at, (fault, by) in enumerate(tracing)), note)
        array = Array(_traces(told), seed)
        todo = array.every_point(len(told) + 1) if runs >= LONG else []
        todo += array.cases(max(0, runs - len(told) - len(todo)), len(told) + len(todo) + 1)
        told += room.carry_out(todo, note)
        result = Result(told, array.wanted, seed, 0.0)
        for _ in range(ROUNDS if runs >= FULL else 0):
            told += room.carry_out(array.catching_up(result.covered(), len(told) + 1), note)
    finally:
        room.close()
    return Result(told, array.wanted, seed, time.monotonic() - began_s)


def _traces(told: list[Json]) -> dict[str, Trace]:
    seen = {(one["case"]["faults"][0], one["case"]["by"]): one for one in told}
    ways = {fault: (seen[fault, "recover"], seen[fault, "markers"]) for fault, _ in seen}
    return {fault: Trace(_points(one["points"]), _points(one["healing"]), _points(other["healing"])) for fault, (one, other) in ways.items()}


def _points(found: list[list[Any]]) -> tuple[tuple[str, int], ...]:
    """Those that can be aimed at: how often something is waited for is the machine's mood."""
    return tuple((str(name), int(occurrence)) for name, occurrence in found if name != "pause" and ".err" not in name)


def main(argv: list[str]) -> int:
    """Runs by hand."""
    runs, folder = int(argv[1]), Path(argv[2]).absolute()
    lanes, seed = (int(text) for text in (*argv[3:], *("2", "1")[len(argv[3:]) :]))
    folder.mkdir(parents=True)
    with (folder / "matrix.jsonl").open("w") as log:

        def note(told: Json) -> None:
            print(json.dumps(told), file=log, flush=True)
            if told["differences"]:
                print(json.dumps({key: told[key] for key in ("case", "point", "again", "differences")}), flush=True)

        result = matrix(runs, seed, folder, lanes, note)
    result.write(folder / "matrix.json")
    print(result.table())
    return 1 if result.differences() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
