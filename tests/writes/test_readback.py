"""The final read: which nodes it believes, when it stops waiting, what it leaves behind. A real child process against real sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_rig import step
from replicated import Store
from writes_rig import DELETE, QUICK, RUN, read_back, writing

from chaoslib_ext.load.authority import Round, authority_of
from chaoslib_ext.load.nodes import Reading
from chaoslib_ext.writeplan import HttpRead, Settled, SqlRead, WriteLedger

NODES = ("store-a", "store-b", "store-c")
LEDGER = WriteLedger((201,), http=HttpRead("/orders?prefix=${run}&node=${node}", "$.found.ids", NODES), settled=QUICK, cleanup=DELETE)
IDS = [f"{RUN}:0:{n}" for n in range(5)]


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store(*NODES)
    for node in NODES:
        one.nodes[node] = list(IDS)
    yield one
    one.close()


def settled(store: Store, tmp_path: Path, ledger: WriteLedger = LEDGER, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return read_back(tmp_path / "writes", store.url, writing(ledger), **more)


def ours(counts: dict[str, int]) -> dict[str, int]:
    return {id_: n for id_, n in counts.items() if ":barrier:" not in id_}


def test_nodes_that_agree_are_believed(store: Store, tmp_path: Path) -> None:
    note, nodes = settled(store, tmp_path)
    assert note["settled"] and set(nodes) == set(NODES)
    for node in nodes.values():
        assert (node.complete, node.settled, node.authority) == (True, True, True)
        assert ours(node.counts) == dict.fromkeys(IDS, 1) and len(node.counts) > len(IDS) + 1  # a barrier for each of two reads at least
    assert store.nodes["store-a"][:5] == IDS and note["left"] == len(store.nodes["store-a"])  # it was not told to clean up


def test_a_deposed_primary_is_not_believed(store: Store, tmp_path: Path) -> None:
    store.replicas = {"store-b", "store-c"}
    store.nodes["store-a"].append(f"{RUN}:0:77")  # what it acknowledged, and the others never got
    note, nodes = settled(store, tmp_path)
    assert note["settled"]
    assert [name for name, node in nodes.items() if node.authority] == ["store-b", "store-c"]
    assert f"{RUN}:0:77" in nodes["store-a"].counts and f"{RUN}:0:77" not in nodes["store-b"].counts


def test_a_write_that_lands_late_is_waited_for(store: Store, tmp_path: Path) -> None:
    def land(_node: str, n: int) -> None:
        if n == 5:
            for node in NODES:
                store.nodes[node].append(f"{RUN}:0:late")

    store.before_read = land
    note, nodes = settled(store, tmp_path)
    assert note["settled"] and f"{RUN}:0:late" in nodes["store-a"].counts


def test_duplicates_and_other_peoples_records_are_told_apart(store: Store, tmp_path: Path) -> None:
    for node in NODES:
        store.nodes[node] += [IDS[0], "20250101-000000-other-0001:0:1", f"{RUN}9:0:1"]
    _, nodes = settled(store, tmp_path)
    assert ours(nodes["store-c"].counts) == {**dict.fromkeys(IDS, 1), IDS[0]: 2}


@pytest.mark.parametrize("needed", [0, 3])
def test_a_node_that_cannot_be_read_leaves_it_unsettled(needed: int, store: Store, tmp_path: Path) -> None:
    store.down = {"store-c"}
    note, nodes = settled(store, tmp_path, replace(LEDGER, settled=Settled(0.1, 0.5, needed)), clean=True)
    assert not note["settled"] and "503" in note["text"] and "left where they are" in note["text"]
    assert not any(node.authority for node in nodes.values()) and not nodes["store-c"].complete and nodes["store-a"].complete
    assert store.nodes["store-a"][:5] == IDS  # the evidence was not removed


def test_a_node_that_may_be_missing_is_told_and_no_more(store: Store, tmp_path: Path) -> None:
    store.down = {"store-c"}
    note, nodes = settled(store, tmp_path, replace(LEDGER, settled=replace(QUICK, nodes=2)))
    assert note["settled"] and not nodes["store-c"].complete and nodes["store-a"].authority


@pytest.mark.parametrize("trouble", ["no write goes through", "writers go on", "nodes differ"])
def test_without_authority_it_ends_unsettled(trouble: str, store: Store, tmp_path: Path) -> None:
    if trouble == "no write goes through":
        store.refuses_writes = True
    elif trouble == "writers go on":
        store.before_read = lambda node, n: store.nodes[node].append(f"{RUN}:0:more-{n}")
    else:
        store.nodes["store-b"].pop()
    note, nodes = settled(store, tmp_path, replace(LEDGER, settled=Settled(0.2, 1.0)))
    assert not note["settled"] and note["left"] is None
    assert not any(node.authority or node.settled for node in nodes.values()) and all(node.why for node in nodes.values())


def test_the_barrier_goes_through_the_profiles_own_steps(store: Store, tmp_path: Path) -> None:
    store.token = "s3cr3t"
    told = writing(LEDGER)
    login = step("POST /login", json={"user": "${random}"}, capture={"token": "$.token"})
    [write] = told["journeys"][0]["steps"]
    told["journeys"][0]["steps"] = [login, {**write, "headers": {"Authorization": "Bearer ${token}"}}]
    note, _ = read_back(tmp_path / "writes", store.url, told)
    assert note["settled"], note


def test_the_records_are_removed_and_counted(store: Store, tmp_path: Path) -> None:
    for node in NODES:
        store.nodes[node].append("20250101-000000-other-0001:0:1")
    note, nodes = settled(store, tmp_path, clean=True)
    assert note["left"] == 0 and ours(nodes["store-a"].counts) == dict.fromkeys(IDS, 1)
    assert store.nodes["store-a"] == ["20250101-000000-other-0001:0:1"]


def test_what_cannot_be_removed_is_counted(store: Store, tmp_path: Path) -> None:
    store.refuses_deletes = True
    note, _ = settled(store, tmp_path, clean=True)
    assert note["settled"] and note["left"] >= len(IDS) and "403" in note["text"]


def test_an_interrupted_run_is_cleaned_up_without_being_read(store: Store, tmp_path: Path) -> None:
    note, nodes = settled(store, tmp_path, read=False, clean=True)
    assert (note["left"], nodes, store.nodes["store-b"]) == (0, {}, [])


def test_a_host_that_is_off_limits_is_not_contacted(store: Store, tmp_path: Path) -> None:
    note, _ = read_back(tmp_path / "writes", store.url.replace("127.0.0.1", "localhost"), writing(replace(LEDGER, settled=Settled(0.1, 0.3))))
    assert not note["settled"] and "hosts" in note["text"] and store.reads == 0


SQL = WriteLedger((201,), sql=SqlRead("select 1", dict.fromkeys(NODES, "dbname=x"), "select true"))
B = f"{RUN}:barrier:1"


@pytest.mark.parametrize(
    ("readings", "believed", "why"),
    [
        pytest.param({"store-a": (B, True), "store-b": (B, False), "store-c": (B, False)}, ("store-a",), "", id="one primary"),
        pytest.param({"store-a": (B, True), "store-b": ("", False), "store-c": ("", False)}, ("store-a",), "", id="one primary, followers behind"),
        pytest.param({"store-a": (B, True), "store-b": (B, True), "store-c": (B, False)}, (), "2 nodes say", id="two primaries"),
        pytest.param({"store-a": (B, False), "store-b": (B, False), "store-c": (B, False)}, (), "0 nodes say", id="no primary"),
        pytest.param({"store-a": ("", True), "store-b": (B, False), "store-c": (B, False)}, (), "does not show", id="a primary that nobody writes to"),
        pytest.param({"store-a": (B, True), "store-b": (B, False)}, (), "2 of 3 nodes", id="a node is missing"),
    ],
)
def test_the_node_that_says_it_is_the_primary_is_believed_alone(readings: dict[str, tuple[str, bool]], believed: tuple[str, ...], why: str) -> None:
    found = Round(0, {name: Reading(Counter([id_] if id_ else []), primary) for name, (id_, primary) in readings.items()})
    authority, said = authority_of(found, B, SQL, RUN)
    assert authority == believed and why in said
