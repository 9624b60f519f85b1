"""More hand-made runs for the page: ended in other ways, compared with earlier ones, with lost writes, very long, very wide, in another script."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import sample_run
from sample_run import FAULT, S

from chaoslib_ext.history import Past, parts
from chaoslib_ext.report.facts import Endpoint, Facts, Promise
from chaoslib_ext.timeline import Outcome, Rows

HEBREW = "האם הקופה שורדת את אובדן האזור? 2026 (b)"


def not_begun(reason: str = "BLACKOUT", detail: str = "month end: from 2026-11-30 to 2026-12-02") -> Facts:
    """Refused before anything was touched."""
    base = sample_run.broken()
    result = {**base.result, "verdict": "INCONCLUSIVE", "exit_code": 3, "reasons": [reason], "seal": "ab" * 32}
    return replace(base, result=result, header={**base.header, "end": {"how": "undecided", "reason": reason, "detail": detail}, "ended_ns": S})


def by_person() -> Facts:
    """`chaosx abort` in the middle of the fault."""
    base = sample_run.aborted()
    kept = [event for event in base.events if event["kind"] != "stop"]
    word = {"t_ns": int(26.2 * S), "kind": "decision", "text": "abort requested: payment incident in the shop", "by": "person", "seq": 99, "src": "supervisor"}
    return replace(base, result={**base.result, "reasons": ["STOPPED_BY_PERSON"]}, events=(*kept, word))


def by_signal() -> Facts:
    """Ctrl-C."""
    base = sample_run.aborted()
    kept = [event for event in base.events if event["kind"] != "stop"]
    stop = {"t_ns": int(26.2 * S), "kind": "stop", "rule": "SIGINT", "detail": "signal", "reason": "STOPPED_BY_SIGNAL", "seq": 99, "src": "supervisor"}
    return replace(base, result={**base.result, "reasons": ["STOPPED_BY_SIGNAL"]}, events=(*kept, stop))


def expected_failure() -> Facts:
    """A failing run whose file says that it must fail."""
    base = sample_run.failing()
    return replace(base, header={**base.header, "block": {"self_test": {"verdict": "FAIL", "reasons": ["RTO_MISSED"]}}})


def past(header: dict[str, Any], number: int, verdict: str, outcomes: dict[str, str], rto: tuple[float, float | None] | None) -> Past:
    """An earlier run of the same files."""
    run = f"202611{10 + number:02}-063102-zone-loss-{number:04x}"
    counts = {"checkout-availability": (57 + number, 1600)}
    return Past(run, f"2026-11-{10 + number:02}T06:31:02.000Z", verdict, "none", [], parts(header), outcomes, rto, (0.0, 0.1), counts, None, 0.0033, "0.1.0")


def compared() -> Facts:
    """The failing run after five comparable ones: its RTO is new, its SLO missed as last time, its latency fixed."""
    base = sample_run.failing()
    ids = [finding["id"] for finding in base.result["findings"]]
    met = dict.fromkeys(ids, "met")
    before = met | {"slo:checkout-availability:fault": "missed", "slo:checkout-latency:fault": "missed"}
    runs = [past(base.header, n, "PASS", met, (4.5 + n / 10, 4.7 + n / 10)) for n in range(1, 4)]
    runs += [past(base.header, n, "FAIL", before, (5.0, 5.2)) for n in (4, 5)]
    return replace(base, history=tuple(runs))


def lossy() -> Facts:
    """Writes that were acknowledged and are gone, and an alert that fired."""
    base = sample_run.failing()
    rpo = {
        "ledger": "orders", "objective_s": 0.0, "max_writes": 0, "attempted": 1560, "outcome": "missed", "acknowledged": 1502, "unknown": 31,
        "lost": 312, "lost_after_fault": 4, "recovered": 20, "never_seen": 11, "resurrected": 0, "phantom": 0, "duplicated": 2,
        "lo_s": 3.1, "hi_s": 3.3, "first_lost_t_ns": int(17.2 * S), "last_lost_t_ns": int(20.4 * S), "loss_span_s": 3.2,
        "nodes": {"store-a": 312, "store-b": None, "store-c": 0},
    }  # fmt: skip
    finding = {
        "id": "rpo", "kind": "rpo", "slo": None, "window": None, "target": 0.0, "lo": 3.1, "hi": 3.3, "n": 1502, "bad": 312, "outcome": "missed",
        "reasons": ["RPO_MISSED"], "evidence": ["312 of 1,502 acknowledged writes are on no node of the settled primary"],
    }  # fmt: skip
    seen = {"alert": "CheckoutErrorBudgetBurn", "within_s": 60.0, "lo_s": 21.0, "hi_s": 26.0, "state": "fired", "starts_at": None, "source": "prometheus"}
    alert = {"t_ns": int(46.4 * S), "kind": "alert", "name": "CheckoutErrorBudgetBurn", "state": "firing", "seq": 300, "src": "sources"}
    decision = {"t_ns": int(50.0 * S), "kind": "decision", "text": "go on: the on-call was told", "by": "coordinator", "seq": 301, "src": "supervisor"}
    result = {**base.result, "rpo": rpo, "detection": seen, "findings": [finding, *base.result["findings"]], "reasons": ["RPO_MISSED", "RTO_MISSED"]}
    return replace(base, result=result, events=(*base.events, alert, decision))


def killed() -> Facts:
    """A run whose supervisor was killed in the middle: no end of any phase, no windows, no seal."""
    base = sample_run.aborted()
    result = {
        **sample_run.broken().result,
        "reasons": ["SUPERVISOR_DIED"],
        "verdict": "ABORTED",
        "exit_code": 4,
        "clean": {"state": "clean", "proven_at_ns": None},
    }
    events = tuple(event for event in base.events if event.get("state") != "end" and event["kind"] != "stop")
    return replace(base, result=result, events=events, problems=("SEALED: missing; the run was not sealed", "load/w0/meta.json: missing"))


def empty() -> Facts:
    """A directory that holds hardly anything."""
    return Facts(result={"verdict": "ERROR", "reasons": ["TOOL_FAILED"]}, problems=("run.json: missing", "events.jsonl: missing"))


def foreign_script() -> Facts:
    """Names in Hebrew, and names without a place to break."""
    base = sample_run.failing()
    long = "checkout-" + "x" * 200
    targets = [sample_run.target(HEBREW), sample_run.target(long)]
    faults = [{**base.result["faults"][0], "name": HEBREW, "targets": targets}]
    endpoints = (Endpoint(0, "קופה", "", "journey"), Endpoint(1, long, "a", "step"))
    promises = (Promise("זמינות", "קופה", "journey", None, 0.95),)
    findings = [{**finding, "slo": HEBREW if finding["slo"] else None} for finding in base.result["findings"]]
    result = {**base.result, "title": f"{HEBREW} {long}", "faults": faults, "findings": findings}
    return replace(base, result=result, endpoints=endpoints, promises=promises, plan={})


def ten_minutes() -> Facts:
    """Ten minutes at 30 arrivals per second with three journeys, each with an SLO and a latency limit, and every class of error."""
    rows = Rows()
    for k in range(600 * 30):
        at_us, wave = k * 1_000_000 // 30, (k * 7919) % 997
        bad = 120 <= k / 30 < 300 and wave < 300
        outcome = Outcome(1 + wave % 7) if bad else Outcome.OK
        rows.append(at_us, 200 + wave, 1_000_000 if outcome is Outcome.TIMEOUT else 8_000 + wave * (900 if bad or 100 < k / 30 < 310 else 60), k % 3, outcome)
    base = sample_run.failing()
    windows = {
        name: [start * S, end * S]
        for name, start, end in (("warmup", 0, 20), ("baseline", 20, 120), ("fault", 120, 300), ("recovered", 310, 600), ("whole", 0, 600))
    }
    events = tuple({**event, "t_ns": event["t_ns"] * 600 // 90} for event in base.events)
    faults = [{**base.result["faults"][0], "effect": [120 * S, 120 * S], "removed": [300 * S, 300 * S]}]
    names = ("browse", "buy", "checkout")
    promises = tuple(Promise(f"{name}-{kind}", name, "journey", limit, 0.95) for name in names for kind, limit in (("availability", None), ("latency", 250.0)))
    endpoints = tuple(Endpoint(index, name, "", "journey") for index, name in enumerate(names))
    return replace(base, result={**base.result, "windows": windows, "faults": faults}, rows=rows, events=events, promises=promises, endpoints=endpoints)


def twelve_hours() -> Facts:
    """Twelve hours at two arrivals per second, a failure every hour."""
    rows = Rows()
    for k in range(12 * 3600 * 2):
        bad = k % 7200 < 40
        rows.append(k * 500_000, 0, 900_000 if bad else 20_000 + (k * 7919) % 90_000, 0, Outcome.TIMEOUT if bad else Outcome.OK)
    base = sample_run.failing()
    faults = [
        {**base.result["faults"][0], "name": f"fault {n}", "effect": [n * 3600 * S, n * 3600 * S], "removed": [(n * 3600 + 60) * S] * 2} for n in range(12)
    ]
    return replace(base, result={**base.result, "windows": {"whole": [0, 43_200 * S]}, "faults": faults}, rows=rows)


def hundred_faults() -> Facts:
    """A hundred faults of ten targets each, side by side and one after the other."""
    base = sample_run.failing()
    targets = [sample_run.target(f"shop-{n}") for n in range(10)]
    faults = [
        {
            **deepcopy(base.result["faults"][0]),
            "name": f"{FAULT} number {n}",
            "targets": targets,
            "effect": [(2 + n // 2) * S] * 2,
            "removed": [(2 + n // 2) * S + S // 2] * 2,
        }
        for n in range(100)
    ]
    findings = [{**base.result["findings"][0], "id": f"effect:{fault['name']}", "outcome": "inconclusive", "reasons": ["EFFECT_UNPROVEN"]} for fault in faults]
    plan = {"resolved": [{**base.plan["resolved"][0], "activity": fault["name"], "targets": targets} for fault in faults]}
    return replace(base, result={**base.result, "faults": faults, "findings": [*findings, *base.result["findings"]]}, plan=plan)


def thousand_endpoints() -> Facts:
    """A thousand endpoints, each with an SLO."""
    rows = Rows()
    for k in range(90 * 200):
        rows.append(k * 5_000, 100, 20_000 + (k * 7919) % 9_000, k % 1000, Outcome.OK if k % 50 else Outcome.STATUS)
    base = sample_run.failing()
    endpoints = tuple(Endpoint(n, f"GET /catalog/{n}", "a", "journey") for n in range(1000))
    promises = tuple(Promise(f"slo-{n}", f"GET /catalog/{n}", "journey", None, 0.95) for n in range(1000))
    findings = [
        {**base.result["findings"][2], "id": f"slo:slo-{n}:fault", "slo": f"slo-{n}", "outcome": "missed" if n % 3 == 0 else "met"} for n in range(1000)
    ]
    return replace(base, result={**base.result, "findings": findings}, rows=rows, endpoints=endpoints, promises=promises)


Make = Callable[[], Facts]
RUNS: dict[str, Make] = {
    "not-begun": not_begun,
    "stopped-by-person": by_person,
    "stopped-by-signal": by_signal,
    "expected-failure": expected_failure,
    "compared": compared,
    "lossy": lossy,
    "killed": killed,
    "empty": empty,
    "foreign-script": foreign_script,
}
LARGE: dict[str, Make] = {
    "ten-minutes": ten_minutes,
    "twelve-hours": twelve_hours,
    "hundred-faults": hundred_faults,
    "thousand-endpoints": thousand_endpoints,
}
