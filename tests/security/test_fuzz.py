"""Whatever stands in a file: it is read or refused, never a traceback, nothing that it names is run, and nothing is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import made_files
import pytest

from chaoslib_ext.environment import read_environment
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.loadprofile import read_load_profile
from chaoslib_ext.slo import read_slos

SEED = int(os.environ.get("CHAOSX_SEED", "20261124"))
READERS: dict[str, Any] = {"experiment": read_experiment, "profile": read_load_profile, "environment": read_environment, "slo": read_slos}
PLACES = {"experiment": "experiments/sandbox", "profile": "loadprofiles", "environment": "environments", "slo": "experiments/sandbox/slos"}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of the shipped files, with a module beside each that must never be imported; also the working directory."""
    for name in ("experiments", "loadprofiles", "environments"):
        shutil.copytree(made_files.ROOT / name, tmp_path / name)
    for folder in ("", *PLACES.values()):
        (tmp_path / folder / "canary.py").write_text(made_files.CANARY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def written(room: Path, kind: str, text: str, name: str = "fuzzed.yaml") -> Path:
    path = room / PLACES[kind] / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def fuzz(room: Path, number: int) -> Counter[tuple[str, str]]:
    """Reads so many made files in this process; how each kind ended."""
    for kind in PLACES:
        written(room, kind, "")
    before = sorted(room.rglob("*"))
    ended: Counter[tuple[str, str]] = Counter()
    for at, (kind, text) in enumerate(made_files.cases(SEED, number)):
        path = written(room, kind, text)
        try:
            READERS[kind](path, **({"allow_code": at % 3 == 0} if kind == "experiment" else {}))
            ended[kind, "read"] += 1
        except InvalidFile as refused:
            assert refused.problems and str(refused).strip(), (at, kind, text)
            ended[kind, "refused"] += 1
        except BaseException as error:
            raise AssertionError(f"file {at} of seed {SEED}, a {kind}:\n{text}") from error
        written(room, kind, "")
    assert "canary" not in sys.modules
    assert sorted(room.rglob("*")) == before, "a reader wrote something, or ran what it read"
    return ended


def test_a_made_file_is_read_or_refused_and_runs_nothing(room: Path) -> None:
    ended = fuzz(room, 250)
    assert {kind for kind, _ in ended} == set(READERS)
    assert ended["experiment", "refused"] and ended["profile", "read"], "the maker makes files of both sorts"


@pytest.mark.slow
def test_thousands_of_made_files_are_read_or_refused_and_run_nothing(room: Path) -> None:
    ended = fuzz(room, 2400)
    print(dict(ended))
    assert ended.total() == 2400


def test_the_canary_would_sing(room: Path) -> None:
    """The trap itself works: what must not happen would be seen."""
    subprocess.run([sys.executable, "-c", "import canary"], check=True, timeout=60)
    assert (room / "RAN").exists()


def chaosx(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "chaoslib_ext.cli", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=120, check=False)


def through_the_command(room: Path, number: int) -> Counter[int]:
    """Each made file through `validate`, experiments through `plan` too, in an environment whose processes are not there."""
    ended: Counter[int] = Counter()
    for at, (kind, text) in enumerate(made_files.cases(SEED + 1, number)):
        path = written(room, kind, text, f"made-{at}.yaml")
        lines = [["validate", str(path)]] if kind != "experiment" else [["plan", str(path), "--env", "environments/local-processes.yaml"]]
        lines = [["plan", "experiments/sandbox/zone-lost-silently.yaml", "--env", str(path)]] if kind == "environment" and at % 2 else lines
        for words in lines:
            done = chaosx(*words)
            ended[done.returncode] += 1
            assert done.returncode in (0, 2, 3), (words, text, done.stderr)
            assert "Traceback" not in done.stdout + done.stderr, (words, text, done.stderr)
            assert "\x1b" not in done.stdout + done.stderr and "\0" not in done.stdout + done.stderr, (words, text)
    assert not list(room.rglob("RAN"))
    assert sorted(path.name for path in room.iterdir()) == ["canary.py", "environments", "experiments", "loadprofiles"]
    return ended


@pytest.mark.slow
def test_made_files_through_the_command_give_codes_of_the_table_and_no_traceback(room: Path) -> None:
    print(dict(through_the_command(room, 44)))


def test_forty_made_files_in_one_command_are_told_of_without_a_traceback(room: Path) -> None:
    paths = [str(written(room, kind, text, f"made-{at}.yaml")) for at, (kind, text) in enumerate(made_files.cases(SEED + 2, 40))]
    done = chaosx("validate", *paths)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr + done.stdout
    assert not list(room.rglob("RAN"))
