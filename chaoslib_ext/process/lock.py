"""
The lock of local processes, kept in the target by their keeper, with a fencing token that their links are told of too.

`scope` is `{control, identity, roster}`: the keeper's socket, whose it is, and the roster that names the links.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import control, read_roster

KIND = "process.keeper"
CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond
RENEW_S = 0.5  # the supervisor must not be held up: its heartbeat is awaited
LINK_S = 5.0  # a link that has just been started again is there within a second

Json = dict[str, Any]


def offered(keeper: Json) -> bool:
    """Whether the keeper of a roster says that it keeps the lock."""
    return bool(keeper.get("control")) and keeper.get("locks") is True


def acquire(scope: Json, run: str, owner: Json) -> Json:
    """
    The lock as it is now: `{token, run, owner, age_s}`; ours when `run` is ours, and then every link knows the token.

    Raises FaultFailed when another sandbox answers or a link does not take the token, and OSError when the keeper does not answer.
    """
    try:
        found = _ask(scope, {"do": "acquire", "run": run, "owner": owner})
    except FaultFailed:
        found = _ask(scope, {"do": "holder"})
        if found.get("run") in (None, run):
            raise
    if found["run"] == run:
        _raise_fences(scope, int(found["token"]))
    return found


def renew(scope: Json, run: str, token: int) -> str:
    """Empty while the lock is still ours; else whose it is. Raises OSError when that cannot be told now."""
    try:
        _ask(scope, {"do": "renew", "run": run, "token": token}, RENEW_S)
        return ""
    except FaultFailed as error:
        return str(error)


def release(scope: Json, run: str) -> None:
    """Gives the lock back if `run` has it; with the keeper it is gone anyway. Raises OSError when the keeper does not answer."""
    try:
        _ask(scope, {"do": "release", "run": run})
    except (FileNotFoundError, ConnectionRefusedError, FaultFailed):
        return


def holder(scope: Json) -> Json:
    """The lock as it is now, as `acquire` gives it; `run` is None when it is free, or its keeper is gone. Raises OSError."""
    try:
        return _ask(scope, {"do": "holder"})
    except (FileNotFoundError, ConnectionRefusedError):
        return {"token": 0, "run": None}


def _ask(scope: Json, request: Json, timeout_s: float = CALL_S) -> Json:
    reply = control(scope["control"], {"op": "lock", **request}, timeout_s)
    if reply.get("identity") != scope["identity"]:
        raise FaultFailed(f"{scope['control']}: {reply.get('identity')} answers there now, expected {scope['identity']}")
    return dict(reply["lock"])


def _raise_fences(scope: Json, token: int) -> None:
    """From here on no link takes anything of a run that had the lock before."""
    deadline_s = time.monotonic() + LINK_S
    for path in _links(read_roster(scope["roster"])):
        while True:
            try:
                control(path, {"op": "fence", "fence": token}, CALL_S)
                break
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() >= deadline_s:
                    raise FaultFailed(f"{path}: this link does not take the token of the lock: {error}") from error
                time.sleep(0.05)  # it is just being started again


def _links(roster: Json) -> Iterator[str]:
    for links in (roster.get("links") or {}, (roster.get("store") or {}).get("links") or {}):
        yield from (str(link["control"]) for link in links.values())
