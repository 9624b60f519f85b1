"""
Fuses: an expiry inside the target, armed and read back before the first mutation, that takes a fault back when nobody else does.

One table, from the kind of a fuse to its functions over plain data. Who burns it down is in the target; `firing` is what
the keeper of local processes runs then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from chaoslib_ext.clock import NS
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Frame, Target
from chaoslib_ext.process import fuse as process

GRACE_S = 15.0  # after the bound at which the healer takes a fault back at the latest; chosen by feel: it must not run ahead of a slow heal
REMOTE = ("staging", "production")  # classes of environments where nothing is held without a fuse

Json = dict[str, Any]


class Fuse(NamedTuple):
    """How a platform arms a fuse, reads back when it fires, and takes it out (again and again, if need be)."""

    arm: Callable[[Json, str, Sequence[Json], int], Json]
    verify: Callable[[Json], int]
    disarm: Callable[[Json], None]


FUSES: dict[str, Fuse] = {process.KIND: Fuse(process.arm, process.verify, process.disarm)}


def expiry_ns(bound_ns: int) -> int:
    """When a fuse fires, on the boot clock, for a fault that the healer takes back at `bound_ns` at the latest."""
    return bound_ns + round(GRACE_S * NS)


def required(class_: str, fuse: str | None) -> bool:
    """Whether an environment wants a fuse for everything that has something to undo."""
    return fuse == "required" or class_ in REMOTE


def planned(targets: Iterable[Json], keepers: dict[str, Json], bound_s: float) -> Json | None:
    """
    What a plan row says of the fuse of a held fault: `{kind, after_s}`, None where its targets offer none.

    `keepers` holds what each roster, by its path, says of its keeper. `after_s` counts from the injection.
    """
    theirs = [keepers.get(str((target.get("data") or {}).get("roster")), {}) for target in targets]
    if theirs and all(process.offered(keeper) for keeper in theirs):
        return {"kind": process.KIND, "after_s": bound_s + GRACE_S}
    return None


def light(kind: str, row: Json, owner: str, parts: Sequence[Json], expires_ns: int) -> Frame:
    """
    Arms a fuse, reads it back from the target, and returns the frame that says so, not yet written.

    Raises FaultFailed when it cannot be armed or is not there as it was armed, and OSError when the target does not
    answer; then it was taken out again, as far as that is possible, and fires harmlessly where it is not.
    """
    fuse = FUSES[kind]
    ref = fuse.arm(row, owner, parts, expires_ns)
    try:
        seen_ns = fuse.verify(ref)
        if seen_ns != expires_ns:
            raise FaultFailed(f"its fuse would fire at {seen_ns} of the boot clock, expected {expires_ns}")
    except (OSError, FaultFailed):
        with suppress(OSError):
            fuse.disarm(ref)
        raise
    first = row["targets"][0]
    where = Target(first["platform"], first["identity"], "fuse", "", kind, first["identity"])
    return Frame(row["activity"], "FUSE", "", where, {"fuse": kind, "ref": ref, "verified": True}, expires_ns=expires_ns)


def put_out(frames: Iterable[Frame], but: Collection[str] = ()) -> dict[str, str]:
    """
    Takes out the fuses of all faults of a ledger except `but`; the faults whose fuse could not be taken out, and why.

    Done again, it changes nothing.
    """
    failed = {}
    for frame in frames:
        if frame.rec != "FUSE" or frame.fault in but:
            continue
        try:
            FUSES[str(frame.ours.get("fuse"))].disarm(frame.ours["ref"])
        except (OSError, KeyError, TypeError, FaultFailed) as error:
            failed[frame.fault] = f"its fuse could not be taken out ({type(error).__name__}: {error}); it fires by itself"
    return failed
