"""Each way a request can end has its own outcome, and no request is sent twice or to a host that is off limits."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from load_rig import Finished, LoadChild, Server, closed_port, profile, step

from chaoslib_ext.timeline import Outcome

Start = Callable[..., LoadChild]


WAYS: dict[str, tuple[dict[str, Any], Outcome]] = {
    "an answer": (step("GET /x"), Outcome.OK),
    "an error page that is not UTF-8": (step("GET /latin"), Outcome.STATUS),
    "a good status, but not the one promised": (step("GET /x", statuses=[201]), Outcome.STATUS),
    "the error that was asked for": (step("GET /latin", statuses=[500]), Outcome.OK),
    "nothing to capture at that path": (step("GET /login", capture={"a": "$.session.nothing"}), Outcome.CHECK),
    "a capture from what is not JSON": (step("GET /x", capture={"a": "$.a"}), Outcome.CHECK),
    "an answer that breaks off": (step("GET /half"), Outcome.RESET),
    "a connection closed without an answer": (step("GET /silent-close"), Outcome.RESET),
    "the same for a method that must not be repeated": (step("POST /silent-close"), Outcome.RESET),
    "no answer in time": (step("GET /slow?s=30&nonce=1", timeout_s=0.3), Outcome.TIMEOUT),
    "no answer in time to a POST": (step("POST /slow?s=30&nonce=1", timeout_s=0.3), Outcome.TIMEOUT),
    "an answer that trickles without end": (step("GET /drip", timeout_s=0.5), Outcome.TIMEOUT),
    "cookies are not shared between arrivals": (step("GET /cookies"), Outcome.OK),
    "a redirect within the hosts, not followed": (step("GET /redirect?to=/elsewhere"), Outcome.OK),
}


HELD_UP = {Outcome.GENERATOR}  # unknown: nobody looked when the time was over, because a busy machine held the child up


def test_the_outcome_says_how_a_request_ended(server: Server, child: Start) -> None:
    journeys = [{"name": name, "weight": 1.0, "steps": [asked]} for name, (asked, _) in WAYS.items()]
    one = child(server.url, profile=profile(*journeys, rate=200.0))
    found = one.run(250)
    seen = {name: set(found.outcomes("journey", name)) for name in WAYS}
    for name, (_, expected) in WAYS.items():
        assert expected in seen[name] and seen[name] <= {expected, *(HELD_UP if expected is Outcome.TIMEOUT else ())}, name
    assert found.outcomes("step") == found.outcomes("journey")
    assert len(server.requests()) == found.meta["released"]  # nothing was sent twice
    assert "/elsewhere" not in {path for _, path, _ in server.requests()}
    assert not one.errors.read_text()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refused_port_is_no_connection(child: Start, scheme: str) -> None:
    found = child(f"{scheme}://127.0.0.1:{closed_port()}", profile=profile([step("GET /x")])).run(10)
    assert found.outcomes("step") == {Outcome.CONNECT: found.meta["released"]}


def test_a_name_that_nobody_knows_is_no_connection(child: Start) -> None:
    found = child("http://nobody.invalid:80", hosts=["nobody.invalid"], profile=profile([step("GET /x", timeout_s=20.0)], rate=10.0)).run(10)
    assert found.outcomes("step") == {Outcome.CONNECT: found.meta["released"]}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_of_nobody_is_no_connection(child: Start, tmp_path: Path) -> None:
    pem = str(tmp_path / "self-signed.pem")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*make, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", pem + ".crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem + ".crt", pem)
    refused = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(sock, server_side=True).close()
            except OSError as error:
                refused.append(error)
                sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        found = child(f"https://127.0.0.1:{listener.getsockname()[1]}", profile=profile([step("GET /x")], rate=10.0)).run(10)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert found.outcomes("step") == {Outcome.CONNECT: found.meta["released"]}
    assert len(refused) == found.meta["released"]


def none_in_time_took_longer(found: Finished, timeout_s: float) -> bool:
    """Whether every step counted as good took, from its sending to its last byte, no longer than its timeout."""
    return all(latency - late <= timeout_s * 1e6 for _, late, latency, outcome in found.of("step", "GET /sometimes") if outcome is Outcome.OK)


def test_a_generator_that_was_stopped_finds_no_answer_in_time(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /sometimes?nonce=${arrival}", timeout_s=0.4)], rate=100.0))
    one.start()
    for _ in range(4):  # each time some answers and the end of their time wait for it together
        seen = len(one.seconds)
        one.run_until(lambda _, seen=seen: len(one.seconds) > seen + 1)
        one.freeze(1.0)
    found = one.stop()
    stopped = [row for row in found.of("step") if row[2] - row[1] > 400_000]
    assert stopped and {row[3] for row in stopped} <= {Outcome.TIMEOUT, Outcome.UNFINISHED, *HELD_UP}
    assert found.outcomes("step")[Outcome.OK] > 100


def test_an_answer_that_comes_too_late_reaches_no_other_request(server: Server, child: Start) -> None:
    steps = [
        step("GET /sometimes?nonce=${arrival}", timeout_s=0.4, capture={"got": "$.nonce"}),
        step("GET /echo?asked=${arrival}&got=${got}"),
    ]
    found = child(server.url, profile=profile(steps, rate=150.0)).run(150)
    sent = [parse_qs(urlsplit(path).query) for _, path, _ in server.requests()]
    echoes = [(query["asked"][0], query["got"][0]) for query in sent if "asked" in query]
    assert len(echoes) > 100
    assert all(asked == got for asked, got in echoes)
    late = [row for number, row in enumerate(found.of("journey")) if number % 4 == 0 and row[3] is not Outcome.NOT_SENT]
    assert {row[3] for row in late} - HELD_UP == {Outcome.TIMEOUT}  # also where a generator without a processor finds the answer before it sees the time
    assert none_in_time_took_longer(found, 0.4)
    after_a_late_one: dict[str, list[str]] = {}
    for _, path, connection in server.requests():
        after_a_late_one.setdefault(connection, []).append(path)
    for paths in after_a_late_one.values():
        aborted = [at for at, path in enumerate(paths) if path.startswith("/sometimes") and int(path.partition("=")[2]) % 4 == 0]
        assert aborted in ([], [len(paths) - 1])  # an aborted request is the last one of its connection


def test_connections_are_used_again(server: Server, child: Start) -> None:
    found = child(server.url, profile=profile([step("GET /x")], rate=100.0)).run(50)
    assert len({connection for _, _, connection in server.requests()}) < found.meta["released"] / 2


def test_a_redirect_elsewhere_is_off_limits_and_not_followed(server: Server, other: Server, child: Start) -> None:
    targets = [f"{other.url}/x", f"//127.0.0.1:{other.port}/x", "https://elsewhere.invalid/", "ftp://127.0.0.1/"]
    steps = [[step(f"GET /redirect?to={to}")] for to in targets]
    found = child(server.url, hosts=[f"127.0.0.1:{server.port}"], profile=profile(*steps)).run(40)
    assert found.outcomes("step") == {Outcome.OFF_LIMITS: found.meta["released"]}
    assert other.requests() == []


@pytest.mark.parametrize("hosts", [[], ["localhost"], ["127.0.0.1:1"]])
def test_a_host_that_is_not_allowed_is_refused_at_the_start(server: Server, child: Start, hosts: list[str]) -> None:
    one = child(server.url, hosts=hosts, profile=profile([step("GET /x")]))
    assert one.process.wait(30) == 2
    assert "base_url" in one.errors.read_text()
    assert server.url in one.errors.read_text()
    assert server.requests() == []


def test_an_error_inside_the_generator_is_a_row_and_a_line(server: Server, child: Start) -> None:
    broken = step("GET /login", capture={"x": 5})  # no validated profile has this; it stands for a bug of ours
    one = child(server.url, profile=profile([broken], rate=20.0))
    found = one.run(10)
    assert found.outcomes("step") == found.outcomes("journey") == {Outcome.GENERATOR: found.meta["released"]}
    assert sum(second.unknown for second in found.seconds) == found.meta["released"]
    assert "failed inside the generator" in one.errors.read_text()
    assert found.meta["locust"]["requests"] == found.meta["released"]


SORT = """
import errno, json, socket, ssl
from chaoslib_ext.load import client
import gevent, requests, urllib3
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError
from locust.exception import CatchResponseError
pool = urllib3.HTTPConnectionPool("h")
def wrapped(reason): return requests.exceptions.ConnectionError(MaxRetryError(pool, "/", reason))
cases = {
    "own limit of files": OSError(errno.EMFILE, "too many"),
    "own ports used up": wrapped(OSError(errno.EADDRNOTAVAIL, "no port")),
    "gevent deadline": gevent.Timeout(1),
    "urllib3 read": requests.exceptions.ReadTimeout(ReadTimeoutError(pool, "/", "late")),
    "urllib3 refused": wrapped(NewConnectionError(None, "refused")),
    "urllib3 reset": requests.exceptions.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset"))),
    "broken pipe": BrokenPipeError(32, "pipe"),
    "unknown name": socket.gaierror(-2, "unknown"),
    "status of requests": requests.exceptions.HTTPError("500 Server Error"),
    "users own check": CatchResponseError("no"),
    "anything else": KeyError("x"),
}
print(json.dumps({name: client.outcome_of(error).name for name, error in cases.items()}))
"""


def test_exceptions_are_sorted_through_their_wrappers() -> None:
    done = subprocess.run([sys.executable, "-c", SORT], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "own limit of files": "GENERATOR",
        "own ports used up": "GENERATOR",
        "gevent deadline": "TIMEOUT",
        "urllib3 read": "TIMEOUT",
        "urllib3 refused": "CONNECT",
        "urllib3 reset": "RESET",
        "broken pipe": "RESET",
        "unknown name": "CONNECT",
        "status of requests": "STATUS",
        "users own check": "CHECK",
        "anything else": "CHECK",
    }
