"""The load child's write ledger against a real server that keeps its own books, and what is left of it when either is killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load_rig import LoadChild, closed_port, profile, step, wait_for
from writes_rig import ORDERS, RUN, Lossy, read_back, writing

from chaoslib_ext.block import Block, Rpo
from chaoslib_ext.load.writes import outcome_of_write
from chaoslib_ext.rundir import Writer, read, write_json
from chaoslib_ext.timeline import Outcome
from chaoslib_ext.verdict import judge
from chaoslib_ext.writelog import Acks, read_acks
from chaoslib_ext.writeplan import WriteLedger
from chaoslib_ext.writes import classify

Start = Callable[..., LoadChild]


def acks(tmp_path: Path) -> Acks:
    return read_acks(tmp_path / "run/writes/acks-w0.bin")


@pytest.mark.parametrize(
    ("status", "outcome", "word"),
    [
        pytest.param(201, Outcome.OK, "ok", id="acknowledged"),
        pytest.param(201, Outcome.CHECK, "ok", id="acknowledged, though the step's check wanted more"),
        pytest.param(200, Outcome.OK, "info", id="a good status that the ledger does not know"),
        pytest.param(422, Outcome.STATUS, "fail", id="refused for what it was"),
        pytest.param(409, Outcome.STATUS, "info", id="a conflict may be with itself"),
        pytest.param(429, Outcome.STATUS, "info", id="the second try of a proxy may have been one too many"),
        pytest.param(500, Outcome.STATUS, "info", id="a server's error"),
        pytest.param(503, Outcome.STATUS, "info", id="a proxy's error"),
        pytest.param(0, Outcome.CONNECT, "fail", id="never connected"),
        pytest.param(0, Outcome.RESET, "info", id="broken off"),
        pytest.param(0, Outcome.TIMEOUT, "info", id="no answer in time"),
        pytest.param(0, Outcome.CHECK, "info", id="an answer that cannot be read to its end"),
        pytest.param(0, Outcome.GENERATOR, "info", id="our own failure"),
        pytest.param(302, Outcome.OFF_LIMITS, "info", id="led elsewhere"),
    ],
)
def test_only_what_is_certain_is_acknowledged_or_failed(status: int, outcome: Outcome, word: str) -> None:
    assert outcome_of_write(WriteLedger((201,)), status, outcome) == word


def test_every_write_sent_is_noted_once_and_as_the_rows_say(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    found = writer(lossy.url).run(released=200)
    noted = acks(tmp_path)
    rows = found.outcomes("step", "POST /orders")
    assert noted.closed and len(noted.attempts) == sum(rows.values()) >= 200
    words = Counter(one.outcome for one in noted.attempts)
    assert words["ok"] == rows[Outcome.OK] > 0 and words["info"] == rows[Outcome.STATUS] > 0
    assert sorted(one.id for one in noted.attempts if one.outcome == "ok") == sorted(lossy.ids("acked"))
    assert [one.id for one in noted.attempts] == [f"{RUN}:0:{n + 1}" for n in range(len(noted.attempts))]
    assert all(one.done_us is not None and one.done_us >= one.sent_us for one in noted.attempts)


def test_refused_writes_and_closed_ports_are_certainly_not_done(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    told = writing()
    told["journeys"][0]["steps"][0]["json"]["refuse"] = True
    writer(lossy.url, told).run(released=20)
    assert {one.outcome for one in acks(tmp_path).attempts} == {"fail"} and lossy.ids("stored") == []


def test_a_port_where_nobody_listens_is_certainly_not_done(writer: Start, tmp_path: Path) -> None:
    writer(f"http://127.0.0.1:{closed_port()}").run(released=20)
    assert {one.outcome for one in acks(tmp_path).attempts} == {"fail"}


def test_a_profile_with_a_ledger_needs_the_runs_id(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    child = LoadChild(tmp_path / "run", base_url="http://127.0.0.1:1", hosts=["127.0.0.1"], profile=writing())
    assert child.process.wait(30) == 2 and "without `run`" in child.errors.read_text()
    child.end()


def test_a_profile_without_a_ledger_leaves_none(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    writer(lossy.url, profile([step("GET /orders")])).run(released=5)
    assert not (tmp_path / "run/writes").exists()


@pytest.mark.slow
@pytest.mark.parametrize("again", range(3))
def test_what_a_killed_store_lost_is_counted_exactly(again: int, lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    told = writing(rate=400.0)
    child = writer(lossy.url, told)
    child.start()
    wait_for(lambda: len(lossy.ids("stored")) > 100 + 13 * again and len(lossy.ids("acked")) > len(lossy.ids("stored")) + 3, "a store with something to lose")
    lossy.kill()
    acked, stored = set(lossy.ids("acked")), set(lossy.ids("stored"))
    lossy.start()
    wait_for(lambda: len(lossy.ids("acked")) > len(acked) + 50, "writes to go on")
    found = child.stop()
    noted = acks(tmp_path)
    note, nodes = read_back(tmp_path / "run/writes", lossy.url, told, clean=True)
    assert note["settled"] and note["left"] == 0, note
    classes = classify(noted.attempts, nodes["service"].counts, RUN)
    heard = {one.id for one in noted.attempts if one.outcome == "ok"}
    assert set(classes.lost) == (acked - stored) & heard and classes.lost
    assert len(heard) == found.outcomes("step", "POST /orders")[Outcome.OK]
    unheard = acked - stored - heard  # acknowledged into a connection that broke: nobody can have relied on them
    assert unheard <= set(classes.never_seen) and len(unheard) < 50
    assert not classes.phantom and not classes.resurrected and not classes.duplicated
    assert set(classes.recovered) == {one.id for one in noted.attempts if one.outcome == "info"} & set(nodes["service"].counts)


def test_a_killed_load_child_leaves_a_readable_ledger_and_no_verdict(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    told = writing(rate=400.0)
    child = writer(lossy.url, told)
    child.start()
    wait_for(lambda: len(lossy.ids("acked")) > 100, "writes")
    child.process.kill()
    child.process.wait()
    noted = acks(tmp_path)
    assert not noted.closed
    assert set(lossy.ids("acked")) | set(lossy.ids("stored")) <= {one.id for one in noted.attempts}  # each was on file before it was sent
    note, _ = read_back(tmp_path / "run/writes", lossy.url, told)
    assert note["settled"]
    result = judge(read(sealed(tmp_path / "run", told, load=-9)))
    assert (result.verdict, result.reasons) == ("INCONCLUSIVE", ["WORKER_LOST"])
    assert result.rpo is not None and (result.rpo["lost"], result.rpo["phantom"]) == (0, 0)


def sealed(folder: Path, told: dict[str, Any], load: int) -> Path:
    """The run directory around what a load child left, as a supervisor that saw it die would end it."""
    block = Block(rpo=Rpo("orders", 0.0, 0), control="a-a")
    writer = Writer(folder)
    for name, state, t_ns in (("method", "start", 10 * 10**9), ("method", "end", 11 * 10**9)):
        writer.event("supervisor", "phase", t_ns, name=name, state=state)
    write_json(folder / "plan.json", {"resolved": []})
    clock = {"t0_ns": 1, "wall_s": 1.0, "boot_id": "b", "boot_id_end": "b", "drift_ms_end": 0.0}
    end = {"how": "undecided", "reason": "WORKER_LOST", "detail": ""}
    clean = {"state": "nothing-injected", "proven_at_ns": 1, "pending": []}
    header = {"id": RUN, "title": "killed", "clock": clock, "end": end, "clean": clean, "children": {"load": load, "method": 0, "prober": 0}, "load": told}
    writer.seal({**header, "block": json.loads(json.dumps(block.to_json()))})
    return folder


def test_two_ledgers_are_told_apart(lossy: Lossy, writer: Start, tmp_path: Path) -> None:
    told = writing()
    told["writes"]["carts"] = told["writes"]["orders"]
    told["journeys"][0]["steps"].append({**told["journeys"][0]["steps"][0], "write": "carts"})
    writer(lossy.url, told).run(released=30)
    ledgers = Counter(one.ledger for one in acks(tmp_path).attempts)
    assert ledgers["orders"] >= 30 and 0 < ledgers["carts"] < ledgers["orders"]  # after a 503 a journey does not go on
    assert ORDERS.nodes == ("service",)
