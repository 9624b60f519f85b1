# ruff: noqa: E501 - a table: one situation, one line
"""
The catalogue of lost, kept and doubtful writes: what is true of a run, and the one verdict that it must get.

Each cause stands beside its near miss. A situation is a whole run directory with real files; see tests/truth/build.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import KILLED, FaultScene, Scene, WriteScene, block_of, build, down, healthy, partly, word_of

from chaoslib_ext.block import Rpo
from chaoslib_ext.formats.record_schemas import RESULT
from chaoslib_ext.rundir import read
from chaoslib_ext.timeline import block, blocks
from chaoslib_ext.verdict import judge
from chaoslib_ext.writelog import ACKS_MAGIC

RUN = "20260101-000000-truth-0001"
ABORTED = {"end": {"how": "aborted", "reason": "STOPPED_BY_SIGNAL", "detail": "SIGTERM"}}
Kept = Callable[[float, int, str], int]


def promise(objective_s: float | None = None, max_writes: int | None = None, **more: Any) -> Any:
    return block_of(rto=None, objectives=[], recovery_after_removal_s=None, rpo=Rpo("orders", objective_s, max_writes), **more)


NONE = promise(0.0, 0)
LONG: dict[str, Any] = {name: getattr(Scene(), name) for name in ("start", "baseline", "method", "stop", "faults")}


def losing(a: float, b: float, but: int = 0) -> Kept:
    """What was acknowledged in [a, b) is gone, but for every `but`th; answers take 20 ms."""
    return lambda t_s, k, word: int(word == "ok" and not (a <= t_s + 0.02 < b and (not but or k % but)))


def S(block: Any = NONE, kept: Kept | None = None, serve: Any = healthy, **more: Any) -> Scene:
    """A short scene, the fault in force from 10 s to 20 s, in which every request is a write; fields of the write scene are given by name."""
    own = {name: more.pop(name) for name in list(more) if name in WriteScene.__dataclass_fields__}
    times = {"start": 7.0, "baseline": (7.5, 9.0), "method": (9.0, 20.1), "stop": 24.0, "faults": held()}
    return Scene(block=block, serve=serve, writes=WriteScene(**{"read_s": 30.0, **({"kept": kept} if kept else {}), **own}), **{**times, **more})


def words(share: float, word: str, a: float = 10.0, b: float = 20.0) -> Any:
    """A share of the writes of a time ends otherwise, evenly spread."""
    return lambda t_s, k, outcome: word if a <= t_s < b and int((k + 1) * share) > int(k * share) else word_of(t_s, k, outcome)


def held(**more: Any) -> tuple[FaultScene, ...]:
    return (FaultScene(**{"removed": (20.02, 20.05), "planned_s": 10.0, **more}),)


def tear(name: str, by: int = 5) -> Any:
    return lambda folder: (folder / "writes" / name).write_bytes((folder / "writes" / name).read_bytes()[:-by]) and None


def flip(name: str, at: int) -> Any:
    def change(folder: Path) -> None:
        data = bytearray((folder / "writes" / name).read_bytes())
        data[at] ^= 1
        (folder / "writes" / name).write_bytes(bytes(data))

    return change


def remove(name: str) -> Any:
    return lambda folder: (folder / "writes" / name).unlink()


def unsay_a_write(folder: Path) -> None:
    """A lost write vanishes from the ledger, and the last line is mended: only the rows know."""
    path = folder / "writes/acks-w0.bin"
    records = [json.loads(line) for payload in blocks(path, ACKS_MAGIC) if payload for line in payload.splitlines()]
    gone = next(one["id"] for one in records if one.get("t_done_us", 0) > 9_980_000)
    kept = [one for one in records[:-1] if one["id"] != gone]
    last = {"closed": True, "attempted": records[-1]["attempted"] - 1, "ok": records[-1]["ok"] - 1, "fail": records[-1]["fail"]}
    path.write_bytes(ACKS_MAGIC + block(b"".join(json.dumps(one).encode() + b"\n" for one in [*kept, last])))


# fmt: off
CASES: list[Any] = [
    # nothing is lost
    ("every acknowledged write is there", S(), "PASS", []),
    ("one acknowledged write is gone", S(kept=losing(9.985, 9.995)), "FAIL", ["RPO_MISSED"]),
    ("one acknowledged after the effect is gone", S(kept=losing(11.005, 11.015)), "FAIL", ["RPO_MISSED"]),
    ("one acknowledged long after the fault is gone", S(kept=losing(22.005, 22.015)), "FAIL", ["RPO_MISSED"]),
    # how many: ten a tenth of a second
    ("as many are lost as admitted", S(block=promise(max_writes=10), kept=losing(9.895, 9.995)), "PASS", []),
    ("one more is lost than admitted", S(block=promise(max_writes=9), kept=losing(9.895, 9.995)), "FAIL", ["RPO_MISSED"]),
    ("as many as admitted, and all after the effect", S(block=promise(max_writes=10), kept=losing(12.005, 12.105)), "PASS", []),
    # how old
    ("half a second is lost, a second admitted", S(block=promise(1.0), kept=losing(9.5, 10.0)), "PASS", []),
    ("half a second is lost, less admitted", S(block=promise(0.4), kept=losing(9.5, 10.0)), "FAIL", ["RPO_MISSED"]),
    ("the objective lies inside the bracket", S(block=promise(0.6), kept=losing(9.5, 10.0), faults=held(effect=(10.0, 10.3), removed=(20.3, 20.35))), "INCONCLUSIVE", ["RPO_UNDECIDED"]),
    ("the objective lies just above the bracket", S(block=promise(0.9), kept=losing(9.5, 10.0), faults=held(effect=(10.0, 10.3), removed=(20.3, 20.35))), "PASS", []),
    ("lost inside the effect's bracket: before or after, nobody knows", S(block=promise(1.0), kept=losing(10.005, 10.015)), "INCONCLUSIVE", ["RPO_UNDECIDED"]),
    ("lost inside the effect's bracket, and admitted", S(block=promise(1.0, 1), kept=losing(10.005, 10.015)), "PASS", []),
    ("young enough, but one was acknowledged after the effect", S(block=promise(5.0), kept=losing(10.195, 10.205)), "FAIL", ["RPO_MISSED"]),
    ("young enough, after the effect, and admitted", S(block=promise(5.0, 1), kept=losing(10.195, 10.205)), "PASS", []),
    ("few enough, but too old", S(block=promise(0.1, 100), kept=losing(9.5, 9.52)), "FAIL", ["RPO_MISSED"]),
    ("a switchover: the loss begins after the command and lasts until the demotion", S(block=promise(5.0), kept=losing(10.2, 18.0)), "FAIL", ["RPO_MISSED"]),
    ("holes only: every second one of a second is gone", S(block=promise(2.0), kept=losing(9.0, 9.99, but=2)), "PASS", []),
    # unknown writes
    ("unknown ones are there or not: neither is a loss", S(kept=lambda t_s, k, word: int(word == "ok" or (word == "info" and k % 2)), word=words(0.19, "info")), "PASS", []),
    ("more than a fifth ended unknown, and none is lost", S(word=words(0.21, "info")), "INCONCLUSIVE", ["RPO_UNDECIDED"]),
    ("more than a fifth ended unknown, and one is lost all the same", S(word=words(0.21, "info"), kept=losing(9.985, 9.995)), "FAIL", ["RPO_MISSED"]),
    ("many ended unknown, but long before the fault", S(word=words(0.9, "info", 7.0, 8.5)), "PASS", []),
    ("an outage of two seconds: timeouts are unknown", S(block=block_of(rpo=Rpo("orders", 0.0, 0)), serve=down((10.01, 12.0)), read_s=60.0, **LONG), "PASS", []),
    ("refused connections are certainly not done", S(block=promise(0.0, 0), word=words(0.5, "fail")), "PASS", []),
    ("a killed primary, and most of what followed ended unknown", S(faults=(KILLED,), word=words(0.3, "info")), "INCONCLUSIVE", ["RPO_UNDECIDED"]),
    # what should not be there
    ("a refused write is there", S(word=words(0.02, "fail"), kept=lambda _t, k, word: int(word == "ok" or k == 449)), "FAIL", ["WRITES_RESURRECTED"]),
    ("a record of this run that nobody sent", S(extra={f"{RUN}:0:999999": 1}), "FAIL", ["WRITES_PHANTOM"]),
    ("a record of a run whose id begins alike", S(extra={f"{RUN}9:0:1": 1, "20250101-000000-other-0001:0:1": 1}), "PASS", []),
    ("lost, resurrected and phantom at once", S(word=words(0.02, "fail"), kept=lambda _t, k, word: int((word == "ok" and k != 290) or k == 449), extra={f"{RUN}:0:999999": 1}), "FAIL", ["RPO_MISSED", "WRITES_RESURRECTED", "WRITES_PHANTOM"]),
    ("written twice by a retry: told, not judged", S(kept=lambda _t, k, word: (1 + (k % 100 == 0)) * (word == "ok")), "PASS", []),
    # nothing was at risk
    ("five a second are too few when one of them came late", S(rate=4.0, block=promise(0.0, 0)), "INCONCLUSIVE", ["NO_WRITES_AT_RISK"]),
    ("six a second are enough", S(rate=6.0, block=promise(0.0, 0)), "PASS", []),
    ("the writes had stopped before the fault", S(word=words(1.0, "info", 8.9, 10.0)), "INCONCLUSIVE", ["NO_WRITES_AT_RISK"]),
    ("too few at risk, and lost all the same", S(rate=4.0, kept=lambda t_s, k, word: int(word == "ok" and t_s < 9.4)), "FAIL", ["RPO_MISSED"]),
    # the final read
    ("nothing was read back", S(read_s=None), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("the read-back did not settle", S(settled=False), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("a loss in a read-back that did not settle is none", S(settled=False, kept=losing(9.0, 10.0)), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("it was read before the writers had stopped", S(read_s=23.9), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("it was read just after the writers had stopped", S(read_s=24.1), "PASS", []),
    ("the node that was believed does not show the barrier", S(barrier=False), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("two nodes are believed and differ", S(believed=("store-a", "store-b"), nodes={"store-b": losing(9.0, 10.0)}), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("two nodes are believed and are the same", S(believed=("store-a", "store-b")), "PASS", []),
    ("a stale node lacks some: it is told, and not judged", S(nodes={"store-b": losing(9.0, 20.0)}), "PASS", []),
    ("a deposed primary has what the new one lacks: lost", S(kept=losing(9.5, 10.0), nodes={"store-b": lambda _t, _k, word: int(word == "ok")}), "FAIL", ["RPO_MISSED"]),
    ("a node could not be read", S(nodes={"store-b": None}), "PASS", []),
    # evidence, children, effect, and how the run ended
    ("the last acknowledgements are torn", S(before_seal=tear("acks-w0.bin")), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the read-back is torn", S(before_seal=tear("readback-store-a.bin")), "INCONCLUSIVE", ["READBACK_FAILED"]),
    ("an acknowledgement was damaged on disk", S(before_seal=flip("acks-w0.bin", 5000)), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the read-back was damaged after the seal", S(after_seal=flip("readback-store-a.bin", 500)), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE", "READBACK_FAILED"]),
    ("the ledger is missing", S(before_seal=remove("acks-w0.bin")), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the last lines of the ledger never reached the disk", S(drop=3, closed=False), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("a lost write is missing in the ledger and all its counts agree", S(kept=losing(9.985, 9.995), before_seal=unsay_a_write), "INCONCLUSIVE", ["EVIDENCE_INCOMPLETE"]),
    ("the load child died", S(closed=False, meta={"stop_ns": None}, header={"children": {"load": -9, "method": 0, "prober": 0}}), "INCONCLUSIVE", ["WORKER_LOST"]),
    ("the load child died, and writes are gone: nobody is blamed", S(closed=False, kept=losing(9.0, 10.0), meta={"stop_ns": None}, header={"children": {"load": -9}}), "INCONCLUSIVE", ["WORKER_LOST"]),
    ("writes are gone, but the clock was set", S(kept=losing(9.0, 10.0), header={"clock": {"boot_id": "b", "boot_id_end": "b", "drift_ms_end": 900.0}}), "INCONCLUSIVE", ["CLOCK_UNSOUND"]),
    ("writes are gone, but no fault was in effect", S(kept=losing(9.0, 10.0), faults=held(effect=None, removed=None)), "INCONCLUSIVE", ["EFFECT_UNPROVEN"]),
    ("a late generator is no excuse for a lost acknowledgement", S(kept=losing(9.5, 10.0), late_s=lambda t_s, k: 0.08 if 10 <= t_s < 20 and k % 100 < 10 else 0.0005), "FAIL", ["RPO_MISSED", "GENERATOR_SATURATED"]),
    ("a late generator keeps a kept promise from passing", S(late_s=lambda t_s, k: 0.08 if 10 <= t_s < 20 and k % 100 < 10 else 0.0005), "INCONCLUSIVE", ["GENERATOR_SATURATED"]),
    ("an aborted run is not read back", S(read_s=None, header=ABORTED), "ABORTED", ["STOPPED_BY_SIGNAL"]),
    ("an SLO is missed and writes are lost", S(block=block_of(rpo=Rpo("orders", 0.0, 0), rto=None, recovery_after_removal_s=None), serve=partly(0.65, (10.0, 40.0)), kept=losing(9.5, 10.0), read_s=60.0, **LONG), "FAIL", ["SLO_MISSED", "RPO_MISSED"]),
    ("a killed primary, replaced, nothing lost", S(faults=(KILLED,), serve=down((10.01, 11.0))), "PASS", []),
    ("a killed primary, replaced, ten lost", S(faults=(KILLED,), serve=down((10.01, 11.0)), kept=losing(9.9, 10.0)), "FAIL", ["RPO_MISSED"]),
    # controls
    ("an a-a control loses nothing", S(faults=(), block=promise(0.0, 0, control="a-a")), "PASS", []),
    ("an a-a control loses one", S(faults=(), block=promise(0.0, 0, control="a-a"), kept=losing(15.005, 15.015)), "FAIL", ["RPO_MISSED"]),
    ("a known-bad control loses as it should", S(faults=(), block=promise(0.0, 0, control="known-bad"), kept=losing(15.0, 16.0)), "FAIL", ["RPO_MISSED"]),
    ("a known-bad control is not seen to lose", S(faults=(), block=promise(0.0, 0, control="known-bad")), "INCONCLUSIVE", ["KNOWN_BAD_NOT_SEEN"]),
]
# fmt: on


@pytest.mark.parametrize(("scene", "verdict", "reasons"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_the_verdict_is_what_is_true_of_the_writes(scene: Scene, verdict: str, reasons: list[str], tmp_path: Path) -> None:
    result = judge(build(tmp_path / "run", scene))
    told = [(finding.id, finding.outcome, finding.reasons, finding.evidence) for finding in result.findings if finding.outcome != "met"]
    assert (result.verdict, sorted(result.reasons)) == (verdict, sorted(reasons)), told
    jsonschema.validate(json.loads(json.dumps(result.to_json())), {**RESULT, "properties": {**RESULT["properties"], "clean": {}}})


def test_the_figures_tell_where_the_lost_writes_lie(tmp_path: Path) -> None:
    kept = losing(9.495, 10.505)
    result = judge(build(tmp_path / "run", S(block=promise(5.0), kept=kept, nodes={"store-b": losing(9.0, 12.0), "store-c": None})))
    rpo = result.rpo
    assert rpo is not None and rpo["outcome"] == "missed"
    assert (rpo["lost"], rpo["lost_after_fault"]) == (101, 48)  # acknowledged at 9.50, 9.51, … 10.50, the last 48 of them after 10.02
    assert (rpo["lo_s"], rpo["hi_s"]) == (0.5, 0.52)
    assert (rpo["first_lost_t_ns"], rpo["last_lost_t_ns"], rpo["loss_span_s"]) == (9_500_000_000, 10_500_000_000, 1.0)
    assert rpo["nodes"] == {"store-a": 101, "store-b": 300, "store-c": None}
    assert rpo["attempted"] == rpo["acknowledged"] == 1701 and rpo["unknown"] == 0


def test_without_a_promise_nothing_is_said_of_writes(tmp_path: Path) -> None:
    result = judge(build(tmp_path / "run", S(block=block_of(), serve=down((10.01, 12.0)), kept=losing(9.0, 10.0), **LONG)))
    assert (result.verdict, result.rpo) == ("PASS", None)


def test_what_was_not_measured_is_never_nought(tmp_path: Path) -> None:
    rpo = judge(build(tmp_path / "run", S(read_s=None))).rpo
    assert rpo is not None and rpo["attempted"] == 1701
    assert {rpo[name] for name in ("lost", "lost_after_fault", "phantom", "lo_s", "hi_s", "nodes")} == {None}


@pytest.mark.parametrize("name", ["acks-w0.bin", "readback-store-a.bin"])
@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"CXACKS1\n", b"CXREAD1\n", b"\xff\x00garbage\n"], ids=["missing", "empty", "json", "acks", "read", "garbage"]
)
def test_no_damage_to_the_ledger_passes_and_none_raises(name: str, content: bytes | None, tmp_path: Path) -> None:
    build(tmp_path / "run", S())
    path = tmp_path / "run" / "writes" / name
    path.unlink() if content is None else path.write_bytes(content)
    assert judge(read(tmp_path / "run")).verdict == "INCONCLUSIVE"


def test_records_that_remain_are_a_notice(tmp_path: Path) -> None:
    note = {"kind": "note", "t_ns": 57_000_000_000, "text": "orders: 3 are left", "ledger": "orders", "left": 3}
    assert any("test records remain in orders: 3" in text for text in judge(build(tmp_path / "run", S(events=(note,)))).notices)
    assert not judge(build(tmp_path / "clean", replace(S(), events=({**note, "left": 0},)))).notices
