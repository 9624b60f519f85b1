"""A locustfile runs unmodified, its requests are rows, and it reaches no host but the environment's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from load_rig import LoadChild, Server, closed_port, profile, sli

from chaoslib_ext.timeline import Outcome

Start = Callable[..., LoadChild]

SHOP = """
import time
from locust import FastHttpUser, HttpUser, LoadTestShape, constant, events, task

print("a locustfile may print what it likes")

@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--my-option", default="mine")

@events.test_start.add_listener
def _(environment, **kwargs):
    assert environment.parsed_options.my_option == "mine"
    print("test_start was heard")

class Fast(FastHttpUser):
    host = "http://elsewhere.invalid"
    wait_time = constant(0.05)
    network_timeout = 0.3

    @task
    def look(self):
        self.client.get("/x?a=1")
        self.client.get("/latin")
        self.client.get("/slow?s=30&nonce=1", name="/slow")

class Plain(HttpUser):
    wait_time = constant(0.05)

    @task
    def buy(self):
        self.client.post("/x", json={})
        self.client.get("/half")
        with self.client.get("/y", catch_response=True) as response:
            time.sleep(0.2)
            response.failure("not what I wanted")
"""

SHAPE = """
from locust import FastHttpUser, LoadTestShape, constant, task

class User(FastHttpUser):
    wait_time = constant(0.02)
    @task
    def look(self):
        self.client.get("/x")

class Steps(LoadTestShape):
    def tick(self):
        return (3, 10)
"""

ELSEWHERE = """
from locust import FastHttpUser, HttpUser, constant, task

class Fast(FastHttpUser):
    wait_time = constant(0.05)
    @task
    def go(self):
        self.client.get("http://localhost:{port}/x", name="/direct")
        self.client.get("/redirect?to=http://localhost:{port}/x", name="/redirected")

class Plain(HttpUser):
    wait_time = constant(0.05)
    @task
    def go(self):
        self.client.get("http://localhost:{port}/x", name="/direct")
        self.client.get("/redirect?to=http://localhost:{port}/x", name="/redirected")
"""


def closed(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "shop_load.py"
    path.write_text(text)
    return profile(locustfile=str(path))


def test_an_unmodified_locustfile_runs_and_its_requests_are_rows(server: Server, child: Start, tmp_path: Path) -> None:
    one = child(server.url, profile=closed(tmp_path, SHOP), slis=[sli("looks", "GET /x", "step", None)])
    one.start()
    one.run_until(lambda second: second["bad"] > 20)
    found = one.stop()
    expected = {
        "GET /x": Outcome.OK,
        "GET /latin": Outcome.STATUS,
        "GET /slow": Outcome.TIMEOUT,
        "POST /x": Outcome.OK,
        "GET /half": Outcome.RESET,
        "GET /y": Outcome.CHECK,
    }
    assert {name: set(found.outcomes("step", name)) for name in expected} == {name: {outcome} for name, outcome in expected.items()}
    assert found.meta["model"] == "closed"
    assert found.meta["scheduled"] == found.meta["released"] == len(found.rows) == sum(s.good + s.bad for s in found.seconds)
    assert set(found.rows.late_us) == {0}
    assert min(found.rows.intended_us) >= found.meta["start_ns"] // 1000 - 1000
    assert sum(line["slis"]["looks"][0] for line in one.seconds) == found.outcomes("step", "GET /x").total()
    assert "may print what it likes" in one.errors.read_text()
    assert "test_start was heard" in one.errors.read_text()


def test_a_shape_of_the_locustfile_decides_how_many_users(server: Server, child: Start, tmp_path: Path) -> None:
    one = child(server.url, profile=closed(tmp_path, SHAPE))
    one.start()
    assert one.run_until(lambda second: second["good"] > 20)["in_flight"] == 3
    assert one.stop().outcomes("step").keys() == {Outcome.OK}


def test_a_locustfile_cannot_reach_another_host(server: Server, other: Server, child: Start, tmp_path: Path) -> None:
    one = child(server.url, profile=closed(tmp_path, ELSEWHERE.format(port=other.port)))
    one.start()
    one.run_until(lambda second: second["bad"] > 20)
    found = one.stop()
    assert found.outcomes("step").keys() == {Outcome.OFF_LIMITS}
    assert other.requests() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("import not_a_module_of_anyone\n", "needs the module 'not_a_module_of_anyone'", id="a module is missing"),
        pytest.param("import sys\nsys.exit(0)\n", "SystemExit", id="it ends itself"),
        pytest.param("x = 1\n", "no runnable User class", id="no users"),
        pytest.param("1 / 0\n", "ZeroDivisionError", id="it fails"),
    ],
)
def test_a_locustfile_that_cannot_run_is_refused_with_its_reason(server: Server, child: Start, tmp_path: Path, text: str, said: str) -> None:
    one = child(server.url, profile=closed(tmp_path, text))
    assert one.process.wait(30) == 2
    assert said in one.errors.read_text()
    assert "shop_load.py" in one.errors.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["while True: pass\n", "import time\ntime.sleep(1000)\n"])
def test_a_locustfile_that_never_ends_importing_is_given_up(server: Server, child: Start, tmp_path: Path, text: str) -> None:
    one = child(server.url, profile=closed(tmp_path, text))
    assert one.process.wait(40) == 2
    assert "more than 10 s" in one.errors.read_text()


def test_a_refused_port_is_no_connection_for_both_clients(child: Start, tmp_path: Path) -> None:
    one = child(f"http://127.0.0.1:{closed_port()}", profile=closed(tmp_path, SHOP))
    one.start()
    one.run_until(lambda second: second["bad"] > 20)
    found = one.stop()
    assert found.outcomes("step") - found.outcomes("step", "GET /y") == {Outcome.CONNECT: len(found.rows) - found.outcomes("step", "GET /y").total()}
