"""What is taken away from under a healer that is ready does not keep it from healing: its folder, its own package, its terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from undo_rig import DEADLINE_S, Healer, Room, Supervisor, until

import chaoslib_ext
from chaoslib_ext import state
from chaoslib_ext.heal import HANDLERS
from chaoslib_ext.ledger import Frame, Target, entries
from chaoslib_ext.process.client import process_state

Supervise = Callable[..., Supervisor]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def one_of_each(run: Supervisor, room: Room) -> None:
    """An intent for every handler; those that the stand-in knows are in force."""
    replica, identity, owner = room.replica("shop-b1"), room.link()["identity"], f"{run.run}--f"
    ours = {"owner": owner, "zone": "b", "keeper": str(room.folder / "keeper.sock"), "marker": str(room.folder / "markers" / "f.json")}
    ours |= {"admin": ["127.0.0.1", 9], "config": str(room.folder / "routes.yaml"), "routes": ["r"], "folder": str(room.folder / "node")}
    ours |= {"node": "n", "controller": str(room.folder / "store.sock"), "disk": str(room.folder / "disk"), "file": "ballast", "health": ["127.0.0.1", 9]}
    for handler in sorted(HANDLERS):
        control = room.folder / ("links-b.sock" if handler == "process.open_link" else "keeper.sock")
        target = Target("process", identity, "x", "", handler, replica["uid"] if "thaw" in handler else f"{identity}/{handler}")
        run.ledger.append(Frame("f", "INTENT", handler, target, {**ours, "control": str(control)}))
    room.link(op="set", mode="swallow", owner=owner)
    room.keeper(op="hold", zone="b", owner=owner)
    os.kill(replica["pid"], signal.SIGSTOP)
    until(lambda: process_state(replica["pid"]) == "T", "a frozen replica")


def test_a_healer_whose_package_is_moved_away_and_whose_folder_is_gone_heals(room: Room, supervise: Supervise, tmp_path: Path) -> None:
    """It runs from a copy of the package alone: no site-packages, no editable install; the copy is deleted when it is ready."""
    home = tmp_path / "installed"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(chaoslib_ext.__file__).parent, home / "chaoslib_ext", ignore=ignored)
    run = supervise(retry_s=1.0)
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}, "PYTHONPATH": str(home)}
    healer = Alone(run, environment, home)
    run.children.append(healer.process)
    one_of_each(run, room)
    shutil.rmtree(home)
    run.die()
    healer.end_of_input()
    healer.process.wait(DEADLINE_S)
    frames = run.ledger.read().frames
    assert not [frame.note for frame in frames if "ModuleNotFound" in frame.note or "ImportError" in frame.note]
    done = {entry.handler for entry in entries(frames) if entry.rec in ("UNDONE", "GONE")}
    assert done >= {"process.thaw", "process.open_link", "process.release_zone"}
    assert {entry.handler for entry in entries(frames)} == set(HANDLERS)
    link = room.link()
    assert (link["mode"], link["owner"], room.keeper()["zones"]["b"]["held_by"]) == ("pass", None, None)
    assert not room.frozen("shop-b1")


class Alone(Healer):
    """A healer without site-packages."""

    def __init__(self, run: Supervisor, environment: dict[str, str], where: Path) -> None:
        argv = [sys.executable, "-S", "-P", "-m", "chaoslib_ext.healer", str(run.folder), str(run.process.pid), str(run.ticks), "plain"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=environment, cwd=where)
        super(Healer, self).__init__(process)
        self.wait(op="ready")


@needs_strace
@pytest.mark.slow
def test_a_healer_that_is_ready_opens_no_file_of_python_any_more(room: Room, supervise: Supervise, tmp_path: Path) -> None:
    """Seen from outside: what it opens after it said that it is ready."""
    run = supervise(retry_s=1.0)
    log = tmp_path / "opened"
    around = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=openat,open,write", "-s", "64"]
    healer = run.healer("plain", around=around)
    one_of_each(run, room)
    run.die()
    healer.end_of_input()
    healer.process.wait(DEADLINE_S)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    ready = next(number for number, line in enumerate(lines) if "ready" in line and "write(1" in line)
    opened = [line for line in lines[ready:] if "open" in line]
    assert any(state.LEDGER in line for line in opened)
    assert not [line for line in opened if ".py" in line or "site-packages" in line or ".so" in line or "/lib/python" in line]


@needs_strace
@pytest.mark.slow
def test_a_hanging_supervisor_is_killed_before_anything_is_undone(room: Room, supervise: Supervise, tmp_path: Path) -> None:
    """In the order of the healer's own system calls: else it might wake up and inject again."""
    run = supervise()
    log = tmp_path / "calls"
    around = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=pidfd_send_signal,pwrite64"]
    healer = run.healer(around=around)
    one_of_each(run, room)
    os.kill(run.process.pid, signal.SIGSTOP)
    until(lambda: any("UNDO_TRY" in rec for rec in run.recs()), "the first undo")
    assert run.process.wait(DEADLINE_S) == -signal.SIGKILL
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    killed = next(number for number, line in enumerate(lines) if "SIGKILL" in line)
    tried = next(number for number, line in enumerate(lines) if "pwrite64" in line)
    assert killed < tried
    run.children.append(healer.process)


def test_a_healer_whose_log_cannot_be_written_goes_on(room: Room, supervise: Supervise) -> None:
    """The disk that is full is also the one that has the log: every line of it fails, and so does every record."""
    run = supervise(retry_s=0.3)
    healer = run.healer("plain", stderr=os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC))
    one_of_each(run, room)
    healer.say(op="heal", fault="nothing")
    healer.wait(op="healed", fault="nothing")  # by then it has looked at the ledger
    run.ledger.path.unlink()  # from here on each record fails, and says so
    run.die()
    healer.end_of_input()
    assert healer.process.wait(DEADLINE_S) == 6
    assert not room.frozen("shop-b1") and room.link()["owner"] is None
