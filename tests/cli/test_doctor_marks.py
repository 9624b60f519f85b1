"""
The doctor finds whatever of ours is in a target, with its owner and age, and touches none of it.

The target is a roster of the test's own: its control sockets are a thread that answers as a keeper and its links do (status and
the look at a lock, nothing that changes anything: any other request fails the test), its one replica a process that sleeps.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaoslib_ext import state
from chaoslib_ext.clock import boot_id
from chaoslib_ext.doctor import examine, exit_code
from chaoslib_ext.doctor.check import Check
from chaoslib_ext.doctor.marks import in_targets
from chaoslib_ext.environment import EnvChoice, parse_env_argument
from chaoslib_ext.mesh.routes import Traffic, stanza, with_fault
from chaoslib_ext.process.client import process_state, start_ticks, uid

RUN = "20260101-000000-zone-lost-0001"
OWNER = f"{RUN}--lose zone b"
TABLE = {"version_info": "1", "resources": [{"name": "t", "virtual_hosts": [{"name": "h", "domains": ["*"], "routes": [{"name": "r", "route": {}}]}]}]}


class Target:
    """Answers for the control sockets of a roster; `status` is what each says, `asked` what each was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("markers", "fuses"):
            (folder / name).mkdir(parents=True)
        self.status: dict[str, dict[str, Any]] = {}
        self.lock: dict[str, Any] = {"token": 3, "run": None}
        self.asked: list[dict[str, Any]] = []
        self.listeners = [self._listen(name) for name in ("keeper", "link-b", "store-b")]
        self.replica = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        ticks = start_ticks(self.replica.pid) or 0
        row = {
            "name": "shop-b1",
            "service": "shop",
            "zone": "b",
            "pid": self.replica.pid,
            "start_ticks": ticks,
            "uid": uid(self.replica.pid, ticks),
            "ready": True,
        }
        (folder / "rds.json").write_text(json.dumps(TABLE))
        roster = {"identity": "i", "keeper": {"control": str(folder / "keeper"), "locks": True, "fuses": True}, "replicas": [row]}
        roster |= {"links": {"b": {"control": str(folder / "link-b")}}, "store": {"links": {"b": {"control": str(folder / "store-b")}}}}
        roster |= {"ingress": {"admin": str(folder / "admin"), "config": str(folder / "rds.json")}}
        (folder / "roster.json").write_text(json.dumps(roster))

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / name))
        listener.listen()
        threading.Thread(target=self._answer, args=(listener, name), daemon=True).start()
        return listener

    def _answer(self, listener: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    request = json.loads(connection.makefile().readline())
                    self.asked.append(request)
                    answer = {"lock": self.lock} if request["op"] == "lock" else self.status.get(name, {})
                    connection.sendall(json.dumps({**answer, "identity": "i"}).encode() + b"\n")

    def record(self, kind: str) -> None:
        part = {"handler": "process.thaw", "target": {"kind": "replica", "name": "shop-b1"}, "ours": {}, "prior": {}}
        (self.folder / kind / "x.json").write_text(json.dumps({"v": 1, "run": RUN, "fault": "lose zone b", "owner": OWNER, "parts": [part]}))

    def freeze(self) -> None:
        os.kill(self.replica.pid, signal.SIGSTOP)
        while process_state(self.replica.pid) != "T":
            threading.Event().wait(0.01)

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.replica.kill()
        self.replica.communicate()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A target that environments/shop.yaml of the working directory names; no state directory, no sandbox."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / "rooms"))
    monkeypatch.chdir(tmp_path)
    made = Target(tmp_path / "room")
    services = {"shop": {"processes": {"roster": str(made.folder / "roster.json")}, "url": "http://127.0.0.1:1"}}
    file = {
        "apiVersion": "chaosx/v1",
        "kind": "Environment",
        "name": "shop",
        "class": "local",
        "identity": {"sandbox": "i"},
        "hosts": ["127.0.0.1"],
        "services": services,
    }
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments/shop.yaml").write_text(yaml.safe_dump(file))
    yield made
    made.close()


SANDBOX = EnvChoice("sandbox", "")


def marks(choice: EnvChoice = SANDBOX) -> list[Check]:
    """What was found, but for what is well."""
    return [check for check in in_targets(choice) if check.state != "ok"]


def test_in_a_clean_target_nothing_is_found_and_every_way_back_is_open(target: Target) -> None:
    found = list(in_targets(SANDBOX))
    assert [(check.name, check.state) for check in found] == [("undo in environments/shop.yaml", "ok"), ("marks in environments/shop.yaml", "ok")]
    assert found[0].text == "3 control sockets answer, 1 processes can be signalled"


def on_a_link(target: Target) -> None:
    target.status["link-b"] = {"mode": "swallow", "owner": OWNER}


def on_a_link_of_the_store(target: Target) -> None:
    target.status["store-b"] = {"mode": "swallow", "owner": OWNER}


def on_a_zone(target: Target) -> None:
    target.status["keeper"] = {"zones": {"a": {"held_by": None}, "b": {"held_by": OWNER}}}


def on_a_route(target: Target) -> None:
    (target.folder / "rds.json").write_text(json.dumps(with_fault(TABLE, ["r"], OWNER, stanza(Traffic(1.0, status=503), []))))


def in_a_marker(target: Target) -> None:
    target.record("markers")


def in_a_fuse(target: Target) -> None:
    target.record("fuses")


def on_the_lock(target: Target) -> None:
    target.lock = {"token": 4, "run": RUN, "owner": {"pid": 1, "start_ticks": 0, "boot_id": "another", "namespace": "", "host": "gone"}, "age_s": 3600.0}


KINDS = {
    "a link": (on_a_link, "link b, told to swallow"),
    "a link of the store": (on_a_link_of_the_store, "link of the store b"),
    "a zone": (on_a_zone, "zone b, held down"),
    "a route": (on_a_route, "a route of the ingress"),
    "a marker": (in_a_marker, "marker x.json (replica shop-b1)"),
    "a fuse": (in_a_fuse, "fuse x.json (replica shop-b1)"),
    "a lock": (on_the_lock, "lock (process.keeper)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_of_each_kind_is_found_with_its_owner_its_age_and_what_mends_it(target: Target, kind: str) -> None:
    plant, text = KINDS[kind]
    plant(target)
    [check] = marks()
    assert check.state == "left" and text in check.text
    assert check.owner == (RUN if kind == "a lock" else OWNER) and f"owned by {check.owner}, " in check.text
    assert check.age_s is not None and check.age_s >= 0
    assert check.next == "chaosx recover --env environments/shop.yaml"
    assert exit_code([check]) == 6
    assert {(one["op"], one.get("do")) for one in target.asked} <= {("status", None), ("lock", "holder")}, "nothing was asked that changes anything"


def run_of(pid: int) -> None:
    state.create_run(RUN, {"run": RUN, "supervisor": {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}})


def test_where_the_run_is_known_here_it_is_what_is_recovered(target: Target) -> None:
    run_of(2**22)
    on_a_link(target)
    [check] = marks()
    assert (check.state, check.next) == ("left", f"chaosx recover --run {RUN}")


def test_a_mark_of_a_run_under_way_is_nothing_wrong(target: Target) -> None:
    run_of(os.getpid())
    on_a_link(target)
    [check] = marks()
    assert check.state == "note" and "under way" in check.text


def test_a_process_that_stands_still_is_ours_only_where_a_mark_says_so(target: Target) -> None:
    target.freeze()
    [check] = marks()
    assert check.state == "note" and f"kill -CONT {target.replica.pid}" in check.next
    in_a_marker(target)
    assert [check.state for check in marks()] == ["left"]
    assert process_state(target.replica.pid) == "T", "it was left as it is"


def test_a_control_socket_that_does_not_answer_is_a_way_back_that_is_missing(target: Target) -> None:
    target.listeners[1].close()
    (target.folder / "link-b").unlink()
    assert [(check.name, check.state) for check in marks()] == [("undo in environments/shop.yaml", "missing")]


@pytest.mark.parametrize("name", ["markers/x.json", "rds.json", "fuses/x.json"])
def test_what_cannot_be_read_is_told_and_hides_nothing_else(target: Target, name: str) -> None:
    (target.folder / name).write_text("nonsense")
    on_a_link(target)
    assert sorted(check.state for check in marks()) == ["left", "missing"]


def test_the_whole_examination_shows_marks_and_owners_as_json_too(target: Target) -> None:
    on_a_zone(target)
    checks = examine(parse_env_argument("shop"))
    [found] = [check.to_json() for check in checks if check.state == "left"]
    assert (found["owner"], exit_code(checks)) == (OWNER, 6)
    json.dumps([check.to_json() for check in checks])
