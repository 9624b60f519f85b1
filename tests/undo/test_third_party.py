"""What anybody else does to a target between inject and heal stays; of our part nothing does; and where they took it over, that is told."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import strangers_edits as edits
from api_room import ApiRoom
from undo_rig import until

from chaoslib_ext.heal import Patience, heal_run
from chaoslib_ext.ledger import Entry, Frame, Ledger, Step, Target
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.parts import inject
from chaoslib_ext.mesh.routes import FAULT, Document, Traffic, stanza, without_fault
from chaoslib_ext.mesh.undo import strip_fault
from chaoslib_ext.process.client import control

pytestmark = pytest.mark.crash

OWNER, STRANGER = "run-1--the fault", "stranger"
CASES, BATCHES = 600, 6
WHAT = stanza(Traffic(0.5, status=503), ["/healthz"])


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiRoom]:
    one = ApiRoom(tmp_path_factory.mktemp("third") / "room")
    yield one
    one.close()


def entry_of(room: ApiRoom, handler: str, ours: dict[str, Any]) -> Entry:
    about = {"owner": OWNER, "zone": "b", "keeper": str(room.folder / "keeper"), **ours}
    return Entry("the fault", handler, Target("process", room.identity, "x", "", "b", "u"), about, {}, "held", 1, "APPLIED", 0, settled=True)


def written(path: Path, text: str) -> None:
    fresh = path.with_name(".stranger")
    fresh.write_text(text)
    fresh.replace(path)


def same(one: Document, other: Document) -> bool:
    """Whether two documents hold the same, whatever the order of keys; versions aside."""
    texts = [json.dumps({**document, "version_info": ""}, sort_keys=True) for document in (one, other)]
    return texts[0] == texts[1]


def drawn(rng: random.Random, names: list[str], ours: list[str]) -> list[tuple[str, edits.Edit]]:
    """One to six edits, and in two of three cases one on our own part, anywhere among them."""
    found = [(make.__name__, make(rng, names, ours)) for make in rng.choices(edits.BESIDE, k=rng.randint(0 if rng.random() < 0.5 else 1, 5))]
    if rng.random() < 0.66:
        make = rng.choice(edits.ON_OURS)
        edit = make(rng, names, ours, WHAT) if make is edits.no_metadata else make(rng, names, ours)  # type: ignore[operator]
        found.insert(rng.randint(0, len(found)), (make.__name__, edit))
    return found


def taken_over(document: Document, ours: list[str]) -> bool:
    """Whether a fault of somebody else is on a route that was ours."""
    routes = [route for host in document["resources"][0]["virtual_hosts"] for route in host["routes"]]
    return any(route.get("name") in ours and FAULT in (route.get("typed_per_filter_config") or {}) for route in routes)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_of_a_file_of_routes_all_that_is_not_ours_stays_and_a_part_that_was_taken_over_is_a_conflict(batch: int, room: ApiRoom) -> None:
    path, conflicts, kinds = room.folder / "routes-b.json", 0, set()
    envoy = Envoy(str(room.folder / "admin-b"), str(path))
    for seed in range(batch, CASES, BATCHES):
        rng = random.Random(seed)
        never = edits.document(rng)
        names = [route["name"] for route in never["resources"][0]["virtual_hosts"][0]["routes"]]
        ours = sorted(rng.sample(names, rng.randint(1, len(names))))
        written(path, json.dumps(never, ensure_ascii=False))
        inject(envoy, ours, OWNER, WHAT)
        theirs, todo = client.read(envoy), drawn(rng, names, ours)
        for _, edit in todo:
            edit(never)
            edit(theirs)
        text = json.dumps(theirs, **rng.choice([{"indent": 4, "sort_keys": True}, {"ensure_ascii": False}]))  # type: ignore[arg-type]
        if todo:
            written(path, text)
        step = strip_fault(entry_of(room, "mesh.strip_fault", {"admin": envoy.admin, "config": envoy.config, "routes": ours}))
        story = f"seed {seed}: {[name for name, _ in todo]} on {ours}: {step}"
        assert same(client.read(envoy), never), story
        assert step.rec == ("CONFLICT" if taken_over(never, ours) else "UNDONE"), story
        assert without_fault(theirs, OWNER) is not None or not todo or path.read_text() == text, f"{story}: it was written though nothing of ours was in it"
        conflicts += step.rec == "CONFLICT"
        kinds |= {name for name, _ in todo}
    assert kinds == {make.__name__ for make in (*edits.BESIDE, *edits.ON_OURS)}
    print(f"\nedits of files of routes: {CASES // BATCHES} cases, {conflicts} of them taken over, 0 different")


def test_an_edit_between_our_reading_and_our_writing_is_not_lost(room: ApiRoom) -> None:
    path = room.folder / "routes-c.json"
    envoy = Envoy(str(room.folder / "admin-c"), str(path))
    inject(envoy, ["catalog"], OWNER, WHAT)
    stranger = [lambda: written(path, path.read_text().replace("2.0s", "9.0s")), lambda: path.write_text(path.read_text().replace("9.0s", "4.25s"))]

    def change(found: Document) -> Document | None:
        if stranger:
            stranger.pop(0)()  # another file under the name, then another content in the same file
        return without_fault(found, OWNER)

    document, replaced = client.edit(envoy, change)
    assert replaced and not stranger
    assert without_fault(document, OWNER) is None and "4.25s" in path.read_text()
    with pytest.raises(TimeoutError, match="gone on changing it without its lock"):
        client.edit(envoy, lambda found: (written(path, path.read_text()), {**found, "version_info": "x"})[1])
    assert "4.25s" in path.read_text()


def test_an_envoy_that_says_nonsense_after_the_write_is_no_refusal(room: ApiRoom) -> None:
    """The fault is in the file by then: whether it is in force is not known."""
    path = room.envoys["a"].config
    envoy, before = Envoy(str(room.folder / "admin-a"), str(path)), json.loads(path.read_text())
    room.plan.begin("nonsense", 1, None)
    with pytest.raises(OSError, match="has no route table"):
        inject(envoy, ["catalog"], OWNER, WHAT)
    room.plan.begin()
    assert without_fault(client.read(envoy), OWNER) is not None
    assert strip_fault(entry_of(room, "mesh.strip_fault", {"admin": envoy.admin, "config": envoy.config, "routes": ["catalog"]})) == Step("UNDONE")
    assert same(client.read(envoy), before)


# links, holds and replicas ---------------------------------------------------------------------------------------------


PARTS = {"link": ("process.open_link", "link-b"), "repl": ("process.open_link", "repl-b"), "hold": ("process.release_zone", "keeper")}


def asked(room: ApiRoom, part: str, op: str, owner: str) -> dict[str, Any]:
    """What somebody asks of a part of the room: to set or hold it, to clear or release it, or its status."""
    request = {"op": {"set": "hold", "clear": "release"}.get(op, op) if part == "hold" else op, "zone": "b", "owner": owner}
    return control(room.folder / PARTS[part][1], {**request, **({"mode": "swallow"} if op == "set" else {})}, 5.0)


def holder(room: ApiRoom, part: str) -> str | None:
    told = asked(room, part, "status", "nobody")
    return told["zones"]["b"]["held_by"] if part == "hold" else told["owner"]  # type: ignore[no-any-return]


def by_hand(room: ApiRoom, part: str, ours: str, rng: random.Random) -> None:
    """Somebody ends our fault by hand, and mostly takes the part for themselves."""
    if holder(room, part) == ours:
        asked(room, part, "clear", ours)
    if holder(room, part) is None and rng.random() < 0.8:
        asked(room, part, "set", STRANGER)


def replaced(room: ApiRoom, frozen_too: bool) -> None:
    """Replica b is ended by somebody, started again, and its successor is stopped by them."""
    old = room.processes["shop-b1"]
    os.kill(old.pid, signal.SIGKILL)
    until(lambda: room.processes["shop-b1"].pid != old.pid, "the successor")
    if frozen_too:
        os.kill(room.processes["shop-b1"].pid, signal.SIGSTOP)


COMBINATIONS = list(itertools.product([(), ("link",), ("repl",), ("hold",), ("link", "repl", "hold")], [False, True], range(6)))


def test_links_holds_and_replicas_that_somebody_took_stay_theirs_and_the_rest_is_taken_back(room: ApiRoom, tmp_path: Path) -> None:
    conflicts = 0
    for number, (taken, gone, seed) in enumerate(COMBINATIONS):
        rng, ours = random.Random(number), f"run-{number}--the fault"
        ledger = Ledger(tmp_path / str(number) / "undo.wal", 0)
        ledger.path.parent.mkdir()
        row = json.loads((room.folder / "roster.json").read_text())
        replica = next(one for one in row["replicas"] if one["zone"] == "b")
        target = Target("process", room.identity, "replica", "shop", "shop-b1", replica["uid"])
        ledger.append(Frame("the fault", "INTENT", "process.thaw", target, {}))
        os.kill(replica["pid"], signal.SIGSTOP)
        for part, (handler, socket) in PARTS.items():
            about = {"owner": ours, "zone": "b", "control": str(room.folder / socket), "keeper": str(room.folder / "keeper")}
            ledger.append(Frame("the fault", "INTENT", handler, Target("process", room.identity, part, "", part, part), about))
            if seed % 3 or part not in taken:  # else it never came to be ours
                asked(room, part, "set", ours)
        for part in rng.sample(taken, len(taken)):
            by_hand(room, part, ours, rng)
        theirs = {part: STRANGER for part in PARTS if holder(room, part) == STRANGER}
        if gone and "hold" not in theirs and holder(room, "hold") is None:
            replaced(room, frozen_too=True)
        successor = room.processes["shop-b1"].pid
        left = heal_run(ledger.path.parent, None, Patience(0.02, 30.0))
        story = f"{number}: {taken} {gone}: {left}"
        assert sorted(item.target.split()[0] for item in left if item.rec == "CONFLICT") == sorted(theirs), story
        assert len(left) == len(theirs), story
        assert {part: owner for part in PARTS if (owner := holder(room, part))} == theirs, story
        assert room.state()["stopped"] == (["shop-b1"] if successor != replica["pid"] else []), story
        conflicts += len(theirs)
        for part in theirs:
            asked(room, part, "clear", STRANGER)
        os.kill(successor, signal.SIGCONT)
    print(f"\nedits of links, holds and replicas: {len(COMBINATIONS)} cases, {conflicts} taken over")
