"""`chaosx report`: roll-up, index, and what `--verify` says of evidence that was touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import shelf_of_runs

from chaoslib_ext import gate, rundir


def chaosx(*argv: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "chaoslib_ext.cli", *map(str, argv)], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return shelf_of_runs.make(tmp_path / "reports" / "a", samples=True)


def flipped(folder: Path) -> None:
    path = folder / "load/w0/rows-0000.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def line_gone(name: str) -> Callable[[Path], None]:
    def take(folder: Path) -> None:
        lines = (folder / "SEALED").read_text().splitlines(keepends=True)
        (folder / "SEALED").write_text("".join(line for line in lines if name not in line))

    return take


def forged(folder: Path) -> None:
    """Events altered and sealed again, as somebody would who has the tool; the verdict was given under the first seal."""
    (folder / "events.jsonl").write_text("")
    own = (folder / "SEALED").read_text().splitlines(keepends=True)[-1]
    (folder / "SEALED").unlink()
    rundir.seal(folder)
    with (folder / "SEALED").open("a") as file:
        file.write(own)


TOUCHED = [
    pytest.param(flipped, ["load/w0/rows-0000.bin: does not match the seal"], id="a flipped bit"),
    pytest.param(lambda folder: (folder / "events.jsonl").unlink(), ["events.jsonl: sealed, but missing"], id="a removed file"),
    pytest.param(lambda folder: (folder / "inputs/x.yaml").write_text("x"), ["inputs/x.yaml: was added after the seal"], id="an added file"),
    pytest.param(
        line_gone("events.jsonl"),
        ["SEALED: its total does not match its lines", "events.jsonl: has no line in SEALED: it was added after the seal, or its line was taken out"],
        id="a deleted line of the seal",
    ),
    pytest.param(line_gone("result.json"), ["result.json: is not sealed"], id="the verdict's line deleted"),
    pytest.param(
        line_gone("# total"),
        ["SEALED: has no line `# total …`, expected one"],
        id="the total deleted",
    ),
    pytest.param(lambda folder: (folder / "SEALED").unlink(), ["SEALED: missing; the run was not sealed"], id="no seal"),
    pytest.param(forged, ["result.json: was judged under another seal"], id="sealed again"),
]


@pytest.mark.parametrize(("touch", "told"), TOUCHED)
def test_verify_says_exactly_what_was_touched(run_dir: Path, touch: Callable[[Path], None], told: list[str]) -> None:
    (run_dir / "inputs").mkdir()
    assert rundir.verify(run_dir) == []
    touch(run_dir)
    found = [line.partition(" (")[0] for line in rundir.verify(run_dir)]
    assert [line for line in found if not line.endswith("was added after the seal, or its line was taken out")] == [
        line for line in told if "taken out" not in line
    ]
    assert set(told) <= set(found)


def test_verify_over_many_names_the_run_and_ends_with_one(tmp_path: Path) -> None:
    runs = [shelf_of_runs.make(tmp_path / name) for name in "ab"]
    whole = chaosx("report", *runs, "--verify")
    assert (whole.returncode, whole.stdout, whole.stderr.strip()) == (0, "", "unaltered")
    (runs[1] / "plan.json").write_text("{}")
    done = chaosx("report", *runs, "--verify")
    assert (done.returncode, done.stdout.strip()) == (1, f"{runs[1]}: plan.json: does not match the seal")
    told = json.loads(chaosx("report", *runs, "--verify", "--json").stdout)
    assert told == {"altered": {str(runs[1]): ["plan.json: does not match the seal"]}}


def test_the_seal_that_was_printed_tells_a_run_that_was_sealed_again_whole(run_dir: Path) -> None:
    seal = rundir.seal_of(run_dir)
    assert chaosx("report", run_dir, "--verify", "--seal", seal).returncode == 0
    done = chaosx("report", run_dir, "--verify", "--seal", "0" * 64)
    assert done.returncode == 1 and f"its seal is {seal}, expected {'0' * 64}" in done.stdout


def test_the_seal_is_a_property_of_the_junit_file(run_dir: Path) -> None:
    gate.write(run_dir)
    suite = ET.parse(run_dir / "junit.xml").find("testsuite")
    assert suite is not None
    assert {each.get("name"): each.get("value") for each in suite.iter("property")}["seal"] == rundir.seal_of(run_dir)


def test_a_roll_up_and_an_index_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    shelf_of_runs.day_of_runs(tmp_path / "reports", 3)
    done = chaosx("report", "--index", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "reports/index.html\n"), done.stderr
    done = chaosx("report", "--rollup", "reports", "-o", "out/day.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out/day.html\n"), done.stderr
    assert re.search("<title>[^<]*Roll-up of 3\u00a0runs", (tmp_path / "out/day.html").read_text(encoding="utf-8"))


USAGE = [
    pytest.param(["report"], "got no directory", id="nothing"),
    pytest.param(["report", "reports", "--rollup", "--index"], "got more than one", id="two at once"),
    pytest.param(["report", "reports/a", "-o", "x.html"], "is for --rollup and --index", id="an output for a run's own page"),
    pytest.param(["report", "--rollup", "nowhere"], "nowhere: no such directory", id="no folder"),
    pytest.param(["report", "--rollup", "reports", "-o", "reports"], "got a folder", id="a folder as the page"),
    pytest.param(["report", "--index", "nowhere"], "nowhere: no such directory", id="an index of nothing"),
    pytest.param(["report", "reports", "--verify"], "holds no run.json; did you mean reports/a?", id="a folder of runs to verify"),
]


@pytest.mark.parametrize(("argv", "told"), USAGE)
def test_what_cannot_be_drawn_is_a_usage_error(run_dir: Path, argv: list[str], told: str) -> None:
    done = chaosx(*argv, cwd=run_dir.parents[1])
    assert (done.returncode, done.stdout) == (2, "") and told in done.stderr and "Traceback" not in done.stderr
