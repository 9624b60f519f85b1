"""
Taking back what dead runs left behind: one run, or all that are open and have nobody who cares for them.

It needs only the state directory and the targets. A run whose supervisor lives is refused.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chaoslib_ext import accepted, halfmade, locks, state
from chaoslib_ext.clock import boot_id
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import FaultFailed, LedgerCorrupt, Refused, UsageError
from chaoslib_ext.heal import Left, Patience, heal_run
from chaoslib_ext.ledger import Entry, Frame, Ledger, Target, entries
from chaoslib_ext.mend import accept_ledger
from chaoslib_ext.process import fuse
from chaoslib_ext.process.client import alive, read_roster, start_ticks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run: `healed` names what was taken back now, `left` what is not proven healed, `notes` what else was done."""

    run: str
    healed: tuple[str, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is left."""
        return not self.left

    def as_json(self) -> dict[str, Any]:
        """The outcome for a program."""
        return {"run": self.run, "clean": self.clean, "healed": list(self.healed), "left": [asdict(item) for item in self.left], "notes": list(self.notes)}

    def __str__(self) -> str:
        lines = [f"{self.run}: {'clean' if self.clean else 'DIRTY'}"]
        lines += [f"  taken back: {text}" for text in self.healed]
        lines += [f"  {text}" for text in self.notes]
        for item in self.left:
            lines += [f"  {item.rec}: {item.fault or item.handler}: {item.target}: {item.error}", f"    run: {item.command}"]
        return "\n".join(lines)


def owner_alive(folder: Path) -> bool:
    """Whether the supervisor of a run (or the `chaos` process of a plain one) still runs."""
    owner = state.header(folder).get("supervisor")
    if not isinstance(owner, dict) or owner.get("boot_id") not in (None, "", boot_id()):
        return False
    try:
        return alive(int(owner.get("pid") or 0), int(owner.get("start_ticks") or 0))
    except (TypeError, ValueError):
        return False


def recover_runs(run_id: str | None, deadline_s: float) -> list[Outcome]:
    """
    Recovers one run, or all open ones whose owner is dead, each with `deadline_s` seconds; with all of them also goes what is half made.

    Raises UsageError when there is no such run, and Refused LOCK_HELD when the owner of the named run lives.
    """
    if run_id is None:
        outcomes = [recover_run(folder, deadline_s) for folder in state.open_runs() if not owner_alive(folder)]
        return outcomes + [Outcome(run, (), (), ("removed: its state folder, whose maker was killed before the run began",)) for run in halfmade.sweep()]
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
        locks.give_back(locks.of_run(folder))
        return Outcome(folder.name, (), ())
    before = _last_seq(folder)
    left = heal_run(folder, None, Patience(deadline_s=deadline_s))
    if left:
        return Outcome(folder.name, _healed_since(folder, before), tuple(left))
    problems = locks.give_back(locks.of_run(folder))
    state.close_run(folder, "recover")
    return Outcome(folder.name, _healed_since(folder, before), (), tuple(problems))


def accept(run_id: str, fault: str, reason: str) -> list[str]:
    """
    Records that a person has looked at what is left of a fault and takes it as it is; names what was accepted.

    Raises UsageError when nothing of that fault is open, or no reason is given.
    """
    folder = state.run_dir(run_id)
    if fault == state.LEDGER and folder.is_dir() and not owner_alive(folder):
        return accept_ledger(folder, reason)
    ledger = Ledger.of_run(folder)
    found = [entry for entry in entries(ledger.read().frames) if entry.pending and entry.fault == fault]
    if not found or not reason.strip():
        raise UsageError(f"recover --accept: {run_id}: {f'nothing of {fault!r} is open' if not found else 'give a reason with --reason'}")
    if owner_alive(folder):
        raise Refused("LOCK_HELD", f"{run_id}: its supervisor is alive and heals by itself")
    for entry in found:
        ledger.append(Frame(entry.fault, "ACCEPTED", entry.handler, entry.target, entry.ours, entry.prior, entry.kind, entry.expires_ns, None, reason))
    accepted.note(folder, fault, [_named(entry) for entry in found], reason)
    return [_named(entry) for entry in found]


def recover_environment(environment: Environment, deadline_s: float) -> list[Outcome]:
    """
    Recovers a target, by what is in it, whatever this state directory knows, and frees its locks when all is clean.

    Raises UsageError when nothing of it is local processes, and Refused LOCK_HELD when the run that has a lock lives.
    """
    places = places_of(environment)
    held = living_refused(environment)
    mine = [folder for folder in state.open_runs() if _on(folder, environment) and not owner_alive(folder)]
    outcomes = [recover_run(folder, deadline_s) for folder in mine]
    for place in places:
        outcomes += recover_from_markers(place, deadline_s)
    if all(outcome.clean for outcome in outcomes):
        outcomes += [_freed(kind, scope, holder) for kind, scope, holder in held if holder.run is not None]
    return outcomes


def places_of(environment: Environment) -> list[Path]:
    """The folders of an environment's rosters, beside which its markers lie. Raises UsageError when there is none."""
    found = sorted({Path(service.processes["roster"]).parent for service in environment.services.values() if service.processes})
    if not found:
        raise UsageError(f"recover --env: environment {environment.name} has no service made of local processes, and no other platform keeps markers yet")
    return found


def living_refused(environment: Environment) -> list[tuple[str, dict[str, str], locks.Holder]]:
    """The locks of an environment and who has them. Raises Refused LOCK_HELD when it is a run that lives, wherever."""
    try:
        held = locks.look(environment)
    except (OSError, FaultFailed) as error:
        raise Refused("PREFLIGHT_FAILED", f"{environment.name}: its lock cannot be read: {error}") from error
    for _, _, holder in held:
        if holder.alive:
            where = f"process {holder.owner.get('pid')} on {holder.owner.get('host')}"
            raise Refused("LOCK_HELD", f"{environment.name}: run {holder.run} ({where}) is under way and heals by itself; there: chaosx abort {holder.run}")
    return held


def _on(folder: Path, environment: Environment) -> bool:
    """Whether a run is one on this target; one that was rebuilt from its markers knows only what they say of it."""
    identity = (state.header(folder).get("environment") or {}).get("identity") or {}
    return bool(identity) and set(identity.values()) <= set(environment.identity.values())


def _freed(kind: str, scope: dict[str, str], holder: locks.Holder) -> Outcome:
    run = str(holder.run)
    problems = locks.give_back([locks.Held(kind, scope, run, holder.token)])
    return Outcome(run, (), (), tuple(problems) or (f"freed: the lock that run {run} had",))


def recover_from_markers(folder: Path, deadline_s: float) -> list[Outcome]:
    """
    Recovers a target without any state directory: from the markers and fuses beside its roster (`folder`).

    Each becomes a run of its own, `<run>-markers`, which is then recovered like any other, unless its own run is open
    here: then that one is. One whose run is open here with a living owner is left alone.
    """
    outcomes = []
    for record, ref in records_of(folder):
        own = state.run_dir(str(record["run"]))
        if own.is_dir() and owner_alive(own):
            continue
        if own.is_dir() and not (own / state.CLOSED).exists():
            outcomes.append(recover_run(own, deadline_s))
        if own.name not in {outcome.run for outcome in outcomes}:
            outcomes.append(recover_run(_rebuilt(record, ref), deadline_s))
    return outcomes


def records_of(folder: Path) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Every fault of which the folder of a roster holds a marker or a fuse, with its undo, and how the fuse is taken out."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {}
    for path in sorted((folder / "markers").glob("*.json")):
        marker = state.read_json(path)
        found[str(marker["owner"])] = (marker, None)
    if (folder / "fuses").is_dir():
        roster = read_roster(folder / "roster.json")
        for record, ref in fuse.found(folder, (roster.get("keeper") or {}).get("control", ""), roster["identity"]):
            found[str(record["owner"])] = (found.get(str(record["owner"]), (record, None))[0], ref)
    return list(found.values())


def _rebuilt(record: dict[str, Any], ref: dict[str, Any] | None) -> Path:
    owner = {"pid": 0, "start_ticks": 0, "boot_id": "", "rebuilt_by": [os.getpid(), start_ticks(os.getpid())]}
    base = f"{record['run']}-markers"
    name = next(name for name in (base, *(f"{base}-{n}" for n in range(2, 1000))) if not state.run_dir(name).exists())
    identity = {"target": str(record["parts"][0]["target"]["identity"])}
    header = {"run": name, "supervisor": owner, "environment": {"identity": identity}}
    return state.create_run(name, header, partial(_retell, record, ref))  # whole or not at all: what half of it says healed takes the marker away


def _retell(record: dict[str, Any], ref: dict[str, Any] | None, folder: Path) -> None:
    ledger = Ledger.of_run(folder)
    if ref is not None:
        ledger.append(Frame(record["fault"], "FUSE", ours={"fuse": fuse.KIND, "ref": ref, "verified": True}, expires_ns=int(record.get("expires_ns", 0))))
    for part in record["parts"]:
        ledger.append(Frame(record["fault"], "INTENT", part["handler"], Target(**part["target"]), part["ours"], part["prior"]))


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
