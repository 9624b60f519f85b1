"""What a fault that was taken back still has in flight is refused by the sandbox; what fails inside it is never told as a refusal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.clock import boot_ns
from chaoslib_ext.sandbox.control import Declined, ask, serve
from chaoslib_ext.sandbox.ended import Ended
from chaoslib_ext.sandbox.links import Link
from chaoslib_ext.sandbox.store_controller import Controller
from chaoslib_ext.sandbox.store_links import Links
from chaoslib_ext.sandbox.store_nodes import Nodes

Json = dict[str, Any]


def link_of_the_shop(request: Json) -> Json:
    return SHOP.answer(request)


def link_of_the_store(request: Json) -> Json:
    return STORE.answer("b", request)


SHOP, STORE = Link("b", True), Links({"a": 1, "b": 2}, "a", 2.0, True)


@pytest.mark.parametrize("ask", [link_of_the_shop, link_of_the_store])
def test_a_link_takes_nothing_of_an_owner_that_is_over_and_everything_of_others(ask: Any) -> None:
    ask({"op": "set", "mode": "swallow", "owner": "f1"})
    told = ask({"op": "clear", "owner": "f1", "over": True})
    assert (told["over"], told["owner"], told["mode"]) == ("f1", None, "pass")
    with pytest.raises(Declined, match="the fault of f1 is over"):
        ask({"op": "set", "mode": "swallow", "owner": "f1"})
    assert "over" not in ask({"op": "status"})
    ask({"op": "set", "mode": "swallow", "owner": "f2"})
    assert "over" not in ask({"op": "clear", "owner": "f2"})
    ask({"op": "set", "mode": "swallow", "owner": "f2"})
    with pytest.raises(Declined, match="belongs to f2"):
        ask({"op": "clear", "owner": "f3", "over": True})
    ask({"op": "clear", "owner": "f2"})
    with pytest.raises(Declined, match="the fault of f3 is over"):
        ask({"op": "set", "mode": "swallow", "owner": "f3"})


def test_an_owner_is_over_only_when_that_is_asked_for() -> None:
    ended = Ended()
    ended.note({"owner": "f1", "over": "yes"})
    ended.refuse("f1")
    with pytest.raises(Declined, match="owner: got None"):
        ended.note({"over": True})


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), KeyError("x")])
def test_a_failure_inside_is_no_refusal(error: Exception, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def answer(_: Json) -> Json:
        raise error

    async def told() -> Json:
        server = await serve(str(tmp_path / "s"), "id", answer)
        try:
            return await ask(str(tmp_path / "s"), {"op": "x"}, 30.0)
        finally:
            server.close()

    assert asyncio.run(told())["code"] == "internal"
    assert "Traceback" in capfd.readouterr().err


def test_a_switchover_that_nobody_waits_for_any_more_is_not_begun() -> None:
    controller = Controller(Nodes.__new__(Nodes), {"detection_s": 1.0, "fencing": True, "demotion": True})
    with pytest.raises(Declined, match="waits no longer"):
        controller.answer({"op": "switchover", "until_ns": boot_ns() - 1})
    with pytest.raises(Declined, match="no primary"):
        controller.answer({"op": "switchover", "until_ns": boot_ns() + 10**12})
