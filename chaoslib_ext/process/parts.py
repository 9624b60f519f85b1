"""
What a fault does to local processes, part by part: each with its undo record, its last check and its one mutation.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Target
from chaoslib_ext.process.client import NOT_DONE, control, parse_uid, process_state, read_roster, signal_uid, uid, uid_alive

CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond


@dataclass(frozen=True, slots=True)
class Part:
    """
    One mutation of one target.

    `check` raises FaultFailed when the target is not the planned one any more. `mutate` raises FaultFailed when
    it was definitely not done, and OSError when nobody knows.
    """

    handler: str
    target: Target
    ours: dict[str, Any]
    prior: dict[str, Any]
    kind: str
    check: Callable[[], None]
    mutate: Callable[[], None]


def parts(row: dict[str, Any], owner: str, marker: Callable[[Path], Path]) -> list[Part]:
    """
    The parts of a plan row, in the order in which they are done.

    `owner` is the mark on links and zones; `marker` gives the path of the marker file for the folder of a roster.
    """
    how, made = row["how"], []
    for target in row["targets"]:
        if target["kind"] == "replica" and how == "isolate":
            continue  # cut off by its link; nothing is done to the process itself
        if target["kind"] in ("store-link", "store-node"):
            from chaoslib_ext.process.store_parts import store_part  # it needs what is above

            made.append(store_part(target, how, owner, str(marker(Path(target["data"]["roster"]).parent))))
            continue
        make = {"link": _swallow, "zone": _hold}.get(target["kind"], _freeze if how == "silent" else _kill)
        made.append(make(target, owner, str(marker(Path(target["data"]["roster"]).parent))))
    return made


def record(target: dict[str, Any]) -> Target:
    """A planned target as the ledger records it."""
    return Target(target["platform"], target["identity"], target["kind"], target["ns"], target["name"], target["uid"])


def changed(target: dict[str, Any], what: str) -> FaultFailed:
    """What to raise when a target is not the planned one any more."""
    return FaultFailed(f"TARGETS_CHANGED: {target['name']}: {what}; planned was {target['uid']}; plan again")


def roster_of(target: dict[str, Any]) -> dict[str, Any]:
    """The roster that a target was planned from, as it is now. Raises FaultFailed when it is gone or another sandbox's."""
    try:
        roster = read_roster(target["data"]["roster"])
    except OSError as error:
        raise changed(target, f"its roster is gone ({error})") from error
    if roster["identity"] != target["identity"]:
        raise changed(target, f"the target is {roster['identity']} now, not {target['identity']}")
    return roster


def _check_replica(target: dict[str, Any]) -> None:
    found = next((one for one in roster_of(target)["replicas"] if one["name"] == target["name"]), None)
    if found is None or found["uid"] != target["uid"] or not uid_alive(target["uid"]):
        raise changed(target, "it is not there any more" if found is None else f"it is {found['uid']} now")


def _check_link(target: dict[str, Any]) -> None:
    link = roster_of(target)["links"].get(target["zone"])
    if link is None or (link.get("pid") and target["uid"] != uid(link["pid"], link["start_ticks"])):
        raise changed(target, "the link was restarted")


def _freeze(target: dict[str, Any], _owner: str, marker: str) -> Part:
    def stop() -> None:
        if process_state(parse_uid(target["uid"])[1]) in ("T", "t"):
            raise FaultFailed(f"{target['name']}: somebody else has stopped this process already; it was left as it is")
        if not signal_uid(target["uid"], signal.SIGSTOP):
            raise changed(target, "it has ended")

    return Part("process.thaw", record(target), {"marker": marker}, {"stopped": False}, "held", lambda: _check_replica(target), stop)


def _kill(target: dict[str, Any], _owner: str, _marker: str) -> Part:
    def kill() -> None:
        if not signal_uid(target["uid"], signal.SIGKILL):
            raise changed(target, "it has ended")

    return Part("process.kill", record(target), {}, {}, "instant", lambda: _check_replica(target), kill)


def _ours(target: dict[str, Any], owner: str, marker: str) -> dict[str, Any]:
    return {"owner": owner, "zone": target["zone"], "control": target["data"]["control"], "keeper": target["data"]["keeper"], "marker": marker}


def _swallow(target: dict[str, Any], owner: str, marker: str) -> Part:
    def swallow() -> None:
        status = ask(target, {"op": "status"})
        if status.get("owner") is not None or status.get("mode") != "pass":
            raise FaultFailed(f"{target['name']}: it is set to {status.get('mode')} by {status.get('owner') or 'nobody'} already; it was left as it is")
        ask(target, {"op": "set", "mode": "swallow", "owner": owner, **fence(target)})

    prior = {"mode": "pass", "owner": None}
    return Part("process.open_link", record(target), _ours(target, owner, marker), prior, "held", lambda: _check_link(target), swallow)


def _hold(target: dict[str, Any], owner: str, marker: str) -> Part:
    def check() -> None:
        roster_of(target)

    def hold() -> None:
        ask(target, {"op": "hold", "zone": target["zone"], "owner": owner, **fence(target)})

    return Part("process.release_zone", record(target), _ours(target, owner, marker), {"held_by": None}, "held", check, hold)


def fence(target: dict[str, Any]) -> dict[str, Any]:
    """What a mutation of a target carries, so that it is refused once somebody else has the lock; an undo carries nothing."""
    return {"fence": target["data"]["fence"]} if "fence" in target["data"] else {}


def ask(target: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """A control request to a planned target; FaultFailed where it was definitely not done, OSError where nobody knows."""
    reply = told(target, target["data"]["control"], request)
    if reply.get("identity") != target["identity"]:
        raise changed(target, f"{reply.get('identity')} answers there now")
    return reply


def told(target: dict[str, Any], socket_path: str, request: dict[str, Any]) -> dict[str, Any]:
    """A control request about a planned target, to whoever it may be; FaultFailed and OSError as `ask`."""
    try:
        return control(socket_path, request, CALL_S)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise changed(target, f"nobody answers there ({error})") from error
    except NOT_DONE as error:
        raise FaultFailed(f"{target['name']}: {error}; nothing was changed") from error
