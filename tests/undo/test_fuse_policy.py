"""Nothing is held without a fuse where one is wanted, unless a person answers for it, and then the report says so."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from undo_rig import Room, activity

from chaoslib_ext import fuses, verdict
from chaoslib_ext.cli.plan_command import _row
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.faults import planning
from chaoslib_ext.runner import guards

LOSE = {"zone": "b", "duration": "60s", "timeout_s": 60.0}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A stand-in that offers no fuse; nothing is done to it."""
    one = Room(tmp_path_factory.mktemp("rooms") / "room")
    yield one
    one.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One that does."""
    one = Room(tmp_path_factory.mktemp("rooms") / "guarded", "guarded")
    yield one
    one.close()


def planned(room: Room, **arguments: Any) -> dict[str, Any]:
    row = planning.resolve(activity("lose", "lose_zone", **{**LOSE, **arguments}), room.environment(), {}, 1)
    return {"resolved": [row], "token": "1a2b3c4d"}


def test_the_plan_says_which_fuse_and_when_it_fires(guarded: Room, room: Room) -> None:
    assert planned(guarded)["resolved"][0]["fuse"] == {"kind": "process.keeper", "after_s": 60 + 60 + 5 + fuses.GRACE_S}
    assert planned(room)["resolved"][0]["fuse"] is None
    assert "    fuse: process.keeper, armed first; fires by itself 2m20s after the injection" in list(_row(planned(guarded)["resolved"][0], {}))
    assert "    fuse: none in this target" in list(_row(planned(room)["resolved"][0], {}))


def env(class_: str = "local", fuse_: str | None = None) -> Environment:
    return Environment("shop-env", class_=class_, fuse=fuse_)


@pytest.mark.parametrize("environment", [env(fuse_="required"), env("staging"), env("production")], ids=["required", "staging", "production"])
def test_without_a_fuse_what_would_be_held_is_refused_and_the_way_out_is_told(environment: Environment, room: Room, guarded: Room) -> None:
    words = "'shop-env 1a2b3c4d'" if environment.class_ == "production" else "shop-env"
    with pytest.raises(Refused, match=rf"no fuse can be armed for lose.*--no-fuse --confirm {words}") as refused:
        guards.without_fuse(environment, planned(room), False, "")
    assert refused.value.reason == "FUSE_MISSING"
    assert guards.without_fuse(environment, planned(guarded), False, "") == []


@pytest.mark.parametrize(
    ("environment", "word", "taken"),
    [
        (env("staging"), "shop-env", True),
        (env("staging"), "", False),
        (env("staging"), "yes", False),
        (env("production"), "shop-env", False),
        (env("production"), "shop-env 00000000", False),
        (env("production"), "shop-env 1a2b3c4d", True),
        (env(), "shop-env", True),
        (env(), "", False),
    ],
)
def test_going_on_without_takes_the_word_of_a_person(environment: Environment, word: str, taken: bool, room: Room) -> None:
    if taken:
        assert guards.without_fuse(environment, planned(room), True, word) == ["lose"]
        return
    with pytest.raises(UsageError, match=r"run --no-fuse: --confirm: got .* expected the environment's name"):
        guards.without_fuse(environment, planned(room), True, word)


def test_the_verdict_says_what_a_person_has_answered_for() -> None:
    accepted = {"run": "r1", "fault": "lose zone b", "targets": ["link b"], "by": "ada", "utc": "2026-01-02T03:04:05+00:00", "reason": "ours, on purpose"}
    case = SimpleNamespace(run=SimpleNamespace(header={"no_fuse": ["lose zone b", "slow"], "accepted": [accepted]}))
    assert verdict._vouched(case) == [  # type: ignore[arg-type]
        "run without fuses (--no-fuse): had this machine been lost, nothing in the target would have taken back lose zone b, slow",
        "accepted by ada at 2026-01-02T03:04:05+00:00, not healed: lose zone b of run r1, on link b: ours, on purpose",
    ]
