"""
What `recover` would do: which faults it would take back, what it would end and free. It touches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext import children, halfmade, ledger, locks, recover, state
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import LedgerCorrupt, UsageError
from chaoslib_ext.ledger import Ledger
from chaoslib_ext.process.client import alive


@dataclass(frozen=True, slots=True)
class Survey:
    """What would be done for one run; `pending` counts what is not proven healed."""

    run: str
    would: tuple[str, ...]
    pending: int

    def as_json(self) -> dict[str, Any]:
        """The survey for a program."""
        return {"run": self.run, "would": list(self.would), "pending": self.pending}

    def __str__(self) -> str:
        return "\n".join([f"{self.run}: {self.pending} not proven healed", *(f"  would {text}" for text in self.would)])


def of_runs(run_id: str | None) -> list[Survey]:
    """What `recover_runs` would do. Raises as it does."""
    if run_id is None:
        half = [
            Survey(halfmade.run_of(folder), ("remove its state folder, whose maker was killed before the run began",), 0) for folder in halfmade.half_made()
        ]
        return [_of_run(folder) for folder in state.open_runs() if not recover.owner_alive(folder)] + half
    folder = state.run_dir(run_id)
    if not folder.is_dir():
        raise UsageError(f"recover: got run {run_id!r}, which is not in {folder.parent}")
    if recover.owner_alive(folder):
        return [Survey(folder.name, ("leave it alone: its supervisor is alive and heals by itself",), 0)]
    return [] if (folder / state.CLOSED).exists() else [_of_run(folder)]


def of_environment(environment: Environment) -> list[Survey]:
    """What `recover_environment` would do, for a run that lives too. Raises UsageError as it does, and OSError when a target does not answer."""
    found, living = [], set()
    for kind, _, holder in locks.look(environment):
        if holder.run is not None:
            who = f"process {holder.owner.get('pid')} on {holder.owner.get('host')}, {'alive' if holder.alive else 'dead'}"
            would = f"leave it alone: it has the lock ({who})" if holder.alive else f"free the lock ({kind}) when all is clean ({who})"
            found.append(Survey(holder.run, (would,), 0))
            living |= {holder.run} if holder.alive else set()
    records = [one for place in recover.places_of(environment) for one in recover.records_of(place)]
    return found + [_of_record(record, burning=ref is not None) for record, ref in records if record["run"] not in living]


def _of_run(folder: Path) -> Survey:
    alive_ = [name for name, one in children.recorded(folder).items() if name != "healer" and alive(int(one["pid"]), int(one["start_ticks"] or 0))]
    try:
        frames = Ledger.of_run(folder).read().frames
    except LedgerCorrupt as error:
        return Survey(folder.name, (f"take back what can be read of its ledger, and stay DIRTY: {error}",), 1)
    pending = ledger.pending(frames)
    would = [*(["end its children: " + ", ".join(alive_)] if alive_ else []), *(f"take back {_named(entry)}" for entry in pending)]
    return Survey(folder.name, (*would, "close it"), len(pending))


def _of_record(record: dict[str, Any], burning: bool) -> Survey:
    would = [f"take back {record['fault']}: {part['target']['kind']} {part['target']['name']} ({part['handler']})" for part in record["parts"]]
    return Survey(str(record["run"]), (*would, *(["take out its fuse"] if burning else [])), len(would))


def _named(entry: ledger.Entry) -> str:
    return f"{entry.fault}: {entry.target.kind} {entry.target.name} ({entry.handler}, {entry.rec})"
