"""
Histories of writes drawn from a seed, and what must be said of them: a second, slow account, written without looking at the first.

It takes every definition by its words, with loops, and shares no code with the package.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

RUN = "20260101-000000-truth-0001"
S = 1_000_000_000
STOP_NS = 20 * S
REMOVED_NS = 15 * S


@dataclass
class Op:
    """One write: when it was sent, when and how it ended, and how often the store really holds it."""

    id: str
    ledger: str
    sent_us: int
    done_us: int | None
    outcome: str
    stored: int


@dataclass
class Node:
    """One node's final read. `counts` None: it could not be read."""

    name: str
    counts: dict[str, int] | None
    settled: bool = True
    authority: bool = False
    t_us: int = 21_000_000


@dataclass
class History:
    """One drawn run."""

    ops: list[Op]
    nodes: list[Node]
    effect: tuple[int, int] | None
    objective_s: float | None
    max_writes: int | None
    held: bool = True
    against: dict[str, list[str]] = field(default_factory=dict)


def draw(seed: int) -> History:
    """The history of a seed: calm ones, lossy ones, and ones with every kind of oddity."""
    rng = random.Random(seed)
    lo_ns = 10 * S + rng.randrange(-50, 50) * 1_000_000
    effect = (lo_ns, lo_ns + rng.choice([0, 1000, 20_000_000, 400_000_000]))
    ops = _ops(rng, effect)
    objective_s, max_writes = rng.choice([(0.0, 0), (0.0, None), (0.5, None), (1.0, 3), (None, 0), (None, 2), (2.0, None), (0.0, 3)])
    nodes = _nodes(rng, ops)
    against: dict[str, list[str]] = {}
    if rng.random() < 0.06:
        against[rng.choice(["", "effect:lose zone b", "fault", "baseline"])] = [rng.choice(["WORKER_LOST", "EFFECT_UNPROVEN", "CLOCK_UNSOUND"])]
    return History(ops, nodes, effect if rng.random() > 0.03 else None, objective_s, max_writes, rng.random() < 0.7, against)


def _ops(rng: random.Random, effect: tuple[int, int]) -> list[Op]:
    mood = rng.choice(["calm", "calm", "calm", "lossy", "late loss", "odd", "murky", "sparse"])
    many = rng.randrange(0, 8) if mood == "sparse" else rng.randrange(10, 60)
    loss = {"calm": 0.0, "lossy": 0.15, "late loss": 0.1, "odd": 0.03, "murky": 0.01, "sparse": 0.1}[mood]
    ops: list[Op] = []
    for number in range(many):
        sent_us = rng.randrange(8_000_000, 14_000_000) if rng.random() < 0.8 else rng.randrange(0, 20_000_000)
        took_us = rng.choice([0, 800, 20_000, 300_000, 2_000_000])
        outcome = rng.choices(["ok", "fail", "info"], [0.4, 0.1, 0.5] if mood == "murky" else [0.88, 0.04, 0.08])[0]
        done_us = None if outcome == "info" and rng.random() < 0.4 else min(sent_us + took_us, 20_000_000)
        done_us = None if done_us is None else max(done_us, sent_us)
        stored = {"ok": 1, "fail": 0, "info": int(rng.random() < 0.5)}[outcome]
        at_ns = (done_us or sent_us) * 1000
        if outcome == "ok" and rng.random() < loss and (mood != "late loss" or at_ns > effect[0] - S // 5):
            stored = 0
        if outcome == "fail" and mood == "odd" and rng.random() < 0.3:
            stored = 1  # resurrected
        if stored and rng.random() < (0.1 if mood == "odd" else 0.005):
            stored = rng.randrange(2, 4)  # a retry somewhere
        ops.append(Op(f"{RUN}:{rng.randrange(2)}:{number}", "other" if rng.random() < 0.05 else "orders", sent_us, done_us, outcome, stored))
    rng.shuffle(ops)
    return ops


def _nodes(rng: random.Random, ops: list[Op]) -> list[Node]:
    held = {op.id: op.stored for op in ops if op.stored}
    for n in range(rng.choice([0, 0, 0, 1, 2])):  # of other people, whose ids look alike
        held[rng.choice([f"{RUN}9:0:{n}", f"20260101-000000-other-0002:0:{n}", f"x{RUN}:0:{n}"])] = rng.randrange(1, 3)
    if rng.random() < 0.04:
        held[f"{RUN}:0:{rng.randrange(1000, 2000)}"] = 1  # a phantom
    held[f"{RUN}:barrier:3"] = 1
    nodes = [Node("store-a", dict(held), authority=True)]
    for name in ("store-b", "store-c")[: rng.randrange(0, 3)]:
        nodes.append(_follower(rng, name, held))
    fate = rng.random()
    if fate < 0.02:
        nodes = []
    elif fate < 0.04:
        nodes[0].settled = False
    elif fate < 0.05:
        nodes[0].counts = None
    elif fate < 0.07:
        nodes[0].t_us = rng.choice([19_000_000, 500_000])
    elif fate < 0.08 and nodes[0].counts is not None:
        del nodes[0].counts[f"{RUN}:barrier:3"]
    return nodes


def _follower(rng: random.Random, name: str, held: dict[str, int]) -> Node:
    kind = rng.choice(["equal", "equal", "stale", "deposed", "gone", "believed"])
    if kind == "gone":
        return Node(name, None, authority=False)
    counts = {id_: n for id_, n in held.items() if kind in ("equal", "believed") or (rng.random() < 0.7 and "barrier" not in id_)}
    if kind == "deposed":
        counts |= {f"{RUN}:0:{number}": 1 for number in range(60) if rng.random() < 0.1}  # it kept what the others never got
    if kind == "believed" and rng.random() < 0.2:
        counts.pop(next(iter(counts)), None)  # perhaps only a barrier: then they still agree on the writes, or it has none
    return Node(name, counts, authority=kind in ("equal", "believed"))


@dataclass
class Expected:
    """What must be said. Sets of ids; None where nothing may be said."""

    outcome: str
    reasons: set[str]
    classes: dict[str, set[str]] | None = None
    bracket: tuple[float, float] | None = None
    after: int | None = None
    nodes: dict[str, int | None] | None = None


def expected(history: History) -> Expected:
    """The account by the words of the definitions."""
    if not _authoritative(history):
        return Expected("inconclusive", {"READBACK_FAILED"})
    found = next(node for node in history.nodes if node.authority and node.settled and node.counts is not None).counts
    assert found is not None
    mine = [op for op in history.ops if op.ledger == "orders"]
    classes: dict[str, set[str]] = {name: set() for name in ("lost", "recovered", "never_seen", "resurrected", "phantom", "duplicated")}
    for op in mine:
        there = False
        for id_ in found:
            there = there or id_ == op.id
        if op.outcome == "ok" and not there:
            classes["lost"].add(op.id)
        elif op.outcome == "info":
            classes["recovered" if there else "never_seen"].add(op.id)
        elif op.outcome == "fail" and there:
            classes["resurrected"].add(op.id)
    for id_, n in found.items():
        parts = id_.split(":")
        if parts[0] != RUN or parts[1] == "barrier" or any(op.id == id_ and op.ledger == "other" for op in history.ops):
            continue
        if not any(op.id == id_ for op in history.ops):
            classes["phantom"].add(id_)
        if n > 1:
            classes["duplicated"].add(id_)
    nodes = {node.name: None if node.counts is None else sum(op.outcome == "ok" and op.id not in node.counts for op in mine) for node in history.nodes}
    if history.effect is None:
        return Expected("inconclusive", set(history.against.get("", []) + history.against.get("fault", [])) or {"EFFECT_UNPROVEN"}, classes, nodes=nodes)
    noted_ns = {op.id: op.done_us * 1000 for op in mine if op.outcome == "ok" and op.done_us is not None}
    sent_ns = {op.id: op.sent_us * 1000 for op in mine if op.id in noted_ns}
    bracket = (_age(noted_ns, classes["lost"], history.effect[0]), _age(sent_ns, classes["lost"], history.effect[1]))
    after = sum(sent_ns[id_] > history.effect[1] for id_ in classes["lost"])
    around = sum(noted_ns[id_] > history.effect[0] and sent_ns[id_] <= history.effect[1] for id_ in classes["lost"])
    outcome, reasons = _verdict(history, mine, classes, bracket, after, around)
    return Expected(outcome, reasons, classes, bracket, after, nodes)


def _authoritative(history: History) -> bool:
    believed = [node for node in history.nodes if node.authority and node.settled and node.counts is not None]
    if not believed:
        return False
    ends = [op.sent_us if op.done_us is None else op.done_us for op in history.ops]
    for node in believed:
        assert node.counts is not None
        if not [id_ for id_ in node.counts if id_.startswith(f"{RUN}:barrier:")]:
            return False
        if node.t_us * 1000 < STOP_NS or any(end > node.t_us for end in ends):
            return False
    ordered = [sorted((id_, n) for id_, n in (node.counts or {}).items() if f"{RUN}:barrier:" not in id_ or not id_.startswith(RUN)) for node in believed]
    return all(one == ordered[0] for one in ordered)


def _age(acked_ns: dict[str, int], lost: set[str], fault_ns: int) -> float:
    """The fault minus the recovery point, were every write acknowledged when told: the latest instant up to which every acknowledged write is there."""
    point = None
    for at_ns, id_ in sorted((at_ns, id_) for id_, at_ns in acked_ns.items()):
        if id_ in lost:
            point = at_ns  # up to just before this one, all are there
            break
    return 0.0 if point is None or point >= fault_ns else (fault_ns - point) / S


def _verdict(history: History, mine: list[Op], classes: dict[str, set[str]], bracket: tuple[float, float], after: int, around: int) -> tuple[str, set[str]]:
    objective_s, most, lost = history.objective_s, history.max_writes, len(classes["lost"])
    assert history.effect is not None
    reasons = set()
    if most is not None and lost > most:
        reasons.add("RPO_MISSED")
    if objective_s is not None and bracket[0] > objective_s:
        reasons.add("RPO_MISSED")
    if objective_s == 0 and most is None and lost:
        reasons.add("RPO_MISSED")
    if most is None and after:
        reasons.add("RPO_MISSED")
    if classes["resurrected"]:
        reasons.add("WRITES_RESURRECTED")
    if classes["phantom"]:
        reasons.add("WRITES_PHANTOM")
    if reasons:
        excuse = set(history.against.get("", []) + history.against.get("effect:lose zone b", []))
        return ("inconclusive", excuse) if excuse else ("missed", reasons)
    if objective_s is not None and bracket[1] > objective_s:
        reasons.add("RPO_UNDECIDED")
    if most is None and around:
        reasons.add("RPO_UNDECIDED")
    end_ns = REMOVED_NS if history.held else STOP_NS
    window = [op for op in mine if history.effect[0] <= op.sent_us * 1000 < end_ns]
    if lost == 0 and 5 * sum(op.outcome == "info" for op in window) > len(window):
        reasons.add("RPO_UNDECIDED")
    near = [op for op in mine if op.outcome == "ok" and op.done_us is not None and history.effect[0] - S <= op.done_us * 1000 <= history.effect[0]]
    went_on = [op for op in mine if history.effect[0] <= op.sent_us * 1000 <= history.effect[1] + S]
    if len(near) < 5 or not went_on:
        reasons.add("NO_WRITES_AT_RISK")
    return ("inconclusive", reasons) if reasons else ("met", set())


def told(history: History) -> dict[str, Any]:
    """The history in short, for a test that failed."""
    return {"ops": [vars(op) for op in history.ops], "nodes": [vars(node) for node in history.nodes], "effect": history.effect}
