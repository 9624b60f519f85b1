"""
A fuse that has burnt down: takes one fault back from inside the target, by the same handlers as any heal.

`python -m chaoslib_ext.firing RECORD PARENT_PID`, started by the keeper, which holds the record. It needs no state directory
and no run. Exit code 0: nothing of the fault is left, or what is left belongs to somebody else; 1: try again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chaoslib_ext import state
from chaoslib_ext.children import die_with_parent
from chaoslib_ext.heal import Healing, Left, Patience, finish
from chaoslib_ext.ledger import Entry, Frame, Ledger, Target, entries
from chaoslib_ext.traces import drop_markers

PATIENCE = Patience(deadline_s=60.0)  # the keeper starts another when this one gives up
SIGNALS = frozenset({"process.thaw", "process.thaw_store"})  # a signal carries no mark; the marker file stands for it


def fire(path: Path, patience: Patience = PATIENCE) -> list[Left]:
    """
    Takes back what the record at `path` says, newest part first, then removes its marker and the record itself.

    What is not proven taken back is returned. What belongs to somebody else by now is left to them, with the marker.
    """
    record = state.read_json(path)
    if not record:
        return []
    scratch = path.with_suffix(".wal")
    ledger = Ledger(scratch, 0)
    try:
        for part in record["parts"]:
            ledger.append(Frame(record["fault"], "INTENT", part["handler"], Target(**part["target"]), part["ours"], part["prior"]))
        mine = [entry for entry in entries(ledger.read().frames) if _may_be_in_force(entry)]
        healing = Healing(ledger, patience, final=True)
        healing.add(mine)
        finish(healing)
    finally:
        scratch.unlink(missing_ok=True)
    left = list(healing.left.values())
    if not left:
        drop_markers(mine)
    if all(item.rec == "CONFLICT" for item in left):
        path.unlink(missing_ok=True)
    return left


def _may_be_in_force(entry: Entry) -> bool:
    """Without a marker no signal was sent, or it was taken back: whoever stopped the process since, it was not us."""
    return entry.handler not in SIGNALS or Path(str(entry.ours["marker"])).exists()


def main(argv: list[str]) -> int:
    """The process."""
    die_with_parent(int(argv[2]))
    left = fire(Path(argv[1]))
    for item in left:
        print(f"fuse: {item.rec}: {item.fault}: {item.target}: {item.error}", file=sys.stderr, flush=True)
    return 1 if any(item.rec != "CONFLICT" for item in left) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
