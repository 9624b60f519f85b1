# ruff: noqa: E501 - a table: one situation, one line
"""
The catalogue of situations: what is true of a run, and the one verdict, exit code and set of reasons that it must get.

Each cause stands beside its near miss. A situation is a whole run directory with real files; see `build`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from build import AVAILABILITY, FAULT, NS, FaultScene, Scene, activity_event, block_of, both, build, down, healthy, partly, slow

from chaoslib_ext.block import Budget, FaultBlock, Objective, Rto, Windows
from chaoslib_ext.reasons import EXIT_CODES, REASONS
from chaoslib_ext.result import Result
from chaoslib_ext.rundir import read, seal_result, verify, write_json
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, Outcome, block, blocks, read_seconds
from chaoslib_ext.verdict import judge

ABORTED = {"end": {"how": "aborted", "reason": "STOPPED_BY_SIGNAL", "detail": "SIGTERM"}}
GATE = {"name": "steady-state-hypothesis", "where": "gate", "t_s": 9.1}
RECHECK = {"name": "steady-state-hypothesis", "where": "recheck", "t_s": 55.5}
RTO_ONLY = block_of(objectives=[], recovery_after_removal_s=None)
FAULT_ONLY = block_of(objectives=[Objective("availability", "fault", 0.95)], rto=None, recovery_after_removal_s=None)
KILL = FaultScene(name="kill", kind="instant", effect=(10.0, 10.02), removed=(12.0, 12.05), planned_s=None, replaced=True)
SHORT = FaultScene(removed=(15.02, 15.05), planned_s=5.0)


def held(**more: Any) -> tuple[FaultScene, ...]:
    return (FaultScene(**more),)


def header(**more: Any) -> dict[str, Any]:
    return more


def rows_file(folder: Path) -> Path:
    return folder / "load" / "w0" / "rows-0000.bin"


def lose_rows(folder: Path) -> None:
    """The last block of rows never reached the disk."""
    payloads = [payload for payload in blocks(rows_file(folder), ROWS_MAGIC) if payload is not None]
    rows_file(folder).write_bytes(ROWS_MAGIC + b"".join(map(block, payloads[:-1])))


def lose_a_journey(folder: Path) -> None:
    """A bad arrival was dropped from the rows, the totals and the summaries: only the schedule knows."""
    seconds, _ = read_seconds(folder / "load/w0/seconds.bin")
    fewer = [replace(one, scheduled=one.scheduled - 1, released=one.released - 1, bad=one.bad - 1) if one.second == 10 else one for one in seconds]
    (folder / "load/w0/seconds.bin").write_bytes(SECONDS_MAGIC + block(b"".join(one.pack() for one in fewer)))
    payloads = [payload for payload in blocks(rows_file(folder), ROWS_MAGIC) if payload is not None]
    rows = [row for payload in payloads for row in ROW.iter_unpack(payload)]
    kept = [row for row in rows if row[0] != 10_500_000]
    rows_file(folder).write_bytes(ROWS_MAGIC + block(b"".join(ROW.pack(*row) for row in kept)))
    meta = json.loads((folder / "load/w0/meta.json").read_text())
    counts = {
        "rows": len(kept),
        "scheduled": meta["scheduled"] - 1,
        "released": meta["released"] - 1,
        "outcomes": {**meta["outcomes"], "TIMEOUT": meta["outcomes"]["TIMEOUT"] - 2},
    }
    write_json(folder / "load/w0/meta.json", {**meta, **counts})


def flip(path: str, at: int) -> Callable[[Path], None]:
    """One byte of a file changed."""

    def change(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        data[at] ^= 1
        (folder / path).write_bytes(bytes(data))

    return change


def cut(path: str, by: int) -> Callable[[Path], None]:
    """The end of a file is missing."""
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:-by]) and None


def remove(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink()


def drop_event(folder: Path) -> None:
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    gone = next(line for line in lines if b"in_effect" in line)
    (folder / "events.jsonl").write_bytes(b"".join(line for line in lines if line != gone))


def late(share_percent: int, a: float = 10.0, b: float = 40.0, by_s: float = 0.08) -> Callable[[float, int], float]:
    return lambda t_s, k: by_s if a <= t_s < b and k % 100 < share_percent else 0.0005


def unsent(share_percent: int, a: float = 10.0, b: float = 40.0) -> Callable[[float, int], bool]:
    return lambda t_s, k: not (a <= t_s < b and k % 100 < share_percent)


S = Scene
# fmt: off
CASES: list[Any] = [
    # recovery while the fault is in force
    ("the system heals itself in two seconds", S(), "PASS", []),
    ("the fault is absorbed", S(serve=healthy), "PASS", []),
    ("it heals itself just before the objective", S(serve=down((10.01, 19.9))), "PASS", []),
    ("it heals itself just after the objective", S(serve=down((10.01, 20.2))), "FAIL", ["RTO_MISSED"]),
    ("the effect's bracket contains the objective", S(serve=down((10.01, 20.3)), faults=held(effect=(10.0, 10.5), removed=(40.5, 40.55))), "INCONCLUSIVE", ["RTO_STRADDLES"]),
    ("a false dawn before the recovery", S(serve=down((10.01, 12.0), (14.0, 16.0))), "PASS", []),
    ("flapping beyond the objective", S(serve=down(*[(at, at + 2.0) for at in range(10, 24, 4)])), "FAIL", ["RTO_MISSED"]),
    ("a relapse while the fault is in force", S(serve=down((10.01, 12.0), (34.0, 37.0))), "FAIL", ["RTO_MISSED"]),
    ("a blip within the SLO while the fault is in force", S(serve=down((10.01, 12.0), (34.0, 34.04))), "PASS", []),
    ("a third fails until after the objective", S(serve=partly(0.34, (10.01, 25.0))), "FAIL", ["RTO_MISSED"]),
    ("a third fails for four seconds", S(serve=partly(0.34, (10.01, 14.0))), "PASS", []),
    ("answers come, but too slowly, until after the objective", S(serve=slow(0.6, (10.01, 25.0))), "FAIL", ["RTO_MISSED"]),
    ("answers come slowly for four seconds", S(serve=slow(0.6, (10.01, 14.0))), "PASS", []),
    ("latency recovers last, too late", S(serve=both(down((10.01, 12.0)), slow(0.6, (12.0, 22.0)))), "FAIL", ["RTO_MISSED"]),
    # recovery only because the fault was taken back
    ("it comes back only when the fault is taken back", S(serve=down((10.01, 40.04)), block=RTO_ONLY), "FAIL", ["RTO_MISSED"]),
    ("the fault was held for less than the objective", S(serve=down((10.01, 15.04)), faults=(SHORT,), block=RTO_ONLY), "INCONCLUSIVE", ["HELD_SHORTER_THAN_RTO"]),
    ("held for less, and bad for longer than the objective", S(serve=down((10.01, 25.0)), faults=(SHORT,), block=RTO_ONLY), "INCONCLUSIVE", ["HELD_SHORTER_THAN_RTO"]),
    ("held for less than the stable stretch, and nothing was bad", S(serve=healthy, faults=(replace(SHORT, removed=(14.02, 14.05), planned_s=4.0),), block=RTO_ONLY), "INCONCLUSIVE", ["HELD_SHORTER_THAN_RTO"]),
    ("held for just the stable stretch, and nothing was bad", S(serve=healthy, faults=(SHORT,), block=RTO_ONLY), "PASS", []),
    ("the stable stretch crosses the removal", S(serve=down((10.01, 19.0)), faults=held(removed=(22.02, 22.05), planned_s=12.0), block=RTO_ONLY), "INCONCLUSIVE", ["HELD_SHORTER_THAN_RTO"]),
    ("the stable stretch just fits before the removal", S(serve=down((10.01, 17.0)), faults=held(removed=(22.02, 22.05), planned_s=12.0), block=RTO_ONLY), "PASS", []),
    ("it never comes back", S(serve=down((10.01, 99.0))), "FAIL", ["SLO_MISSED", "RTO_MISSED", "RECOVERY_AFTER_REMOVAL_MISSED"]),
    ("the observation ends before the objective", S(serve=down((10.01, 99.0)), faults=(KILL,), block=RTO_ONLY, stop=18.0), "INCONCLUSIVE", ["RECOVERY_NOT_OBSERVED"]),
    ("the observation ends inside the stable stretch", S(serve=down((10.01, 14.0)), faults=(KILL,), block=RTO_ONLY, stop=18.0), "INCONCLUSIVE", ["RECOVERY_NOT_OBSERVED"]),
    # instant faults
    ("a killed replica is replaced and all is well", S(serve=down((10.01, 12.0)), faults=(KILL,), block=block_of(objectives=[Objective("availability", "recovered")]), stop=40.0), "PASS", []),
    ("a killed replica is replaced, too late", S(serve=down((10.01, 22.0)), faults=(replace(KILL, removed=(21.9, 22.0)),), block=RTO_ONLY, stop=40.0), "FAIL", ["RTO_MISSED"]),
    ("a crash loop after the kill", S(serve=down((10.01, 12.0), (19.0, 22.0), (29.0, 31.0)), faults=(KILL,), block=RTO_ONLY, stop=40.0), "FAIL", ["RTO_MISSED"]),
    ("what was killed was never replaced", S(serve=down((10.01, 12.0)), faults=(replace(KILL, removed=None),), block=RTO_ONLY), "INCONCLUSIVE", ["REPLACEMENT_UNSEEN"]),
    ("what was killed came back without being replaced", S(serve=down((10.01, 12.0)), faults=(replace(KILL, replaced=False),), block=RTO_ONLY), "INCONCLUSIVE", ["REPLACEMENT_UNSEEN"]),
    # after the fault
    ("a blip while the fault is taken back", S(serve=down((40.03, 42.0))), "PASS", []),
    ("it takes too long after the removal", S(serve=down((40.03, 46.0))), "FAIL", ["RECOVERY_AFTER_REMOVAL_MISSED"]),
    ("removal to recovery straddles the objective", S(serve=down((10.01, 12.0), (40.03, 45.2)), faults=held(removed=(40.02, 41.0))), "INCONCLUSIVE", ["RTO_STRADDLES"]),
    ("it is bad again after it had recovered", S(serve=down((10.01, 12.0), (48.0, 49.0))), "FAIL", ["SLO_MISSED"]),
    ("a few errors after it had recovered", S(serve=down((10.01, 12.0), (48.0, 48.1))), "PASS", []),
    ("one request in thirty stays bad", S(serve=partly(1 / 30, (10.01, 99.0)), block=block_of(rto=None, recovery_after_removal_s=None)), "FAIL", ["SLO_MISSED"]),
    ("recovery was not observed for as long as the file says", S(serve=down((10.01, 99.0)), stop=46.0, block=block_of(rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "recovered")])), "INCONCLUSIVE", ["RECOVERY_NOT_OBSERVED"]),
    # SLOs in the fault's window
    ("an SLO is missed under fault", S(block=FAULT_ONLY, serve=down((10.01, 12.0))), "FAIL", ["SLO_MISSED"]),
    ("an SLO is just met under fault", S(block=FAULT_ONLY, serve=down((10.01, 11.4))), "PASS", []),
    ("exactly at the target is met", S(block=FAULT_ONLY, serve=down((10.01, 11.51)), faults=held(removed=(40.0, 40.0), effect=(10.0, 10.0))), "PASS", []),
    ("one more bad request is missed", S(block=FAULT_ONLY, serve=down((10.01, 11.52)), faults=held(removed=(40.0, 40.0), effect=(10.0, 10.0))), "FAIL", ["SLO_MISSED"]),
    ("a window with too few requests", S(block=FAULT_ONLY, serve=healthy, faults=(replace(KILL, removed=(10.5, 10.58)),)), "INCONCLUSIVE", ["TOO_FEW_SAMPLES"]),
    ("a window with just enough requests", S(block=FAULT_ONLY, serve=healthy, faults=(replace(KILL, removed=(10.5, 10.59)),)), "PASS", []),
    ("the target needs more requests than the stable stretch holds", S(block=block_of(slos=[replace(AVAILABILITY, target=0.999)], objectives=[], rto=Rto(10.0, ["availability"]), recovery_after_removal_s=None), rate=450.0, serve=down((10.01, 11.0)), baseline=(2.0, 9.0)), "PASS", []),
    ("the target needs more than the stable stretch has", S(block=block_of(slos=[replace(AVAILABILITY, target=0.999)], windows=Windows(1.0, 8.0, 15.0, 2.0), objectives=[], rto=Rto(10.0, ["availability"]), recovery_after_removal_s=None), rate=450.0, serve=down((10.01, 11.0)), baseline=(2.0, 9.0)), "INCONCLUSIVE", ["TOO_FEW_SAMPLES"]),
    ("a promise of 100 % cannot be proven", S(serve=healthy, block=block_of(rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "fault", 1.0)])), "INCONCLUSIVE", ["TOO_FEW_SAMPLES"]),
    ("a promise of 100 % can be disproven", S(serve=down((12.0, 12.01)), block=block_of(rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "fault", 1.0)])), "FAIL", ["SLO_MISSED"]),
    ("no request is of the kind that is promised", S(block=block_of(slos=[replace(AVAILABILITY, sli=replace(AVAILABILITY.sli, select_name="pay"))], rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "fault")])), "INCONCLUSIVE", ["NO_DATA"]),
    # the baseline
    ("it was bad before anything was injected", S(serve=both(partly(0.02, (3.0, 9.0)), down((10.01, 12.0)))), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    ("a few errors in the baseline are within the target", S(serve=both(partly(0.005, (3.0, 9.0)), down((10.01, 12.0)))), "PASS", []),
    ("bad before, and then too slow to recover: nobody is blamed", S(serve=both(partly(0.02, (3.0, 9.0)), down((10.01, 30.0)))), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    ("a looser target under fault does not loosen the baseline", S(serve=partly(0.02, (3.0, 9.0)), block=FAULT_ONLY), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    ("bad only while warming up", S(serve=both(down((1.0, 3.0)), down((10.01, 12.0)))), "PASS", []),
    ("the baseline is too short", S(baseline=(6.1, 9.0)), "INCONCLUSIVE", ["TOO_FEW_SAMPLES"]),
    ("a promise for the baseline itself is not held", S(serve=partly(0.02, (3.0, 9.0)), block=block_of(rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "baseline")])), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    # the fault
    ("the effect was never seen", S(serve=healthy, faults=held(effect=None, removed=None)), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("bad, but the effect was never seen: nobody is blamed", S(serve=down((10.01, 40.0)), faults=held(effect=None, removed=None)), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("only one of two targets was seen in effect", S(faults=held(uids=[f"{FAULT}-0"])), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("one of two in effect, and an SLO missed: nobody is blamed", S(block=FAULT_ONLY, faults=held(uids=[f"{FAULT}-0"])), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("something else was hit than what was planned", S(faults=held(uids=[f"{FAULT}-0", f"{FAULT}-1", "another"])), "INCONCLUSIVE", ["TARGETS_CHANGED"]),
    ("a plan without any target", S(serve=healthy, faults=held(targets=0)), "INCONCLUSIVE", ["NO_FAULT"]),
    ("somebody took the fault back early", S(faults=held(removed=(35.0, 35.05))), "INCONCLUSIVE", ["FAULT_NOT_HELD"]),
    ("the fault ended a little early", S(faults=held(removed=(38.6, 38.65))), "PASS", []),
    ("the fault was not seen in force for three seconds of thirty", S(faults=held(readings=lambda n: n not in (20, 21, 22))), "INCONCLUSIVE", ["FAULT_NOT_HELD"]),
    ("the fault was not seen in force for one second of thirty", S(faults=held(readings=lambda n: n != 20)), "PASS", []),
    ("nobody looked whether the fault was in force", S(faults=held(readings=lambda n: None)), "INCONCLUSIVE", ["FAULT_NOT_HELD"]),
    ("a reading from before the proof was given does not speak against it", S(faults=held(proven_s=2.2, readings=lambda n: n > 2)), "PASS", []),
    ("the readings after the proof speak against it", S(faults=held(proven_s=0.5, readings=lambda n: n > 2)), "INCONCLUSIVE", ["FAULT_NOT_HELD"]),
    ("one reading came late", S(faults=held(readings=lambda n: None if n == 20 else True)), "PASS", []),
    ("the targets were not seen to return", S(faults=held(removed=None)), "INCONCLUSIVE", ["REMOVAL_UNSEEN"]),
    ("nothing is injected", S(serve=healthy, faults=(), block=block_of(rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "whole")])), "INCONCLUSIVE", ["NO_FAULT"]),
    ("two faults, the second one not proven", S(faults=(FaultScene(), FaultScene(name="delay", effect=None, removed=None))), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("two faults, and the clock starts with the second", S(serve=down((10.01, 12.0), (20.0, 21.0)), faults=(KILL, FaultScene(name="delay", effect=(19.9, 19.95), removed=(49.95, 50.0))), block=block_of(rto=Rto(10.0, ["availability"], "delay"), recovery_after_removal_s=None, objectives=[]), stop=60.0), "PASS", []),
    ("two faults, recovered when the other one was taken back", S(serve=down((10.01, 18.0)), faults=(KILL, FaultScene(name="delay", effect=(10.1, 10.15), removed=(17.95, 18.0), planned_s=7.8)), block=RTO_ONLY), "INCONCLUSIVE", ["HELD_SHORTER_THAN_RTO"]),
    # actions and probes
    ("an action failed", S(faults=held(status="failed")), "INCONCLUSIVE", ["ACTION_FAILED"]),
    ("an action that was planned did not run", S(header=header(activities=[{"name": "second", "type": "action"}])), "INCONCLUSIVE", ["ACTION_FAILED"]),
    ("an action failed, and an SLO is missed under a proven effect", S(block=FAULT_ONLY, faults=held(status="failed")), "FAIL", ["SLO_MISSED", "ACTION_FAILED"]),
    ("a probe could not measure", S(activities=({"name": "p", "status": "failed"},)), "INCONCLUSIVE", ["PROBE_ERRORED"]),
    ("a probe that was planned did not run", S(header=header(activities=[{"name": "p", "type": "probe"}])), "INCONCLUSIVE", ["PROBE_NOT_RUN"]),
    ("a probe that was planned ran", S(header=header(activities=[{"name": "p", "type": "probe"}]), activities=({"name": "p"},)), "PASS", []),
    ("an action that nobody vouches for", S(activities=({"name": "script", "type_": "action", "managed": False},)), "INCONCLUSIVE", ["UNMANAGED_ACTION"]),
    ("an action that is declared neutral", S(activities=({"name": "script", "type_": "action", "managed": False},), block=block_of(faults={"script": FaultBlock(neutral=True)})), "PASS", []),
    # the steady-state hypothesis
    ("the hypothesis held before and after", S(activities=(GATE, RECHECK), header=header(hypothesis=True)), "PASS", []),
    ("the gate is out of tolerance", S(serve=healthy, faults=held(effect=None, removed=None), activities=({**GATE, "tolerance_met": False},), header=header(hypothesis=True)), "INCONCLUSIVE", ["GATE_OUT_OF_TOLERANCE"]),
    ("a probe of the gate could not measure", S(activities=({**GATE, "status": "failed", "tolerance_met": False}, RECHECK)), "INCONCLUSIVE", ["PROBE_ERRORED"]),
    ("the hypothesis does not hold after recovery", S(activities=(GATE, {**RECHECK, "tolerance_met": False})), "FAIL", ["HYPOTHESIS_NOT_MET_AFTER"]),
    ("the hypothesis could not be measured after recovery", S(activities=(GATE, {**RECHECK, "status": "failed", "tolerance_met": False})), "INCONCLUSIVE", ["PROBE_ERRORED"]),
    ("the hypothesis was not judged again", S(activities=(GATE,)), "INCONCLUSIVE", ["PROBE_NOT_RUN"]),
    ("a stranger's file with a hypothesis and our fault", S(block=None, load=False, activities=(GATE, RECHECK)), "PASS", []),
    ("nothing is promised", S(block=None, load=False), "INCONCLUSIVE", ["NO_OBJECTIVE"]),
    ("promises without any load", S(load=False), "INCONCLUSIVE", ["NO_DATA"]),
    # the generator
    ("one request in seventeen left late under fault", S(late_s=late(6)), "INCONCLUSIVE", ["GENERATOR_SATURATED"]),
    ("one request in twenty-five left late under fault", S(late_s=late(4)), "PASS", []),
    ("a little late is not late", S(late_s=late(50, by_s=0.05)), "PASS", []),
    ("late, and too slow to recover: nobody is blamed", S(serve=down((10.01, 30.0)), late_s=late(6)), "INCONCLUSIVE", ["GENERATOR_SATURATED"]),
    ("six in a hundred were never sent", S(sent=unsent(6)), "INCONCLUSIVE", ["LOAD_NOT_DELIVERED"]),
    ("four in a hundred were never sent", S(sent=unsent(4)), "PASS", []),
    ("not sent around the recovery only", S(sent=unsent(60, 11.9, 13.0)), "INCONCLUSIVE", ["LOAD_NOT_DELIVERED"]),
    ("late in the baseline", S(late_s=late(8, 3.0, 9.0)), "INCONCLUSIVE", ["GENERATOR_SATURATED"]),
    ("late after recovery", S(late_s=late(8, 42.0, 56.0)), "INCONCLUSIVE", ["GENERATOR_SATURATED"]),
    ("late while warming up", S(late_s=late(80, 1.0, 3.0)), "PASS", []),
    ("the load child died", S(meta={"stop_ns": None}, header=header(children={"load": -9, "method": 0, "prober": 0}, end={"how": "undecided", "reason": "WORKER_LOST", "detail": ""})), "INCONCLUSIVE", ["WORKER_LOST"]),
    ("the load child died and nobody noticed", S(meta={"stop_ns": None}, header=header(children={"load": -9, "method": 0, "prober": 0})), "INCONCLUSIVE", ["WORKER_LOST"]),
    ("the load child died, and it was bad: nobody is blamed", S(serve=down((10.01, 99.0)), meta={"stop_ns": None}, header=header(children={"load": -9})), "INCONCLUSIVE", ["WORKER_LOST"]),
    ("a closed model cannot pass", S(closed=True, serve=healthy, block=block_of(slos=[replace(AVAILABILITY, sli=replace(AVAILABILITY.sli, select_name=None, select_class="step"))], rto=None, recovery_after_removal_s=None)), "INCONCLUSIVE", ["CLOSED_MODEL"]),
    ("a closed model can fail", S(closed=True, serve=down((10.01, 30.0)), block=block_of(slos=[replace(AVAILABILITY, sli=replace(AVAILABILITY.sli, select_name=None, select_class="step"))], rto=None, recovery_after_removal_s=None, objectives=[Objective("availability", "fault", 0.5)])), "FAIL", ["SLO_MISSED"]),
    # children, clock, evidence
    ("the prober died", S(header=header(children={"load": 0, "method": 0, "prober": -9})), "INCONCLUSIVE", ["PROBER_LOST"]),
    ("the method child died", S(header=header(children={"load": 0, "method": 1, "prober": 0})), "INCONCLUSIVE", ["METHOD_CHILD_DIED"]),
    ("wall time was set", S(header=header(clock={"boot_id": "b", "boot_id_end": "b", "drift_ms_end": -251.0})), "INCONCLUSIVE", ["CLOCK_UNSOUND"]),
    ("wall time was slewed", S(header=header(clock={"boot_id": "b", "boot_id_end": "b", "drift_ms_end": 249.0})), "PASS", []),
    ("wall time was set, and it was too slow: nobody is blamed", S(serve=down((10.01, 30.0)), header=header(clock={"boot_id": "b", "boot_id_end": "b", "drift_ms_end": 300.0})), "INCONCLUSIVE", ["CLOCK_UNSOUND"]),
    ("the machine was started anew", S(header=header(clock={"boot_id": "b", "boot_id_end": "c", "drift_ms_end": 0.0})), "INCONCLUSIVE", ["CLOCK_UNSOUND"]),
    ("nobody looked at the clock", S(header=header(clock={"boot_id": "b", "drift_ms_end": None})), "INCONCLUSIVE", ["CLOCK_UNSOUND"]),
    ("rows are missing", S(before_seal=lose_rows), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("a bad row is missing and all totals agree", S(before_seal=lose_a_journey), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("rows are missing, and it was too slow: nobody is blamed", S(serve=down((10.01, 30.0)), before_seal=lose_rows), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the last rows are torn", S(before_seal=cut("load/w0/rows-0000.bin", 3)), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("a row was damaged on disk", S(before_seal=flip("load/w0/rows-0000.bin", 5000)), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE", "NO_DATA"]),
    ("a file was altered after the seal", S(after_seal=lambda folder: (folder / "plan.json").write_bytes((folder / "plan.json").read_bytes() + b" ") and None), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("a file was added after the seal", S(after_seal=lambda folder: (folder / "inputs/more.yaml").write_bytes(b"x") and None), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the run was never sealed", S(after_seal=remove("SEALED")), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("an event is missing", S(before_seal=drop_event), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the last event is torn", S(before_seal=cut("events.jsonl", 1)), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the summaries are missing", S(before_seal=remove("load/w0/seconds.bin")), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the copy of the ledger is missing", S(before_seal=remove("undo.wal")), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    # cut short
    ("a signal stopped the run", S(serve=healthy, header=ABORTED), "ABORTED", ["STOPPED_BY_SIGNAL"]),
    ("stopped after the recovery objective was proven missed", S(serve=down((10.01, 99.0)), faults=held(removed=(25.02, 25.05)), stop=26.0, header=ABORTED, block=RTO_ONLY), "FAIL", ["RTO_MISSED", "STOPPED_BY_SIGNAL"]),
    ("stopped while an SLO could still have been met", S(serve=down((10.01, 11.2)), faults=held(removed=(15.02, 15.05)), stop=16.0, header=ABORTED, block=FAULT_ONLY), "ABORTED", ["STOPPED_BY_SIGNAL"]),
    ("stopped when an SLO could no longer be met", S(serve=down((10.01, 13.0)), faults=held(removed=(15.02, 15.05)), stop=16.0, header=ABORTED, block=FAULT_ONLY), "FAIL", ["SLO_MISSED", "STOPPED_BY_SIGNAL"]),
    ("a stop rule with evidence missing", S(serve=healthy, faults=held(effect=None, removed=None), header=header(end={"how": "aborted", "reason": "STOP_NO_DATA", "detail": ""})), "ABORTED", ["STOP_NO_DATA"]),
    ("the baseline was seen to be bad and nothing was injected", S(serve=partly(0.2, (3.0, 9.0)), faults=held(effect=None, removed=None), header=header(end={"how": "undecided", "reason": "BASELINE_UNHEALTHY", "detail": ""})), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    ("the preflight failed", S(load=False, faults=held(effect=None, removed=None), header=header(end={"how": "undecided", "reason": "PREFLIGHT_FAILED", "detail": ""})), "INCONCLUSIVE", ["PREFLIGHT_FAILED"]),
    ("the tool failed", S(header=header(end={"how": "error", "reason": "TOOL_FAILED", "detail": ""})), "ERROR", ["TOOL_FAILED"]),
    ("the tool failed after an objective was missed", S(serve=down((10.01, 30.0)), header=header(end={"how": "error", "reason": "SUPERVISOR_DIED", "detail": ""}), block=RTO_ONLY), "ERROR", ["SUPERVISOR_DIED", "RTO_MISSED"]),
    # dirty
    ("the healer could not heal", S(header=header(clean={"state": "dirty", "proven_at_ns": None, "pending": [{"fault": FAULT}]})), "DIRTY", ["UNDO_FAILED"]),
    ("the ledger says that something is pending, whatever the header says", S(faults=held(undo="STUCK")), "DIRTY", ["UNDO_FAILED"]),
    ("somebody else changed what the fault had changed", S(faults=held(undo="CONFLICT"), header=header(clean={"state": "dirty"})), "DIRTY", ["UNDO_CONFLICT"]),
    ("a person accepted what is left", S(faults=held(undo="ACCEPTED")), "PASS", []),
    ("the ledger is corrupt", S(before_seal=flip("undo.wal", 30)), "DIRTY", ["LEDGER_CORRUPT", "EVIDENCE_INCOMPLETE"]),
    ("a rollback of the file failed", S(activities=({"name": "undo it", "type_": "action", "where": "rollback", "status": "failed"},)), "DIRTY", ["ROLLBACK_FAILED"]),
    ("a rollback of the file did not end", S(activities=({"name": "undo it", "type_": "action", "where": "rollback", "state": "started"},)), "DIRTY", ["ROLLBACK_FAILED"]),
    ("a rollback of the file succeeded", S(activities=({"name": "undo it", "type_": "action", "where": "rollback"},)), "PASS", []),
    ("dirty outranks a missed objective and an abort", S(serve=down((10.01, 99.0)), faults=held(removed=(25.02, 25.05), undo="STUCK"), stop=26.0, header=ABORTED, block=RTO_ONLY), "DIRTY", ["UNDO_FAILED", "RTO_MISSED", "STOPPED_BY_SIGNAL"]),
    # budget and controls
    ("the run spent little of the error budget", S(block=block_of(budget=Budget("availability", 0.0001))), "PASS", []),
    ("the run overspent its share of the error budget", S(block=block_of(budget=Budget("availability", 0.00005))), "FAIL", ["BUDGET_OVERSPENT"]),
    ("an a-a control meets everything", S(serve=healthy, faults=(), block=block_of(control="a-a")), "PASS", []),
    ("an a-a control misses an objective", S(serve=down((12.0, 34.0)), faults=(), block=block_of(control="a-a")), "FAIL", ["SLO_MISSED"]),
    ("an a-a control with a bad baseline", S(serve=partly(0.2, (3.0, 99.0)), faults=(), block=block_of(control="a-a")), "INCONCLUSIVE", ["BASELINE_UNHEALTHY"]),
    ("a known-bad control fails as it should", S(serve=partly(0.6, (1.0, 99.0)), faults=(), block=block_of(control="known-bad")), "FAIL", ["SLO_MISSED"]),
    ("a known-bad control is not seen to be bad", S(serve=healthy, faults=(), block=block_of(control="known-bad")), "INCONCLUSIVE", ["KNOWN_BAD_NOT_SEEN"]),
]
# fmt: on


@pytest.mark.parametrize(("scene", "verdict", "reasons"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_the_verdict_is_what_is_true_of_the_run(scene: Scene, verdict: str, reasons: list[str], tmp_path: Path) -> None:
    result = judge(build(tmp_path / "run", scene))
    told = [(finding.id, finding.outcome, finding.reasons, finding.evidence) for finding in result.findings if finding.outcome != "met"]
    assert (result.verdict, sorted(result.reasons)) == (verdict, sorted(reasons)), told
    assert result.exit_code == EXIT_CODES[verdict]
    assert result.reasons[:1] == reasons[:1] or set(result.reasons) == set(reasons)
    assert all(code in REASONS for finding in result.findings for code in finding.reasons)


def test_the_same_directory_gives_the_same_bytes(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Scene(serve=down((10.01, 13.0))))
    first, again = judge(run), judge(read(tmp_path / "run"))
    assert json.dumps(first.to_json(), sort_keys=True) == json.dumps(again.to_json(), sort_keys=True)
    assert Result.from_json(json.loads(json.dumps(first.to_json()))).to_json() == first.to_json()


def test_a_result_is_sealed_with_the_run_it_was_judged_from(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Scene())
    result = judge(run)
    assert seal_result(tmp_path / "run", result) == run.seal == result.seal
    assert verify(tmp_path / "run") == [] and judge(read(tmp_path / "run")).verdict == "PASS"
    (tmp_path / "run" / "result.json").write_text("{}")
    assert verify(tmp_path / "run") == ["result.json: does not match the seal"]


@pytest.mark.parametrize(
    ("serve", "mode", "dawns", "impact_s"),
    [
        pytest.param(healthy, "absorbed", 0, None, id="never bad"),
        pytest.param(down((10.5, 12.0)), "self-healed", 0, 0.5, id="bad half a second later"),
        pytest.param(down((10.01, 12.0), (14.0, 16.0)), "self-healed", 1, 0.01, id="a false dawn"),
        pytest.param(down((10.01, 40.04)), "after-removal", 0, 0.01, id="back with the removal"),
        pytest.param(down((10.01, 99.0)), "not-recovered", 0, 0.01, id="never back"),
    ],
)
def test_the_figures_beside_the_rto_tell_what_happened(serve: Any, mode: str, dawns: int, impact_s: float | None, tmp_path: Path) -> None:
    result = judge(build(tmp_path / "run", Scene(serve=serve)))
    assert result.rto is not None
    assert (result.rto["mode"], result.rto["false_dawns"], result.rto["impact_s"]) == (mode, dawns, impact_s)
    assert result.rto["held_s"] == 30.0 and result.rto["from"] == FAULT
    assert (result.rto["hi_s"] is None) == (mode == "not-recovered")


def test_a_closed_model_widens_the_bracket(tmp_path: Path) -> None:
    slos = [replace(AVAILABILITY, sli=replace(AVAILABILITY.sli, select_name=None, select_class="step"))]
    block_ = block_of(slos=slos, rto=Rto(10.0, ["availability"]), recovery_after_removal_s=None, objectives=[])
    wide = judge(build(tmp_path / "closed", Scene(closed=True, block=block_)))
    narrow = judge(build(tmp_path / "open", Scene(block=block_)))
    assert wide.rto is not None and narrow.rto is not None
    assert wide.rto["lo_s"] < narrow.rto["lo_s"] and wide.rto["hi_s"] > narrow.rto["hi_s"] + 1.0
    assert wide.notices


@pytest.mark.parametrize(
    "name", ["run.json", "plan.json", "events.jsonl", "undo.wal", "load/w0/meta.json", "load/w0/rows-0000.bin", "load/w0/seconds.bin", "SEALED"]
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]\n", b"\xff\x00garbage\n"], ids=["missing", "empty", "empty object", "a list", "garbage"])
def test_no_damage_passes_and_none_raises(name: str, content: bytes | None, tmp_path: Path) -> None:
    build(tmp_path / "run", Scene())
    path = tmp_path / "run" / name
    path.unlink() if content is None else path.write_bytes(content)
    result = judge(read(tmp_path / "run"))
    assert result.verdict in ("INCONCLUSIVE", "DIRTY") and result.reasons


def test_an_empty_directory_is_inconclusive(tmp_path: Path) -> None:
    result = judge(read(tmp_path))
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", 3)


def test_every_situation_is_told_once() -> None:
    names = [name for name, *_ in CASES]
    assert len(names) == len(set(names)) >= 40


def test_an_activity_event_has_the_shape_of_the_supervisors(tmp_path: Path) -> None:
    assert activity_event("p")["t_ns"] == 11 * NS and Outcome.OK == 0
