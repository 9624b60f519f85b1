"""Faults in real Envoys: the share that clients see, what stays as it was, and what is refused."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mesh_rig import Caller, Mesh, ask, binomial_range, envoy, injected, owners, strip, written
from undo_rig import until

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Entry, Target
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.parts import inject
from chaoslib_ext.mesh.routes import FAULT, Traffic, stanza, with_fault
from chaoslib_ext.mesh.undo import strip_fault
from chaoslib_ext.process.client import read_roster, signal_exact

pytestmark = pytest.mark.slow

ME, CALLERS, DELAY_S = "run--the fault", 8, 0.2
REQUESTS = {0.01: 2000, 0.2: 400, 0.5: 240, 1.0: 80}  # enough for the interval to say something, few enough to wait for


def put(door: dict[str, Any], traffic: Traffic, *routes: str) -> None:
    inject(envoy(door), routes or ("catalog",), ME, stanza(traffic, ["/healthz"]))


def entry(mesh: Mesh, door: dict[str, Any]) -> Entry:
    keeper = read_roster(mesh.info.roster)["keeper"]["control"]
    ours = {"owner": ME, "keeper": keeper, "admin": door["admin"], "config": door["config"], "routes": ["catalog"]}
    return Entry("the fault", "mesh.strip_fault", Target("process", mesh.info.identity, "envoy", "shop", "x", "u"), ours, {}, "held", 1, "APPLIED", 0)


def asked(door: dict[str, Any], number: int) -> list[tuple[int, float, bool]]:
    def some(count: int) -> list[tuple[int, float, bool]]:
        caller = Caller(door)
        try:
            return [caller.ask() for _ in range(count)]
        finally:
            caller.close()

    with ThreadPoolExecutor(CALLERS) as pool:
        return [one for found in pool.map(some, [number // CALLERS] * CALLERS) for one in found]


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("where", ["sidecar", "ingress"])
@pytest.mark.parametrize("what", ["delays", "aborts"])
def test_the_share_that_clients_see_is_the_share_asked_for_and_equals_the_envoys_own_counter(calm: Mesh, what: str, where: str, share: float) -> None:
    door = calm.sidecar() if where == "sidecar" else calm.ingress()
    before, number = injected(door, what), REQUESTS[share]
    put(door, Traffic(share, DELAY_S) if what == "delays" else Traffic(share, status=418))
    answers = asked(door, number)
    counted = injected(door, what) - before
    strip(door, ME)
    if what == "aborts":
        seen = sum((status, by_replica) == (418, False) for status, _, by_replica in answers)
        assert seen == counted
    else:
        seen = sum(took_s >= DELAY_S - 0.005 for _, took_s, _ in answers)  # the clock of Envoy may be a little ahead
        assert counted <= seen  # a busy machine is slow without any fault, too
        assert all(status == 200 for status, _, _ in answers)
        seen = counted
    print(f"{what} {where} {share:.0%}: {seen} of {number} seen, {counted} counted")
    assert len(answers) == number
    assert seen in binomial_range(number, share)
    assert ask(door)[0] == 200


def test_only_the_named_route_is_affected_and_never_a_health_check(calm: Mesh) -> None:
    door = calm.sidecar()
    put(door, Traffic(1.0, status=418), "catalog")
    assert [ask(door, path)[0] for path in ("/catalog/1", "/login", "/healthz")] == [418, 405, 200]
    strip(door, ME)
    put(door, Traffic(1.0, status=418), "catalog", "shop")
    assert [ask(door, path)[0] for path in ("/catalog/1", "/login", "/healthz")] == [418, 418, 200]
    strip(door, ME)


def test_a_connection_that_is_kept_alive_is_affected_and_healed(calm: Mesh) -> None:
    caller = Caller(calm.sidecar())
    statuses = [caller.ask()[0]]
    put(calm.sidecar(), Traffic(1.0, status=418))
    statuses.append(caller.ask()[0])
    strip(calm.sidecar(), ME)
    statuses.append(caller.ask()[0])
    caller.close()
    assert statuses == [200, 418, 200]


def test_a_delay_longer_than_a_health_check_may_take_does_not_take_the_zone_out_of_service(calm: Mesh) -> None:
    """400 ms, a check may take 300 ms, two checks of 0.5 s count: without the exception the zone would be out after a second."""
    doors = [calm.sidecar("shop-b1"), calm.sidecar("shop-b2")]
    checks = _checks(calm)
    for door in doors:
        put(door, Traffic(1.0, 0.4), "catalog", "shop")
    until(lambda: _checks(calm)["attempt"] - checks["attempt"] > 6 * 6, "six rounds of health checks")
    after = _checks(calm)
    assert calm.healthy() == 6
    assert after["failure"] == checks["failure"]
    for door in doors:
        strip(door, ME)


def _checks(mesh: Mesh) -> dict[str, int]:
    counters = client.counters(mesh.info)
    return {name: counters[f"cluster.shop.health_check.{name}"] for name in ("attempt", "failure")}


def test_what_others_change_in_the_file_meanwhile_survives_the_heal(calm: Mesh) -> None:
    door = calm.sidecar()
    original = client.read(envoy(door))
    put(door, Traffic(1.0, status=418))
    theirs = client.read(envoy(door))
    host = theirs["resources"][0]["virtual_hosts"][0]
    host["routes"].insert(0, {"name": "theirs", "match": {"prefix": "/theirs"}, "direct_response": {"status": 204}})
    host["routes"][1]["response_headers_to_add"] = [{"header": {"key": "x-theirs", "value": "yes"}}]
    written(door["config"], {**theirs, "version_info": "theirs"})
    until(lambda: ask(door, "/theirs")[0] == 204, "their route in use")
    assert ask(door)[0] == 418
    assert strip_fault(entry(calm, door)).rec == "UNDONE"
    assert (ask(door)[0], ask(door, "/theirs")[0]) == (200, 204)
    kept = json.loads(json.dumps(theirs))
    del kept["resources"][0]["virtual_hosts"][0]["routes"][1]["typed_per_filter_config"]
    del kept["resources"][0]["virtual_hosts"][0]["routes"][1]["metadata"]
    healed = client.read(envoy(door))
    assert json.dumps({**healed, "version_info": ""}) == json.dumps({**kept, "version_info": ""})
    written(door["config"], original)


def test_healed_twice_or_never_faulty_the_file_is_not_written(calm: Mesh) -> None:
    door = calm.sidecar()
    for _ in range(2):
        before = Path(door["config"]).stat()
        assert strip_fault(entry(calm, door)).rec == "UNDONE"
        after = Path(door["config"]).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_fault_of_somebody_else_is_refused_and_kept(calm: Mesh) -> None:
    door = calm.sidecar()
    inject(envoy(door), ["catalog"], "somebody", stanza(Traffic(1.0, status=418), []))
    before = Path(door["config"]).read_bytes()
    with pytest.raises(FaultFailed, match="a fault of somebody is on catalog already"):
        put(door, Traffic(1.0, status=503))
    assert strip_fault(entry(calm, door)).rec == "CONFLICT"
    assert (Path(door["config"]).read_bytes(), ask(door)[0]) == (before, 418)
    strip(door, "somebody")


def test_what_the_envoy_rejects_fails_and_is_taken_out_of_the_file_again(calm: Mesh) -> None:
    door = calm.sidecar()
    before = client.read(envoy(door))
    bad = {**stanza(Traffic(1.0, status=418), []), "abort": {"http_status": 700, "percentage": {"numerator": 100}}}
    with pytest.raises(FaultFailed, match="rejected the routes with the fault and keeps the old ones"):
        inject(envoy(door), ["catalog"], ME, bad)
    assert {**client.read(envoy(door)), "version_info": ""} == {**before, "version_info": ""}
    assert ask(door)[0] == 200


def test_somebody_elses_mistake_in_the_file_fails_the_fault_and_stays_theirs(calm: Mesh) -> None:
    door = calm.sidecar()
    good = client.read(envoy(door))
    theirs = json.loads(json.dumps(good))
    theirs["resources"][0]["virtual_hosts"][0]["routes"][1]["route"] = {"timeout": "1s"}
    Path(door["config"]).write_text(json.dumps(theirs))  # in place: Envoy has not seen it yet
    with pytest.raises(FaultFailed, match="rejected"):
        put(door, Traffic(1.0, status=418))
    assert {**client.read(envoy(door)), "version_info": ""} == {**theirs, "version_info": ""}
    assert ask(door)[0] == 200
    written(door["config"], good)


def test_a_fault_that_is_gone_from_the_file_but_not_from_the_envoy_is_not_called_undone(calm: Mesh) -> None:
    door = calm.sidecar()
    original = client.read(envoy(door))
    put(door, Traffic(1.0, status=418))
    theirs = client.read(envoy(door))
    theirs["resources"][0]["virtual_hosts"][0]["routes"][1]["route"] = {"timeout": "1s"}
    Path(door["config"]).write_text(json.dumps(theirs))
    step = strip_fault(entry(calm, door))
    assert (step.rec, ask(door)[0]) == ("RETRY", 418)
    assert "does not use the file as it is now" in step.why
    assert owners(door) == set()
    written(door["config"], {**original, "version_info": "mended"})
    assert strip_fault(entry(calm, door)).rec == "UNDONE"
    assert ask(door)[0] == 200


def test_a_killed_sidecar_comes_back_with_the_fault_in_its_file_and_is_healed(calm: Mesh) -> None:
    door = calm.sidecar()
    put(door, Traffic(1.0, status=418))
    assert signal_exact(door["pid"], door["start_ticks"], signal.SIGKILL)
    until(lambda: calm.sidecar()["pid"] != door["pid"], "the next incarnation in the roster")
    until(lambda: _status(door) == 418, "the fault in the next incarnation")
    assert strip_fault(entry(calm, door)).rec == "UNDONE"
    assert ask(door)[0] == 200


def _status(door: dict[str, Any]) -> int:
    try:
        return ask(door)[0]
    except OSError:
        return 0


def test_a_stopped_sidecar_is_an_unknown_outcome_and_not_an_undone_one(calm: Mesh) -> None:
    door = calm.sidecar()
    assert signal_exact(door["pid"], door["start_ticks"], signal.SIGSTOP)
    with pytest.raises(FaultFailed, match="nothing was injected"):
        put(door, Traffic(1.0, status=418))
    assert owners(door) == set()
    with pytest.raises(TimeoutError):
        strip_fault(entry(calm, door))  # heal counts it as a try that failed, and tries again
    assert signal_exact(door["pid"], door["start_ticks"], signal.SIGCONT)
    assert strip_fault(entry(calm, door)).rec == "UNDONE"


def test_two_writers_of_one_file_wait_for_each_other(calm: Mesh) -> None:
    door = calm.sidecar()
    original = client.read(envoy(door))

    def add(number: int) -> None:
        for step in range(10):

            def change(document: dict[str, Any]) -> dict[str, Any]:
                routes = document["resources"][0]["virtual_hosts"][0]["routes"]
                routes.insert(0, {"name": f"{number}-{step}", "match": {"path": f"/{number}-{step}"}, "direct_response": {"status": 204}})
                return {**document, "version_info": f"{number}-{step}"}

            client.edit(envoy(door), change)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert len(client.read(envoy(door))["resources"][0]["virtual_hosts"][0]["routes"]) == 42
    written(door["config"], original)
    until(lambda: client.running(envoy(door), "sidecar_routes").version == original["version_info"], "the routes as they were")


def test_a_fault_has_its_mark_in_what_the_envoy_runs(calm: Mesh) -> None:
    door = calm.sidecar()
    put(door, Traffic(0.5, status=418))
    assert client.owners_in_force(envoy(door)) == owners(door) == {ME}
    document = client.read(envoy(door))
    assert with_fault(document, ["catalog"], ME, {})["resources"] == document["resources"]
    assert FAULT in document["resources"][0]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"]
    strip(door, ME)
