"""What a killed maker of a run's state folder leaves behind is told by the doctor, and swept by `recover`, once it is old; nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaoslib_ext import halfmade, state
from chaoslib_ext.doctor.leftovers import open_runs
from chaoslib_ext.recover import recover_runs
from chaoslib_ext.survey import of_runs

RUN = "20250101-000000-zone-loss-1a2b"
MAKE = f"from chaoslib_ext import state; state.create_run({RUN!r}, {{}}, lambda _: print('made', flush=True) or input())"
TOLD = f"{RUN}: clean\n  removed: its state folder, whose maker was killed before the run began"


@pytest.fixture
def maker() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []

    def make() -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert made[-1].stdout is not None
        assert made[-1].stdout.readline() == b"made\n"
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.communicate()


def age(folder: Path, seconds: float = 3600.0) -> None:
    os.utime(folder, (time.time() - seconds,) * 2)


def folder_of(pid: int) -> Path:
    return state.state_dir() / "runs" / f"{state.FRESH}{RUN}-{pid}"


def test_what_a_killed_maker_left_an_hour_ago_is_told_and_swept(maker: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = maker()
    process.kill()
    process.wait()
    folder = folder_of(process.pid)
    assert folder.is_dir() and state.all_runs() == []
    age(folder)
    (check,) = [check for check in open_runs() if check.name == "half a run"]
    assert check.state == "note" and check.text == f"{RUN}: its maker was killed 60 min ago, before the run began" and "recover --all" in check.next
    assert [str(one) for one in of_runs(None)] == [f"{RUN}: 0 not proven healed\n  would remove its state folder, whose maker was killed before the run began"]
    assert folder.is_dir(), "nobody who only looks removes anything"
    assert [str(one) for one in recover_runs(None, 1.0)] == [TOLD]
    assert not folder.exists() and recover_runs(None, 1.0) == []


def test_a_maker_that_lives_keeps_its_folder_however_old(maker: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = maker()
    assert halfmade.sweep(0.0) == [] and folder_of(process.pid).is_dir()
    process.kill()
    process.wait()
    assert halfmade.sweep(0.0) == [RUN] and not folder_of(process.pid).exists()


def test_a_young_folder_stays_though_its_maker_is_dead(maker: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = maker()
    process.kill()
    process.wait()
    assert halfmade.sweep() == [] and folder_of(process.pid).is_dir()


def test_a_process_that_has_the_maker_s_number_by_now_is_not_the_maker() -> None:
    folder = folder_of(os.getpid())
    folder.mkdir(parents=True)
    assert halfmade.half_made(0.0) == []
    age(folder, 10 * 365 * 86400.0)  # before this machine was up
    assert halfmade.sweep() == [RUN]


@pytest.mark.parametrize("name", [".new-", ".new-run", ".new-run-", ".new-run-x", "20250101-000000-zone-1a2b", ".other-run-1"])
def test_nothing_of_another_name_is_swept(name: str) -> None:
    folder = state.state_dir() / "runs" / name
    folder.mkdir(parents=True)
    age(folder, 10 * 365 * 86400.0)
    assert halfmade.sweep() == [] and folder.is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = folder_of(2**22 + 1)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    os.utime(folder, (1.0, 1.0), follow_symlinks=False)
    assert halfmade.sweep() == [] and elsewhere.is_dir() and folder.is_symlink()
