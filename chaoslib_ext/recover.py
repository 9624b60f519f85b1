"""
Taking back what dead runs left behind: one run, or all that are open and have nobody who cares for them.

It needs only the state directory and the targets. A run whose supervisor lives is refused.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import boot_id
from chaoslib_ext.errors import LedgerCorrupt, Refused, UsageError
from chaoslib_ext.heal import Left, Patience, heal_run
from chaoslib_ext.ledger import Entry, Frame, Ledger, Target, entries
from chaoslib_ext.process.client import alive, start_ticks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run: `healed` names what was taken back now, `left` what is not proven healed."""

    run: str
    healed: tuple[str, ...]
    left: tuple[Left, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is left."""
        return not self.left

    def as_json(self) -> dict[str, Any]:
        """The outcome for a program."""
        return {"run": self.run, "clean": self.clean, "healed": list(self.healed), "left": [asdict(item) for item in self.left]}

    def __str__(self) -> str:
        lines = [f"{self.run}: {'clean' if self.clean else 'DIRTY'}"]
        lines += [f"  taken back: {text}" for text in self.healed]
        for item in self.left:
            lines += [f"  {item.rec}: {item.fault or item.handler}: {item.target}: {item.error}", f"    run: {item.command}"]
        return "\n".join(lines)


def owner_alive(folder: Path) -> bool:
    """Whether the supervisor of a run (or the `chaos` process of a plain one) still runs."""
    owner = state.read_json(folder / state.RUN).get("supervisor") or {}
    if owner.get("boot_id") not in (None, "", boot_id()):
        return False
    return alive(int(owner.get("pid") or 0), int(owner.get("start_ticks") or 0))


def recover_runs(run_id: str | None, deadline_s: float) -> list[Outcome]:
    """
    Recovers one run, or all open ones whose owner is dead, each with `deadline_s` seconds.

    Raises UsageError when there is no such run, and Refused LOCK_HELD when the owner of the named run lives.
    """
    if run_id is None:
        return [recover_run(folder, deadline_s) for folder in state.open_runs() if not owner_alive(folder)]
    folder = state.run_dir(run_id)
    if not folder.is_dir():
        known = ", ".join(path.name for path in state.open_runs()) or "none"
        raise UsageError(f"recover: got run {run_id!r}, which is not in {folder.parent} (open runs: {known})")
    return [recover_run(folder, deadline_s)]


def recover_run(folder: Path, deadline_s: float) -> Outcome:
    """
    Kills what still runs of one run, heals it and closes it; done again, it changes nothing.

    Raises Refused when the run's owner lives.
    """
    if owner_alive(folder):
        raise Refused("LOCK_HELD", f"{folder.name}: its supervisor is alive and heals by itself; end it with: chaosx abort {folder.name}")
    if (folder / state.CLOSED).exists():
        return Outcome(folder.name, (), ())
    before = _last_seq(folder)
    left = heal_run(folder, None, Patience(deadline_s=deadline_s))
    if not left:
        state.close_run(folder, "recover")
    return Outcome(folder.name, _healed_since(folder, before), tuple(left))


def accept(run_id: str, fault: str, reason: str) -> list[str]:
    """
    Records that a person has looked at what is left of a fault and takes it as it is; names what was accepted.

    Raises UsageError when nothing of that fault is open, or no reason is given.
    """
    folder = state.run_dir(run_id)
    ledger = Ledger.of_run(folder)
    found = [entry for entry in entries(ledger.read().frames) if entry.pending and entry.fault == fault]
    if not found or not reason.strip():
        raise UsageError(f"recover --accept: {run_id}: {f'nothing of {fault!r} is open' if not found else 'give a reason with --reason'}")
    if owner_alive(folder):
        raise Refused("LOCK_HELD", f"{run_id}: its supervisor is alive and heals by itself")
    for entry in found:
        ledger.append(Frame(entry.fault, "ACCEPTED", entry.handler, entry.target, entry.ours, entry.prior, entry.kind, entry.expires_ns, None, reason))
    return [_named(entry) for entry in found]


def recover_from_markers(folder: Path, deadline_s: float) -> list[Outcome]:
    """
    Recovers a target without any state directory: from the marker files beside its roster (`folder`/markers).

    Each marker becomes a run of its own, `<run>-markers`, which is then recovered like any other. A marker
    whose run is open here with a living owner is left alone.
    """
    outcomes = []
    for path in sorted((folder / "markers").glob("*.json")):
        marker = state.read_json(path)
        run_id = str(marker["run"])
        if state.run_dir(run_id).is_dir() and owner_alive(state.run_dir(run_id)):
            continue
        outcomes.append(recover_run(_rebuilt(marker, run_id), deadline_s))
    return outcomes


def _rebuilt(marker: dict[str, Any], run_id: str) -> Path:
    owner = {"pid": 0, "start_ticks": 0, "boot_id": "", "rebuilt_by": [os.getpid(), start_ticks(os.getpid())]}
    base = f"{run_id}-markers"
    name = next(name for name in (base, *(f"{base}-{n}" for n in range(2, 1000))) if not state.run_dir(name).exists())
    folder = state.create_run(name, {"run": name, "supervisor": owner})
    ledger = Ledger.of_run(folder)
    for part in marker["parts"]:
        ledger.append(Frame(marker["fault"], "INTENT", part["handler"], Target(**part["target"]), part["ours"], part["prior"]))
    return folder


def _last_seq(folder: Path) -> int:
    try:
        return len(Ledger.of_run(folder).read().frames)
    except LedgerCorrupt:
        return 0


def _healed_since(folder: Path, seq: int) -> tuple[str, ...]:
    try:
        frames = Ledger.of_run(folder).read().frames
    except LedgerCorrupt:
        return ()
    return tuple(f"{frame.fault}: {frame.target.kind} {frame.target.name} ({frame.rec})" for frame in frames[seq:] if frame.rec in ("UNDONE", "GONE"))


def _named(entry: Entry) -> str:
    return f"{entry.target.kind} {entry.target.name} ({entry.target.uid})"
