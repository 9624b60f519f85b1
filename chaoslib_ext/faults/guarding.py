"""
What stands around an injection: the fuse that is armed before the first mutation, and the fencing token that goes with each.

Both come from the run's state folder: what its run.json says of locks and fuses, and the environment in its spec.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaoslib_ext import fuses, locks, state
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Frame
from chaoslib_ext.process.parts import Part

NO_FUSE = "no_fuse"  # in the run's run.json: a person has confirmed that this run goes on without fuses

Json = dict[str, Any]


def fenced(row: Json, folder: Path) -> Json:
    """The row with the run's fencing token in each target that has a lock: a keeper or a link refuses an older one."""
    tokens = {held.scope["identity"]: held.token for held in locks.of_run(folder) if "identity" in held.scope}
    targets = [_with_token(target, tokens.get(target["identity"])) for target in row["targets"]]
    return {**row, "targets": targets}


def _with_token(target: Json, token: int | None) -> Json:
    return target if token is None else {**target, "data": {**(target.get("data") or {}), "fence": token}}


def undos(todo: Sequence[Part]) -> list[Json]:
    """The way back of all parts that have one, as data."""
    return [
        {"handler": part.handler, "target": {name: getattr(part.target, name) for name in part.target.__slots__}, "ours": part.ours, "prior": part.prior}
        for part in todo
        if part.kind == "held"
    ]


def fuse_frame(row: Json, folder: Path, owner: str, todo: Sequence[Part], expires_ns: int) -> Frame | None:
    """
    The FUSE frame of a fault, its fuse armed and read back; None where there is nothing to undo, or none is wanted.

    `expires_ns` is the bound at which the healer takes the fault back at the latest. Raises FaultFailed when a fuse is
    wanted and cannot be armed; then nothing was injected.
    """
    parts = undos(todo)
    if not parts or state.read_json(folder / state.RUN).get(NO_FUSE):
        return None
    kind = (row.get("fuse") or {}).get("kind")
    if kind is None:
        environment = state.read_json(folder / state.SPEC).get("environment") or {}
        if fuses.required(str(environment.get("class_")), environment.get("fuse")):
            raise FaultFailed(f"FUSE_MISSING: {row['activity']}: its target offers no fuse, and this environment wants one; nothing was injected")
        return None
    try:
        return fuses.light(str(kind), row, owner, parts, fuses.expiry_ns(expires_ns))
    except (OSError, FaultFailed) as error:
        raise FaultFailed(f"FUSE_MISSING: {row['activity']}: its fuse could not be armed ({error}); nothing was injected") from error
