"""What a store loses: nothing when it is synchronous, about delay × rate when it is not, and what each planted weakness costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from store_rig import Box, Writers, until

pytestmark = pytest.mark.slow
Boxes = Callable[..., Box]


def _written_through_a_kill(box: Box, prefix: str) -> tuple[Writers, list[str], float, str]:
    """Writers through a kill of the primary: they, what was lost, when it was killed, and the new primary."""
    old = box.primary()
    with Writers(box, prefix) as writers:
        until(lambda: len(writers.acknowledged) > 50, "some writes")
        killed_s = time.monotonic()
        box.kill(old)
        new = box.promoted(old)
        began_s = time.monotonic()
        until(lambda: writers.since(began_s) > 20, "writes on the new primary")
    return writers, writers.lost(new), killed_s, new


def test_a_synchronous_store_on_slow_links_loses_nothing_in_three_kills(boxes: Boxes) -> None:
    box = boxes("sync", "store_sync")
    for number in range(3):
        box.sound()
        for zone in ("a", "b", "c"):
            box.link(zone, op="set", mode="delay", delay_ms=25, owner="test")  # a stream crosses two links
        writers, lost, _, _ = _written_through_a_kill(box, f"sync{number}")
        print(f"sync: {len(writers.acknowledged)} acknowledged, {len(lost)} lost")
        assert lost == []


def test_an_asynchronous_store_on_slow_links_loses_what_was_on_its_way(boxes: Boxes) -> None:
    box = boxes("async", "store_async_50ms")
    losses = []
    for number in range(3):
        box.sound()
        writers, lost, killed_s, new = _written_through_a_kill(box, f"async{number}")
        before = [at for at in writers.acknowledged.values() if at < killed_s]
        rate = len(before) / (killed_s - min(before))
        span_s = max((killed_s - writers.acknowledged[order] for order in lost), default=0.0)
        print(f"async 50 ms: {len(lost)} lost of {len(writers.acknowledged)}, rate {rate:.0f}/s, delay × rate {rate * 0.05:.1f}, span {span_s * 1000:.0f} ms")
        losses.append(len(lost))
        assert set(box.read(new, f"async{number}:")) <= {f"async{number}:{worker}:{at}" for worker in range(4) for at in range(writers.sent)}
    assert max(losses) > 0


def test_write_behind_acknowledges_what_is_never_written(boxes: Boxes) -> None:
    box = boxes("behind", "write_behind")
    writers, lost, _, _ = _written_through_a_kill(box, "behind")
    print(f"write_behind: {len(lost)} lost of {len(writers.acknowledged)}")
    assert lost


def test_without_demotion_the_old_primary_acknowledges_what_is_lost(boxes: Boxes) -> None:
    box = boxes("undemoted", "no_demotion")
    old = box.primary()
    with Writers(box, "both") as writers:
        until(lambda: len(writers.acknowledged) > 20, "some writes")
        box.controller(op="switchover")
        until(lambda: box.primary() not in ("", old), "another primary")
        began_s = time.monotonic()
        until(lambda: not box.controller()["busy"], "the old primary is gone")
        until(lambda: writers.since(time.monotonic() - 0.5) > 5, "writes on the new primary")
    lost = writers.lost(box.primary())
    late = [order for order in lost if writers.acknowledged[order] > began_s]
    print(f"no_demotion: {len(lost)} lost of {len(writers.acknowledged)}, {len(late)} of them acknowledged after the promotion")
    assert late
    assert box.roles()[old] == "standby"
    assert writers.lost(old) == lost or until(lambda: writers.lost(old) == lost, "the old primary agrees")


def test_without_fencing_a_frozen_primary_comes_back_and_acknowledges_what_is_lost(boxes: Boxes) -> None:
    box = boxes("unfenced", "no_fencing")
    old = box.primary()
    with Writers(box, "stale") as writers:
        until(lambda: len(writers.acknowledged) > 20, "some writes")
        box.freeze(old)
        new = box.promoted(old)
        assert box.roles()[old] == "down"
        box.thaw(old)
        began_s = time.monotonic()
        box.asked(op="rejoin", node=old)
        until(lambda: writers.since(time.monotonic() - 0.5) > 5, "writes on the new primary")
    lost = writers.lost(new)
    print(f"no_fencing: {len(lost)} lost of {len(writers.acknowledged)}")
    assert [order for order in lost if writers.acknowledged[order] > began_s]
    assert box.roles() == {**box.roles(), old: "standby", new: "primary"}
