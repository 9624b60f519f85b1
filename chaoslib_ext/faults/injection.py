"""
The one path of every injection: record the way back, check the target once more, mutate, record, await the effect.

The plan row is the one of the run's spec.json, by the name of the activity; nothing is resolved again. Outside of
a run, `plain` stands in for the supervisor.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.faults.guarding import fenced, fuse_frame, undos
from chaoslib_ext.faults.planning import bound, bound_s
from chaoslib_ext.faults.rechecks import refuse_changed, refuse_protected
from chaoslib_ext.faults.recording import record, refuse_unwritable
from chaoslib_ext.ledger import Frame, Ledger, effect_frame
from chaoslib_ext.mesh import parts as mesh
from chaoslib_ext.process import parts as process
from chaoslib_ext.process.parts import Part

POLL_S = 0.01

_named = threading.local()
_claims = threading.Lock()
_deciding = threading.Lock()  # one fault at a time is weighed against the caps and written down
_claimed: set[str] = set()


@dataclass(frozen=True, slots=True)
class Context:
    """The run in which faults are injected: its id, its state folder and its plan rows."""

    run: str
    folder: Path
    rows: Sequence[dict[str, Any]]


def name_activity(name: str) -> None:
    """Tells this thread the name of the activity that runs next: whoever drives Chaos Toolkit knows it, an action does not."""
    _named.activity = name


def inject(func: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """
    Injects the planned fault that this call stands for, and returns `{"fault", "effect", "targets"}` once it was seen.

    Raises FaultFailed when a target changed, a part was refused, or the effect was not seen in time; whatever was
    done by then is in the ledger and is taken back by the healer.
    """
    refuse_unwritable()
    context = _context(func, arguments)
    row = _row(context, func, arguments)
    ledger = Ledger.of_run(context.folder)
    with _deciding:
        refuse_changed(row, context.folder)
        _carry_out(row, ledger, f"{context.run}--{row['activity']}")
    effect = await_effect(ledger, row["activity"], float(row["timeout_s"]))
    return {"fault": row["activity"], "effect": effect, "targets": [target["uid"] for target in row["targets"]]}


def _context(func: str, arguments: dict[str, Any]) -> Context:
    folder = os.environ.get("CHAOSX_RUN")
    if not folder:
        from chaoslib_ext.faults import plain  # only outside of a run

        return plain.context(func, arguments)
    spec = state.read_json(Path(folder) / state.SPEC)
    if not spec:
        raise FaultFailed(f"CHAOSX_RUN: {folder} holds no spec.json; nothing was injected")
    return Context(str(spec["run"]), Path(folder), spec["plan"]["resolved"])


def _row(context: Context, func: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The planned row of this call, claimed: by the activity's name, else the first of these arguments that nobody has begun."""
    wanted = bound(func, func, arguments)
    name = getattr(_named, "activity", None)
    with _claims:
        begun = {frame.fault for frame in Ledger.of_run(context.folder).read().frames}
        same = [row for row in context.rows if row["func"] == func and (row["activity"] == name if name else row["arguments"] == wanted)]
        free = [row for row in same if row["activity"] not in begun | _claimed]
        if not free:
            why = f"{same[0]['activity']}: it was injected already" if same else f"{name or func}: the plan of this run has no such fault"
            raise FaultFailed(f"{why}; nothing was injected")
        _claimed.add(free[0]["activity"])
    if free[0]["arguments"] != wanted:
        raise FaultFailed(f"{name}: got arguments {wanted}, planned were {free[0]['arguments']}; nothing was injected")
    return free[0]


def marker_name(owner: str) -> str:
    """A file name for an owner mark, whatever characters are in it; different owners have different ones."""
    slug = re.sub(r"[^A-Za-z0-9-]+", "-", owner).strip("-")[:80]
    return f"{slug}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}.json"


def _carry_out(row: dict[str, Any], ledger: Ledger, owner: str) -> None:
    room = mesh if row.get("traffic") else process
    folder = ledger.path.parent
    todo = room.parts(fenced(row, folder), owner, lambda place: place / "markers" / marker_name(owner))
    expires_ns = boot_ns() + round(bound_s(row["timeout_s"], row["duration_s"]) * NS)
    armed = fuse_frame(row, folder, owner, todo, expires_ns)
    if armed is not None:
        record(ledger, armed)
    first: Callable[[], None] = partial(_write_markers, row, owner, todo)
    for part in todo:
        _say(ledger, row, part, "INTENT", expires_ns)
        _mutate(ledger, row, part, expires_ns, first)
        first = _nothing


def _nothing() -> None: ...


def _mutate(ledger: Ledger, row: dict[str, Any], part: Part, expires_ns: int, first: Callable[[], None]) -> None:
    try:
        first()
        if boot_ns() >= expires_ns:
            raise FaultFailed(f"{row['activity']}: its time was over before it was done; nothing more is injected")
        refuse_protected(row, ledger.path.parent)
        part.check()
        part.mutate()
    except FaultFailed as error:
        _say(ledger, row, part, "REJECTED", expires_ns, str(error))
        raise
    except OSError as error:
        _say(ledger, row, part, "AMBIG", expires_ns, str(error))
        raise FaultFailed(f"{row['activity']}: {part.target.name}: whether it was done is not known ({error}); it will be taken back") from error
    _say(ledger, row, part, "APPLIED", expires_ns)


def _say(ledger: Ledger, row: dict[str, Any], part: Part, rec: str, expires_ns: int, note: str = "") -> None:
    held_until_ns = expires_ns if part.kind == "held" else 0
    record(ledger, Frame(row["activity"], rec, part.handler, part.target, part.ours, part.prior, part.kind, held_until_ns, None, note))


def _write_markers(row: dict[str, Any], owner: str, todo: Sequence[Part]) -> None:
    """The way back once more, beside the target itself, for the day on which the state directory is lost."""
    by_path: dict[str, list[dict[str, Any]]] = {}
    for part in undos(todo):
        by_path.setdefault(part["ours"]["marker"], []).append(part)
    run = owner.removesuffix(f"--{row['activity']}")
    for path, parts in by_path.items():
        try:
            Path(path).parent.mkdir(mode=0o700, exist_ok=True)
            state.write_json(Path(path), {"v": 1, "run": run, "fault": row["activity"], "owner": owner, "parts": parts})
        except OSError as error:
            raise FaultFailed(f"{row['activity']}: its marker cannot be written into the target ({error}); nothing was injected") from error


def await_effect(ledger: Ledger, fault: str, timeout_s: float) -> dict[str, Any]:
    """The effect as the prober saw it. Raises FaultFailed when it was not seen within `timeout_s` seconds, or taken back before."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        frames = ledger.read().frames
        seen = effect_frame(frames, fault)
        if seen is not None and seen.effect is not None:
            return seen.effect
        if any(frame.rec == "UNDO_TRY" and frame.fault == fault for frame in frames):
            raise FaultFailed(f"{fault}: it was taken back before its effect was seen from outside")
        if time.monotonic() >= deadline_s:
            raise FaultFailed(f"{fault} was sent but its effect was not seen from outside within {timeout_s:g} s; it is being taken back")
        time.sleep(POLL_S)  # the prober speaks through the ledger
