"""
Whatever a target's interfaces answer, at whichever call, nothing of a fault is left, and what is not clean is never called so.

Every call that changes something, while a fault is injected and while it is taken back, fails in every way of `wire.KINDS`;
the calls that only look, in some. CHAOSX_KILLS=1 makes it every call of every fault in every way. Signals and files of routes
are no interface that could answer.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from api_rig import FAULTS, Case, Workers, told, workers
from api_room import ApiRoom
from wire import DENIED, KINDS

from chaoslib_ext.process import fuse

pytestmark = pytest.mark.crash

LOOKS = ("status", "fuse look", "GET")  # how calls end that change nothing
LOOKED_AT_WITH = ("429", "500 before", "403", "reset after", "silent before", "truncated", "nonsense")
DEFINITE = ("429", "401", "403", "404", "409")  # a refusal: nothing was done
SHORT_S, LONG_S = 0.3, 20.0
EVERYTHING = bool(os.environ.get("CHAOSX_KILLS"))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(scope="module")
def calls(pool: Workers) -> dict[str, Case]:
    """What each fault asks of its target when everything answers."""
    found = pool.run({**case, "name": name, "deadline_s": LONG_S} for name, case in FAULTS.items())
    for case, answer in found:
        assert (answer["code"], answer["clean"], answer["unclean"]) == (0, True, ""), told(case, answer)
    return {case["name"]: answer for case, answer in found}


def cases(calls: dict[str, Case], phase: str) -> Iterator[Case]:
    """
    The calls of each fault in a phase (`inject` or `undo`), with ways to fail, once each.

    A call that changes something fails in all ways at its first occurrence, and in a few, in turn, where another fault makes the
    same call; a call that only looks in two. With CHAOSX_KILLS set, all of them in all ways.
    """
    known, turn = set(), itertools.count()
    for name, case in FAULTS.items():
        for at, call in enumerate(calls[name][f"{phase} calls"]):
            kinds: Sequence[str] = LOOKED_AT_WITH if call.endswith(LOOKS) else KINDS
            if not EVERYTHING and (call in known or kinds is LOOKED_AT_WITH):
                kinds = [kinds[next(turn) * 5 % len(kinds)] for _ in range(2 if kinds is LOOKED_AT_WITH else 4)]
            known.add(call)
            for kind in kinds:
                yield {**case, "name": name, phase: [kind, at, at], "call": call, "kind": kind, "deadline_s": LONG_S}


def counted(what: str, found: list[tuple[Case, Case]]) -> None:
    dirty = sum(answer["code"] == 6 for _, answer in found)
    print(f"\n{what}: {len(found)} runs, {dirty} of them DIRTY at first, {sum(bool(answer['left']) for _, answer in found)} left")


def never_a_leftover_and_never_a_lie(found: list[tuple[Case, Case]]) -> None:
    for case, answer in found:
        assert not answer["left"], told(case, answer)
        assert answer["code"] in (0, 6), told(case, answer)
        assert answer["clean"] is (answer["code"] == 0), told(case, answer)
        assert not (answer["unclean"] and answer["clean"]), told(case, answer)
        for item in answer["errors"]:
            assert item["command"].startswith("chaosx recover --run ") and item["error"], told(case, answer)
        assert answer.get("again", 0) == 0, told(case, answer)


def test_while_it_is_injected(pool: Workers, calls: dict[str, Case]) -> None:
    found = pool.run(cases(calls, "inject"))
    counted("injecting", found)
    never_a_leftover_and_never_a_lie(found)
    for case, answer in found:
        assert answer["code"] == 0, told(case, answer)
        assert answer["said"], told(case, answer)
        if case["kind"] in DEFINITE and case["call"].endswith((" set", " hold", "switchover")):
            assert answer["recs"].count("REJECTED") == 1 and "AMBIG" not in answer["recs"], told(case, answer)
        if case["kind"] not in (*DEFINITE, "slow") and case["call"].endswith((" set", " hold", "switchover")):
            assert answer["recs"].count("AMBIG") == 1 and "REJECTED" not in answer["recs"], told(case, answer)
        assert all("is over" in str(reply) or "was taken out" in str(reply) for reply in landed(case, answer)), told(case, answer)


def landed(case: Case, answer: Case) -> list[Any]:
    """The answers to what was held back and landed later; a switchover has nothing to undo, and nobody fences it out."""
    return [] if "switchover" in case["call"] else answer["landed"]


def test_while_it_is_taken_back(pool: Workers, calls: dict[str, Case]) -> None:
    found = pool.run(cases(calls, "undo"))
    counted("taking back", found)
    never_a_leftover_and_never_a_lie(found)
    for case, answer in found:
        refused_for_good = case["kind"] in DENIED and "fuse" not in case["call"] and "lock" not in case["call"]
        assert answer["code"] == (6 if refused_for_good else 0), told(case, answer)
        if refused_for_good:
            (item,) = answer["errors"]
            assert "not allowed, and trying again does not help" in item["error"], told(case, answer)


def test_while_it_is_taken_back_for_as_long_as_anybody_has_patience(pool: Workers, calls: dict[str, Case]) -> None:
    kinds = [kind for kind in KINDS if kind not in ("slow", "404", "503")]  # slow is no failure, the others are like 409 and 500
    pairs = [(kind, name) for kind in kinds for name in FAULTS if "switchover" not in name]  # which has nothing to undo
    found = pool.run(
        {**FAULTS[name], "name": name, "undo": [kind, 0, None], "kind": kind, "deadline_s": SHORT_S}
        for at, (kind, name) in enumerate(pairs)
        if EVERYTHING or at % 2
    )
    counted("for ever", found)
    never_a_leftover_and_never_a_lie(found)
    for case, answer in found:
        assert answer["code"] == 6 and answer["errors"], told(case, answer)
        if case["kind"] in DENIED:
            assert answer["recs"].count("UNDO_TRY") == answer["recs"].count("STUCK") + answer["recs"].count("UNDONE"), told(case, answer)


def test_a_fuse_that_its_keeper_refuses_to_take_out_is_not_called_out(tmp_path: Path) -> None:
    """With a lock, the end of the run takes it out as well; this is the target without one."""
    room = ApiRoom(tmp_path / "room")
    ref = {"owner": "f", "keepers": [{"control": str(room.folder / "keeper"), "identity": room.identity, "name": "f.json", "sha256": ""}]}
    room.plan.begin("409", 0, 0)
    with pytest.raises(OSError, match=r"the fuse f\.json was not taken out"):
        fuse.disarm(ref)
    fuse.disarm(ref)
    room.close()
    fuse.disarm(ref)
