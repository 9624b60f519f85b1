"""Ports of the loopback: reserved for the life of a sandbox, listened on by one incarnation after another."""

from __future__ import annotations

import socket


def reserve() -> socket.socket:
    """
    A port that is ours until the socket is closed: bound, but not listening.

    Connections to it are refused, and `listener` may bind it again and again: both set SO_REUSEADDR.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def listener(port: int) -> socket.socket:
    """
    A socket bound to a reserved port, to be listened on by asyncio. Raises OSError when it is taken.

    The protocol is named because asyncio turns Nagle's algorithm off only then; with it, the second of two
    small answers waits 40 ms for an acknowledgement.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
