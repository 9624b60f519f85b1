"""
The lock of a sandbox, kept by its keeper in one file beside the markers: whose the sandbox is, and the fencing token.

The token grows with every acquire and never goes back. The lock has no expiry: it is given back by its run, or by
whoever has recovered that run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.sandbox.control import Declined, text_field

FILE = "lock.json"

Json = dict[str, Any]


class LockBox:
    """The lock of one sandbox; what lies on disk already is known again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        found = state.read_json(self._path)
        self.token = int(found.get("token") or 0)
        self._held: Json | None = found.get("held")

    def answer(self, request: Json) -> Json:
        """Does one request: acquire, renew, release or holder. Raises Declined for what is not allowed or not known."""
        match request.get("do"):
            case "acquire":
                self._acquire(text_field(request, "run"), request.get("owner"))
            case "renew":
                self._mine(request)["renewed_ns"] = boot_ns()
            case "release":
                self._release(text_field(request, "run"))
            case "holder":
                pass
            case other:
                raise Declined(f"do: got {other!r}, expected acquire, renew, release or holder")
        return {"lock": self._told()}

    def check(self, request: Json) -> None:
        """Raises Declined for a mutation of a run that had the lock before; one without a fence is nobody's run."""
        refuse_below(request, self.token)

    def _told(self) -> Json:
        held = self._held
        if held is None:
            return {"token": self.token, "run": None}
        age_s = max(0, boot_ns() - held["renewed_ns"]) / NS
        return {"token": self.token, "run": held["run"], "owner": held["owner"], "age_s": round(age_s, 3)}

    def _acquire(self, run: str, owner: object) -> None:
        if self._held is not None and self._held["run"] == run:
            return  # the answer to its first request was lost
        if self._held is not None:
            raise Declined(f"run {self._held['run']} holds this sandbox")
        if not isinstance(owner, dict):
            raise Declined(f"owner: got {owner!r}, expected the process that holds the lock")
        self._write(self.token + 1, {"run": run, "owner": owner, "renewed_ns": boot_ns()})

    def _mine(self, request: Json) -> Json:
        run, token = text_field(request, "run"), request.get("token")
        if self._held is None or self._held["run"] != run or self.token != token:
            raise Declined(f"the lock is not {run}'s any more: {self._held['run'] if self._held else 'nobody'} holds this sandbox, token {self.token}")
        return self._held

    def _release(self, run: str) -> None:
        if self._held is not None and self._held["run"] == run:
            self._write(self.token, None)

    def _write(self, token: int, held: Json | None) -> None:
        state.write_json(self._path, {"token": token, "held": held})  # durable before anybody is told
        self.token, self._held = token, held


def refuse_below(request: Json, highest: int) -> int:
    """The higher of a request's fence and the highest one seen. Raises Declined when the request's is lower, or no number."""
    fence = request.get("fence")
    if fence is None:
        return highest
    if isinstance(fence, bool) or not isinstance(fence, int):
        raise Declined(f"fence: got {fence!r}, expected a fencing token")
    if fence < highest:
        raise Declined(f"fence: got {fence}, which is over: token {highest} was given out since")
    return fence
