"""
The fence of a link or of the keeper: the owners whose fault is over, of whom nothing is taken any more.

A request can be in flight while its fault is taken back, and land afterwards. Whoever takes a fault back therefore asks with
`"over": true`, and the answer's `"over"` says that the fence stands. It ends with the process, as all that it guards does.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext.sandbox.control import Declined, text_field


class Ended:
    """Owners that are over. There is one for each fault of a sandbox's life, a hundred bytes each, so none is ever forgotten."""

    def __init__(self) -> None:
        self._owners: set[str] = set()

    def note(self, request: dict[str, Any]) -> None:
        """Remembers the owner of a request that says it is over; before anything of that request can be declined."""
        if request.get("over") is True:
            self._owners.add(text_field(request, "owner"))

    def refuse(self, owner: str) -> None:
        """Raises Declined for an owner that is over."""
        if owner in self._owners:
            raise Declined(f"the fault of {owner} is over: nothing of it is taken any more")

    def told(self, request: dict[str, Any]) -> dict[str, Any]:
        """What an answer says of the fence: `over`, the owner whom this very request fenced out."""
        return {"over": request["owner"]} if request.get("over") is True else {}
