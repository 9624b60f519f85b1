"""
A disk that is full, read-only or failing: a frame that was acknowledged is there, one that was not is never half there.

The errors are the kernel's own: a limit on the size of files, a small file system that is full or turned read-only (where this
user may mount one), and system calls that strace makes fail.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from undo_rig import DEADLINE_S, Room, Supervisor, activity, until

from chaoslib_ext import state
from chaoslib_ext.errors import Refused
from chaoslib_ext.heal import Patience, heal_run
from chaoslib_ext.ledger import Frame, Ledger, Target, parse
from chaoslib_ext.recover import recover_run
from chaoslib_ext.runner.finish import HEALER_OUT_S

Supervise = Callable[..., Supervisor]
HEADER = {"run": "r", "t0_ns": 0, "supervisor": {"pid": 0, "start_ticks": 0, "boot_id": ""}}
QUICK = Patience(base_s=0.02, deadline_s=0.5)

APPENDS = """
import sys
from pathlib import Path
from chaoslib_ext.ledger import Frame, Ledger, Target
ledger = Ledger(Path(sys.argv[1]), 0)
for n in range(int(sys.argv[2])):
    try:
        print("ok", n, ledger.append(Frame(f"f{n}", "INTENT", "process.thaw", Target(uid=str(n)), note="x" * (n * 37 % 700))).seq)
    except OSError as error:
        print("failed", n, error.errno)
"""
LIMITS = """
import resource, sys
from pathlib import Path
from chaoslib_ext.ledger import Frame, Ledger, Target
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in range(0, 2400, 5):
    path = Path(sys.argv[1]) / f"{limit}.wal"
    acknowledged = []
    for n in range(6):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit if n < 5 else hard, hard))
        try:
            acknowledged.append(Ledger(path, 0).append(Frame(f"f{n}", "INTENT", "process.thaw", Target(uid=str(n)), note="x" * 100)))
        except OSError as error:
            assert n < 5, error
    frames = Ledger(path, 0).read().frames
    assert [frame for frame in frames if frame in acknowledged] == acknowledged and frames[-1].fault == "f5", limit
    print(limit, len(acknowledged))
"""


def appended(path: Path, number: int, *around: str) -> tuple[list[int], list[tuple[int, int]]]:
    """What a process that appends says was acknowledged, as numbers, and what failed, with errno."""
    done = subprocess.run(
        [*around, sys.executable, "-c", APPENDS, str(path), str(number)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    words = [line.split() for line in done.stdout.splitlines()]
    return [int(word[1]) for word in words if word[0] == "ok"], [(int(word[1]), int(word[2])) for word in words if word[0] == "failed"]


def no_lost_intents(path: Path, acknowledged: list[int]) -> None:
    faults = [frame.fault for frame in parse(path.read_bytes(), str(path)).frames]
    assert [fault for fault in faults if int(fault[1:]) in acknowledged] == [f"f{n}" for n in acknowledged]


def test_a_limit_at_any_byte_never_leaves_half_a_frame(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITS, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 480


def test_an_injection_whose_intent_cannot_be_written_touches_nothing_and_none_follows(room: Room, supervise: Supervise) -> None:
    """The limit is the method child's own, so that everybody else can still write."""
    rows = [activity(name, "lose_zone", zone="b", duration="9s", how="isolate") for name in ("first", "second")]
    run = supervise(*rows)
    child = run.spawn(
        "method",
        "import os, resource\nfrom chaoslib_ext import faults\nfrom chaoslib_ext.faults import injection\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "for name in ('first', 'second'):\n"
        "    injection.name_activity(name)\n"
        "    try:\n        faults.lose_zone(zone='b', duration='9s', how='isolate')\n"
        "    except Exception as error:\n        print(error)\n"
        "    resource.setrlimit\n",
    )
    out, _ = child.communicate(timeout=DEADLINE_S)
    first, second = out.decode().splitlines()
    assert first.startswith("first: INTENT could not be written into the undo ledger: ")
    assert second.startswith("nothing more is injected: first: INTENT could not be written")
    assert room.untouched() and run.recs() == []


# a file system of its own ----------------------------------------------------------------------------------------------


class Disk:
    """A file system in memory of so many kilobytes."""

    def __init__(self, place: Path, kilobytes: int) -> None:
        place.mkdir()
        self.place = place
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes=300", "chaosx-test", str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("needs the right to mount a file system")

    def fill(self) -> None:
        with (self.place / "filler").open("ab", buffering=0) as file:
            for size in (4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def free(self) -> None:
        (self.place / "filler").unlink()

    def read_only(self) -> None:
        """From now on, by this path, for everybody."""
        subprocess.run(["mount", "--bind", str(self.place), str(self.place)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.place)], check=True)

    def writable(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)

    def close(self) -> None:
        while self.place.is_mount():
            self.writable()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk of 3 MiB that is the state directory."""
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a file system")
    one = Disk(tmp_path / "disk", 3072)
    monkeypatch.setenv("CHAOSX_STATE", str(one.place))
    yield one
    one.close()


def test_a_full_disk_keeps_no_frame_from_being_recorded_as_long_as_the_reserved_space_lasts(disk: Disk) -> None:
    ledger = Ledger.of_run(state.create_run("r", HEADER))
    disk.fill()
    acknowledged = []
    with pytest.raises(OSError, match=r"whole|No space") as failed:
        for n in range(10_000):
            acknowledged.append(ledger.append(Frame(f"f{n}", "INTENT", "process.thaw", Target(uid=str(n)), note="x" * 4000)).fault)
    assert failed.value.errno == errno.ENOSPC and len(acknowledged) * 4000 > 0.9 * state.LEDGER_BYTES
    assert [frame.fault for frame in ledger.read(whole=True).frames] == acknowledged
    disk.free()
    assert ledger.append(Frame("then", "INTENT")).seq == len(acknowledged) + 1


def test_a_run_for_whose_ledger_there_is_no_room_is_refused_and_leaves_nothing(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(Refused, match="no room for the undo ledger") as refused:
        state.create_run("r", HEADER)
    assert refused.value.reason == "PREFLIGHT_FAILED"
    assert list((disk.place / "runs").iterdir()) == []


def test_a_disk_that_turns_read_only_takes_no_frame_and_loses_none(disk: Disk) -> None:
    ledger = Ledger.of_run(state.create_run("r", HEADER))
    ledger.append(Frame("f", "INTENT"))
    disk.read_only()
    with pytest.raises(OSError, match="Read-only"):
        ledger.append(Frame("g", "INTENT"))
    assert [frame.fault for frame in ledger.read().frames] == ["f"]
    disk.writable()
    assert ledger.append(Frame("g", "INTENT")).seq == 2


def frozen_run(room: Room, supervise: Supervise) -> Supervisor:
    """A run with a frozen replica, in truth and in its ledger."""
    run = supervise(retry_s=0.3)
    replica = room.replica("shop-b1")
    target = Target("process", "", "replica", "shop", replica["name"], replica["uid"])
    run.ledger.append(Frame("f", "INTENT", "process.thaw", target))
    os.kill(replica["pid"], signal.SIGSTOP)
    until(lambda: room.frozen("shop-b1"), "a frozen replica")
    run.ledger.append(Frame("f", "APPLIED", "process.thaw", target))
    return run


def test_on_a_full_disk_the_healer_heals_and_closes_the_run_as_ever(disk: Disk, room: Room, supervise: Supervise) -> None:
    run = frozen_run(room, supervise)
    healer = run.healer("plain")
    disk.fill()
    run.die()
    assert healer.process.wait(DEADLINE_S) == 0
    assert not room.frozen("shop-b1")
    assert state.read_json(run.folder / state.CLOSED)["by"] == "healer"


def test_on_a_read_only_disk_the_healer_heals_what_it_cannot_record_and_recover_closes_the_run(disk: Disk, room: Room, supervise: Supervise) -> None:
    run = frozen_run(room, supervise)
    healer = run.healer("plain")
    disk.read_only()
    healer.say(op="last")
    (left,) = healer.wait(op="dirty")["pending"]
    assert left["error"].startswith("UNDONE could not be recorded: ") and "Read-only" in left["error"]
    assert left["command"] == f"chaosx recover --run {run.run}"
    assert not room.frozen("shop-b1")
    run.die()
    assert healer.process.wait(DEADLINE_S) == 6
    disk.writable()
    assert recover_run(run.folder, HEALER_OUT_S).clean
    assert (run.folder / state.CLOSED).exists()


# system calls that fail ------------------------------------------------------------------------------------------------

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
FAILING = [("fsync", "EIO"), ("fsync", "ENOSPC"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EROFS"), ("pwrite64", "EDQUOT")]


def strace(*injections: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync,pwrite64", *(word for one in injections for word in ("-e", f"inject={one}"))]


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(("call", "error"), FAILING)
def test_a_write_or_sync_that_fails_at_any_moment_loses_no_acknowledged_frame(call: str, error: str, tmp_path: Path) -> None:
    """Every second one fails, from the first or the second on, 100 times each; and each single one of the first 20."""
    cases = 0
    for when in ("1+2", "2+2", *map(str, range(1, 21))):
        path = tmp_path / f"{when}.wal"
        acknowledged, failed = appended(path, 200 if "+" in when else 21, *strace(f"{call}:error={error}:when={when}"))
        assert {number for _, number in failed} == {getattr(errno, error)}
        no_lost_intents(path, acknowledged)
        cases += len(failed)
    assert cases >= 200


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("written", [0, 1, 8, 9, 200])
def test_a_write_that_reports_fewer_bytes_is_no_write(written: int, tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    acknowledged, failed = appended(path, 60, *strace(f"pwrite64:retval={written}:when=1+3"))
    assert len(failed) >= 20 and len(acknowledged) + len(failed) == 60
    no_lost_intents(path, acknowledged)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("injected", ["fsync:error=EIO", "pwrite64:error=ENOSPC", "pwrite64:error=EROFS"])
def test_a_healer_that_cannot_write_heals_all_the_same_and_recover_closes_the_run(injected: str, room: Room, supervise: Supervise) -> None:
    run = frozen_run(room, supervise)
    healer = run.healer("plain", around=strace(injected))
    run.die()
    healer.end_of_input()
    assert healer.process.wait(DEADLINE_S) == 6
    assert not room.frozen("shop-b1")
    assert not (run.folder / state.CLOSED).exists()
    assert recover_run(run.folder, HEALER_OUT_S).clean
    assert (run.folder / state.CLOSED).exists()


@needs_strace
@pytest.mark.slow
def test_a_healer_whose_disk_fails_now_and_then_gets_there(room: Room, supervise: Supervise) -> None:
    run = frozen_run(room, supervise)
    state.write_json(run.folder / state.SPEC, {"run": run.run, "t0_ns": 0, "environment": {"retry": {"base_s": 0.02, "deadline_s": 20}}})
    healer = run.healer("plain", around=strace("fsync:error=EIO:when=1+3", "pwrite64:error=EIO:when=2+3"))
    healer.say(op="heal", fault="f")
    assert healer.wait(op="healed")["ok"] is True
    assert not room.frozen("shop-b1") and run.pending() == []
    healer.say(op="quit")
    assert healer.process.wait(DEADLINE_S) == 0


def test_a_ledger_that_cannot_be_read_is_dirty_and_not_empty(room: Room, supervise: Supervise) -> None:
    run = frozen_run(room, supervise)
    run.ledger.path.unlink()
    run.ledger.path.symlink_to(run.ledger.path)  # a loop: the one error of reading that needs nobody's help
    run.die()
    (left,) = heal_run(run.folder, None, QUICK)
    assert left.fault == state.LEDGER and "cannot be read" in left.error
