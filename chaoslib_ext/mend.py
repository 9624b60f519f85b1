"""
A ledger that is damaged or gone is set aside when a person has looked at the targets, and a new one takes its place.

Only a person can say that nothing else is left: what a lost frame had said is known to nobody.
"""

from __future__ import annotations

from pathlib import Path

from chaoslib_ext import accepted, state
from chaoslib_ext.errors import UsageError
from chaoslib_ext.ledger import Frame, Ledger
from chaoslib_ext.memory import Memory


def accept_ledger(folder: Path, reason: str) -> list[str]:
    """
    Replaces the ledger of a run, which must be damaged or gone, by one with every frame that can still be read, and a note of `reason`.

    The old file is kept beside it. What the new one holds pending is healed by the next `recover`. Names what was
    accepted; raises UsageError when the ledger is sound.
    """
    memory = Memory(folder)
    frames = memory.look(whole=True)
    memory.close()
    if not memory.problem or not reason.strip():
        wrong = "give a reason with --reason" if memory.problem else f"its {state.LEDGER} is sound"
        raise UsageError(f"recover --accept: {folder.name}: {wrong}")
    old = folder / state.LEDGER
    if old.exists():
        number = next(number for number in range(1, 1000) if not (folder / f"{state.LEDGER}.{number}").exists())
        old.rename(folder / f"{state.LEDGER}.{number}")
    state.make_ledger(folder)
    ledger = Ledger.of_run(folder)
    for frame in frames:
        ledger.append(frame)
    ledger.append(Frame(state.LEDGER, "ACCEPTED", note=reason))
    what = f"{memory.problem} ({len(frames)} frames of it could still be read)"
    accepted.note(folder, state.LEDGER, [what], reason)
    return [what]
