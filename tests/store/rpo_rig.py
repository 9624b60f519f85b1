"""
One whole run of `chaosx` through a failover of a sandbox's store, and the same told without any code of ours that counts.

The truth is what a witness on the wire saw being sent and acknowledged, and what `psql` reads from each node's own table afterwards. When
the failover began is seen from the kernel (the primary's processes) or from Postgres itself (a standby that has become a primary).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml
from store_rig import ZONES, Box, until
from wire_witness import Witness

from chaoslib_ext import rundir
from chaoslib_ext.process.client import process_state
from chaoslib_ext.process.store import node_processes
from chaoslib_ext.sandbox.store_launch import binaries
from chaoslib_ext.writes import Classes, classify

LOAD = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 40/s}]
journeys:
- name: order
  steps:
  - {request: POST /orders, json: {id: "${write_id}"}, check: {status: 201}, timeout: 3s, write: orders}
writes:
  orders:
    acknowledged: {status: 201}
    readback: {http: {url_path: "/orders?prefix=${run}&node=${node}", ids: $.ids, nodes: [store-a, store-b, store-c]}}
    settled: {for: 1s, within: 60s, nodes: 2}
"""
LIMIT_S = 240


@dataclass(frozen=True)
class Kind:
    """A kind of failover: the sandbox's switches, the arguments of `lose_primary`, and how much its links are slowed down beforehand."""

    name: str
    switches: tuple[str, ...]
    arguments: dict[str, Any]
    delay_ms: float = 0.0


KINDS = (
    Kind("killed, asynchronous, links 50 ms", ("store_async_50ms",), {"how": "kill"}),
    Kind("killed, asynchronous", ("store",), {"how": "kill"}),
    Kind("killed, synchronous, links 25 ms", ("store_sync",), {"how": "kill"}, 25.0),
    Kind("frozen, fenced", ("store",), {"how": "freeze", "duration": "6s"}),
    Kind("frozen, not fenced", ("no_fencing",), {"how": "freeze", "duration": "6s"}),
    Kind("switched over", ("store",), {"how": "switchover"}),
    Kind("switched over without demotion", ("no_demotion",), {"how": "switchover"}),
    Kind("killed, write-behind", ("write_behind",), {"how": "kill"}),
)


@dataclass
class Truth:
    """What really became of the writes: sets of ids; `rows` maps a node that can be read to how often it has each id; `began_ns` is a bracket, monotonic."""

    sent: set[str] = field(default_factory=set)
    acknowledged: dict[str, int] = field(default_factory=dict)
    rows: dict[str, Counter[str]] = field(default_factory=dict)
    primary: str = ""
    began_ns: tuple[int, int] | None = None

    def classes(self) -> dict[str, set[str]]:
        """The five classes, by plain sets."""
        there = set(self.rows[self.primary])
        unknown = self.sent - self.acknowledged.keys()
        return {
            "lost": self.acknowledged.keys() - there,
            "recovered": unknown & there,
            "never_seen": unknown - there,
            "phantom": there - self.sent,
            "duplicated": {id_ for id_, n in self.rows[self.primary].items() if n > 1},
        }


@dataclass
class Told:
    """One run: the truth, our classes by id, the figures of result.json, and how long after the wire our client noted what it got."""

    kind: Kind
    truth: Truth
    ours: Classes
    attempts: dict[str, tuple[str, int | None]]
    rpo: dict[str, Any]
    result: dict[str, Any]
    effect_ns: tuple[int, int] | None
    zero_ns: int
    run: str

    @property
    def counted(self) -> bool:
        """Whether our side says anything: without an authoritative read it says nothing, least of all "0 lost"."""
        return self.rpo["lost"] is not None

    def differences(self) -> list[str]:
        """Where our count and the truth are not the same, in words; empty when they agree, or ours says nothing."""
        found: list[str] = []
        if not self.counted:
            return found
        acknowledged = {id_ for id_, (outcome, _) in self.attempts.items() if outcome == "ok"}
        pairs: dict[str, tuple[set[str], set[str]]] = {"acknowledged": (acknowledged, set(self.truth.acknowledged))}
        never_sent = self.attempts.keys() - self.truth.sent  # noted before it was sent, then given up: it is in no table, which `phantom` shows
        for name, truth in self.truth.classes().items():
            pairs[name] = (set(getattr(self.ours, name)) - never_sent, truth)
        pairs["resurrected"] = (set(self.ours.resurrected), set())
        pairs["not noted"] = (set(), self.truth.sent - self.attempts.keys())
        for name, (ours, truth) in pairs.items():
            if ours != truth:
                found.append(f"{name}: ours {len(ours)}, truth {len(truth)}; only ours {sorted(ours - truth)[:3]}, only the truth {sorted(truth - ours)[:3]}")
        counts = {name: len(getattr(self.ours, name)) for name in ("lost", "recovered", "never_seen", "resurrected", "phantom", "duplicated")}
        found += [f"result.json: {name} is {self.rpo[name]}, its own ledger says {n}" for name, n in counts.items() if self.rpo[name] != n]
        for node, rows in self.truth.rows.items():
            lacking = len(self.truth.acknowledged.keys() - rows.keys())
            if self.rpo["nodes"].get(node) not in (None, lacking):
                found.append(f"node {node}: ours lacks {self.rpo['nodes'][node]}, the truth {lacking}")
        return found

    @property
    def age_s(self) -> tuple[float, float] | None:
        """How old the first lost acknowledgement was when the failover really began: a bracket in seconds; None when nothing is lost or nobody knows."""
        lost = self.truth.classes()["lost"]
        if not lost or self.truth.began_ns is None:
            return None
        first_ns = min(self.truth.acknowledged[id_] for id_ in lost)
        return max(0.0, (self.truth.began_ns[0] - first_ns) / 1e9), max(0.0, (self.truth.began_ns[1] - first_ns) / 1e9)

    @property
    def ages_meet(self) -> bool:
        """Whether the verdict's bracket of that age and the one seen from outside have a moment in common; true where there is nothing to compare."""
        age_s = self.age_s
        return age_s is None or not self.counted or (self.rpo["lo_s"] <= age_s[1] and age_s[0] <= self.rpo["hi_s"])


def failed_over(box: Box, kind: Kind, folder: Path, number: int) -> Told:
    """One run on a sound store, through one failover."""
    place = folder / f"run-{number}"
    place.mkdir()
    box.sound()
    for zone in ZONES if kind.delay_ms else ():
        box.link(zone, op="set", mode="delay", delay_ms=kind.delay_ms, owner="rpo-truth")
    witness = Witness(box.port)
    try:
        with beginning(box, kind) as seen:
            directory = chaosx(box, kind, witness.url, place)
        box.sound()
        return compared(box, kind, witness, directory, seen())
    finally:
        witness.close()


def chaosx(box: Box, kind: Kind, url: str, place: Path) -> Path:
    """Runs `chaosx` as a user does; its run directory."""
    environment = {"apiVersion": "chaosx/v1", "kind": "Environment", "name": "witnessed", "class": "local", "identity": {"sandbox": box.info.identity}}
    environment |= {"services": {"shop": {"processes": {"roster": box.info.roster}, "url": url}}, "zones": {zone: zone for zone in ZONES}}
    environment |= {"hosts": ["127.0.0.1"]}
    block = {"name": "chaoslib_ext", "version": 1, "load": "load.yaml", "rpo": {"objective": "0s", "max_writes": 0, "ledger": "orders"}}
    block |= {"windows": {"warmup": "1s", "baseline": "3s", "recovery": "12s", "stable": "3s"}}
    provider = {"type": "python", "module": "chaoslib_ext.faults", "func": "lose_primary", "arguments": {**kind.arguments, "timeout_s": 30.0}}
    method = [{"type": "action", "name": "lose the primary", "provider": provider}]
    (place / "load.yaml").write_text(LOAD, encoding="utf-8")
    (place / "env.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")
    (place / "x.yaml").write_text(yaml.safe_dump({"title": kind.name, "method": method, "extensions": [block]}), encoding="utf-8")
    argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", "./env.yaml", "--json", "--seed", "7"]
    told = {**os.environ, "CHAOSX_STATE": str(place / "state"), "NO_COLOR": "1"}
    done = subprocess.run(argv, cwd=place, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.stdout.strip(), done.stderr
    return Path(json.loads(done.stdout)["directory"])


def compared(box: Box, kind: Kind, witness: Witness, directory: Path, began_ns: tuple[int, int] | None) -> Told:
    """What the run says beside the truth."""
    run = rundir.read(directory)
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    name = str(run.header["id"])
    mine = {id_: seen for id_, seen in witness.writes.items() if id_.startswith(f"{name}:") and ":barrier:" not in id_}
    rows = {node: table(box, node, name) for node in box.roles()}
    truth = Truth(set(mine), {id_: seen.acknowledged_ns for id_, seen in mine.items() if seen.acknowledged_ns}, rows, box.primary(), began_ns)
    believed = next((node.counts for node in run.reads if node.authority), {})
    ours = classify(run.attempts, believed, name)
    zero_ns = int(run.header["clock"]["t0_ns"])
    effects = [event for event in run.of_kind("effect") if event.get("proof")]
    effect = (effects[0]["lo_ns"] + zero_ns, effects[0]["hi_ns"] + zero_ns) if effects else None
    attempts = {one.id: (one.outcome, None if one.done_us is None else one.done_us * 1000 + zero_ns) for one in run.attempts}
    return Told(kind, truth, ours, attempts, result["rpo"], result, effect, zero_ns, name)


def table(box: Box, node: str, run: str) -> Counter[str]:
    """What a node's own table holds of a run, asked with psql."""
    folder = binaries()
    assert folder is not None
    query = f"select id from orders where id like '{run}:%'"
    argv = [str(folder / "psql"), box.node(node)["dsn"], "-XAtc", query]
    text = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    return Counter(line for line in text.splitlines() if ":barrier:" not in line)


# when the failover began -------------------------------------------------------------------------------------------


@contextmanager
def beginning(box: Box, kind: Kind) -> Iterator[Callable[[], tuple[int, int] | None]]:
    """Watches for the beginning of the failover while the block runs; then tells it as a bracket of monotonic nanoseconds."""
    old, found, ended = box.primary(), [], threading.Event()
    watch = {"kill": _death, "freeze": _stop, "switchover": _promotion}[kind.arguments["how"]]
    thread = threading.Thread(target=lambda: found.append(watch(box, old, ended)))
    thread.start()
    try:
        yield lambda: found[0] if found else None
    finally:
        ended.set()
        thread.join()


def _death(box: Box, old: str, ended: threading.Event) -> tuple[int, int] | None:
    """When the kernel says that the postmaster is gone."""
    handle = os.pidfd_open(box.node(old)["pid"])
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    last_ns = time.monotonic_ns()
    try:
        while not ended.is_set():
            if poll.poll(5):
                return last_ns, time.monotonic_ns()
            last_ns = time.monotonic_ns()
        return None
    finally:
        os.close(handle)


def _stop(box: Box, old: str, ended: threading.Event) -> tuple[int, int] | None:
    """From the last moment at which nothing of the node was stopped to the first at which all of it was."""
    folder, last_ns, pid = box.node(old)["folder"], time.monotonic_ns(), box.node(old)["pid"]
    while not ended.wait(0.001):
        now_ns = time.monotonic_ns()
        if process_state(pid) == "T":
            until(lambda: all(process_state(one) in ("T", None, "Z") for one, _ in node_processes(folder)), "all of it stopped")
            return last_ns, time.monotonic_ns()
        last_ns = now_ns
    return None


def _promotion(box: Box, old: str, ended: threading.Event) -> tuple[int, int] | None:
    """Between the last answer of all standbys that they are some and the first that one is none."""
    others = [psycopg.connect(node["dsn"], autocommit=True) for node in box.store()["nodes"] if node["name"] != old]
    last_ns = time.monotonic_ns()
    try:
        while not ended.wait(0.002):
            asked_ns = time.monotonic_ns()
            if not all(one.execute("select pg_is_in_recovery()").fetchone()[0] for one in others):  # type: ignore[index]
                return last_ns, time.monotonic_ns()
            last_ns = asked_ns
        return None
    finally:
        for one in others:
            one.close()
