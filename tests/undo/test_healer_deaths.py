"""
However the supervisor ends or hangs, its healer takes everything back: six ways, twenty times each, three faults in force.

Each run has a supervisor, a healer and a method child of its own. Times from the death to the last fault healed are printed and
never asserted. CHAOSX_DEATHS sets how many per way.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import suppress
from pathlib import Path

import pytest
from deaths_rig import Doomed
from undo_rig import until

from chaoslib_ext.ledger import Ledger, entries

pytestmark = pytest.mark.crash

DEATHS = int(os.environ.get("CHAOSX_DEATHS", "20"))
AT_ONCE = 5  # that many supervisors come up side by side; they die one after the other, so that one death does not slow down another


def begun(way: str, numbers: range, sockets: Path) -> list[Doomed]:
    found = [Doomed(f"{way}-{number}", sockets, way) for number in numbers]
    for one in found:
        with suppress(KeyError):
            one.wait_until_up()
    return found


@pytest.mark.parametrize("way", ["kill", "killpg", "term", "hangup", "stop", "time"])
def test_whatever_ends_the_supervisor_all_faults_are_healed(way: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    sockets = tmp_path_factory.mktemp("s")
    times, first = [], 0
    while first < DEATHS:
        group = begun(way, range(first, min(first + AT_ONCE, DEATHS)), sockets)
        try:
            assert all(hasattr(one, "folder") for one in group), "a supervisor did not come up"
            assert way in ("time", "stop") or not any(one.healed() for one in group), "its faults are in force"
            if way in ("time", "stop"):  # all at once: each is given seconds
                times += _healed_together(group)
            else:
                for one in group:
                    times.append(_healed_after(one))
            for one in group:
                _nothing_is_left(one)
        finally:
            for one in group:
                one.close()
        first += AT_ONCE
    print(f"\n{way}: {len(times)} of {DEATHS} healed; median {statistics.median(times):.3f} s, longest {max(times):.3f} s after the death")
    assert len(times) == DEATHS


def _healed_after(one: Doomed) -> float:
    begun_s = one.die()
    until(one.healed, f"healed after {one.way}")
    return time.monotonic() - begun_s


def _healed_together(group: list[Doomed]) -> list[float]:
    begun_s = {one.run: one.die() for one in group}
    ended_s: dict[str, float] = {}

    def all_healed() -> bool:
        for one in group:
            if one.run not in ended_s and one.healed():
                ended_s[one.run] = time.monotonic()
        return len(ended_s) == len(group)

    until(all_healed, "all healed")
    return [ended_s[one.run] - begun_s[one.run] for one in group]


def _nothing_is_left(one: Doomed) -> None:
    """The supervisor is dead (of a fault whose time is over it lives on, and is killed now), so is the method child, the run is closed."""
    ledger = Ledger.of_run(one.folder)
    if one.way == "time":
        assert one.process.poll() is None
        until(lambda: not [entry for entry in entries(ledger.read().frames) if entry.pending], "said in the ledger")
        one.process.kill()
    until(one.over, "the end of everything, and the run closed")
    found = entries(ledger.read().frames)
    assert len(found) == 3 and all(entry.rec == "UNDONE" for entry in found)
    tried = [frame.fault for frame in ledger.read().frames if frame.rec == "UNDO_TRY"]
    assert list(dict.fromkeys(tried)) == ["cut", "freeze 1", "freeze 0"]  # the most urgent first, then the newest
    assert one.healed()
