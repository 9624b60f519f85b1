"""
Where the http activities of a file may not go: the addresses at which clouds hand out credentials to whoever asks.

Looked at when a connection is made, not when the file is read: a redirect or a name that changes its address is no way around.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection
from types import FrameType
from typing import Any

_OWN = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"})  # AWS over IPv6, Alibaba, Azure, Oracle; most are link-local
_HTTP = "chaoslib.provider.http"


def off_limits(host: str) -> bool:
    """Whether an address is link-local, or one of the known places of credentials; a name that is no address is not."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_link_local or str(address) in _OWN


def keep_http_inside(hosts: Collection[str]) -> None:
    """From here on an http activity of this process cannot connect there, unless the environment's `hosts` name the address."""

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if event != "socket.connect" or not isinstance(details[1], tuple):
            return
        host = str(details[1][0])
        if off_limits(host) and host not in hosts and _by_http(sys._getframe(1)):
            raise PermissionError(f"{host} hands out credentials, and is not one of the environment's hosts; an http activity may not go there")

    sys.addaudithook(watch)


def _by_http(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == _HTTP:
            return True
        frame = frame.f_back
    return False
