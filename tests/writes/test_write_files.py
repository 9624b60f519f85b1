"""What a load profile and an experiment may say of writes, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaoslib_ext.block import Block, Rpo
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.loadprofile import LoadProfile, read_load_profile
from chaoslib_ext.writeplan import REJECTED, Cleanup, HttpRead, Settled, SqlRead, WriteLedger

ROOT = Path(__file__).parents[2]
HEAD = "apiVersion: chaosx/v1\nkind: LoadProfile\nstages: [{rate: 20/s}]\n"
STEPS = "journeys: [{name: buy, steps: [{request: POST /orders, json: {id: '${write_id}'}, write: orders}]}]\n"
READ = "{http: {url_path: '/orders?prefix=${run}&node=${node}', ids: $.ids, nodes: [store-a, store-b]}}"
LEDGER = "writes: {orders: {acknowledged: {status: 201}, readback: %s%s}}\n"
GOOD = HEAD + STEPS + LEDGER % (READ, "")


def profile(tmp_path: Path, text: str) -> LoadProfile:
    (tmp_path / "load.yaml").write_text(text, encoding="utf-8")
    return read_load_profile(tmp_path / "load.yaml")


def test_a_ledger_read_by_http_is_read_whole(tmp_path: Path) -> None:
    more = ", rejected: {status: [400, 422]}, id: '${write_id}', settled: {for: 2s, within: 30s, nodes: 1}"
    more += ", cleanup: {http: {request: 'DELETE /orders?prefix=${run}'}}"
    found = profile(tmp_path, HEAD + STEPS + LEDGER % (READ, more))
    read = HttpRead("/orders?prefix=${run}&node=${node}", "$.ids", ("store-a", "store-b"), 10.0)
    assert found.writes == {"orders": WriteLedger((201,), (400, 422), read, None, Settled(2.0, 30.0, 1), Cleanup(request="DELETE /orders?prefix=${run}"))}
    assert found.journeys[0].steps[0].write == "orders"
    assert LoadProfile.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_ledger_read_by_sql_is_read_whole(tmp_path: Path) -> None:
    sql = "{sql: {query: \"select id from orders where id like '${run}:%'\", nodes: {a: 'host=x dbname=shop', b: {env: SHOP_B}}"
    sql += ", primary: 'select not pg_is_in_recovery()'}}"
    found = profile(tmp_path, HEAD + STEPS + LEDGER % (sql, ", cleanup: {sql: {query: \"delete from orders where id like '${run}:%'\"}}"))
    ledger = found.writes["orders"]
    assert ledger.sql == SqlRead(
        "select id from orders where id like '${run}:%'", {"a": "host=x dbname=shop", "b": "env:SHOP_B"}, "select not pg_is_in_recovery()"
    )
    assert (ledger.nodes, ledger.rejected, ledger.settled) == (("a", "b"), REJECTED, Settled())
    assert LoadProfile.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(("place", "dsn"), [("dsn: 'dbname=shop'", "dbname=shop"), ("dsn_env: SHOP", "env:SHOP")])
def test_one_node_needs_no_name(place: str, dsn: str, tmp_path: Path) -> None:
    found = profile(tmp_path, HEAD + STEPS + LEDGER % ("{sql: {query: 'select id from o where run = ${run}', " + place + "}}", ""))
    assert found.writes["orders"].sql is not None and found.writes["orders"].sql.nodes == {"service": dsn}


SWAP = "acknowledged: {status: 201}"
BAD = [
    pytest.param("write: orders", "write: order", "no ledger under `writes` is called 'order'; there are: orders", id="an unknown ledger"),
    pytest.param("json: {id: '${write_id}'}, ", "", "does not send ${write_id}, so its record could not be found again", id="a write without its id"),
    pytest.param(", write: orders", "", "${write_id} is not captured by an earlier step", id="an id where nothing is written"),
    pytest.param("json: {id: '${write_id}'}, write: orders", "json: {}", "no step writes to this ledger; add `write: orders`", id="a ledger without a step"),
    pytest.param(SWAP + ", ", "", "writes.orders.acknowledged", id="no rule for an acknowledgement"),
    pytest.param("{status: 201}", "{status: 99}", "expected an HTTP status from 100 to 599", id="no status"),
    pytest.param(SWAP, SWAP + ", rejected: {status: 201}", "both acknowledged and rejected", id="both at once"),
    pytest.param(SWAP, SWAP + ", id: 'order-${write_id}'", "writes.orders.id", id="another id"),
    pytest.param(SWAP, SWAP + ", exactly_once: true", "writes.orders.exactly_once", id="an unknown key"),
    pytest.param("prefix=${run}&", "", "expected ${run} in it: only records of this run may be read or removed", id="everybody's records"),
    pytest.param("&node=${node}", "", "`url_path` does not name ${node}", id="nodes that are not told apart"),
    pytest.param("node=${node}", "node=${nodes}", "which names ${nodes}; here only ${run} and ${node}", id="an unknown variable"),
    pytest.param("[store-a, store-b]", "[store-a, ../x]", "expected a name of letters", id="a node that is a path"),
    pytest.param("[store-a, store-b]", "[a, a]", "names one twice", id="a node named twice"),
    pytest.param(", nodes: [store-a, store-b]", "", "but there are no `nodes`", id="a node without names"),
    pytest.param("ids: $.ids", "ids: '$[*].id'", "expected the dotted path of a list", id="a JSON path that is not built"),
    pytest.param(READ, "{}", "expected `http` or `sql`, and not both", id="no way to read"),
    pytest.param(READ, READ[:-1] + ", sql: {query: '${run}', dsn: x}}", "expected `http` or `sql`, and not both", id="two ways to read"),
    pytest.param(READ, "{sql: {query: 'select id from o', dsn: x}}", "expected ${run} in it", id="a query for everybody's records"),
    pytest.param(READ, "{sql: {query: '${run}'}}", "exactly one of `dsn`, `dsn_env` and `nodes`", id="nowhere to ask"),
    pytest.param(READ, "{sql: {query: '${run}', dsn: 'host=x password=y'}}", "got a DSN with a password", id="a password"),
    pytest.param(READ, "{sql: {query: '${run}', dsn: 'postgres://u:pw@h/d'}}", "got a DSN with a password", id="a password in a URL"),
    pytest.param(READ, READ + ", settled: {for: 9s, within: 9s}", "`within` is not longer than `for`", id="no time to settle"),
    pytest.param(READ, READ + ", settled: {nodes: 3}", "got 3, but `readback` names 2", id="more nodes than there are"),
    pytest.param(READ, READ + ", cleanup: {http: {request: DELETE /orders}}", "expected ${run} in it", id="a clean-up of everything"),
    pytest.param(READ, READ + ", cleanup: {http: {request: 'GET /orders?p=${run}'}}", "expected a method and a path", id="a clean-up that only looks"),
    pytest.param(READ, READ + ", cleanup: {sql: {query: 'delete ${run}'}}", "say where it runs", id="a clean-up nowhere"),
]


@pytest.mark.parametrize(("old", "new", "said"), BAD)
def test_a_broken_ledger_says_what_to_do(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(InvalidFile) as error:
        profile(tmp_path, GOOD.replace(old, new))
    assert said in str(error.value), str(error.value)


def test_a_locustfile_has_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "l.py").write_text("")
    with pytest.raises(InvalidFile) as error:
        profile(tmp_path, "apiVersion: chaosx/v1\nkind: LoadProfile\nlocustfile: l.py\n" + LEDGER % (READ, ""))
    assert "a locustfile's writes cannot be noted" in str(error.value)


EXPERIMENT = f"""
title: x
method: []
extensions:
- name: chaoslib_ext
  version: 1
  slos: [{ROOT / "experiments/sandbox/slos/shop.yaml"}]
  load: load.yaml
  rpo: %s
"""


def block(tmp_path: Path, rpo: str, load: str = GOOD) -> Block:
    (tmp_path / "load.yaml").write_text(load, encoding="utf-8")
    (tmp_path / "x.yaml").write_text(EXPERIMENT % rpo, encoding="utf-8")
    found = read_experiment(tmp_path / "x.yaml")
    assert found.block is not None and not any(warning.startswith("NO_OBJECTIVE") for warning in found.warnings)
    return found.block


@pytest.mark.parametrize(
    ("text", "rpo"),
    [
        ("{objective: 0s, max_writes: 0, ledger: orders}", Rpo("orders", 0.0, 0)),
        ("{objective: 5s, ledger: orders}", Rpo("orders", 5.0, None)),
        ("{max_writes: 3, ledger: orders}", Rpo("orders", None, 3)),
    ],
)
def test_an_rpo_is_read(text: str, rpo: Rpo, tmp_path: Path) -> None:
    found = block(tmp_path, text)
    assert found.rpo == rpo
    assert Block.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("text", "load", "said"),
    [
        pytest.param("{ledger: orders}", GOOD, "promises nothing; add `objective` (seconds of data), `max_writes`, or both", id="no promise"),
        pytest.param("{objective: 0s}", GOOD, "rpo.ledger", id="no ledger"),
        pytest.param("{objective: 0s, ledger: order}", GOOD, "no ledger of the load profile is called 'order'; did you mean 'orders'?", id="an unknown ledger"),
        pytest.param("{objective: 0, ledger: orders}", GOOD, "expected a duration with its unit", id="no unit"),
        pytest.param("{max_writes: -1, ledger: orders}", GOOD, "rpo.max_writes", id="less than none"),
        pytest.param(
            "{max_writes: 0, ledger: orders}", GOOD.replace(f", readback: {READ}", ""), "has no `readback`; lost writes cannot be found", id="no way to read"
        ),
    ],
)
def test_a_broken_rpo_says_what_to_do(text: str, load: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as error:
        block(tmp_path, text, load)
    assert said in str(error.value), str(error.value)


def test_an_rpo_without_any_load_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(EXPERIMENT.replace("  load: load.yaml\n", "") % "{objective: 0s, ledger: orders}", encoding="utf-8")
    with pytest.raises(InvalidFile) as error:
        read_experiment(tmp_path / "x.yaml")
    assert "there is no `load`, so nothing writes" in str(error.value)
