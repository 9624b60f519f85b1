"""S27: not one connection goes to a host that the environment does not name, whoever asks for it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load_rig import LoadChild, Server, profile, step

from chaoslib_ext.load.spec import Hosts
from chaoslib_ext.timeline import Outcome

Start = Callable[..., LoadChild]


class Trap:
    """A listener that nobody may reach; the kernel keeps every connection that is made, whether or not anything is sent on it."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])

    def caught(self) -> int:
        number = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
                number += 1
        return number


@pytest.fixture
def trap() -> Iterator[Trap]:
    one = Trap()
    yield one
    one.socket.close()


def test_the_trap_catches_a_connection(trap: Trap) -> None:
    with socket.create_connection(("127.0.0.1", trap.port)):
        assert trap.caught() == 1
    assert trap.caught() == 0


@pytest.mark.parametrize("hosts", [["elsewhere.example"], ["127.0.0.1:1"], ["localhost"], []])
def test_a_service_that_is_not_allowed_is_never_connected_to(trap: Trap, child: Start, hosts: list[str]) -> None:
    assert child(f"http://127.0.0.1:{trap.port}", hosts=hosts, profile=profile([step("GET /x")])).process.wait(30) == 2
    assert trap.caught() == 0


def test_another_name_that_resolves_to_an_allowed_address_is_not_that_host(trap: Trap, child: Start) -> None:
    assert child(f"http://localhost:{trap.port}", hosts=["127.0.0.1"], profile=profile([step("GET /x")])).process.wait(30) == 2
    assert trap.caught() == 0


def test_no_redirect_leads_to_it(server: Server, trap: Trap, child: Start) -> None:
    steps = [[step(f"GET /redirect?to={to}")] for to in (f"http://127.0.0.1:{trap.port}/x", f"//127.0.0.1:{trap.port}/x", f"http://localhost:{trap.port}/")]
    found = child(server.url, hosts=[f"127.0.0.1:{server.port}"], profile=profile(*steps)).run(40)
    assert found.outcomes("step") == {Outcome.OFF_LIMITS: found.meta["released"]}
    assert trap.caught() == 0


LOCUSTFILE = """
import requests
import socket
import urllib.request
from locust import HttpUser, constant, task

class Stranger(HttpUser):
    wait_time = constant(0.05)

    @task
    def look(self):
        for url in ("http://127.0.0.1:{port}/x", "http://localhost:{port}/x"):
            self.client.get(url)
            for call in (requests.get, urllib.request.urlopen):
                try:
                    call(url, timeout=2)
                except Exception:
                    pass
        self.client.get("/x")
"""


def test_a_strangers_locustfile_does_not_reach_it_by_any_of_its_libraries(server: Server, trap: Trap, child: Start, tmp_path: Path) -> None:
    path = tmp_path / "locustfile.py"
    path.write_text(LOCUSTFILE.replace("{port}", str(trap.port)))
    told = {**profile([step("GET /x")]), "journeys": [], "locustfile": str(path)}
    one = child(server.url, hosts=[f"127.0.0.1:{server.port}"], profile=told)
    one.start()
    one.run_until(lambda second: second["good"] > 3)
    found = one.stop()
    assert found.outcomes("step", "GET /x")[Outcome.OK] > 0, "what is allowed is reached"
    assert trap.caught() == 0


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://shop.example/x", True),
        ("http://SHOP.example:8080/", True),
        ("http://shop.example.evil.example/", False),
        ("http://evil.example/shop.example", False),
        ("http://shop.example@evil.example/", False),
        ("http://evil.example#@shop.example/", False),
        ("http://127.0.0.1/", False),
        ("http://2130706433/", False),
        ("http://[::1]/", False),
        ("ftp://shop.example/", False),
        ("//shop.example/", False),
    ],
)
def test_a_url_is_judged_by_its_host_alone(url: str, allowed: bool) -> None:
    assert Hosts(frozenset({"shop.example"})).allow(url) == allowed
