"""A relay loses no byte, whichever of its sides is connected first."""

from __future__ import annotations

import asyncio

from chaoslib_ext.sandbox.relay import Mode, Relay, Side


async def _relayed() -> bytes:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    relay = Relay(Mode(), server.sockets[0].getsockname()[1], lambda _: None)
    near = Side(relay, 0)
    near.data_received(b"first")  # before anybody is connected, as an early transport may do it
    listening = await asyncio.get_running_loop().create_server(lambda: near, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        return await asyncio.wait_for(heard, 30.0)
    finally:
        writer.close()
        listening.close()
        server.close()


def test_bytes_that_come_before_the_far_side_is_connected_are_carried_once_it_is() -> None:
    assert asyncio.run(_relayed()) == b"first"
