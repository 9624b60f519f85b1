"""
The fuse of local processes: the keeper, which outlives whoever injects, holds the way back of a fault and when it is due.

One record for each keeper: `{v, run, fault, owner, marker, parts, expires_ns}`, the parts as in the ledger. All functions
work on plain data, so that whoever heals needs nothing but the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import control

KIND = "process.keeper"
CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond

Json = dict[str, Any]


def digest(record: Json) -> str:
    """What makes a record the same record: SHA-256 over its canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def offered(keeper: Json) -> bool:
    """Whether the keeper of a roster says that it holds fuses."""
    return bool(keeper.get("control")) and keeper.get("fuses") is True


def arm(row: Json, owner: str, parts: Sequence[Json], expires_ns: int) -> Json:
    """
    Hands the undo of a fault to the keepers of its targets, and returns the reference by which they find it again.

    `parts` are `{handler, target, ours, prior}`; armed again by the same owner, the record is replaced. Raises
    FaultFailed when a keeper refuses or is another sandbox's, and OSError when it does not answer.
    """
    keepers = {str(Path(one["data"]["roster"]).parent): (one["data"]["keeper"], one["identity"]) for one in row["targets"]}
    by_marker: dict[str, list[Json]] = {}
    for part in parts:
        by_marker.setdefault(part["ours"]["marker"], []).append(part)
    made = []
    for marker, undos in by_marker.items():
        path, identity = keepers[str(Path(marker).parent.parent)]
        about = {"v": 1, "run": owner.removesuffix(f"--{row['activity']}"), "fault": row["activity"], "owner": owner, "marker": marker}
        record = {**about, "parts": undos, "expires_ns": expires_ns}
        place = {"control": path, "identity": identity, "name": Path(marker).name, "sha256": digest(record)}
        made.append(place)
        try:
            _ask(place, {"do": "arm", "record": record})
        except (OSError, FaultFailed):
            with suppress(OSError):  # it may have been armed all the same; where that cannot be told, it fires harmlessly
                disarm({"owner": owner, "keepers": made})
            raise
    return {"owner": owner, "keepers": made}


def verify(ref: Json) -> int:
    """
    When the fuse fires, on the boot clock in nanoseconds, as the keepers read it back from their disk.

    Raises FaultFailed when one has no such fuse, or another than the one that was armed, and OSError when it does not answer.
    """
    found = []
    for place in ref["keepers"]:
        fuse = _ask(place, {"do": "look"}).get("fuse") or {}
        if fuse.get("sha256") != place["sha256"]:
            raise FaultFailed(f"{place['control']}: got {'another fuse' if fuse else 'no fuse'} under {place['name']}, expected the one that was armed")
        found.append(int(fuse["expires_ns"]))
    return min(found)


def disarm(ref: Json) -> None:
    """Takes the fuse out; one that is gone, with its keeper or without, is fine. Raises OSError when a keeper does not answer, or refuses."""
    for place in ref["keepers"]:
        try:
            _take_out(place)
        except (FileNotFoundError, ConnectionRefusedError):
            continue  # the keeper has ended, and its fuses with it


def _take_out(place: Json) -> None:
    try:
        control(place["control"], {"op": "fuse", "do": "disarm", "name": place["name"], "identity": place["identity"]}, CALL_S)
    except FaultFailed as error:
        if control(place["control"], {"op": "status"}, CALL_S).get("identity") == place["identity"]:
            raise OSError(f"{place['control']}: the fuse {place['name']} was not taken out: {error}") from error
        # else another sandbox answers there now: ours has gone with its keeper


def found(folder: Path, keeper: str, identity: str) -> list[tuple[Json, Json]]:
    """The fuses in the folder of a roster: each record, and the reference by which it is taken out."""
    records = [(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in sorted((folder / "fuses").glob("*.json"))]
    return [
        (one, {"owner": one["owner"], "keepers": [{"control": keeper, "identity": identity, "name": name, "sha256": digest(one)}]}) for name, one in records
    ]


def _ask(place: Json, request: Json) -> Json:
    reply = control(place["control"], {"op": "fuse", "name": place["name"], "identity": place["identity"], **request}, CALL_S)
    if reply.get("identity") != place["identity"]:
        raise FaultFailed(f"{place['control']}: {reply.get('identity')} answers there now, expected {place['identity']}")
    return reply
