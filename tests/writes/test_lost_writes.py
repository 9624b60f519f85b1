"""
What the figures say of lost, kept and doubtful writes. The verdicts are in the catalogue: tests/truth/situations/data-loss.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))

from build import FaultScene, Scene, WriteScene, block_of, build, down, healthy

from chaoslib_ext.block import Rpo
from chaoslib_ext.rundir import read
from chaoslib_ext.verdict import judge

RUN = "20260101-000000-truth-0001"
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


def held(**more: Any) -> tuple[FaultScene, ...]:
    return (FaultScene(**{"removed": (20.02, 20.05), "planned_s": 10.0, **more}),)


def test_the_figures_tell_where_the_lost_writes_lie(tmp_path: Path) -> None:
    kept = losing(9.495, 10.505)
    result = judge(build(tmp_path / "run", S(block=promise(5.0), kept=kept, nodes={"store-b": losing(9.0, 12.0), "store-c": None})))
    rpo = result.rpo
    assert rpo is not None and rpo["outcome"] == "missed"
    assert (rpo["lost"], rpo["lost_after_fault"]) == (101, 46)  # noted at 9.50, 9.51, … 10.50, the last 46 of them sent after 10.02
    assert (rpo["lo_s"], rpo["hi_s"]) == (0.5, 0.54)
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
