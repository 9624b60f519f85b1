"""
A request that was in flight when its sender died, and that lands while the fault is taken back or long after, changes nothing.

Links, keeper and fuses refuse what belongs to a fault that was taken back, so no waiting is needed and none helps: some of these
requests land seconds after everything was over. A file of routes needs no such fence: it is replaced under the file's lock by
a system call of the writer itself, and a dead process makes none; the last heal begins when the writer is dead.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_rig import FAULTS, Case, Workers, told, workers
from api_room import ApiRoom
from undo_rig import Supervisor, activity, until

from chaoslib_ext import state
from chaoslib_ext.heal import SETTLE_S, Patience, heal_run
from chaoslib_ext.ledger import Frame
from chaoslib_ext.mesh.parts import parts
from chaoslib_ext.process.client import process_state

pytestmark = pytest.mark.crash

CHANGES = (" set", " hold", " arm", "switchover")
EACH = 7  # runs for each call that changes something


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("late")) as made:
        yield made


def cases(pool: Workers) -> Iterator[Case]:
    """Each changing call of each fault, held back; it lands after a random time, or when the recovery is over."""
    rng = random.Random(5)
    for case, answer in pool.run({**case, "name": name, "deadline_s": 20.0} for name, case in FAULTS.items()):
        for at, call in enumerate(answer["inject calls"]):
            for number in range(EACH if call.endswith(CHANGES) else 0):
                land = None if number % 4 == 0 else rng.uniform(0.0, (0.05, 0.3, 3 * SETTLE_S)[number % 4 - 1])
                yield {**case, "call": call, "inject": ["held", at, at], "die": True, "alive": number % 2 == 1, "land": land, "failover": False}


def test_it_is_refused_whenever_it_lands(pool: Workers) -> None:
    found = pool.run(cases(pool))
    after = sum(bool(answer["landed"]) for _, answer in found)
    print(f"\nin flight at the death of the injector: {len(found)} runs, {after} landed after the recovery, {sum(bool(a['left']) for _, a in found)} left")
    assert len(found) >= 100
    for case, answer in found:
        assert answer["held"] == 1, told(case, answer)
        assert not answer["left"] and not answer["unclean"], told(case, answer)
        assert (answer["code"], answer["clean"]) == (0, True) or starved(answer), told(case, answer)
        if answer["landed"] and not case["call"].endswith("switchover"):
            assert "is over" in str(answer["landed"]), told(case, answer)


def starved(answer: Case) -> bool:
    """Whether the machine was so busy that a killed process did not end in time: then that is said, and the next recovery is clean."""
    return answer["again"] == 0 and all("could still inject" in item["error"] for item in answer["errors"])


WRITER = """
import os, signal
from chaoslib_ext.mesh.client import Envoy, edit
from chaoslib_ext.mesh.routes import Traffic, stanza, with_fault
def change(found):
    made = with_fault(found, ["catalog"], OWNER, stanza(Traffic(1.0, status=503), []))
    os.kill(os.getpid(), signal.SIGSTOP)
    return made
edit(Envoy("", CONFIG), change)
"""


def test_a_writer_that_is_stopped_with_the_lock_of_a_file_of_routes_is_dead_before_the_heal_and_its_write_never_lands(tmp_path: Path) -> None:
    room = ApiRoom(tmp_path / "room")
    before = room.state()
    run = Supervisor(room.environment(), activity("f", "abort_traffic", service="shop", duration="60s", zone="b", route="catalog"), retry_s=30.0)
    try:
        config, owner = room.folder / "routes-b.json", f"{run.run}--f"
        (part,) = parts(state.read_json(run.folder / state.SPEC)["plan"]["resolved"][0], owner, lambda place: place / "markers" / "m.json")
        run.ledger.append(Frame("f", "INTENT", part.handler, part.target, part.ours, part.prior))
        writer = run.spawn("method", f"OWNER, CONFIG = {owner!r}, {str(config)!r}{WRITER}")
        until(lambda: process_state(writer.pid) == "T", "a writer that is stopped with the lock")
        (config.parent / f".{config.name}.chaosx-4711").write_text("half a fi")  # what one that was killed leaves
        run.die()
        assert heal_run(run.folder, None, Patience(deadline_s=30.0)) == []
        assert writer.wait(30) < 0
        assert room.state() == before
    finally:
        run.close()
        room.close()
