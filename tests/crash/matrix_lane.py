"""
A lane of the kill matrix: a warmed process with a sandbox of its own, which carries out the cases that it is given.

`python matrix_lane.py NAME SWITCH…`: a case a line of JSON on standard input, what became of it a line on standard output. Runs until its input ends.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from matrix_case import Case, Told
from matrix_people import adopt_orphans, clear, offspring
from matrix_room import MatrixRoom, Unsettled
from matrix_run import Run

from chaoslib_ext import state

TRIES = 3


class Lane:
    """The room and the state that every run must give back; after a run that did not, both are made anew."""

    def __init__(self, name: str, switches: tuple[str, ...]) -> None:
        self.name, self.switches = name, switches
        self._enter()

    def _enter(self) -> None:
        self.room = MatrixRoom(self.name, self.switches)
        self.room.settle()
        self.known = offspring()
        self.before = {"marks": self.room.marks(), "settings": self.room.settings()}

    def carry_out(self, case: Case) -> Told:
        """One case; where the system under test does not come back though nothing is left in it, on a new one, again."""
        for tries in range(TRIES):
            told, unsettled = Told(case, tries=tries + 1), False
            try:
                self.room.settle()
                Run(self.room, told, self.before).carry_out()
            except Unsettled as error:
                print(f"case {case.number}: {error}", file=sys.stderr, flush=True)
                told.differences.append(f"nothing is left, and it does not come back: {error}")
                unsettled = True
            except Exception:  # a rig that fails is a red run, not the end of the matrix
                told.differences.append(traceback.format_exc())
            if told.differences:
                self._again()
            if not unsettled:
                break
        return told

    def _again(self) -> None:
        clear(self.known)
        self.room.close()
        for folder in state.open_runs():
            state.close_run(folder, "rig")
        self._enter()


def main(argv: list[str]) -> int:
    """The process."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    adopt_orphans()
    lane = Lane(argv[1], tuple(argv[2:]))
    print(json.dumps({"ready": True}), file=told, flush=True)
    try:
        for line in sys.stdin:
            print(json.dumps(asdict(lane.carry_out(Case.of(json.loads(line))))), file=told, flush=True)
    finally:
        lane.room.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
