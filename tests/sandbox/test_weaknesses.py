"""Every planted weakness is visible: in the configuration here, in behaviour in the other files."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.errors import UsageError
from chaoslib_ext.sandbox import WEAKNESSES, Weaknesses, parse_weaknesses, up
from chaoslib_ext.sandbox.child import pause_s
from chaoslib_ext.sandbox.crew import places
from chaoslib_ext.sandbox.envoy import Endpoint, bootstrap, routes
from chaoslib_ext.sandbox.shop import Request, Shop

SOUND = Weaknesses()


def route(weak: Weaknesses) -> dict[str, Any]:
    found: dict[str, Any] = routes(weak)["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
    return found


def cluster(weak: Weaknesses) -> dict[str, Any]:
    config = bootstrap("box", "box/admin.sock", 1, [Endpoint("a", 2), Endpoint("b", 3)], weak)
    found: dict[str, Any] = config["static_resources"]["clusters"][0]
    return found


def shop(broken: bool = False) -> Shop:
    made = Shop("shop-a1", "0-1-2", "key", broken)
    made.ready = True
    return made


def test_every_weakness_has_a_field_and_a_line() -> None:
    assert parse_weaknesses(WEAKNESSES).names() == tuple(WEAKNESSES)
    assert all(line.endswith(".") for line in WEAKNESSES.values())


def test_an_unknown_switch_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"got no_retrys, expected any of no_retries, slow_health_check"):
        parse_weaknesses(["no_retrys"])


def test_without_weaknesses_a_try_has_a_limit_and_is_repeated_elsewhere() -> None:
    policy = route(SOUND)["retry_policy"]
    assert (policy["num_retries"], policy["per_try_timeout"], route(SOUND)["timeout"]) == (2, "0.25s", "2s")
    assert policy["retry_host_predicate"][0]["name"].endswith("previous_hosts")


def test_no_retries_sends_every_request_once() -> None:
    assert "retry_policy" not in route(Weaknesses(no_retries=True))


def test_no_timeout_lets_a_request_last_15_s() -> None:
    weak = route(Weaknesses(no_timeout=True))
    assert weak["timeout"] == "15s"
    assert "per_try_timeout" not in weak["retry_policy"]


def test_a_short_timeout_gives_a_try_less_than_a_late_dependency_takes() -> None:
    assert route(Weaknesses(short_timeout=True))["retry_policy"]["per_try_timeout"] == "0.1s"


def test_a_try_cannot_have_a_short_limit_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path))
    with pytest.raises(UsageError, match="got no_timeout and short_timeout; a try has a limit or none"):
        up("both", ("no_timeout", "short_timeout"))
    assert list(tmp_path.iterdir()) == []


def test_slow_health_check_looks_every_5_s_and_ejects_nobody() -> None:
    weak = cluster(Weaknesses(slow_health_check=True))
    assert (weak["health_checks"][0]["interval"], weak["health_checks"][0]["unhealthy_threshold"]) == ("5s", 3)
    assert "outlier_detection" not in weak
    assert cluster(SOUND)["outlier_detection"]["consecutive_gateway_failure"] == 3


@pytest.mark.parametrize(
    ("weak", "zones"),
    [pytest.param(SOUND, ["a", "a", "b", "b", "c", "c"], id="three zones"), pytest.param(Weaknesses(one_zone=True), ["b"] * 6, id="one zone")],
)
def test_the_six_replicas_stand_in(weak: Weaknesses, zones: list[str]) -> None:
    assert [zone for _, zone in places(weak)] == zones
    assert [name[5] for name, _ in places(weak)] == zones


def test_broken_fails_three_of_ten_and_never_two_in_a_row() -> None:
    weak = shop(broken=True)
    statuses = [weak.answer(Request("GET", "/catalog/1", "", b""))[0] for _ in range(100)]
    assert statuses.count(500) == 30
    assert (500, 500) not in itertools.pairwise(statuses)
    assert weak.answer(Request("GET", "/healthz", "", b""))[0] == 200


@pytest.mark.parametrize(("crashes", "seconds"), [(0, 0.0), (1, 0.0), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 30.0), (50, 30.0)])
def test_the_pause_before_a_restart_doubles_to_30_s(crashes: int, seconds: float) -> None:
    assert pause_s(crashes) == seconds


def test_a_token_of_one_replica_is_good_at_another_and_a_forged_one_is_not() -> None:
    status, content = shop().answer(Request("POST", "/login", "", b'{"user": "ann"}'))
    assert status == 200
    other = Shop("shop-b1", "0-9-9", "key", False)
    other.ready = True
    assert other.answer(Request("POST", "/checkout", f"Bearer {content['token']}", b""))[0] == 201
    for bad in ("", "Bearer x", "Bearer 616e6e.é", f"Bearer {content['token']}0"):
        assert other.answer(Request("POST", "/checkout", bad, b""))[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("GET", "/login", b"", 405), ("POST", "/login", b"[]", 400), ("POST", "/catalog/1", b"", 405), ("GET", "/nowhere", b"", 404)],
)
def test_a_wrong_request_is_answered_with(method: str, path: str, body: bytes, status: int) -> None:
    assert shop().answer(Request(method, path, "", body))[0] == status


def test_a_replica_that_is_not_ready_says_so() -> None:
    assert Shop("shop-a1", "0-1-2", "key", False).answer(Request("GET", "/healthz", "", b""))[0] == 503


def test_importing_the_sandbox_imports_nothing_heavy() -> None:
    code = "import sys, json, chaoslib_ext.sandbox; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert not {"envoy", "gevent", "locust", "pydantic", "yaml", "platformdirs", "chaoslib"} & set(loaded)
