"""Faults of a node's disk without a store: what would be hit, what is refused by name, and that no disk but a small one of ours is ever filled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.environment import Environment, Service
from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.faults import planning
from chaoslib_ext.formats.activities_table import managed_kind
from chaoslib_ext.ledger import Entry, Target
from chaoslib_ext.prober.bracket import Aim, Look, effect_bracket, removal_bracket
from chaoslib_ext.process import disk, tracer, undo
from chaoslib_ext.process.client import start_ticks

HEALTH = ["127.0.0.1", 7000]
MS = 1_000_000


def through() -> dict[str, Any]:
    return {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}


def environment(folder: Path, pid: int = 10, fsync: bool = True, place: dict[str, Any] | None = None, **roles: str) -> Environment:
    wanted = {"a": "primary", "b": "standby", "c": "standby", **roles}
    more = {"disk": place} if place else {}
    nodes = [
        {"name": f"store-{zone}", "zone": zone, "pid": pid, "start_ticks": 1, "uid": f"0-10-{at}", "port": 1, "role": role, "folder": f"/s/{zone}", **more}
        for at, (zone, role) in enumerate(wanted.items())
    ]
    links = {zone: {"control": f"/s/link-{zone}", "uid": f"0-20-1/{zone}", "base_ms": 0.0} for zone in "abc"}
    store = {"fsync": fsync, "ready": True, "nodes": nodes, "links": links, "controller": {"control": "/s/store"}, "health": {"address": HEALTH}}
    path = folder / "roster.json"
    path.write_text(json.dumps({"identity": "it", "zones": list("abc"), "keeper": {"control": "/k"}, "links": {}, "replicas": [], "store": store}))
    return Environment("test", identity={"sandbox": "it"}, services={"shop": Service("shop", processes={"roster": str(path)})})


def plan(env: Environment, func: str, caps: dict[str, float] | None = None, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": {"duration": "20s", **arguments}}
    return planning.resolve({"type": "action", "name": "f", "provider": provider}, env, caps or {}, 1)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in for a postmaster."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield child
    child.communicate()


def test_a_slow_disk_hits_one_node_by_uid_and_the_others_survive(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    why = tracer.refusal(sleeper.pid)
    if why:
        pytest.skip(why)
    row = plan(environment(tmp_path, sleeper.pid), "slow_disk", delay="200ms")
    (target,) = row["targets"]
    assert (target["kind"], target["name"], target["uid"], target["probe"]["path"]) == ("store-node", "store-a", "0-10-0", "/node/store-a/commit/4000")
    assert (row["kind"], row["reversible"], row["duration_s"], row["of"]) == ("held", True, 20.0, {"store": {"total": 3, "hit": 1}})
    assert (row["survivors"], row["zones_lost"], target["data"]["delay_us"], target["data"]["limit_s"]) == ({"b": 1, "c": 1}, [], 200_000, 60.0)
    with pytest.raises(Refused, match="the cap") as refused:
        plan(environment(tmp_path, sleeper.pid), "slow_disk", {"per_owner": 0.3}, delay="200ms")
    assert refused.value.reason == "CAPS_EXCEEDED"


@pytest.mark.parametrize(
    ("func", "arguments", "text"),
    [
        pytest.param("fill_disk", {"node": "store-z"}, r"node 'store-z' matches nothing that is up \(there are: primary, store-a, store-b", id="no such node"),
        pytest.param("fill_disk", {"node": "standby"}, "'standby' matches nothing", id="either of two standbys"),
        pytest.param("fill_disk", {"store": "orders"}, r"store 'orders' matches nothing \(there are: store\)", id="no such store"),
        pytest.param("fill_disk", {"duration": "0s"}, "expected more than 0s", id="no time"),
        pytest.param("slow_disk", {"delay": "1ms"}, "expected 50ms to 10s", id="a delay that cannot be seen"),
        pytest.param("slow_disk", {"delay": "6s"}, "cannot be seen within timeout_s", id="a delay longer than the patience"),
        pytest.param("slow_disk", {}, "argument 'delay' is missing", id="no delay"),
    ],
)
def test_a_wrong_call_is_told_and_nothing_is_touched(tmp_path: Path, func: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        plan(environment(tmp_path), func, **arguments)


@pytest.mark.parametrize(
    ("func", "made", "arguments", "text"),
    [
        pytest.param("fill_disk", {}, {}, "store-a has no disk of limited size of its own; .*store_small_disk", id="a disk of the machine"),
        pytest.param("fill_disk", {"b": "down", "c": "fenced"}, {}, "no node that could go on without store-a", id="alone"),
        pytest.param("slow_disk", {"fsync": False}, {"delay": "200ms"}, "does not flush what it acknowledges.*store_fsync", id="no flush to slow down"),
        pytest.param("slow_disk", {}, {"delay": "200ms", "node": "store-b"}, "store-b is a standby, whose flushes nobody sees", id="a standby"),
    ],
)
def test_what_is_not_possible_is_refused_by_name(tmp_path: Path, func: str, made: dict[str, Any], arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        plan(environment(tmp_path, **made), func, **arguments)
    assert refused.value.reason == "PREFLIGHT_FAILED"


def test_without_strace_a_slow_disk_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="strace is missing; install it") as refused:
        plan(environment(tmp_path), "slow_disk", delay="200ms")
    assert refused.value.reason == "PREFLIGHT_FAILED"


@pytest.mark.skipif(tracer.which("strace") is None, reason="strace is missing")
def test_where_the_kernel_forbids_to_trace_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert dead.stdout is not None
    dead.stdout.read()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # a zombie may not be traced by anybody, whatever the machine allows
    try:
        with pytest.raises(Refused, match=r"may not be traced .*CAP_SYS_PTRACE.*kernel.yama.ptrace_scope=0"):
            plan(environment(tmp_path, dead.pid), "slow_disk", delay="200ms")
    finally:
        dead.communicate()


def test_trying_it_out_leaves_a_process_untraced_and_running(sleeper: subprocess.Popen[bytes]) -> None:
    tracer.refusal(sleeper.pid)
    assert tracer.tracer_of(sleeper.pid) == 0
    assert sleeper.poll() is None


@pytest.mark.parametrize("place", ["a folder", "/dev/shm"])
def test_what_is_no_small_disk_of_this_sandbox_is_never_filled(tmp_path: Path, place: str) -> None:
    folder = str(tmp_path) if place == "a folder" else place
    if not Path(folder).is_dir():
        pytest.skip(f"no {folder} here")
    wrong = {"folder": folder, "source": "chaosx-it", "through": through()}
    with pytest.raises(FaultFailed, match="not a small disk of its own"):
        disk.fill(wrong, "ballast-of-the-test", "me")
    assert not (Path(folder) / "ballast-of-the-test").exists()
    with pytest.raises(Refused, match=r"cannot be reached: .*not a small disk of its own"):
        plan(environment(tmp_path, place=wrong), "fill_disk")


def test_a_disk_that_went_with_its_keeper_is_gone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    other = {"folder": str(tmp_path), "source": "chaosx-it", "through": {"pid": sleeper.pid, "start_ticks": 1}}
    with pytest.raises(disk.DiskGone):
        disk.empty(other, "ballast", "me")
    ours = {"owner": "me", "disk": other, "file": "ballast", "folder": str(tmp_path), "health": HEALTH, "node": "store-a", "controller": "/c", "keeper": "/k"}
    assert undo.empty_disk(entry("process.empty_disk", ours)).rec == "GONE"


def entry(handler: str, ours: dict[str, Any]) -> Entry:
    return Entry("f", handler, Target("process", "it", "store-node", "store", "store-a", "0-10-0"), ours, {}, "held", 0, "APPLIED", 1)


def test_ending_a_tracer_that_never_was_changes_nothing_and_says_so(tmp_path: Path) -> None:
    assert undo.end_tracer(entry("process.end_tracer", {"owner": "nobody--f", "folder": str(tmp_path)})).rec == "UNDONE"


def looks(*endings: str, start_ms: int = 0) -> list[Look]:
    kinds = {
        "room": ("answered", 200, "uid"),
        "full": ("answered", 507, "uid"),
        "other": ("answered", 503, "uid"),
        "closed": ("closed", 0, ""),
        "silent": ("silent", 0, ""),
    }
    return [Look((start_ms + at * 100) * MS, (start_ms + at * 100 + 5) * MS, *kinds[ending]) for at, ending in enumerate(endings)]


@pytest.mark.parametrize(
    ("seen", "bracket"),
    [
        pytest.param(["room", "full", "full"], (100, 105), id="it says so"),
        pytest.param(["room", "closed", "closed"], (100, 105), id="it has ended"),
        pytest.param(["room", "silent", "silent", "silent"], None, id="silence proves nothing"),
        pytest.param(["room", "other", "other", "other"], None, id="another refusal proves nothing"),
        pytest.param(["room", "full", "room", "full"], None, id="there was room in between"),
    ],
)
def test_a_full_disk_is_proven_by_the_node_s_own_word_or_its_end(seen: list[str], bracket: tuple[int, int] | None) -> None:
    found = effect_bracket(looks(*seen), Aim("full", "uid"), 50 * MS, 90 * MS)
    assert bracket is None if found is None else (max(found.lo_ns, 100 * MS) // MS, found.hi_ns // MS) == bracket


def test_a_disk_has_room_again_when_the_node_writes_to_it_again() -> None:
    seen = looks("full", "full", "silent", "room", "room")
    found = removal_bracket(seen, Aim("full", "uid"), 5 * MS, 150 * MS)
    assert found is not None
    assert (found.lo_ns, found.hi_ns) == (200 * MS, 305 * MS)
    assert removal_bracket(looks("full", "room", "silent"), Aim("full", "uid"), 5 * MS, 50 * MS) is None


def test_both_are_managed_and_held() -> None:
    def activity(func: str) -> dict[str, Any]:
        return {"type": "action", "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": func}}

    assert [managed_kind(activity(func)) for func in ("fill_disk", "slow_disk")] == ["held", "held"]
