"""A run directory: written once, sealed, read back whatever happened to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import rundir
from chaoslib_ext.rundir import Writer, read, seal_of, verify, write_json
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, block


def written(folder: Path) -> Writer:
    """An unsealed run with every kind of file."""
    writer = Writer.create(folder, {"id": "r", "load": {}})
    write_json(folder / "plan.json", {"resolved": []})
    (folder / "inputs").mkdir()
    (folder / "inputs" / "experiment.yaml").write_text("title: x\n")
    load = folder / "load" / "w0"
    load.mkdir(parents=True)
    (load / "rows-0000.bin").write_bytes(ROWS_MAGIC + block(ROW.pack(5, 1, 2, 0, 0, 0)))
    (load / "rows-0001.bin").write_bytes(ROWS_MAGIC + block(ROW.pack(7, 1, 2, 0, 3, 0)))
    (load / "seconds.bin").write_bytes(SECONDS_MAGIC)
    write_json(load / "meta.json", {"endpoints": [{"index": 0, "name": "a", "zone": "", "class": "step"}], "start_ns": 0, "stop_ns": 9})
    writer.event("supervisor", "phase", 10, name="baseline", state="start")
    return writer


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed run."""
    written(tmp_path / "r").seal()
    return tmp_path / "r"


def test_what_was_written_is_read_back(sealed: Path) -> None:
    run = read(sealed)
    assert run.problems == [] and run.seal == seal_of(sealed) and len(run.seal) == 64
    assert run.header["id"] == "r" and run.plan == {"resolved": []} and run.block is None
    assert list(run.rows.intended_us) == [5, 7] and list(run.rows.outcome) == [0, 3] and run.endpoints[0]["name"] == "a"
    assert run.events == [{"seq": 1, "t_ns": 10, "src": "supervisor", "kind": "phase", "name": "baseline", "state": "start"}]
    assert run.of_kind("phase") == run.events and run.of_kind("stop") == []


def test_a_run_never_writes_over_another(sealed: Path) -> None:
    with pytest.raises(FileExistsError):
        Writer.create(sealed)
    with pytest.raises(FileExistsError):
        rundir.seal(sealed)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_seal_can_be_checked_without_this_tool(sealed: Path) -> None:
    assert subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SEALED"], cwd=sealed, check=False).returncode == 0


FACTS = [
    "run.json",
    "plan.json",
    "events.jsonl",
    "inputs/experiment.yaml",
    "load/w0/rows-0000.bin",
    "load/w0/rows-0001.bin",
    "load/w0/seconds.bin",
    "load/w0/meta.json",
]


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_is_under_the_seal(sealed: Path, name: str) -> None:
    original = (sealed / name).read_bytes()
    (sealed / name).write_bytes(original + b"\n")
    assert verify(sealed) == [f"{name}: does not match the seal"]
    (sealed / name).unlink()
    assert verify(sealed) == [f"{name}: sealed, but missing"]
    (sealed / name).write_bytes(original)
    assert verify(sealed) == []


def test_what_is_derived_is_not_under_the_seal(sealed: Path) -> None:
    for name in ("report.html", "junit.xml", "result-2.json", "journal.json"):
        (sealed / name).write_text("x")
    assert verify(sealed) == []


def test_a_new_line_in_the_seal_does_not_match_its_total(sealed: Path) -> None:
    (sealed / "inputs" / "more").write_text("x")
    assert verify(sealed) == ["inputs/more: was added after the seal"]
    lines = (sealed / "SEALED").read_text().splitlines(keepends=True)
    forged = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  inputs/more\n"
    (sealed / "SEALED").write_text("".join([forged, *lines]))
    assert verify(sealed) == ["SEALED: its total does not match its lines"]


def test_a_seal_that_names_a_file_outside_is_a_problem(sealed: Path) -> None:
    with (sealed / "SEALED").open("a") as file:
        file.write("0" * 64 + "  ../../secret\n")
    assert verify(sealed) == ["SEALED: names '../../secret', outside of the run"]


@pytest.mark.parametrize("text", ["", "hello\n", "# total abc\n"], ids=["empty", "prose", "a short total"])
def test_a_seal_without_a_total_is_a_problem(sealed: Path, text: str) -> None:
    (sealed / "SEALED").write_text(text)
    assert verify(sealed) and seal_of(sealed) == ""


def test_events_are_numbered_and_of_known_kinds(tmp_path: Path) -> None:
    writer = written(tmp_path / "r")
    assert writer.event("method", "note", 20, text="two") == 2
    with pytest.raises(ValueError, match="event kind"):
        writer.event("method", "gossip", 21)
    writer.close()
    assert [event["seq"] for event in read(tmp_path / "r").events] == [1, 2]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), {1: {2}}, Path("x"), "\ud800", b"raw", [1.5, None, True]], ids=repr)
def test_no_odd_output_of_a_probe_ends_the_record(tmp_path: Path, odd: Any) -> None:
    writer = written(tmp_path / "r")
    writer.event("method", "activity", 20, name="p", output=odd)
    writer.seal()
    run = read(tmp_path / "r")
    assert run.problems == [] and "output" in run.events[1]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(b'{"seq":2,"t_ns":1,"kind":"note"}', "its last line is torn", id="torn"),
        pytest.param(b"gibberish\n", "events.jsonl:2", id="no JSON"),
        pytest.param(b'{"seq":3,"t_ns":1,"kind":"note"}\n', "some are missing", id="a number left out"),
        pytest.param(b'{"seq":2,"t_ns":1,"kind":"gossip"}\n', "is no event", id="an unknown kind"),
        pytest.param(b'{"seq":2,"t_ns":"soon","kind":"note"}\n', "is no event", id="no time"),
        pytest.param(b'{"seq":2,"t_ns":1,"kind":"effect","lo_ns":"a"}\n', "is no event", id="no bracket"),
    ],
)
def test_damaged_events_are_told(tmp_path: Path, line: bytes, problem: str) -> None:
    written(tmp_path / "r").close()
    with (tmp_path / "r" / "events.jsonl").open("ab") as file:
        file.write(line)
    rundir.seal(tmp_path / "r")
    assert any(problem in told for told in read(tmp_path / "r").problems)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run.json", {"schema": 2, "load": {}}),
        ("run.json", {"schema": 1, "load": {}, "clean": 5}),
        ("run.json", {"schema": 1, "load": {}, "block": {"slos": 5}}),
        ("run.json", [1]),
        ("plan.json", {"resolved": 5}),
        ("load/w0/meta.json", {"endpoints": [{"name": "a"}]}),
        ("load/w0/meta.json", 5),
    ],
)
def test_a_file_of_another_shape_is_told_and_not_raised(tmp_path: Path, name: str, value: Any) -> None:
    written(tmp_path / "r").close()
    (tmp_path / "r" / name).write_text(json.dumps(value))
    rundir.seal(tmp_path / "r")
    assert read(tmp_path / "r").problems


def test_a_load_child_that_died_left_rows_but_no_stop(tmp_path: Path) -> None:
    written(tmp_path / "r").close()
    write_json(tmp_path / "r/load/w0/meta.json", {"endpoints": [], "start_ns": 0, "stop_ns": None})
    rundir.seal(tmp_path / "r")
    run = read(tmp_path / "r")
    assert run.problems == [] and run.meta is not None and len(run.rows) == 2


def test_without_a_load_no_load_files_are_missed(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path / "r", {"id": "r", "load": None})
    write_json(tmp_path / "r" / "plan.json", {})
    writer.seal({"id": "r", "load": None})
    assert read(tmp_path / "r").problems == []
