"""
What a person who insists on an end is told: exactly what is not healed at this moment, and the command that mends it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from chaoslib_ext import ledger
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.ledger import Ledger, Target


def what_is_left(state_dir: Path) -> str:
    """One sentence, from the undo ledger of a run, whoever is healing it now; never raises for what is in it."""
    command = f"chaosx recover --run {shlex.quote(state_dir.name)}"
    try:
        pending = ledger.pending(Ledger.of_run(state_dir).read().frames)
    except (LedgerCorrupt, OSError) as error:
        return f"not yet healed: unknown ({error}); the healer goes on even if this process is killed; after that: {command}"
    if not pending:
        return f"nothing is left to take back; what remains is to seal the run; if this process is killed: {command}"
    left = "; ".join(f"{entry.fault}: {_named(entry.target)}" for entry in pending)
    return f"not yet healed: {left}; the healer goes on even if this process is killed; if it is killed too: {command}"


def _named(target: Target) -> str:
    name = target.name if target.name.startswith(target.kind) else f"{target.kind} {target.name}"
    return f"{name} ({target.uid})"
