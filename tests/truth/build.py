"""
A builder of run directories whose truth is known: real files, written as the supervisor and its children write them.

A `Scene` says what the system does at each moment (`serve`), how the generator misbehaves (`late_s`, `sent`), which
faults were in force, and what the supervisor noted; `build` writes it all down and seals it. Differences from a real run:
every journey has one step, responses take exactly as long as `serve` says, and the prober is always right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chaoslib_ext.block import Block, Objective, Rto, Windows
from chaoslib_ext.ledger import Frame, Target
from chaoslib_ext.loadprofile import Journey, LoadProfile, Stage, Step
from chaoslib_ext.rundir import Run, Writer, read, write_json
from chaoslib_ext.seal import write_whole
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import LATE_US, ROW, ROWS_MAGIC, SECONDS_MAGIC, UNKNOWN, Outcome, Second, block
from chaoslib_ext.writelog import ACKS_MAGIC, READ_MAGIC, lines
from chaoslib_ext.writeplan import HttpRead, WriteLedger

NS = 1_000_000_000
US = 1_000_000
FAULT = "lose zone b"
Answer = tuple[Outcome, float]
Serve = Callable[[float, int], Answer]

AVAILABILITY = Slo("availability", "shop", "Checkout works", Sli("availability", "checkout", "journey", None), 0.99, 30 * 86400.0, "slos.yaml#0")
LATENCY = Slo("latency", "shop", "Checkout is fast", Sli("latency", "checkout", "journey", 250.0), 0.95, 30 * 86400.0, "slos.yaml#1")


def healthy(_t_s: float, _k: int) -> Answer:
    """Answers in 20 ms."""
    return Outcome.OK, 0.02


def down(*spans: tuple[float, float], outcome: Outcome = Outcome.TIMEOUT, took_s: float = 1.0) -> Serve:
    """A complete outage in each span: what is sent in it goes unanswered, or is refused."""
    return lambda t_s, k: (outcome, took_s) if any(a <= t_s < b for a, b in spans) else healthy(t_s, k)


def partly(share: float, *spans: tuple[float, float]) -> Serve:
    """A share of the arrivals fails in each span, evenly spread."""
    return lambda t_s, k: (Outcome.STATUS, 0.01) if any(a <= t_s < b for a, b in spans) and (k * share) % 1.0 + share >= 1.0 else healthy(t_s, k)


def slow(latency_s: float, *spans: tuple[float, float]) -> Serve:
    """Answers well, but late, in each span."""
    return lambda t_s, k: (Outcome.OK, latency_s) if any(a <= t_s < b for a, b in spans) else healthy(t_s, k)


def both(*serves: Serve) -> Serve:
    """The first of several that is not healthy."""
    return lambda t_s, k: next((answer for serve in serves if (answer := serve(t_s, k)) != healthy(t_s, k)), healthy(t_s, k))


@dataclass(frozen=True)
class FaultScene:
    """
    One fault, in seconds from the run's zero.

    `readings` says whether it was seen in force at each whole second after the effect, `proven_s` how long after it the proof was given.
    """

    name: str = FAULT
    kind: str = "held"
    effect: tuple[float, float] | None = (10.0, 10.02)
    removed: tuple[float, float] | None = (40.02, 40.05)
    planned_s: float | None = 30.0
    replaced: bool = False
    readings: Callable[[int], bool | None] = lambda _second: True
    uids: Sequence[str] | None = None
    proven_s: float = 0.0
    targets: int = 2
    undo: str = "UNDONE"
    status: str = "succeeded"
    error: str | None = None


def word_of(_t_s: float, _k: int, outcome: Outcome) -> str:
    """How a write ends: acknowledged with a good answer, certainly not done without a connection, unknown otherwise."""
    return {Outcome.OK: "ok", Outcome.CONNECT: "fail"}.get(outcome, "info")


@dataclass(frozen=True)
class WriteScene:
    """
    Every request is a write; `kept(t_s, k, word)` says how often the store holds write k at the end.

    `nodes` holds the same for followers that differ (None: unreadable), `extra` ids that nobody sent. Without `read_s` nothing
    was read back. The last `drop` lines of the acknowledgements never reached the disk.
    """

    kept: Callable[[float, int, str], int] = lambda _t_s, _k, word: int(word == "ok")
    word: Callable[[float, int, Outcome], str] = word_of
    nodes: dict[str, Callable[[float, int, str], int] | None] = field(default_factory=dict)
    believed: tuple[str, ...] = ("store-a",)
    extra: dict[str, int] = field(default_factory=dict)
    settled: bool = True
    barrier: bool = True
    read_s: float | None = 60.0
    closed: bool = True
    drop: int = 0


KILLED = FaultScene(name="kill", kind="instant", effect=(10.0, 10.02), removed=(12.0, 12.05), planned_s=None, replaced=True)


def block_of(**more: Any) -> Block:
    """An RTO of 10 s, half of the requests good under fault, all well afterwards."""
    usual = Block(
        slos=[AVAILABILITY, LATENCY],
        windows=Windows(2.0, 6.0, 15.0, 5.0),
        objectives=[Objective("availability", "fault", 0.5), Objective("availability", "recovered")],
        rto=Rto(10.0, ["availability", "latency"]),
        recovery_after_removal_s=5.0,
    )
    return replace(usual, **more)


@dataclass(frozen=True)
class Scene:
    """A whole run. Times in seconds from its zero; the default one is a zone loss that the system heals within 2 s, held for 30 s."""

    serve: Serve = field(default_factory=lambda: down((10.01, 12.0)))
    faults: tuple[FaultScene, ...] = (FaultScene(),)
    block: Block | None = field(default_factory=block_of)
    rate: float = 100.0
    arrivals: str = "uniform"
    start: float = 1.0
    baseline: tuple[float, float] = (3.0, 9.0)
    method: tuple[float, float] = (9.0, 40.1)
    stop: float = 56.0
    late_s: Callable[[float, int], float] = lambda _t, _k: 0.0005
    sent: Callable[[float, int], bool] = lambda _t, _k: True
    closed: bool = False
    browse: int = 0  # every n-th arrival is another journey, which is always answered well
    activities: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any], ...] = ()
    header: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    load: bool = True
    writes: WriteScene | None = None
    before_seal: Callable[[Path], None] = lambda _folder: None
    after_seal: Callable[[Path], None] = lambda _folder: None


def build(folder: Path, scene: Scene) -> Run:
    """Writes the scene into `folder` and reads it back."""
    writer = Writer.create(folder)
    for event in sorted(_events(scene), key=lambda event: event["t_ns"]):
        writer.event(**{"src": "supervisor", **event})
    write_json(
        folder / "plan.json", {"resolved": [_row(fault) for fault in scene.faults], "cost": {"slo": "availability", "price": 0.001}, "token": "0badc0de"}
    )
    write_whole(folder / "inputs/experiment.yaml", b"title: truth\n")
    if scene.load:
        _load(folder / "load" / "w0", scene)
    if scene.writes:
        _writes(folder / "writes", scene, scene.writes)
    if scene.faults:
        write_whole(folder / "undo.wal", b"".join(frame.line() for frame in _ledger(scene)))
    scene.before_seal(folder)
    writer.seal(_header(scene))
    scene.after_seal(folder)
    return read(folder)


def profile(scene: Scene) -> LoadProfile:
    """The load profile of a scene."""
    journeys = (Journey("checkout", 1.0, (Step("GET /checkout", "GET", "/checkout", write="orders" if scene.writes else None),)),)
    journeys += (Journey("browse", 1.0 / scene.browse, (Step("GET /browse", "GET", "/browse"),)),) if scene.browse else ()
    told = ((Stage(scene.rate),), scene.arrivals, () if scene.closed else journeys, "locustfile.py" if scene.closed else None, "load.yaml")
    return LoadProfile(*told, {"orders": WriteLedger((201,), http=HttpRead("/orders?prefix=${run}", "$.ids"))} if scene.writes else {})


def _header(scene: Scene) -> dict[str, Any]:
    usual = {
        "id": "20260101-000000-truth-0001", "title": "Truth", "experiment": {"path": "experiment.yaml", "sha256": "0" * 64},
        "env": {"name": "truth", "identity": {}},
        "clock": {"t0_ns": 1, "wall_s": 1.0, "boot_id": "b", "boot_id_end": "b", "drift_ms_end": 0.5}, "seed": 7, "command": [], "versions": {},
        "attempt": {"n": 1, "commit": None}, "started_utc": "2026-01-01T00:00:00.000Z", "ended_ns": round(scene.stop * NS) + 2 * NS,
        "block": scene.block.to_json() if scene.block else None, "load": profile(scene).to_json() if scene.load else None,
        "activities": [{"name": fault.name, "type": "action", "managed": True} for fault in scene.faults], "hypothesis": False,
        "end": {"how": "completed", "reason": None, "detail": ""}, "children": {"load": 0, "method": 0, "prober": 0, "healer": None},
        "clean": {"state": "clean" if scene.faults else "nothing-injected", "proven_at_ns": round(scene.method[1] * NS), "pending": []},
    }  # fmt: skip
    return {**usual, **scene.header}


def _row(fault: FaultScene) -> dict[str, Any]:
    targets = [_target(fault, n) for n in range(fault.targets)]
    return {
        "activity": fault.name,
        "func": "lose_zone",
        "how": "silent",
        "kind": fault.kind,
        "duration_s": fault.planned_s,
        "reversible": True,
        "service": "shop",
        "targets": targets,
    }


def _target(fault: FaultScene, n: int) -> dict[str, Any]:
    return {
        "platform": "process",
        "identity": "truth",
        "kind": "replica",
        "ns": "shop",
        "name": f"shop-b{n}",
        "uid": f"{fault.name}-{n}",
        "zone": "b",
        "probe": {"port": 1},
    }


def _events(scene: Scene) -> list[dict[str, Any]]:
    phases = [
        ("warm-up", scene.start, scene.baseline[0]),
        ("baseline", *scene.baseline),
        ("method", *scene.method),
        ("heal", scene.method[1], scene.method[1] + 0.2),
    ]
    phases.append(("recovery", scene.method[1] + 0.2, scene.stop))
    found: list[dict[str, Any]] = []
    for name, a, b in phases:
        found += [
            {"kind": "phase", "name": name, "state": "start", "t_ns": round(a * NS)},
            {"kind": "phase", "name": name, "state": "end", "t_ns": round(b * NS)},
        ]
    for fault in scene.faults:
        found += _fault_events(fault, scene)
    return found + [{**activity_event(**activity)} for activity in scene.activities] + list(scene.events)


def activity_event(name: str, type_: str = "probe", where: str = "method", t_s: float = 11.0, **more: Any) -> dict[str, Any]:
    """The end of an activity."""
    usual = {"kind": "activity", "name": name, "type": type_, "where": where, "state": "ended", "status": "succeeded", "managed": True, "t_ns": round(t_s * NS)}
    return {**usual, **more}


def _fault_events(fault: FaultScene, scene: Scene) -> list[dict[str, Any]]:
    at_s = fault.effect[0] if fault.effect else scene.method[0] + 0.5
    started = activity_event(fault.name, "action", t_s=at_s - 0.1, state="started")
    found = [
        {key: value for key, value in started.items() if key != "status"},
        activity_event(fault.name, "action", t_s=at_s + 0.2, status=fault.status, error=fault.error),
    ]
    if fault.effect is None:
        return found
    uids = [target["uid"] for target in _row(fault)["targets"]] if fault.uids is None else list(fault.uids)
    lo, hi = (round(at * NS) for at in fault.effect)
    found.append(
        {"kind": "effect", "fault": fault.name, "lo_ns": lo, "hi_ns": hi, "proof": "probes unanswered", "uids": uids, "t_ns": hi + round(fault.proven_s * NS)}
    )
    end = fault.removed[0] if fault.removed else scene.stop
    for n in range(1, int(end - fault.effect[1]) + 1 if fault.kind == "held" else 0):
        ok = fault.readings(n)
        if ok is not None:
            found.append({"kind": "reading", "name": "in_effect", "fault": fault.name, "in_effect": 2 * ok, "of": 2, "ok": ok, "t_ns": hi + n * NS})
    if fault.removed is not None:
        lo, hi = (round(at * NS) for at in fault.removed)
        found.append(
            {"kind": "removed", "fault": fault.name, "lo_ns": lo, "hi_ns": hi, "proof": "probes answered", "replaced": fault.replaced, "uids": uids, "t_ns": hi}
        )
    return found


def _ledger(scene: Scene) -> list[Frame]:
    """INTENT, APPLIED and, for a held fault, the way back, for each target."""
    frames: list[Frame] = []
    for fault in scene.faults:
        begun = round((fault.effect[0] if fault.effect else scene.method[0] + 0.5) * NS)
        undone = round((fault.removed[0] if fault.removed else scene.method[1]) * NS)
        for n in range(fault.targets):
            target = {key: value for key, value in _target(fault, n).items() if key not in ("zone", "probe")}
            usual = {"fault": fault.name, "handler": "swallow", "target": Target(**target), "kind": fault.kind}
            frames += [Frame(**usual, rec="INTENT", t_ns=begun), Frame(**usual, rec="APPLIED", t_ns=begun)]
            if fault.kind == "held":
                frames += [Frame(**usual, rec="UNDO_TRY", t_ns=undone), Frame(**usual, rec=fault.undo, t_ns=undone)]
    return [replace(frame, seq=seq) for seq, frame in enumerate(sorted(frames, key=lambda frame: frame.t_ns), 1)]


def _load(folder: Path, scene: Scene) -> None:
    folder.mkdir(parents=True)
    rows: list[tuple[int, tuple[int, int, int, int, int, int]]] = []
    start_ns, stop_ns = round(scene.start * NS), round(scene.stop * NS)
    seconds: dict[int, list[int]] = {}
    outcomes: dict[str, int] = {}
    journeys = [0, 0]
    for k, at_s in enumerate(LoadProfile.schedule(replace(profile(scene), locustfile=None), 7).times()):
        at_ns = start_ns + round(at_s * NS)
        if at_ns > stop_ns:
            break
        t_s, at_us = at_ns / NS, at_ns // 1000
        browsing = bool(scene.browse) and k % scene.browse == 0
        outcome, took_s = healthy(t_s, k) if browsing else scene.serve(t_s, k)
        late_us, latency_us = round(scene.late_s(t_s, k) * US), round((scene.late_s(t_s, k) + took_s) * US)
        sent = scene.sent(t_s, k)
        if not sent:
            outcome, latency_us = Outcome.NOT_SENT, 0
        journeys[sent] += 1
        second = seconds.setdefault(at_ns // NS, [0] * 7)
        for index, add in enumerate((1, sent, not sent, sent and late_us > LATE_US, outcome == Outcome.OK, outcome != Outcome.OK, outcome in UNKNOWN)):
            second[index] += add
        for endpoint in (0,) if scene.closed else (0, 1):
            rows.append((at_us + latency_us, (at_us, late_us, latency_us, endpoint + 2 * browsing, int(outcome), 0)))
            outcomes[outcome.name] = outcomes.get(outcome.name, 0) + 1
    rows.sort(key=lambda row: row[0])
    packed = [b"".join(ROW.pack(*row) for _, row in rows[at : at + 500]) for at in range(0, len(rows), 500)]
    (folder / "rows-0000.bin").write_bytes(ROWS_MAGIC + b"".join(map(block, packed)))
    lines = [Second(number, *counts, 0, 0, 30).pack() for number, counts in sorted(seconds.items())]
    (folder / "seconds.bin").write_bytes(SECONDS_MAGIC + b"".join(map(block, lines)))
    endpoints = [{"index": 2 * n + m, "name": told, "zone": "", "class": class_}
                 for n, name in enumerate(("checkout", "browse")[: 1 + bool(scene.browse)])
                 for m, (told, class_) in enumerate(((f"GET /{name}", "step"), (name, "journey")))]  # fmt: skip
    meta = {
        "schema": 1, "model": "closed" if scene.closed else "open", "endpoints": endpoints, "profile": profile(scene).to_json(), "seed": 7,
        "start_ns": start_ns,
        "stop_ns": stop_ns, "scheduled": sum(journeys), "released": journeys[1], "not_released": journeys[0], "rows": len(rows), "outcomes": outcomes,
        "in_flight_cap": 1000, "cap_hits": 0, "late_p50_ms": 0.5, "late_p99_ms": 0.5, "late_max_ms": 0.5, "cpu_s": 1.0, "versions": {},
    }  # fmt: skip
    write_json(folder / "meta.json", {**meta, **scene.meta})


def _writes(folder: Path, scene: Scene, writes: WriteScene) -> None:
    """The acknowledgements as a load child notes them, and one read-back file for each node."""
    folder.mkdir(parents=True)
    run, noted = str(_header(scene)["id"]), []
    held: dict[str, dict[str, int]] = {name: {} for name in (*writes.believed, *writes.nodes)}
    for k, at_s in enumerate(LoadProfile.schedule(replace(profile(scene), locustfile=None), 7).times()):
        t_s = (round(scene.start * NS) + round(at_s * NS)) / NS
        if t_s > scene.stop:
            break
        outcome, took_s = scene.serve(t_s, k)
        word, id_, sent_us = writes.word(t_s, k, outcome), f"{run}:0:{k}", round(t_s * US)
        noted.append((sent_us, {"ledger": "orders", "id": id_, "t_send_us": sent_us}))
        noted.append((sent_us + round(took_s * US), {"id": id_, "t_send_us": sent_us, "t_done_us": sent_us + round(took_s * US), "outcome": word}))
        for name, found in held.items():
            kept = writes.nodes.get(name, writes.kept)
            found[id_] = kept(t_s, k, word) if kept else 0
    records = [record for _, record in sorted(noted, key=lambda one: one[0])]
    records = records[: len(records) - writes.drop]
    last: dict[str, Any] = {"closed": True, "attempted": sum("ledger" in one for one in records)}
    last |= {name: sum(one.get("outcome") == name for one in records) for name in ("ok", "fail")}
    records += [last] if writes.closed else []
    (folder / "acks-w0.bin").write_bytes(ACKS_MAGIC + b"".join(block(lines(*records[at : at + 50])) for at in range(0, len(records), 50)))
    for name in held if writes.read_s is not None else ():
        found = {**held[name], **writes.extra, **({f"{run}:barrier:2": 1} if writes.barrier else {})}
        told = [{"id": id_, "n": n} for id_, n in found.items() if n]
        readable = name not in writes.nodes or writes.nodes[name] is not None
        end = {"node": name, "complete": readable, "settled": writes.settled, "authority": writes.settled and name in writes.believed, "why": ""}
        end["t_us"] = round((writes.read_s or 0) * US)
        (folder / f"readback-{name}.bin").write_bytes(READ_MAGIC + block(lines(*(told if readable else []), end)))
