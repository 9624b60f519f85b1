"""
What is looked at again right before the first write of a fault, and at each write: identity, protection, and the caps.

The targets stay the planned ones; what is around them may have changed since. Nothing of this is asked when a fault is taken back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib_ext import ledger, state
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.faults import protection
from chaoslib_ext.faults.caps import exceeded, members, said_ready
from chaoslib_ext.process.client import read_roster, uid_alive

Json = dict[str, Any]


def refuse_changed(row: Json, folder: Path) -> None:
    """
    Raises FaultFailed where the fault would now take more than its caps allow, or what must not be touched.

    `folder` is the state folder of the run, with its spec.json and its ledger; what other faults of it hold counts.
    """
    rosters = refuse_protected(row, folder)
    spec = state.read_json(folder / state.SPEC)
    pending = {entry.fault for entry in ledger.pending(ledger.Ledger.of_run(folder).read().frames)} - {row["activity"]}
    held = {str(target["uid"]) for one in spec["plan"]["resolved"] if one["activity"] in pending for target in one["targets"]}
    too_much = exceeded(row, row.get("caps") or {}, members(rosters.values(), _serves), held)
    if too_much:
        raise FaultFailed(f"CAPS_EXCEEDED: {row['activity']}: since it was planned, others have gone: {'; '.join(too_much)}; nothing was injected")


def refuse_protected(row: Json, folder: Path) -> dict[str, Json]:
    """The rosters of a row as they are now, by path. Raises FaultFailed where one is another target's, or holds what must not be touched."""
    environment = state.read_json(folder / state.SPEC).get("environment") or {}
    rosters = rosters_of(row)
    identities = set((environment.get("identity") or {}).values())
    for path, roster in rosters.items():
        if identities and roster["identity"] not in identities:
            raise FaultFailed(f"TARGETS_CHANGED: {row['activity']}: {path} belongs to {roster['identity']} now, not to environment {environment.get('name')}")
    if found := protection.refusals(row["targets"], rosters, environment):
        raise FaultFailed(f"PROTECTED: {row['activity']}: {'; '.join(found)}; it was left as it is")
    return rosters


def rosters_of(row: Json) -> dict[str, Json]:
    """The rosters of a row's targets as they are now, by path. Raises FaultFailed where one cannot be read."""
    found: dict[str, Json] = {}
    for path in sorted({str(target["data"]["roster"]) for target in row["targets"]}):
        try:
            found[path] = read_roster(path)
        except OSError as error:
            raise FaultFailed(f"TARGETS_CHANGED: {row['activity']}: its roster is gone ({error}); nothing was injected") from error
    return found


def _serves(one: Json) -> bool:
    """Ready as its roster says, and exactly that process runs."""
    try:
        return said_ready(one) and uid_alive(str(one["uid"]))
    except (KeyError, ValueError):
        return False
