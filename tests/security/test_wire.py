"""What our own requests reach, and how much of an answer they take: hosts, redirects, metadata addresses, slow and endless answers (S11 to S13, S27)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.clock import NS
from chaoslib_ext.errors import NoData
from chaoslib_ext.load.spec import Hosts
from chaoslib_ext.prober.looking import Looker
from chaoslib_ext.process.client import control
from chaoslib_ext.runner.fence import off_limits
from chaoslib_ext.sources.prometheus import Prometheus

METADATA = [
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[fd00:ec2::254]",
    "metadata.google.internal",
]


@pytest.mark.parametrize(
    "host", [*METADATA, "127.0.0.1.nip.io", "localhost", "[::1]", "127.0.0.2", "127.0.0.1@169.254.169.254", "shop:80@evil", "evil#127.0.0.1", "", "SHOP.evil"]
)
@pytest.mark.parametrize("scheme", ["http", "https", "file", "ftp", "gopher", "javascript"])
def test_s11_and_s27_load_goes_to_the_named_hosts_and_nowhere_else(host: str, scheme: str) -> None:
    assert not Hosts(frozenset({"127.0.0.1", "shop"})).allow(f"{scheme}://{host}/latest/meta-data/")


def test_s11_the_named_hosts_are_allowed() -> None:
    hosts = Hosts(frozenset({"127.0.0.1", "shop:81"}))
    assert hosts.allow("http://127.0.0.1:8080/x") and hosts.allow("http://SHOP:81/") and not hosts.allow("http://shop:82/")


OFF = ["169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200"]


@pytest.mark.parametrize("host", [*OFF, "127.0.0.1", "10.0.0.1", "shop.example.com", "", "::1"])
def test_s11_addresses_that_hand_out_credentials_are_known_however_they_are_written(host: str) -> None:
    assert off_limits(host) is (host in OFF)


class Server:
    """Answers every connection on loopback with what a function of its socket does; counts them."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer, self.connections = answer, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            self._answer(connection)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Server]]:
    made: list[Server] = []

    def start(answer: Callable[[socket.socket], None]) -> Server:
        made.append(Server(answer))
        return made[-1]

    yield start
    for one in made:
        one.close()


def drip(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)  # the slowness itself


def flood(connection: socket.socket) -> None:
    """An answer that never ends, as fast as it is taken."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 1_000_000)


Serve = Callable[[Callable[[socket.socket], None]], Server]


@pytest.mark.parametrize("answer", [drip, flood], ids=["a byte at a time", "ten gigabytes"])
def test_s13_prometheus_is_given_up_after_its_time_or_its_bytes(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    with pytest.raises(NoData):
        Prometheus(f"http://127.0.0.1:{serve(answer).port}", 1.0).instant("up", 0.0)


@pytest.mark.parametrize("answer", [drip, flood], ids=["a byte at a time", "ten gigabytes"])
def test_s13_a_look_from_outside_ends_with_its_limit(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    looker = Looker(0)
    looker.send("x", ("127.0.0.1", serve(answer).port), "/", NS // 2)
    ended: list[Any] = []
    deadline = time.monotonic() + 60
    while not ended and time.monotonic() < deadline:
        ended, _ = looker.poll(0.1)
    assert len(ended) == 1


@pytest.mark.parametrize("answer", [b"x" * 3_000_000, b'{"a":' * 200_000 + b"\n", b"\xff\xfe\n", b"[1]\n"], ids=["endless", "deep", "no text", "a list"])
def test_s13_and_s30_a_control_socket_that_answers_nonsense_is_an_error_like_any_other(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def reply() -> None:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        with pytest.raises(OSError):
            control(path, {"op": "status"}, 20.0)
        thread.join(60)


FETCH = """
import json, sys
from chaoslib.provider.http import run_http_activity
from chaoslib_ext.runner.fence import keep_http_inside
keep_http_inside(json.loads(sys.argv[2]))
try:
    run_http_activity({"provider": {"type": "http", "url": sys.argv[1], "timeout": 3}}, {}, {})
    print("reached")
except Exception as error:
    print(error)
"""


def fetched(url: str, hosts: list[str]) -> str:
    """What an http activity of Chaos Toolkit says when it is sent to an address, in a process like the method child."""
    argv = [sys.executable, "-c", FETCH, url, json.dumps(hosts)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xA9FEA9FE/", "http://[fd00:ec2::254]/"]
)
def test_s11_an_http_activity_does_not_reach_where_credentials_are_handed_out(url: str) -> None:
    assert "hands out credentials" in fetched(url, ["127.0.0.1"])


def test_s12_a_redirect_does_not_lead_there_either(serve: Serve) -> None:
    server = serve(lambda connection: connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"))
    assert "hands out credentials" in fetched(f"http://127.0.0.1:{server.port}/", [])


def test_s11_an_http_activity_reaches_everything_else(serve: Serve) -> None:
    server = serve(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert fetched(f"http://127.0.0.1:{server.port}/", []) == "reached\n"


def test_s11_an_environment_may_name_such_an_address() -> None:
    assert "hands out credentials" not in fetched("http://169.254.169.254/", ["169.254.169.254"])


def test_s12_prometheus_is_not_followed_elsewhere(serve: Serve) -> None:
    other = serve(lambda connection: None)
    answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(NoData, match="302"):
        Prometheus(f"http://127.0.0.1:{serve(lambda connection: connection.sendall(answer)).port}", 5.0).instant("up", 0.0)
    assert other.connections == 0
    assert http.client.responses[302]
