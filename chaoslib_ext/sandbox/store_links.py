"""
The replication links: one for each zone, through which its node gets the stream of whichever node is the primary.

`python -m chaoslib_ext.sandbox.store_links '{"parent", "identity", "base_ms", "enforced", "primary", "zones": {zone: {"port", "node", "control"}}}'`.
A stream crosses the links of both of its zones: it is cut when either is, and each adds its delay to the base. Links
belong to whoever set them, as those in front of the shop do. Whom the streams come from says the failover controller.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from chaoslib_ext.sandbox.control import Declined, serve, text_field
from chaoslib_ext.sandbox.ended import Ended
from chaoslib_ext.sandbox.launch import die_with
from chaoslib_ext.sandbox.links import wanted
from chaoslib_ext.sandbox.lock_box import refuse_below
from chaoslib_ext.sandbox.ports import listener
from chaoslib_ext.sandbox.relay import Mode, Relay, Side


class ZoneLink:
    """What one zone's link was told, and by whom."""

    def __init__(self) -> None:
        self.mode, self.delay_ms = "pass", 0.0
        self.owner: str | None = None
        self.fence, self.ended = 0, Ended()


class Stream:
    """One relayed connection: of the standby in `zone`, from the primary in `source`."""

    def __init__(self, zone: str, source: str, port: int, streams: set[Stream]) -> None:
        self.zone, self.source, self.mode = zone, source, Mode()
        self.relay = Relay(self.mode, port, lambda _: streams.discard(self))


class Links:
    """All links of the store and the streams in them."""

    def __init__(self, nodes: dict[str, int], primary: str, base_ms: float, enforced: bool) -> None:
        self._nodes, self._base_ms, self._enforced = nodes, base_ms, enforced
        self._links = {zone: ZoneLink() for zone in nodes}
        self._streams: set[Stream] = set()
        self._primary: str | None = primary

    def connection(self, zone: str) -> asyncio.Protocol:
        """The near side of a new connection from the standby of a zone; broken at once where there is no primary elsewhere."""
        if self._primary is None or self._primary == zone:
            return Refusal()
        stream = Stream(zone, self._primary, self._nodes[self._primary], self._streams)
        self._streams.add(stream)
        self._set_mode(stream)
        return Side(stream.relay, 0)

    def answer(self, zone: str, request: dict[str, Any]) -> dict[str, Any]:
        """Does one control request to the link of a zone. Raises Declined for what is not allowed or not known."""
        link = self._links[zone]
        match request.get("op"):
            case "status":
                pass
            case "fence":
                link.fence = refuse_below(request, link.fence)
            case "set":
                link.fence = refuse_below(request, link.fence)
                link.ended.refuse(text_field(request, "owner"))
                self._set(zone, text_field(request, "owner"), *wanted(request))
            case "clear":
                link.ended.note(request)
                self._set(zone, text_field(request, "owner"), "pass", 0.0)
                link.owner = None
            case "drop":  # what is on the wire is lost, as with a machine that dies; nothing stays changed
                self._drop(zone)
            case "primary":
                self._follow(request.get("zone"))
            case other:
                raise Declined(f"op: got {other!r}, expected status, fence, set, clear, drop or primary")
        told = {"zone": zone, "mode": link.mode, "delay_ms": link.delay_ms, "owner": link.owner}
        return {**told, **link.ended.told(request), "base_ms": self._base_ms, "primary": self._primary}

    def _set(self, zone: str, owner: str, mode: str, delay_ms: float) -> None:
        link = self._links[zone]
        if link.owner not in (None, owner):
            raise Declined(f"the replication link of zone {zone} belongs to {link.owner}")
        link.mode, link.delay_ms, link.owner = mode, delay_ms, owner
        for stream in list(self._streams):
            self._set_mode(stream)
            stream.relay.refresh()

    def _set_mode(self, stream: Stream) -> None:
        ends = [self._links[stream.zone], self._links[stream.source]] if self._enforced else []
        stream.mode.swallow = any(link.mode == "swallow" for link in ends)
        stream.mode.delay_s = (self._base_ms + sum(link.delay_ms for link in ends)) / 1000.0

    def _drop(self, zone: str) -> None:
        for stream in list(self._streams):
            if zone in (stream.zone, stream.source):
                stream.relay.abort()

    def _follow(self, zone: object) -> None:
        if zone is not None and zone not in self._nodes:
            raise Declined(f"zone: got {zone!r}, expected {', '.join(self._nodes)} or null")
        if zone != self._primary:
            self._primary = str(zone) if zone is not None else None
            for stream in list(self._streams):
                stream.relay.abort()


class Refusal(asyncio.Protocol):
    """A connection that is broken as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Breaks it."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


async def _run(settings: dict[str, Any]) -> None:
    zones, loop = settings["zones"], asyncio.get_running_loop()
    links = Links({zone: place["node"] for zone, place in zones.items()}, settings["primary"], settings["base_ms"], settings["enforced"])
    servers = []
    for zone, place in zones.items():
        servers.append(await loop.create_server(lambda zone=zone: links.connection(zone), sock=listener(place["port"]), backlog=128))  # type: ignore[misc]
        servers.append(await serve(place["control"], settings["identity"], lambda request, zone=zone: links.answer(zone, request)))  # type: ignore[misc]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Serves until it is killed, or until the keeper is gone."""
    settings = json.loads(sys.argv[1])
    die_with(settings["parent"])
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
