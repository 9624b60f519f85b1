"""
Connections to the system under test, in place of geventhttpclient's pool.

Read in its source (2.6) and the reason for this file: HTTPClient resends idempotent requests up to `pool.size + 1`
times by itself; its pool loses a slot for good when a send is timed out; and its idle check (select) takes every
descriptor above 1023 for dead. Import `chaoslib_ext.load.client`, not this: Locust has to come first.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

OFF_LIMITS_TEXT = "is not one of the environment's hosts"
OWN_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_POLL: Callable[[], Any] = get_original("select", "poll")
_POLLIN = 1


class _Connections:
    """
    The connections of one host: idle ones are used in turn, without waiting and without a hidden second try.

    How many there are is bounded by the in-flight cap of the dispatcher. A connection is kept only once its
    answer was read to the end; one that still owes an answer is closed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: deque[Any] = deque()
        self.size = -1  # HTTPClient allows itself size + 1 resends: none

    def get_socket(self) -> Any:
        """An idle connection that is open and silent, else a new one. Raises OSError."""
        while self._idle:
            sock = self._idle.popleft()
            if _is_silent(sock):
                return sock
            sock.close()
        return self._create_socket()

    def return_socket(self, sock: Any) -> None:
        """Keeps a connection whose answer was read to its end."""
        self._idle.append(sock)

    def release_socket(self, sock: Any) -> None:
        """Closes a connection that may still owe an answer."""
        sock.close()

    def _create_socket(self) -> Any:
        try:
            return super()._create_socket()  # type: ignore[misc]
        except TimeoutError:
            raise
        except OSError as error:
            if error.errno in OWN_FAULT:
                raise
            # whatever broke before the connection stood (name, handshake, certificate) is "no connection"
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"no connection: {error}") from error

    def _resolve(self) -> Any:
        host, port = self._connection_host, self._connection_port  # type: ignore[attr-defined]
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return super()._resolve()  # type: ignore[misc]
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]  # spares a literal the resolver's thread pool


class _PlainConnections(_Connections, ConnectionPool):  # type: ignore[misc]
    """Connections over TCP."""


class _TlsConnections(_Connections, SSLConnectionPool):  # type: ignore[misc]
    """Connections over TLS; certificates are always checked."""


class ClientPool(HTTPClientPool):  # type: ignore[misc]
    """One HTTPClient for each host and port, with our connections; hosts that are off limits are refused here at the latest."""

    def __init__(self, allow: Callable[[str, int], bool]) -> None:
        super().__init__()
        self._allow = allow

    def get_client(self, url: Any) -> HTTPClient:
        """The client for this URL's host. Raises PermissionError when the host is off limits."""
        key = (url.host, url.port)
        client = self.clients.get(key)
        if client is None:
            if not self._allow(url.host, url.port):
                raise PermissionError(errno.EACCES, f"{url.host}:{url.port} {OFF_LIMITS_TEXT}")
            client = self.clients[key] = _http_client(url)
        return client


def _http_client(url: Any) -> HTTPClient:
    # no limit for each socket operation: the deadline of a step is a total
    limits: dict[str, Any] = {"connection_timeout": None, "network_timeout": None}
    where = (url.host, url.port, url.host, url.port)
    client = HTTPClient.from_url(url, **limits)
    if url.scheme == "https":
        tls = {"server_hostname": url.host}
        client._connection_pool = _TlsConnections(*where, insecure=False, ssl_context_factory=ssl.create_default_context, ssl_options=tls, **limits)
    else:
        client._connection_pool = _PlainConnections(*where, **limits)
    return client


def _is_silent(sock: Any) -> bool:
    if sock.fileno() < 0:
        return False
    poll = _POLL()
    poll.register(sock.fileno(), _POLLIN)
    return not poll.poll(0)  # readable while idle: closed by the other side, or bytes that nobody asked for
