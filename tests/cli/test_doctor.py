"""The doctor names what is missing and what was left behind, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaoslib_ext import state
from chaoslib_ext.clock import boot_id
from chaoslib_ext.doctor import Check, examine, exit_code
from chaoslib_ext.doctor.installed import within
from chaoslib_ext.doctor.leftovers import disk_kind, open_runs, sandboxes, state_directory
from chaoslib_ext.environment import parse_env_argument
from chaoslib_ext.ledger import Frame, Ledger, Target
from chaoslib_ext.process.client import start_ticks
from chaoslib_ext.sandbox.folder import write_json


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / "rooms"))
    return tmp_path


def run_of(pid: int, ticks: int | None, name: str = "20260101-000000-x-0001") -> Path:
    return state.create_run(name, {"run": name, "supervisor": {"pid": pid, "start_ticks": ticks, "boot_id": boot_id()}})


def dead_process() -> tuple[int, int | None]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = process.pid, start_ticks(process.pid)
    process.communicate(b"\n")
    return found


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("3.11.2", ">=3.11,<3.14", True),
        ("3.14.0", ">=3.11,<3.14", False),
        ("3.9", ">=3.11", False),
        ("36.0.3", ">=29,<36", False),
        ("35.0.0", ">=29,<36", True),
        ("2.0rc1", ">=2.0", True),
        ("1.0", "==1.0.0", True),
        ("1.4", "~=1.3", True),
        ("1", "somehow", True),
    ],
)
def test_a_version_fits_a_range_or_not(version: str, wanted: str, fits: bool) -> None:
    assert within(version, wanted) is fits


def test_a_dead_run_is_left_with_its_age_its_owner_and_what_it_left() -> None:
    folder = run_of(*dead_process())
    Ledger.of_run(folder).append(Frame("lose zone b", "INTENT", "swallow", Target("process", "i", "link", "", "link b", "u"), {}, {}))
    [check] = open_runs()
    assert check.state == "left"
    assert f"by process {state.read_json(folder / state.RUN)['supervisor']['pid']}, which is dead" in check.text
    assert "not healed: lose zone b on link b" in check.text
    assert check.next == f"chaosx recover --run {folder.name}"
    assert exit_code([check, Check("x", "missing", "")]) == 6


def test_a_run_under_way_is_nothing_wrong() -> None:
    run_of(os.getpid(), start_ticks(os.getpid()))
    [check] = open_runs()
    assert check.state == "note"
    assert "under way" in check.text


def test_a_ledger_that_cannot_be_read_is_left_too() -> None:
    folder = run_of(*dead_process())
    (folder / "undo.wal").write_bytes(b"nonsense\nnonsense\n")
    [check] = open_runs()
    assert (check.state, "unknown" in check.text) == ("left", True)
    (folder / state.RUN).write_text("[]")
    assert [one.state for one in open_runs()] == ["left"]


def test_a_stale_sandbox_is_left_and_not_removed(places: Path) -> None:
    pid, ticks = dead_process()
    gone = {"pid": pid, "start_ticks": ticks}
    (places / "rooms/old").mkdir(parents=True)
    write_json(places / "rooms/old/sandbox.json", {"name": "old", "identity": "i", "sockets": str(places), "starter": gone, "keeper": gone})
    [check] = sandboxes()
    assert (check.state, check.text.partition(":")[0]) == ("left", "old")
    assert (places / "rooms/old/sandbox.json").exists()


def test_a_sandbox_is_as_old_as_the_oldest_thing_in_it_and_not_as_its_last_change(places: Path) -> None:
    pid, ticks = dead_process()
    gone = {"pid": pid, "start_ticks": ticks}
    (places / "rooms/old").mkdir(parents=True)
    write_json(places / "rooms/old/sandbox.json", {"name": "old", "identity": "i", "sockets": str(places), "starter": gone, "keeper": gone})
    hours_ago = time.time() - 5 * 3600
    os.utime(places / "rooms/old/sandbox.json", (hours_ago, hours_ago))
    [check] = sandboxes()
    assert "5 h ago" in check.text


def test_a_state_directory_that_cannot_be_used_is_missing(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.state for check in state_directory()] == ["ok", "ok"]
    (places / "file").write_text("")
    monkeypatch.setenv("CHAOSX_STATE", str(places / "file" / "state"))
    assert [check.state for check in state_directory()] == ["missing"]
    monkeypatch.setenv("CHAOSX_STATE", str(places / "open"))
    (places / "open/runs").mkdir(parents=True)
    (places / "open/runs").chmod(0o755)
    assert [check.next for check in state_directory() if check.state == "missing"] == [f"chmod 700 {places}/open/runs"]


def test_the_kind_of_a_disk_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /home rw - nfs4 server:/home rw\n3 2 8:2 / /home/me/my\\040disk rw - xfs /dev/b rw\n")
    assert [disk_kind(Path(path), mounts) for path in ("/var", "/home", "/home/you", "/home/me/my disk/x", "/homestead")] == [
        "ext4",
        "nfs4",
        "nfs4",
        "xfs",
        "ext4",
    ]
    assert disk_kind(Path("/"), tmp_path / "nowhere") == ""


def test_the_whole_examination_here_changes_nothing(places: Path) -> None:
    before = sorted(places.rglob("*"))
    checks = examine(parse_env_argument("sandbox"))
    assert sorted(places.rglob("*")) == before
    by_name = {check.name: check for check in checks}
    assert by_name["import locust"].state == "ok", by_name["import locust"]
    assert by_name["clock"].state == "ok", by_name["clock"]
    assert {"Python", "locust", "chaostoolkit-lib", "Envoy", "Chromium", "state", "space", "open runs"} <= by_name.keys()
    assert all(check.next for check in checks if check.state in ("missing", "left"))


def test_an_environment_is_looked_at_too(places: Path) -> None:
    path = places / "e.yaml"
    path.write_text(
        "apiVersion: chaosx/v1\nkind: Environment\nname: e\nclass: local\nhosts: [127.0.0.1]\nservices: {shop: {processes: {roster: /nowhere/roster.json}, url: 'http://127.0.0.1:1'}}\n"
    )
    found = [check for check in examine(parse_env_argument(str(path))) if check.name == "service shop"]
    assert [check.state for check in found] == ["missing"]


def test_the_command_says_the_same_as_json_and_by_its_exit_code(places: Path) -> None:
    run_of(*dead_process())
    chaosx = str(Path(sys.executable).parent / "chaosx")
    done = subprocess.run([chaosx, "doctor", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == told["exit_code"] == 6
    assert [check["state"] for check in told["checks"] if check["name"] == "open run"] == ["left"]
