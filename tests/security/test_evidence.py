"""Evidence that was altered is told from evidence that was not: every flipped byte, every missing record (S24, S25)."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import run_dirs

from chaoslib_ext import rundir

SEED = 20261124
DERIVED = {"report.html", "junit.xml", "summary.md", "metrics.txt", "journal.json"}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return run_dirs.sealed(tmp_path / "20260101-000000-control-0001")


def facts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in DERIVED]


def test_s24_each_of_a_thousand_flipped_bytes_is_found(run_dir: Path) -> None:
    chance, paths = random.Random(SEED), facts(run_dir)
    assert rundir.verify(run_dir) == [] and len(paths) >= 9
    for _ in range(1000):
        path = chance.choice(paths)
        whole = path.read_bytes()
        at = chance.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ chance.randrange(1, 256)]) + whole[at + 1 :])
        assert rundir.verify(run_dir), f"{path.name}: byte {at} of {len(whole)} was flipped, and nothing was told"
        path.write_bytes(whole)
    assert rundir.verify(run_dir) == []


def test_s24_the_command_says_so_by_its_exit_code(run_dir: Path) -> None:
    argv = [sys.executable, "-m", "chaoslib_ext.cli", "report", str(run_dir), "--verify"]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0
    path = run_dir / "load/w0/rows-0000.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "load/w0/rows-0000.bin: does not match the seal")


def last_line_gone(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("name", ["events.jsonl", "undo.wal", "SEALED", "inputs/x.yaml"])
def test_s25_a_record_that_was_taken_away_is_missed(run_dir: Path, name: str) -> None:
    last_line_gone(run_dir / name)
    assert any(name in told or "result.json" in told for told in rundir.verify(run_dir)), rundir.verify(run_dir)


@pytest.mark.parametrize("name", ["events.jsonl", "undo.wal", "run.json", "plan.json", "inputs/x.yaml", "load/w0/rows-0000.bin", "result.json", "SEALED"])
def test_s25_a_file_that_was_taken_away_is_missed(run_dir: Path, name: str) -> None:
    (run_dir / name).unlink()
    assert rundir.verify(run_dir)


def test_s25_a_record_in_the_middle_is_missed_even_before_the_seal(run_dir: Path) -> None:
    path = run_dir / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert any("not numbered" in told for told in rundir.read(run_dir).problems)


def test_s25_what_was_added_after_the_seal_is_told(run_dir: Path) -> None:
    (run_dir / "inputs/more.yaml").write_text("x")
    assert rundir.verify(run_dir) == ["inputs/more.yaml: was added after the seal"]
