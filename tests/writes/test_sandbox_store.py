"""
The write ledger on the sandbox's replicated PostgreSQL: loads that write, a primary that is killed, reads by HTTP and by SQL.

What was lost differs from run to run; it is compared with what the nodes themselves hold.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_rig import LoadChild, wait_for
from writes_rig import RUN, read_back, writing

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import read_roster, signal_exact
from chaoslib_ext.sandbox.store_launch import refusal
from chaoslib_ext.writelog import read_acks
from chaoslib_ext.writeplan import Cleanup, HttpRead, Settled, SqlRead, WriteLedger
from chaoslib_ext.writes import classify

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(refusal()), reason=refusal() or "-")]
psycopg: Any = pytest.importorskip("psycopg", reason="reading back by SQL needs psycopg")

NODES = ("store-a", "store-b", "store-c")
HTTP = WriteLedger((201,), http=HttpRead("/orders?prefix=${run}&node=${node}", "$.ids", NODES), settled=Settled(1.0, 60.0, 2))  # what was killed may stay down


@pytest.fixture(params=["store", "store_async_50ms"])
def room(request: pytest.FixtureRequest) -> Iterator[sandbox.SandboxInfo]:
    name = f"writes-{os.getpid()}-{request.param.replace('_', '-')}"
    yield sandbox.up(name, (request.param,), owner_pid=os.getpid())
    sandbox.down(name)


def sql(room: sandbox.SandboxInfo) -> WriteLedger:
    """The same ledger, read from the nodes by SQL, and cleaned up on the primary."""
    dsns = {node["name"]: node["dsn"] for node in read_roster(room.roster)["store"]["nodes"]}
    read = SqlRead("select id from orders where id like '${run}:%'", dsns, "select not pg_is_in_recovery()")
    return replace(HTTP, http=None, sql=read, cleanup=Cleanup(statement="delete from orders where id like '${run}:%'"))


def held(room: sandbox.SandboxInfo, node: str) -> set[str]:
    """What a node holds, asked without the code under test."""
    dsn = next(one["dsn"] for one in read_roster(room.roster)["store"]["nodes"] if one["name"] == node)
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("select id from orders").fetchall() if ":barrier:" not in row[0]}


def test_after_a_killed_primary_both_ways_of_reading_say_what_the_store_holds(
    room: sandbox.SandboxInfo, writer: Callable[..., LoadChild], tmp_path: Path
) -> None:
    told = writing(HTTP, rate=60.0, timeout_s=3.0)
    child = writer(room.url, told)
    child.start()
    child.run_until(lambda second: second["good"] > 30)
    primary = next(node for node in read_roster(room.roster)["store"]["nodes"] if node["role"] == "primary")
    assert signal_exact(primary["pid"], primary["start_ticks"], 9)
    wait_for(lambda: any(one["role"] == "primary" and one["uid"] != primary["uid"] for one in read_roster(room.roster)["store"]["nodes"]), "a new primary")
    wait_for(lambda: _writes(room.url), "writes to go through again")
    child.stop()
    noted = read_acks(tmp_path / "run/writes/acks-w0.bin")
    note, nodes = read_back(tmp_path / "http", room.url, told)
    assert note["settled"], note
    believed = [name for name, node in nodes.items() if node.authority]
    assert believed
    by_http = classify(noted.attempts, nodes[believed[0]].counts, RUN)
    again, by_node = read_back(tmp_path / "sql", room.url, writing(sql(room)), clean=False)
    assert again["settled"], again
    [chosen] = [name for name, node in by_node.items() if node.authority]
    assert by_http == classify(noted.attempts, by_node[chosen].counts, RUN)
    acked = {one.id for one in noted.attempts if one.outcome == "ok"}
    assert set(by_http.lost) == acked - held(room, chosen)
    assert not by_http.phantom and not by_http.resurrected and acked
    print(json.dumps({"acknowledged": len(acked), "lost": len(by_http.lost), "unknown": by_http.unknown, "believed": believed, "primary": chosen}))
    cleaned, _ = read_back(tmp_path / "clean", room.url, writing(sql(room)), clean=True)
    assert cleaned["left"] == 0
    assert not [id_ for id_ in held(room, chosen) if id_.startswith(f"{RUN}:")]


def _writes(url: str) -> bool:
    request = urllib.request.Request(f"{url}/orders", json.dumps({"id": f"probe-{os.urandom(4).hex()}"}).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return bool(answer.status == 201)
    except OSError:
        return False
