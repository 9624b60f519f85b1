"""Nothing is written outside of its place, and what is private stays so, whatever the umask and whoever was there first (S10, S15, S28)."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import run_dirs

from chaoslib_ext import locks, rundir, state
from chaoslib_ext.clock import Clock
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.gate.outputs import write_all
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.prepare import new_run_id

TITLES = [
    "../../x",
    "/etc/passwd",
    "a\0b",
    "x" * 300,
    "..",
    ".",
    "",
    "\n",
    "\x1b[31m",
    "CON",
    "-rf *",
    "$(id)",
    "🔥" * 100,
    "a/../../b",
    "\\..\\x",
    "\u202e",
    "'; rm -rf ~",
]


@pytest.mark.parametrize("title", TITLES)
def test_s10_no_title_leads_out_of_the_run_directory(title: str) -> None:
    name = new_run_id(title, Clock.start())
    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,40}-[0-9a-f]{4}", name), name
    assert "--" not in name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", ".hidden"])
def test_s10_no_id_on_the_command_line_leads_out_of_the_state_directory(name: str) -> None:
    with pytest.raises(UsageError):
        state.run_dir(name)


def test_s10_a_run_directory_that_is_there_already_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        rundir.Writer.create(tmp_path / "run")
    assert list((tmp_path / "elsewhere").iterdir()) == []


OUTPUTS = ["report.html", "junit.xml", "summary.md", "metrics.txt"]


@pytest.mark.parametrize("name", [*OUTPUTS, *(f".{one}.new" for one in OUTPUTS)])
def test_s10_a_link_in_a_directory_that_was_passed_on_is_not_written_through(tmp_path: Path, name: str) -> None:
    folder = run_dirs.sealed(tmp_path / "run")
    (tmp_path / "precious").write_text("keep me")
    (folder / name).symlink_to(tmp_path / "precious")
    write_all(folder)
    assert (tmp_path / "precious").read_text() == "keep me"
    assert not (folder / name).is_symlink()


def test_s10_a_seal_that_names_files_elsewhere_is_told_and_not_followed(tmp_path: Path) -> None:
    folder = run_dirs.sealed(tmp_path / "run")
    text = (folder / "SEALED").read_text()
    (folder / "SEALED").write_text(f"{'0' * 64}  ../../etc/passwd\n{'0' * 64}  /etc/passwd\n{text}")
    told = "\n".join(rundir.verify(folder))
    assert told.count("outside of the run") == 2


@pytest.fixture
def no_umask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "deep" / "down" / "state"))
    before = os.umask(0)
    try:
        yield tmp_path  # type: ignore[misc]
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in sorted(folder.rglob("*"))}


def test_s15_the_state_directory_is_private_under_any_umask(no_umask: Path) -> None:
    folder = state.create_run("20260101-000000-x-0001", {"run": "x", "supervisor": {}})
    os.close(state.open_heal_lock(folder))
    state.close_run(folder, "test")
    child = Child("probe", [sys.executable, "-c", ""], folder)
    child.process.wait()
    child.close()
    found = modes(no_umask)
    assert {mode for name, mode in found.items() if (no_umask / name).is_dir()} == {0o700}
    assert {mode for name, mode in found.items() if (no_umask / name).is_file()} == {0o600}
    assert len(found) >= 8


def planted(place: Path, how: str) -> None:
    """Somebody was here before us."""
    (place / "state").mkdir(mode=0o700, parents=True)
    runs = place / "state/runs"
    if how == "link":
        (place / "theirs").mkdir(mode=0o777)
        runs.symlink_to(place / "theirs")
    elif how == "dangling link":
        runs.symlink_to(place / "nowhere")
    elif how == "file":
        runs.write_text("")
    elif how == "open to all":
        runs.mkdir()
        runs.chmod(0o777)
    else:
        runs.mkdir(mode=0o700)
        os.chown(runs, 65534, 65534)


ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
HOWS = ["link", "dangling link", "file", "open to all", pytest.param("somebody else's", marks=ONLY_ROOT)]


@pytest.mark.parametrize("how", HOWS)
def test_s28_a_place_for_runs_that_others_control_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    planted(tmp_path, how)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((Refused, FileExistsError, NotADirectoryError)) as refused:
        state.create_run("20260101-000000-x-0001", {"run": "x"})
    assert str(tmp_path / "state/runs") in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_s28_a_link_in_place_of_the_lock_file_is_refused_and_what_it_names_is_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    environment = Environment("x", lock={"file": str(tmp_path / "lock")})
    with pytest.raises(Refused, match="lock cannot be taken"):
        locks.take(environment, "20260101-000000-x-0001")
    assert (tmp_path / "precious").read_text() == "keep me"


def test_s28_a_file_is_replaced_and_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "run.json").symlink_to(tmp_path / "precious")
    state.write_json(tmp_path / "run.json", {"a": 1})
    rundir.write_json(tmp_path / "run.json", {"a": 1})
    assert (tmp_path / "precious").read_text() == "keep me"


def test_s28_no_command_uses_the_shared_temporary_folder_for_state(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    home = {"HOME": str(tmp_path / "home"), "TMPDIR": str(place), "CHAOSX_STATE": "", "XDG_STATE_HOME": "", "CHAOSX_SANDBOX": ""}
    argv = [shutil.which("chaosx", path=str(Path(sys.executable).parent)) or "chaosx", "recover"]
    done = subprocess.run(argv, env={**os.environ, **home}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []
