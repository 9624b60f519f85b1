"""A sandbox comes up healthy, several live side by side, and whatever way it ends, nothing is left."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.process.client import signal_exact
from chaoslib_ext.sandbox import SandboxInfo
from chaoslib_ext.sandbox.envoy import counters


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    """A process that can own a sandbox and die."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_traffic_spreads_over_three_zones_and_the_proxy_counts_every_request(rig: Any, box: SandboxInfo) -> None:
    before = counters(box)
    answers = [rig.send(rig.port(box)) for _ in range(60)]
    after = counters(box)
    assert after["cluster.shop.membership_healthy"] == 6
    assert Counter(headers["x-zone"] for _, headers, _ in answers) == {"a": 20, "b": 20, "c": 20}
    assert after["http.ingress.downstream_rq_completed"] - before["http.ingress.downstream_rq_completed"] == 60


def test_an_answer_names_the_incarnation_in_the_roster(rig: Any, box: SandboxInfo) -> None:
    row = rig.replica(box, "shop-b1")
    for port in (row["address"][1], row["link"][1]):
        status, headers, _ = rig.send(port, path="/healthz")
        assert (status, headers["x-zone"], headers["x-replica"], headers["x-incarnation"]) == (200, "b", "shop-b1", row["uid"])


def test_a_customer_can_log_in_and_check_out(rig: Any, box: SandboxInfo) -> None:
    _, _, content = rig.send(rig.port(box), "POST", "/login", {"user": "ann"})
    status, _, order = rig.send(rig.port(box), "POST", "/checkout", {}, Authorization=f"Bearer {content['token']}")
    assert (status, "order" in order) == (201, True)
    assert rig.send(rig.port(box), "POST", "/checkout", {})[0] == 401


def test_the_access_log_has_a_line_per_request(rig: Any, box: SandboxInfo) -> None:
    rig.send(rig.port(box), path="/catalog/the-one")
    log = Path(box.dir) / "access.log"
    line = rig.until(lambda: next((text for text in log.read_text().splitlines() if "the-one" in text), None), "the line in the access log")
    row = json.loads(line)
    assert (row["code"], row["attempts"], row["path"], row["flags"]) == (200, 1, "/catalog/the-one", "-")
    assert len(row["start_s"].partition(".")[2]) == 9


def test_everything_is_for_its_owner_only(box: SandboxInfo) -> None:
    assert stat.S_IMODE(Path(box.dir).stat().st_mode) == 0o700
    for path in (box.admin, f"{box.dir}/keeper.sock", f"{box.dir}/links-a.sock"):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_status_and_find_tell_what_runs(box: SandboxInfo) -> None:
    row = next(row for row in sandbox.status() if row["name"] == "box")
    assert (row["ready"], row["of"], row["held"], row["links"]["b"]) == (6, 6, {}, {"mode": "pass", "owner": None})
    assert sandbox.find("box") == box
    assert sandbox.find("nobody") is None


def test_the_environment_points_at_this_sandbox(box: SandboxInfo) -> None:
    environment = Environment.from_json(json.loads(json.dumps(sandbox.environment_json(box))))
    assert environment.identity == {"sandbox": box.identity}
    assert (environment.services["shop"].processes, environment.services["shop"].url) == ({"roster": box.roster}, box.url)
    assert (environment.class_, environment.hosts) == ("local", ["127.0.0.1"])
    assert environment.zones == {"a": "a", "b": "b", "c": "c"}


def test_a_taken_name_is_refused_and_the_first_one_lives_on(rig: Any, box: SandboxInfo) -> None:
    with pytest.raises(UsageError, match="box: already up"):
        sandbox.up("box")
    assert rig.send(rig.port(box))[0] == 200


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".x", "x" * 65])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="sandbox name"):
        sandbox.up(name)


def test_two_sandboxes_do_not_touch_each_other_and_down_leaves_nothing(rig: Any, box: SandboxInfo) -> None:
    other = rig.up("other")
    found = rig.processes(other)
    assert other.identity != box.identity
    assert sandbox.down("other") is True
    assert rig.gone(found)
    assert not Path(other.dir).exists()
    assert sandbox.down("other") is False
    assert rig.send(rig.port(box))[0] == 200


def test_a_killed_owner_takes_the_sandbox_along(rig: Any, owner: subprocess.Popen[bytes]) -> None:
    info = rig.up("owned", owner_pid=owner.pid)
    found = rig.processes(info)
    owner.kill()
    rig.until(lambda: rig.gone(found) and not Path(info.dir).exists(), "nothing left of the sandbox")


def test_a_sandbox_whose_owner_died_waits_for_the_healer(rig: Any, owner: subprocess.Popen[bytes]) -> None:
    info = rig.up("healed", owner_pid=owner.pid)
    found = rig.processes(info)
    rig.link(info, "b", op="set", mode="swallow", owner="fault-1")
    owner.kill()
    owner.wait()
    assert rig.link(info, "b", op="clear", owner="fault-1")["owner"] is None
    rig.until(lambda: rig.gone(found) and not Path(info.dir).exists(), "nothing left of the sandbox")


@pytest.mark.slow
def test_a_sandbox_whose_owner_died_does_not_wait_for_ever(rig: Any, owner: subprocess.Popen[bytes]) -> None:
    info = rig.up("unhealed", owner_pid=owner.pid)
    found = rig.processes(info)
    (Path(info.dir) / "markers" / "fault-1").touch()
    owner.kill()
    rig.until(lambda: rig.gone(found) and not Path(info.dir).exists(), "nothing left of the sandbox")


def test_kill_nine_of_the_keeper_leaves_no_process_and_the_next_look_no_folder(rig: Any) -> None:
    info = rig.up("orphan")
    found = rig.processes(info)
    row = rig.replica(info, "shop-c1")
    assert signal_exact(row["pid"], row["start_ticks"], signal.SIGSTOP)
    keeper_pid, keeper_ticks = found[0]
    assert signal_exact(keeper_pid, keeper_ticks, signal.SIGKILL)
    rig.until(lambda: rig.gone(found), "no process left")
    assert Path(info.dir).exists()
    assert "orphan" not in [row["name"] for row in sandbox.status()]
    assert not Path(info.dir).exists()


def test_down_ends_a_sandbox_with_stopped_processes(rig: Any) -> None:
    info = rig.up("stopped")
    found = rig.processes(info)
    for pid, ticks in found[1:]:
        signal_exact(pid, ticks, signal.SIGSTOP)
    assert sandbox.down("stopped") is True
    assert rig.gone(found)


def test_a_folder_that_is_no_sandbox_is_left_alone(box: SandboxInfo) -> None:
    stranger = Path(box.dir).parent / "photos"
    stranger.mkdir()
    (stranger / "cat.jpg").touch()
    sandbox.status()
    assert sandbox.down("photos") is False
    with pytest.raises(UsageError, match="photos"):
        sandbox.up("photos")
    assert (stranger / "cat.jpg").exists()


def test_a_long_path_gets_its_sockets_elsewhere_and_they_go_too(rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / ("long" * 30)))
    info = sandbox.up("far", owner_pid=os.getpid(), timeout_s=60.0)
    assert rig.send(rig.port(info))[0] == 200
    assert rig.link(info, "a", op="status")["identity"] == info.identity
    sockets = Path(info.admin).parent
    assert sockets != Path(info.dir)
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert sandbox.down("far") is True
    assert not sockets.exists()


def test_a_sandbox_that_does_not_come_up_in_time_is_refused_and_removed(box: SandboxInfo) -> None:
    with pytest.raises(Refused, match="not healthy within") as caught:
        sandbox.up("late", ["slow_start"], os.getpid(), timeout_s=1.5)
    assert caught.value.reason == "PREFLIGHT_FAILED"
    assert not (Path(box.dir).parent / "late").exists()


def test_nothing_of_the_caller_is_inherited(rig: Any, box: SandboxInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        info = rig.up("clean")
        for pid, _ in rig.processes(info):
            assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
            targets = {entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
            assert Path(f"/proc/self/fd/{writer}").readlink() not in targets
            assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
        sandbox.down("clean")
    finally:
        os.close(reader)
        os.close(writer)
