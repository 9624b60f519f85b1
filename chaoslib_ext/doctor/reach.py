"""Whether a fault in local processes could be taken back from here: undoing is what must work, so it is looked at first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from chaoslib_ext.doctor.check import Check
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import control

CALL_S = 2.0  # one question to a control socket; on one machine it takes a millisecond

Json = dict[str, Any]


def reachable(name: str, roster: Json) -> Iterator[Check]:
    """One check for an environment: every control socket answers to us, and every process is ours to signal."""
    trouble = [*_silent(roster), *_foreign(roster)]
    good = f"{len(_sockets(roster))} control sockets answer, {len(_pids(roster))} processes can be signalled"
    mend = "run chaosx as the user who owns these processes, and look whether they run" if trouble else ""
    yield Check(f"undo in {name}", "missing" if trouble else "ok", "; ".join(trouble[:5]) or good, mend)


def _sockets(roster: Json) -> list[str]:
    store = roster.get("store") or {}
    holders = [roster.get("keeper") or {}, *(roster.get("links") or {}).values(), *(store.get("links") or {}).values()]
    return [str(one["control"]) for one in holders if one.get("control")]


def _pids(roster: Json) -> list[int]:
    return [int(one["pid"]) for one in roster["replicas"] if one.get("pid")]


def _silent(roster: Json) -> Iterator[str]:
    for path in _sockets(roster):
        try:
            control(path, {"op": "status"}, CALL_S)
        except (OSError, FaultFailed) as error:
            yield f"{path} does not answer ({error})"


def _foreign(roster: Json) -> Iterator[str]:
    for pid in _pids(roster):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue  # it is just being replaced
        except PermissionError:
            yield f"process {pid} belongs to somebody else"
