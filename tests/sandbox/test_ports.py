"""A reserved port is nobody else's, refuses, and can be listened on again and again."""

from __future__ import annotations

import contextlib
import socket

import pytest

from chaoslib_ext.sandbox.ports import listener, reserve


def test_a_reserved_port_refuses_until_it_is_listened_on_and_again_afterwards() -> None:
    with contextlib.closing(reserve()) as reserved:
        address = reserved.getsockname()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, 5.0)
            with contextlib.closing(listener(address[1])) as bound:
                bound.listen()
                socket.create_connection(address, 5.0).close()


def test_a_reserved_port_is_not_handed_out_again() -> None:
    with contextlib.closing(reserve()) as reserved, contextlib.ExitStack() as stack:
        others = [stack.enter_context(contextlib.closing(reserve())) for _ in range(200)]
        assert reserved.getsockname() not in [other.getsockname() for other in others]


def test_a_listener_names_its_protocol_so_that_asyncio_turns_nagle_off() -> None:
    with contextlib.closing(listener(0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP
