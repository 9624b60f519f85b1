"""Arrivals follow the schedule, and each of them ends as a row, whatever the system under test does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from load_rig import LoadChild, Server, profile, read_folder, sli, step

from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.timeline import LATE_US, UNKNOWN, Outcome

Start = Callable[..., LoadChild]
TWO = [{"name": "buy", "weight": 3.0, "steps": [step("GET /buy")]}, {"name": "look", "weight": 1.0, "steps": [step("GET /look")]}]


def on_time(rows: list[tuple[int, int, int, Outcome]]) -> list[tuple[int, int, int, Outcome]]:
    """Those whose arrival a busy machine did not hold up."""
    return [row for row in rows if row[1] <= LATE_US and row[3] not in UNKNOWN]


@pytest.mark.parametrize("arrivals", ["uniform", "poisson"])
def test_rows_and_seconds_add_up_to_the_schedule(server: Server, child: Start, arrivals: str) -> None:
    plan = profile([step("GET /x"), step("GET /y")], rate=80.0, arrivals=arrivals)
    found = child(server.url, profile=plan).run(90)
    start_s, stop_s = found.meta["start_ns"] / 1e9, found.meta["stop_ns"] / 1e9
    schedule = LoadProfile.from_json(plan).schedule(7)
    assert found.meta["scheduled"] == schedule.count_between(0, stop_s - start_s)
    assert len(found.of("journey")) == found.meta["scheduled"] == sum(second.scheduled for second in found.seconds)
    for second in found.seconds:
        assert second.scheduled == second.released + second.not_released
        assert second.scheduled == schedule.count_between(second.second - start_s, min(second.second + 1, stop_s) - start_s)
    assert sum(second.good + second.bad + second.unknown for second in found.seconds) == found.meta["scheduled"]
    assert found.outcomes("step") == {Outcome.OK: 2 * found.meta["scheduled"]}
    assert len(server.requests()) == 2 * found.meta["scheduled"]


def test_the_summaries_on_the_pipe_are_those_on_disk(server: Server, child: Start) -> None:
    slis = [sli("all", None, "journey", None), sli("fast", "GET /x", "step", 0.001)]
    one = child(server.url, profile=profile([step("GET /x")]), slis=slis)
    found = one.run()
    said = [{name: line[name] for name in line if name not in ("op", "slis")} for line in one.seconds]
    assert said == [{name: getattr(second, name) for name in second.__slots__ if name != "reserved"} for second in found.seconds]
    known, told = len(on_time(found.of("journey"))), len(on_time(found.of("step")))
    assert [sum(line["slis"]["all"][at] for line in one.seconds) for at in (0, 1)] == [known] * 2
    assert [sum(line["slis"]["fast"][at] for line in one.seconds) for at in (0, 1)] == [0, told]  # nothing is that fast


def test_a_frozen_server_makes_exactly_the_arrivals_of_that_time_bad_or_slow(server: Server, child: Start) -> None:
    limit_s = 1.0
    one = child(server.url, profile=profile([step("GET /x", timeout_s=limit_s)]), slis=[sli("fast", None, "journey", 200)])
    one.start()
    one.run_until(lambda second: second["good"] >= 40)
    server.freeze()
    frozen_us = (time.monotonic_ns() - one.t0_ns) // 1000
    held = [one.until("second") for _ in range(2)]
    thaw_us = (time.monotonic_ns() - one.t0_ns) // 1000
    server.thaw()
    one.run_until(lambda second: second["good"] >= 40 and second["bad"] == 0)
    found = one.stop()
    assert any(second["overdue"] > 0 for second in held)  # seen by the guard before any timeout is a row
    lost = [row for row in found.of("journey") if frozen_us < row[0] < thaw_us - limit_s * 1e6 - 100_000]
    assert len(lost) > 20
    for _, _, latency_us, outcome in lost:
        assert outcome in (Outcome.TIMEOUT, Outcome.GENERATOR)  # unknown: the child was held up itself on a busy machine
        assert latency_us >= limit_s * 1e6
    for intended_us, _, latency_us, _ in (row for row in found.of("journey") if frozen_us < row[0] < thaw_us and row[3] is Outcome.OK):
        assert latency_us >= thaw_us - intended_us - 1000  # counted from the intended start
    outside = [row for row in found.of("journey") if row[0] < frozen_us - limit_s * 1e6 or row[0] > thaw_us + limit_s * 1e6]
    assert {row[3] for row in on_time(outside)} == {Outcome.OK}


def test_a_full_cap_makes_rows_of_what_is_not_sent(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /slow?s=30&nonce=1", timeout_s=1.0)]), max_in_flight=10)
    one.start()
    one.run_until(lambda second: second["not_released"] > 10)
    found = one.stop()
    assert found.meta["in_flight_cap"] == 10
    outcomes = found.outcomes("journey")
    assert outcomes[Outcome.NOT_SENT] == found.meta["not_released"] == found.meta["cap_hits"] > 10
    assert outcomes[Outcome.TIMEOUT] + outcomes[Outcome.GENERATOR] == found.meta["released"] == len(server.requests())
    assert sum(second.unknown for second in found.seconds) == outcomes[Outcome.NOT_SENT] + outcomes[Outcome.GENERATOR]


def test_arrivals_that_were_due_more_than_a_second_ago_are_not_sent(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")]))
    one.start(in_s=-2.0)
    for _ in range(3):
        one.until("second")
    found = one.stop()
    by_time = [row[3] for row in found.of("journey")]
    assert by_time[0] is Outcome.NOT_SENT
    assert by_time[-1] is Outcome.OK
    assert by_time.count(Outcome.NOT_SENT) == found.meta["not_released"] >= 50
    late = [row for row in found.of("journey") if row[1] > LATE_US and row[3] is Outcome.OK]
    assert sum(second.unknown for second in found.seconds) == len(late) + found.meta["not_released"]
    assert sum(second.late for second in found.seconds) == len(late)


def test_a_timeout_that_the_child_slept_through_is_unknown_and_one_that_it_saw_is_bad(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /slow?s=0.4&nonce=${arrival}", timeout_s=0.8)], rate=60.0))
    one.start()
    one.run_until(lambda second: second["good"] >= 20)
    began_us = (time.monotonic_ns() - one.t0_ns) // 1000
    one.freeze(2.0)  # the answers of those in flight come meanwhile, and are read after their time is over
    ended_us = (time.monotonic_ns() - one.t0_ns) // 1000
    one.run_until(lambda second: second["good"] >= 20)
    server.freeze()
    one.run_until(lambda second: second["bad"] >= 20)
    server.thaw()
    found = one.stop()
    slept = [row[3] for row in found.of("journey") if began_us + 100_000 < row[0] + row[1] + 800_000 < ended_us]
    assert slept.count(Outcome.GENERATOR) >= 5
    assert set(slept) <= {Outcome.GENERATOR, Outcome.OK}  # answered before it slept
    assert found.outcomes("journey")[Outcome.TIMEOUT] >= 20


def test_an_answer_that_was_read_late_because_the_child_slept_is_unknown_and_a_slow_one_is_slow(server: Server, child: Start) -> None:
    limits = [sli("quick", "quick", "journey", 600), sli("patient", "quick", "journey", 5000), sli("slow", "slow", "journey", 300)]
    quick = {"name": "quick", "weight": 1, "steps": [step("GET /slow?s=0.3&nonce=${arrival}", timeout_s=20.0)]}
    slow = {"name": "slow", "weight": 1, "steps": [step("GET /slow?s=0.7&nonce=${arrival}", timeout_s=20.0)]}
    one = child(server.url, profile=profile(quick, slow, rate=100.0), slis=limits)
    one.start()
    for _ in range(4):
        one.until("second")
    began_us = (time.monotonic_ns() - one.t0_ns) // 1000
    one.freeze(2.0)
    one.run_until(lambda second: second["good"] >= 20)
    found = one.stop()
    names = {end["index"]: end["name"] for end in found.meta["endpoints"] if end["class"] == "journey"}
    columns = zip(found.rows.intended_us, found.rows.late_us, found.rows.outcome, found.rows.endpoint, strict=True)
    rows = [(names[end], at + late, Outcome(outcome)) for at, late, outcome, end in columns if end in names]
    asleep = Counter(outcome for name, sent_us, outcome in rows if name == "quick" and began_us - 200_000 < sent_us < began_us)
    assert asleep[Outcome.GENERATOR] >= 3
    before = Counter(outcome for name, sent_us, outcome in rows if name == "slow" and sent_us < began_us - 1_500_000)
    assert before[Outcome.OK] >= 3  # and too slow, which is not ours


def test_nothing_is_released_after_stop(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")], rate=200.0))
    found = one.run(100)
    reached = len(server.requests())
    assert reached == found.meta["released"]
    assert max(row[0] for row in found.of("journey")) * 1000 <= found.meta["stop_ns"]


def test_an_end_of_standard_input_is_a_stop(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")]))
    one.start()
    one.until("second")
    assert one.process.stdin is not None
    one.process.stdin.close()
    assert one.until("done")["rows"] > 0
    assert one.process.wait(30) == 0


def test_sigterm_is_a_stop_and_sigint_is_not(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")]))
    one.start()
    one.process.send_signal(signal.SIGINT)
    one.run_until(lambda second: second["good"] == 50)
    one.process.send_signal(signal.SIGTERM)
    assert one.until("done")["rows"] > 0
    assert one.process.wait(30) == 0


def test_a_stop_before_the_start_sends_nothing(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")]))
    one.until("ready")
    found = one.stop()
    assert (len(found.rows), server.requests()) == (0, [])


def test_the_same_seed_chooses_the_same_journeys(server: Server, child: Start, tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(child(server.url, folder=tmp_path / name, profile=profile(*TWO, rate=100.0, arrivals="poisson")))
    for run in runs:
        run.start()
    for run in runs:
        run.run_until(lambda second: second["good"] > 50)
    chosen = []
    for found in (run.stop() for run in runs):
        names = {end["index"]: end["name"] for end in found.meta["endpoints"]}
        rows = sorted((at - found.meta["start_ns"] // 1000, names[end]) for at, end in zip(found.rows.intended_us, found.rows.endpoint, strict=True))
        chosen.append([row for row in rows if row[1] in ("buy", "look")])
    shortest = min(map(len, chosen))
    assert [name for _, name in chosen[0][:shortest]] == [name for _, name in chosen[1][:shortest]]
    assert all(abs(a - b) <= 1 for (a, _), (b, _) in zip(*chosen, strict=False))  # and at the same times, to a rounding error


def test_locusts_own_statistics_count_the_same_requests(server: Server, child: Start) -> None:
    steps = [step("GET /sometimes?nonce=${arrival}", timeout_s=0.3), step("GET /latin")]
    found = child(server.url, profile=profile(steps)).run()
    outcomes = found.outcomes("step")
    assert found.meta["locust"] == {"requests": outcomes.total(), "failures": outcomes.total() - outcomes[Outcome.OK]}
    assert outcomes[Outcome.TIMEOUT] > 5


def test_a_stop_waits_for_what_is_in_flight(server: Server, child: Start) -> None:
    steps = [step("GET /slow?s=0.5&nonce=1"), step("GET /x")]
    found = child(server.url, profile=profile(steps)).run()
    assert found.outcomes("journey") == {Outcome.OK: found.meta["scheduled"]}  # those of the last half second too, with all their steps
    assert found.outcomes("step") == {Outcome.OK: 2 * found.meta["scheduled"]}
    assert found.seconds[-1].in_flight == 0
    assert sum(second.good + second.unknown for second in found.seconds) == found.meta["scheduled"]  # unknown: left late on a busy machine


ABANDON = """
import json, sys
from pathlib import Path
from chaoslib_ext.load import client
import gevent
from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.load.arrivals import Arrivals
from chaoslib_ext.load.journeys import plan_journeys
from chaoslib_ext.load.recorder import Recorder
from chaoslib_ext.load.spec import read_spec
from chaoslib_ext.loadprofile import LoadProfile
spec = read_spec(Path(sys.argv[1]))
door = client.Door(spec.base_url, spec.hosts.allow_address, spec.zone_header)
door.run(lambda: None)
recorder = Recorder(spec.out_dir, spec.t0_ns, (), "journey", {})
arrivals = Arrivals(spec, door, recorder)
plan = plan_journeys(LoadProfile.from_json(spec.profile), 1).choose()[0]
arrivals.release(0, plan, monotonic_ns(), "")
gevent.sleep(0)
while arrivals.in_flight[0].first_sent_ns is None or not Path(sys.argv[2]).read_text():
    gevent.sleep(0.01)
arrivals.release(1, plan, monotonic_ns(), "")  # its greenlet has no turn before the end
arrivals.abandon()
recorder.close(locust=door.counted())
"""


def test_what_never_ends_by_itself_is_unfinished_and_what_was_not_sent_is_not_sent(server: Server, tmp_path: Path) -> None:
    """Only a generator that cannot keep its own deadlines gets there, so the last step of a run is called by hand."""
    spec = {"t0_ns": 0, "out_dir": str(tmp_path / "out"), "base_url": server.url, "hosts": ["127.0.0.1"], "seed": 1}
    (tmp_path / "load.json").write_text(json.dumps({**spec, "profile": profile([step("GET /slow?s=60&nonce=1", timeout_s=60.0)])}))
    subprocess.run([sys.executable, "-c", ABANDON, str(tmp_path / "load.json"), str(server.log)], check=True, timeout=60)
    found = read_folder(tmp_path / "out")
    assert found.outcomes("journey") == {Outcome.UNFINISHED: 1, Outcome.NOT_SENT: 1}
    assert found.outcomes("step") == {Outcome.UNFINISHED: 1}
    assert found.meta["locust"]["requests"] == 1
    assert len(server.requests()) == 1
