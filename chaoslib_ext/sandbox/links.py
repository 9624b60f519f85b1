"""
The link of one zone: a TCP proxy in front of its replicas that can be told to pass, to swallow or to delay.

`python -m chaoslib_ext.sandbox.links '{"parent", "zone", "identity", "control", "routes": [[port, replica port]], "enforced"}'`.
A link belongs to whoever set it until they clear it; nobody else changes it meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

from chaoslib_ext.sandbox.control import Declined, serve, text_field
from chaoslib_ext.sandbox.ended import Ended
from chaoslib_ext.sandbox.launch import die_with
from chaoslib_ext.sandbox.lock_box import refuse_below
from chaoslib_ext.sandbox.ports import listener
from chaoslib_ext.sandbox.relay import Mode, Relay, Side

MODES = ("pass", "swallow", "delay")
_LONGEST_DELAY_MS = 60_000.0


class Link:
    """The mode of a zone's link, its owner, and the connections it applies to."""

    def __init__(self, zone: str, enforced: bool) -> None:
        self._zone = zone
        self._enforced = enforced
        self._told = ("pass", 0.0)
        self._owner: str | None = None
        self._fence = 0  # the highest token seen: what carries a lower one comes from a run that is over
        self._ended = Ended()
        self._mode = Mode()
        self._relays: set[Relay] = set()

    def connection(self, port: int) -> Side:
        """The near side of a new connection to the replica at `port`."""
        relay = Relay(self._mode, port, self._relays.discard)
        self._relays.add(relay)
        return Side(relay, 0)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does one control request. Raises Declined for what is not allowed or not known."""
        match request.get("op"):
            case "status":
                pass
            case "fence":
                self._fence = refuse_below(request, self._fence)
            case "set":
                self._fence = refuse_below(request, self._fence)
                self._ended.refuse(text_field(request, "owner"))
                self._claim(text_field(request, "owner"))
                self._apply(*wanted(request))
                self._owner = text_field(request, "owner")
            case "clear":
                self._ended.note(request)
                self._claim(text_field(request, "owner"))
                self._apply("pass", 0.0)
                self._owner = None
            case other:
                raise Declined(f"op: got {other!r}, expected status, fence, set or clear")
        return {"zone": self._zone, "mode": self._told[0], "delay_ms": self._told[1], "owner": self._owner, **self._ended.told(request)}

    def _claim(self, owner: str) -> None:
        if self._owner not in (None, owner):
            raise Declined(f"the link of zone {self._zone} belongs to {self._owner}")

    def _apply(self, mode: str, delay_ms: float) -> None:
        self._told = (mode, delay_ms)
        if self._enforced:
            self._mode.swallow = mode == "swallow"
            self._mode.delay_s = delay_ms / 1000.0
        for relay in list(self._relays):
            relay.refresh()


def wanted(request: dict[str, Any]) -> tuple[str, float]:
    mode, delay_ms = request.get("mode"), request.get("delay_ms") or 0
    if mode not in MODES:
        raise Declined(f"mode: got {mode!r}, expected {', '.join(MODES)}")
    if isinstance(delay_ms, bool) or not isinstance(delay_ms, int | float) or not 0 <= delay_ms <= _LONGEST_DELAY_MS:
        raise Declined(f"delay_ms: got {delay_ms!r}, expected milliseconds from 0 to {_LONGEST_DELAY_MS:g}")
    if mode == "delay" and not delay_ms:
        raise Declined("delay_ms: missing, expected the milliseconds that each way takes longer")
    return mode, float(delay_ms) if mode == "delay" else 0.0


async def _listen(link: Link, port: int, replica: int) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: link.connection(replica), sock=listener(port), backlog=1024)


async def _run(settings: dict[str, Any]) -> None:
    link = Link(settings["zone"], settings["enforced"])
    listeners = [await _listen(link, port, replica) for port, replica in settings["routes"]]
    listeners.append(await serve(settings["control"], settings["identity"], link.answer))
    await asyncio.gather(*(listener.serve_forever() for listener in listeners))


def main() -> None:
    """Serves until it is killed, or until the keeper is gone."""
    settings = json.loads(sys.argv[1])
    die_with(settings["parent"])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # while it swallows, every retry is one more held connection
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
