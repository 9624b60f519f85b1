"""Hand-made runs for the page: a zone loss at 40 checkouts per second, and what each verdict says of it. No chance, no clock."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from chaoslib_ext.report.facts import Endpoint, Facts, Promise
from chaoslib_ext.timeline import Outcome, Rows

S = 1_000_000_000
RUN = "20261124T063102Z-zone-loss-1a2b"
PROBLEMS = ("load/w0/rows-0002.bin: the last block is torn",)


def target(name: str, zone: str = "b") -> dict[str, Any]:
    return {
        "platform": "process",
        "identity": "sandbox-7f",
        "kind": "replica",
        "ns": "shop",
        "name": name,
        "uid": f"0f3a91c2-{4000 + ord(name[-1])}-88123",
        "zone": zone,
    }


TARGETS = [target("shop-b1"), target("shop-b2")]
FAULT = "lose zone b"


def result() -> dict[str, Any]:
    return {
        "schema": 1,
        "run": RUN,
        "title": "Does checkout survive the loss of a zone?",
        "verdict": "PASS",
        "exit_code": 0,
        "reasons": [],
        "findings": [
            {
                "id": "effect:lose zone b",
                "kind": "effect",
                "slo": None,
                "window": "fault",
                "target": None,
                "lo": None,
                "hi": None,
                "n": None,
                "bad": None,
                "outcome": "met",
                "reasons": [],
                "evidence": ["2 of 2 targets in effect at T+20.36 s"],
            },
            {
                "id": "slo:checkout-availability:baseline",
                "kind": "slo",
                "slo": "checkout-availability",
                "window": "baseline",
                "target": 0.99,
                "lo": 0.994,
                "hi": 1.0,
                "n": 600,
                "bad": 0,
                "outcome": "met",
                "reasons": [],
                "evidence": [],
            },
            {
                "id": "slo:checkout-availability:fault",
                "kind": "slo",
                "slo": "checkout-availability",
                "window": "fault",
                "target": 0.95,
                "lo": 0.953,
                "hi": 0.973,
                "n": 1600,
                "bad": 57,
                "outcome": "met",
                "reasons": [],
                "evidence": [],
            },
            {
                "id": "slo:checkout-latency:fault",
                "kind": "slo",
                "slo": "checkout-latency",
                "window": "fault",
                "target": 0.9,
                "lo": 0.93,
                "hi": 0.955,
                "n": 1600,
                "bad": 91,
                "outcome": "met",
                "reasons": [],
                "evidence": [],
            },
            {
                "id": "rto",
                "kind": "rto",
                "slo": None,
                "window": None,
                "target": 10.0,
                "lo": 4.62,
                "hi": 4.81,
                "n": 1600,
                "bad": None,
                "outcome": "met",
                "reasons": [],
                "evidence": ["last to recover: checkout-latency"],
            },
            {
                "id": "recovery_after_removal",
                "kind": "recovery_after_removal",
                "slo": None,
                "window": None,
                "target": 5.0,
                "lo": 0.0,
                "hi": 0.06,
                "n": 1200,
                "bad": None,
                "outcome": "met",
                "reasons": [],
                "evidence": [],
            },
            {
                "id": "budget",
                "kind": "budget",
                "slo": "checkout-availability",
                "window": "whole",
                "target": 0.02,
                "lo": 0.0033,
                "hi": 0.0033,
                "n": 3360,
                "bad": 57,
                "outcome": "met",
                "reasons": [],
                "evidence": [],
            },
        ],
        "rto": {
            "objective_s": 10.0,
            "lo_s": 4.62,
            "hi_s": 4.81,
            "from": FAULT,
            "slos": ["checkout-availability", "checkout-latency"],
            "mode": "self-healed",
            "observed_s": 70.0,
            "held_s": 40.02,
            "false_dawns": 0,
            "last_slo": "checkout-latency",
            "terms": {"effect_ms": 52.0, "arrival_gap_ms": 50.0, "lateness_ms": 0.4, "response_ms": 31.0, "clock_ms": 0.1},
            "impact_s": 0.11,
            "lost_s": 1.9,
            "depth": 0.62,
        },
        "recovery_after_removal": {"objective_s": 5.0, "lo_s": 0.0, "hi_s": 0.06},
        "rpo": None,
        "detection": None,
        "faults": [
            {
                "name": FAULT,
                "kind": "held",
                "how": "silent",
                "reversible": True,
                "targets": deepcopy(TARGETS),
                "effect": [int(20.31 * S), int(20.362 * S)],
                "removed": [int(60.38 * S), int(60.41 * S)],
                "proof": "2 of 2 probes unanswered",
                "held_s": 40.02,
                "planned_s": 40.0,
                "replaced": False,
            }
        ],
        "load": {"intended": 3560, "delivered": 3560, "unknown": 0, "late_p99_ms": 1.3, "model": "open", "journeys": 3560, "bad_journeys": 57},
        "budget": {"slo": "checkout-availability", "price": 0.004, "spent": 0.0033, "allowed": 0.02, "burn": 14.2},
        "control": "none",
        "attempt": {"n": 1, "commit": "4f1c2aa"},
        "notices": [],
        "windows": {
            "warmup": [1 * S, 6 * S],
            "baseline": [6 * S, int(20.3 * S)],
            "fault": [int(20.362 * S), int(60.38 * S)],
            "recovered": [int(60.41 * S), 90 * S],
            "whole": [1 * S, 90 * S],
        },
        "clean": {"state": "clean", "proven_at_ns": int(60.9 * S)},
        "seal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }


HEADER: dict[str, Any] = {
    "schema": 1,
    "id": RUN,
    "seed": 20261124,
    "env": {"name": "sandbox", "identity": {"sandbox": "sandbox-7f"}},
    "experiment": {"path": "zone-loss.yaml", "sha256": "5e884898da28047151d0e56f8dc62927"},
    "warnings": [],
    "clock": {"t0_ns": 81234567890, "wall_s": 1795501862.25, "boot_id": "0f3a91c2-5c8e-4c11-9d53-0a1b2c3d4e5f", "drift_ms_end": 0.4},
    "versions": {"chaoslib_ext": "0.1.0", "chaostoolkit-lib": "1.44.0", "locust": "2.43.1", "python": "3.11.2"},
    "command": ["chaosx", "run", "experiments/checkout/zone-loss.yaml", "--env", "sandbox", "--seed", "20261124"],
}
PLAN: dict[str, Any] = {
    "resolved": [
        {
            "activity": FAULT,
            "func": "lose_zone",
            "how": "silent",
            "kind": "held",
            "duration_s": 40.0,
            "reversible": True,
            "service": "shop",
            "targets": deepcopy(TARGETS),
            "of": {"shop": {"total": 6, "hit": 2}},
            "survivors": {"a": 2, "c": 2},
        }
    ],
    "token": "4be1c0ff",
}


def events() -> list[dict[str, Any]]:
    phases = [
        ("preflight", 0.0, 0.6),
        ("warm-up", 0.6, 6.0),
        ("baseline", 6.0, 20.1),
        ("method", 20.1, 60.5),
        ("heal", 60.5, 60.95),
        ("recovery", 60.95, 90.0),
        ("seal", 90.0, 91.2),
    ]
    told: list[dict[str, Any]] = []
    for name, start, end in phases:
        told += [
            {"t_ns": int(start * S), "kind": "phase", "name": name, "state": "start"},
            {"t_ns": int(end * S), "kind": "phase", "name": name, "state": "end"},
        ]
    told += [
        {"t_ns": int(20.2 * S), "kind": "activity", "name": FAULT, "type": "action", "where": "method", "state": "started"},
        {"t_ns": int(20.33 * S), "kind": "target", "name": "shop-b1", "zone": "b", "uid": "", "what": "gone"},
        {"t_ns": int(20.35 * S), "kind": "target", "name": "shop-b2", "zone": "b", "uid": "", "what": "gone"},
        {
            "t_ns": int(20.362 * S),
            "kind": "effect",
            "fault": FAULT,
            "lo_ns": int(20.31 * S),
            "hi_ns": int(20.362 * S),
            "proof": "2 of 2 probes unanswered",
            "uids": [],
        },
        {"t_ns": int(44.0 * S), "kind": "note", "text": "retries moved to zones a and c"},
        {"t_ns": int(60.39 * S), "kind": "target", "name": "shop-b1", "zone": "b", "uid": "", "what": "ready"},
        {"t_ns": int(60.41 * S), "kind": "target", "name": "shop-b2", "zone": "b", "uid": "", "what": "ready"},
        {
            "t_ns": int(60.41 * S),
            "kind": "removed",
            "fault": FAULT,
            "lo_ns": int(60.38 * S),
            "hi_ns": int(60.41 * S),
            "proof": "2 of 2 answer",
            "replaced": False,
            "uids": [],
        },
    ]
    return [dict(event, seq=seq, src="supervisor") for seq, event in enumerate(sorted(told, key=lambda event: event["t_ns"]))]


def rows(rate: int = 40, start_s: int = 1, end_s: int = 90, hit: tuple[float, float] = (20.3, 24.9)) -> Rows:
    """Arrivals at a constant rate; inside `hit` two of three fail in three ways, the others wait for a retry."""
    made = Rows()
    for k in range((end_s - start_s) * rate):
        at_us = start_s * 1_000_000 + k * 1_000_000 // rate
        wave = (k * 7919) % 97
        latency_us, outcome = 21_000 + wave * 260 + (40_000 if wave > 94 else 0), Outcome.OK
        if hit[0] * 1e6 <= at_us < hit[1] * 1e6:
            fate = k % 9
            if fate in (0, 3):
                latency_us, outcome = 1_000_000, Outcome.TIMEOUT
            elif fate == 5:
                latency_us, outcome = 900, Outcome.CONNECT
            elif fate == 7 and k % 2:
                latency_us, outcome = 4_000, Outcome.STATUS
            else:
                latency_us = 180_000 + wave * 4_000
        made.append(at_us, 300 + wave, latency_us, 0, outcome)
        made.append(at_us, 300 + wave, latency_us, 1, outcome)
    return made


def facts(**changes: Any) -> Facts:
    """The passing run; `changes` replaces fields of its result."""
    base = Facts(
        result={**result(), **changes},
        header=deepcopy(HEADER),
        plan=deepcopy(PLAN),
        events=tuple(events()),
        rows=rows(),
        endpoints=(Endpoint(0, "checkout", "", "journey"), Endpoint(1, "POST /checkout", "a", "step")),
        promises=(Promise("checkout-availability", "checkout", "journey", None, 0.95), Promise("checkout-latency", "checkout", "journey", 250.0, 0.9)),
    )
    return base


def failing() -> Facts:
    """Recovery too late, and after the fault was taken back."""
    base = result()
    findings = base["findings"]
    findings[2].update(n=1600, bad=1068, outcome="missed", lo=0.31, hi=0.355, reasons=["SLO_MISSED"])
    findings[4].update(lo=40.4, hi=40.9, outcome="missed", reasons=["RTO_MISSED"])
    findings[6].update(lo=0.061, hi=0.061, bad=1068, outcome="missed", reasons=["BUDGET_OVERSPENT"])
    rto = dict(base["rto"], lo_s=40.4, hi_s=40.9, mode="after-removal", lost_s=26.7, depth=0.71)
    load = dict(base["load"], bad_journeys=1068)
    made = facts(
        verdict="FAIL",
        exit_code=1,
        reasons=["RTO_MISSED", "SLO_MISSED", "BUDGET_OVERSPENT"],
        findings=findings,
        rto=rto,
        load=load,
        budget=dict(base["budget"], spent=0.061),
    )
    return replace(made, rows=rows(hit=(20.3, 60.9)))


def undecided() -> Facts:
    """The fault was sent, its effect never seen."""
    base = result()
    base["findings"][0].update(outcome="inconclusive", reasons=["EFFECT_UNPROVEN"], evidence=["0 of 2 targets in effect within 5 s"])
    for finding in base["findings"][2:]:
        finding.update(outcome="inconclusive", reasons=["EFFECT_UNPROVEN"])
    faults = [dict(base["faults"][0], effect=None, removed=None, held_s=None, proof="")]
    made = facts(
        verdict="INCONCLUSIVE",
        exit_code=3,
        reasons=["EFFECT_UNPROVEN"],
        findings=base["findings"],
        faults=faults,
        rto=None,
        recovery_after_removal=None,
        load=dict(base["load"], bad_journeys=0),
    )
    quiet = tuple(event for event in events() if event["kind"] not in ("effect", "removed", "target"))
    return replace(made, rows=rows(hit=(0, 0)), events=quiet, problems=PROBLEMS)


def aborted() -> Facts:
    """A stop rule ended the run in the method."""
    base = result()
    base["findings"][2].update(n=180, bad=130, outcome="inconclusive", reasons=["STOP_RULE"])
    stop = {
        "t_ns": int(26.2 * S),
        "kind": "stop",
        "rule": "error_ratio 20% for 5s",
        "detail": "error ratio 72 % of 180 journeys",
        "reason": "STOP_RULE",
        "seq": 99,
    }
    kept = (
        *tuple(event for event in events() if event["t_ns"] < 26 * S),
        stop,
        {"t_ns": int(26.9 * S), "kind": "phase", "name": "heal", "state": "end", "seq": 100},
    )
    faults = [dict(base["faults"][0], removed=[int(26.5 * S), int(26.55 * S)], held_s=6.2)]
    windows = dict(base["windows"], fault=[int(20.362 * S), int(26.5 * S)], recovered=None, whole=[1 * S, 27 * S])
    load = dict(base["load"], intended=1040, delivered=1040, journeys=1040, bad_journeys=130)
    clean = {"state": "clean", "proven_at_ns": int(26.9 * S)}
    made = facts(
        verdict="ABORTED",
        exit_code=4,
        reasons=["STOP_RULE"],
        findings=base["findings"][:3],
        faults=faults,
        windows=windows,
        rto=None,
        recovery_after_removal=None,
        load=load,
        clean=clean,
        budget=None,
    )
    return replace(made, rows=rows(end_s=27, hit=(20.3, 27.0)), events=kept)


def dirty() -> Facts:
    """The undo failed; only the ledger knows."""
    return replace(facts(verdict="DIRTY", exit_code=6, reasons=["UNDO_FAILED"], clean={"state": "dirty", "proven_at_ns": None}), problems=PROBLEMS)


def broken() -> Facts:
    """The tool failed before anything was measured."""
    bare = {
        "schema": 1,
        "run": RUN,
        "title": "Does checkout survive the loss of a zone?",
        "verdict": "ERROR",
        "exit_code": 5,
        "reasons": ["TOOL_FAILED"],
        "findings": [],
        "rto": None,
        "recovery_after_removal": None,
        "faults": [],
        "load": None,
        "budget": None,
        "control": "none",
        "attempt": None,
        "notices": [],
        "windows": {},
        "clean": {"state": "nothing-injected", "proven_at_ns": None},
        "seal": "",
    }
    return Facts(result=bare, header=deepcopy(HEADER), events=tuple(events()[:3]))


def control() -> Facts:
    """An a-a control: judged without the effect's obligations, never a resilience PASS."""
    base = result()
    made = facts(
        control="a-a",
        faults=[],
        findings=base["findings"][1:2],
        rto=None,
        recovery_after_removal=None,
        load=dict(base["load"], bad_journeys=0),
        clean={"state": "nothing-injected", "proven_at_ns": None},
    )
    quiet = tuple(event for event in events() if event["kind"] in ("phase", "note"))
    return replace(made, rows=rows(hit=(0, 0)), events=quiet, plan={})


Make = Callable[[], Facts]
RUNS: dict[str, Make] = {"pass": facts, "fail": failing, "inconclusive": undecided, "aborted": aborted, "dirty": dirty, "error": broken, "control": control}
