"""Whole lives of traffic faults on real Envoys: planned, injected, seen through the Envoys by a prober, taken back, seen gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mesh_rig import Mesh, ask, envoy, owners, strip
from undo_rig import Supervisor, activity, until

from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.parts import inject
from chaoslib_ext.mesh.routes import Traffic, stanza

pytestmark = pytest.mark.slow

Supervise = Callable[..., Supervisor]
ZONE = {"service": "shop", "duration": "60s", "zone": "b"}


@pytest.fixture
def supervise(calm: Mesh) -> Iterator[Supervise]:
    """Makes the run of one fault on the mesh."""
    made: list[Supervisor] = []

    def supervise(func: str, **arguments: Any) -> Supervisor:
        made.append(Supervisor(calm.environment(), activity("the fault", func, **arguments)))
        return made[-1]

    yield supervise
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("func", "arguments"),
    [
        pytest.param("delay_traffic", {"delay": "600ms", "duration": "3s", "zone": "b"}, id="all delayed for longer than other looks wait"),
        pytest.param(
            "delay_traffic", {"delay": "100ms", "duration": "3s", "share": "20%", "where": "ingress", "route": "catalog"}, id="a fifth at the ingress"
        ),
        pytest.param("abort_traffic", {"duration": "3s", "share": "50%", "zone": "b"}, id="half aborted"),
        pytest.param("abort_traffic", {"duration": "3s", "status": 200, "zone": "c"}, id="all aborted with a status that says all is well"),
    ],
)
def test_a_fault_is_seen_held_taken_back_in_time_and_seen_gone(func: str, arguments: dict[str, Any], supervise: Supervise) -> None:
    run = supervise(func, service="shop", **arguments)
    healer, prober = run.healer("plain"), run.prober()
    prober.wait(kind="note", fault="the fault", watching=True)
    child = run.inject(func, "the fault", service="shop", **arguments)
    assert child.stdout is not None
    effect = json.loads(child.stdout.readline())["effect"]
    seen = prober.wait(kind="effect", fault="the fault")
    planned = [frame.target.uid for frame in run.ledger.read().frames if frame.rec == "INTENT"]
    assert sorted(seen["uids"]) == sorted(planned)
    reading = prober.wait(kind="reading", fault="the fault")
    assert (reading["in_effect"], reading["ok"]) == (len(planned), True)
    assert healer.wait(op="healed", fault="the fault") == {"op": "healed", "fault": "the fault", "ok": True, "by": "time"}
    removed = prober.wait(kind="removed", fault="the fault")
    tries = [frame.t_ns for frame in run.ledger.read().frames if frame.rec == "UNDO_TRY"]
    assert effect["hi_ns"] < min(tries) <= removed["lo_ns"] <= removed["hi_ns"]
    assert removed["replaced"] is False
    assert run.pending() == []


def test_what_the_envoy_acknowledges_and_does_not_do_is_no_effect(calm: Mesh, supervise: Supervise) -> None:
    """The runtime of one of the two Envoys says that nobody is aborted, whatever the routes say."""
    door = calm.sidecar("shop-b2")
    client.ask_admin(door["admin"], "/runtime_modify?fault.http.abort.abort_percent=0", method="POST")
    run = supervise("abort_traffic", timeout_s=3.0, **ZONE)
    healer, prober = run.healer("plain"), run.prober()
    prober.wait(kind="note", fault="the fault", watching=True)
    child = run.inject("abort_traffic", "the fault", timeout_s=3.0, **ZONE)
    assert child.stderr is not None
    assert b"its effect was not seen from outside within 3 s" in child.stderr.read()
    assert run.recs().count("APPLIED") == 2
    assert "EFFECT" not in run.recs()
    healer.say(op="last")
    healer.wait(op="clean")
    client.ask_admin(door["admin"], "/runtime_modify?fault.http.abort.abort_percent=", method="POST")


def test_a_fault_of_somebody_else_on_the_last_envoy_is_refused_before_the_first_is_touched(calm: Mesh, supervise: Supervise) -> None:
    run = supervise("abort_traffic", **ZONE)
    last = calm.sidecar("shop-b2")
    inject(envoy(last), ["shop"], "somebody", stanza(Traffic(1.0, status=418), []))
    healer = run.healer("plain")
    child = run.inject("abort_traffic", "the fault", **ZONE)
    assert child.stderr is not None
    assert b"a fault of somebody is on catalog, shop already; it was left as it is" in child.stderr.read()
    assert (run.recs(), run.pending()) == (["FUSE", "INTENT", "REJECTED"], [])
    assert (owners(calm.sidecar("shop-b1")), owners(last)) == (set(), {"somebody"})
    assert [ask(calm.sidecar("shop-b1"))[0], ask(last, "/login")[0]] == [200, 418]
    strip(last, "somebody")
    healer.say(op="last")
    healer.wait(op="clean")


def test_two_faults_on_different_routes_of_one_envoy_are_taken_back_one_by_one(calm: Mesh) -> None:
    slow = activity("slow", "delay_traffic", delay="300ms", route="catalog", **ZONE)
    bad = activity("bad", "abort_traffic", status=418, route="shop", **ZONE)
    run = Supervisor(calm.environment(), slow, bad)
    try:
        healer, prober = run.healer("plain"), run.prober()
        door = calm.sidecar()
        for name in ("slow", "bad"):
            prober.wait(kind="note", fault=name, watching=True)
        for one in (slow, bad):
            provider = one["provider"]
            run.inject(provider["func"], one["name"], **provider["arguments"])
            prober.wait(kind="effect", fault=one["name"])
        assert len(owners(door)) == 2
        healer.say(op="heal", fault="slow")
        healer.wait(op="healed", fault="slow", ok=True)
        prober.wait(kind="removed", fault="slow")
        assert (ask(door)[0], ask(door, "/login")[0]) == (200, 418)
        healer.say(op="heal", fault="bad")
        healer.wait(op="healed", fault="bad", ok=True)
        prober.wait(kind="removed", fault="bad")
        until(lambda: ask(door, "/login")[0] == 405, "the route as it was")
    finally:
        run.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_process_that_is_killed_between_its_write_and_its_record_is_healed_by_the_intent(calm: Mesh, supervise: Supervise) -> None:
    run = supervise("abort_traffic", **ZONE)
    healer = run.healer("plain")
    code = "from chaoslib_ext import faults; from chaoslib_ext.faults import injection; injection.name_activity('the fault'); "
    code += f"faults.abort_traffic({ZONE['service']!r}, {ZONE['duration']!r}, zone={ZONE['zone']!r})"
    killing = [
        "strace",
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        "trace=connect",
        "-e",
        "inject=connect:signal=KILL:when=4",
    ]  # two for the fuse, and one asks before the write
    own = {**os.environ, "CHAOSX_RUN": str(run.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*killing, sys.executable, "-c", code], env=own, check=False, timeout=60.0)
    door = calm.sidecar("shop-b1")
    assert (run.recs(), owners(door)) == (["FUSE", "INTENT"], {f"{run.run}--the fault"})
    until(lambda: ask(door)[0] == 503, "the fault that nobody has recorded")
    healer.say(op="last")
    healer.wait(op="clean")
    assert (owners(door), ask(door)[0]) == (set(), 200)


def test_one_request_in_a_hundred_is_enough_to_be_seen_and_its_end_takes_a_long_row(calm: Mesh, supervise: Supervise) -> None:
    fault = {"service": "shop", "duration": "60s", "share": "1%", "where": "ingress", "status": 418, "timeout_s": 30.0}
    run = supervise("abort_traffic", **fault)
    healer, prober = run.healer("plain"), run.prober()
    prober.wait(kind="note", fault="the fault", watching=True)
    run.inject("abort_traffic", "the fault", **fault)
    prober.wait(kind="effect", fault="the fault")
    healer.say(op="heal", fault="the fault")
    healer.wait(op="healed", fault="the fault", ok=True)
    assert prober.wait(kind="removed", fault="the fault")["proof"].startswith("none of 1375 looks in a row")
