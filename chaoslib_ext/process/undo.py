"""
The way back from what a fault does to local processes: one function for each handler of the ledger.

Each makes one attempt: it reads, strips only what is ours, and reads again. Undoing twice, or undoing what
never happened, changes nothing; what somebody else set meanwhile stays.
"""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Entry, Step
from chaoslib_ext.process import disk, tracer
from chaoslib_ext.process.client import alive, control, parse_uid, process_state, read_roster, signal_uid, uid_alive
from chaoslib_ext.process.store import continue_node, node_processes

AGAIN_S = 0.007  # chosen by feel: a handler of SIGCONT runs within it
CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond


def thaw(entry: Entry) -> Step:
    """Continues a frozen process, if exactly that incarnation still runs; proven by its state, read again."""
    pid = parse_uid(entry.target.uid)[1]
    if not uid_alive(entry.target.uid) or not signal_uid(entry.target.uid, signal.SIGCONT):
        return Step("GONE", "that incarnation has ended")
    return Step("UNDONE") if _goes_on(pid) else Step("RETRY", "still stopped after SIGCONT")


def _goes_on(pid: int) -> bool:
    """Whether a process is not stopped, and is not stopped again at once by somebody else."""
    for _ in range(3):
        if process_state(pid) in ("T", "t"):
            return False
        time.sleep(AGAIN_S)  # whoever stops it again needs a moment to notice
    return True


def open_link(entry: Entry) -> Step:
    """Clears a zone's link if the owner on it is ours; proven by its status, read again."""

    def owner_and_mode() -> tuple[Any, Any]:
        status = _ask(entry, {"op": "status"})
        return status.get("owner"), status.get("mode")

    return _strip(entry, owner_and_mode, {"op": "clear", "owner": entry.ours["owner"], "over": True}, "pass")


def release_zone(entry: Entry) -> Step:
    """Lets the keeper restart the replicas of a zone, if the hold is ours; proven by its status, read again."""

    def holder() -> tuple[Any, Any]:
        zones = _ask(entry, {"op": "status"}).get("zones", {})
        return zones.get(entry.ours["zone"], {}).get("held_by"), None

    return _strip(entry, holder, {"op": "release", "zone": entry.ours["zone"], "owner": entry.ours["owner"], "over": True}, None)


def thaw_store(entry: Entry) -> Step:
    """
    Continues a frozen node of the store; one that lost its primacy meanwhile is brought back as a standby.

    That is the failover controller's work, asked for here and waited for; proven by its status, read again.
    """
    if not continue_node(entry.ours["folder"]):
        return Step("RETRY", "still stopped after SIGCONT")
    return _in_its_role(entry, lambda: True)


def empty_disk(entry: Entry) -> Step:
    """
    Removes the ballast from a node's disk, if it is ours; a node that did not survive a full disk is brought back as a standby.

    Proven by the folder, read again, and by the node, which must be able to write to its disk. A disk that stays full of
    somebody else's files is told.
    """
    try:
        problem = disk.empty(entry.ours["disk"], entry.ours["file"], entry.ours["owner"])
    except disk.DiskGone as error:
        return Step("GONE", str(error))
    except FaultFailed as error:
        return Step("CONFLICT", str(error))
    return Step("CONFLICT", problem) if problem else _in_its_role(entry, lambda: _has_room(entry))


def end_tracer(entry: Entry) -> Step:
    """Ends what slows down a node's disk, our strace and no other; proven by there being none, and nobody that still stands still for it."""
    if not tracer.end(entry.ours["owner"]):
        return Step("RETRY", "the tracer does not end")
    held = tracer.still_held(entry.ours["folder"])
    return Step("RETRY", f"processes stand still though nobody follows them: {held}") if held else Step("UNDONE")


def _has_room(entry: Entry) -> bool:
    """Whether the node, asked by the store's health service, writes to its disk."""
    host, port = entry.ours["health"]
    connection = http.client.HTTPConnection(host, port, timeout=CALL_S)
    try:
        connection.request("GET", f"/node/{entry.ours['node']}/room/{CALL_S * 1000:g}")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _in_its_role(entry: Entry, well: Callable[[], bool]) -> Step:
    """Whether a node is a primary or a standby, and well; where it is neither or has ended, the failover controller is asked to bring it back."""
    node, controller = entry.ours["node"], entry.ours["controller"]
    try:
        status = control(controller, {"op": "status"}, CALL_S)
        if status.get("identity") != entry.target.identity:
            return Step("GONE", f"{status.get('identity')} answers there now")
        if status["nodes"].get(node) in ("primary", "standby"):
            if well():
                return Step("UNDONE")
            if node_processes(entry.ours["folder"]):
                return Step("RETRY", f"{node} cannot write yet")
        control(controller, {"op": "rejoin", "node": node}, CALL_S)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        return Step("GONE", f"nobody answers there any more ({error})") if _keeper_gone(entry) else Step("RETRY", str(error))
    except FaultFailed as error:
        return Step("RETRY", str(error))  # it is busy with just that, or with the failover
    return Step("RETRY", f"{node} is being brought back as a standby")


class _OtherIdentity(Exception):
    """Another sandbox answers where ours was: what we changed has gone with ours."""


def _ask(entry: Entry, request: dict[str, Any]) -> dict[str, Any]:
    reply = control(entry.ours["control"], request, CALL_S)
    if reply.get("identity") != entry.target.identity:
        raise _OtherIdentity(f"{reply.get('identity')} answers there now")
    return reply


def _strip(entry: Entry, look: Callable[[], tuple[Any, Any]], undo: dict[str, Any], clean_mode: Any) -> Step:
    try:
        look()  # first, so that nothing is asked of another sandbox
        fenced = _end(entry, undo)
        owner, mode = look()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        gone = not _runs_on(entry) and _keeper_gone(entry)
        return Step("GONE", f"nobody answers there any more ({error})") if gone else Step("RETRY", str(error))
    except _OtherIdentity as error:
        return Step("GONE", str(error))
    except FaultFailed as error:
        return Step("RETRY", str(error))
    if owner is None:
        return Step("UNDONE", "", fenced) if mode == clean_mode else Step("CONFLICT", f"nobody owns it, but its mode is {mode}, not {clean_mode}")
    if owner == entry.ours["owner"]:
        return Step("RETRY", "still in force after it was taken back")
    return Step("CONFLICT", f"it belongs to {owner} now")


def _end(entry: Entry, undo: dict[str, Any]) -> bool:
    """
    Takes back what is ours, if anything is, and fences out its owner: a request in flight must not land later.

    Whether the fence is confirmed. Where it is refused, it belongs to somebody else, and the next look says to whom.
    """
    try:
        return bool(_ask(entry, undo).get("over") == entry.ours["owner"])
    except FaultFailed:
        return False


def _runs_on(entry: Entry) -> bool:
    """Whether the process that holds what we changed still runs though nobody answers: a socket can lose its name, and get it back."""
    try:
        if uid_alive(entry.target.uid):
            return True
    except ValueError:  # a zone is no process; its keeper is
        pass
    try:
        roster = read_roster(Path(entry.ours["marker"]).parents[1] / "roster.json")
        return bool(roster["identity"] == entry.target.identity and alive(roster["keeper"]["pid"], roster["keeper"]["start_ticks"]))
    except (OSError, FaultFailed, KeyError, TypeError, IndexError):
        return False


def _keeper_gone(entry: Entry) -> bool:
    """Whether the keeper has ended too: a link or a hold lives in memory and ends with it."""
    try:
        return control(entry.ours.get("keeper", entry.ours["control"]), {"op": "status"}, CALL_S).get("identity") != entry.target.identity
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except (OSError, FaultFailed):
        return False
