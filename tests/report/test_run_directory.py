"""From a run directory to its outputs: real files, the real verdict, one page; and what happens where files are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pages import Page

from chaoslib_ext import gate, report, rundir
from chaoslib_ext.block import Block
from chaoslib_ext.errors import UsageError
from chaoslib_ext.loadprofile import Journey, LoadProfile, Stage, Step
from chaoslib_ext.report.reading import read
from chaoslib_ext.seal import write_whole
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import ROW, ROWS_MAGIC, SECONDS_MAGIC, Outcome, block
from chaoslib_ext.verdict import judge

S = 1_000_000_000
AVAILABILITY = Slo("availability", "shop", "Checkout works", Sli("availability", "checkout", "journey", None), 0.99, 30 * 86400.0, "slos.yaml#0")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A short control run with load, sealed and judged by the code that does so in earnest."""
    folder = tmp_path / "20260101-000000-control-0001"
    profile = LoadProfile((Stage(50.0),), "uniform", (Journey("checkout", 1.0, (Step("GET /checkout", "GET", "/checkout"),)),), None, "load.yaml")
    writer = rundir.Writer.create(folder)
    for t_s, name, state in [(0, "warm-up", "start"), (2, "warm-up", "end"), (2, "baseline", "start"), (10, "baseline", "end")]:
        writer.event(src="supervisor", kind="phase", t_ns=t_s * S, name=name, state=state)
    rundir.write_json(folder / "plan.json", {"resolved": []})
    rows = b"".join(ROW.pack(k * 20_000, 100, 21_000, k % 2, Outcome.OK if k % 100 else Outcome.CONNECT, 0) for k in range(500))
    write_whole(folder / "load/w0/rows-0000.bin", ROWS_MAGIC + block(rows))
    write_whole(folder / "load/w0/seconds.bin", SECONDS_MAGIC)
    endpoints = [{"index": 0, "name": "checkout", "zone": "", "class": "journey"}, {"index": 1, "name": "GET /checkout", "zone": "a", "class": "step"}]
    meta = {"schema": 1, "model": "open", "endpoints": endpoints, "profile": profile.to_json(), "seed": 1, "start_ns": 0, "stop_ns": 10 * S}
    rundir.write_json(folder / "load/w0/meta.json", meta)
    header = {"id": folder.name, "title": "A control", "block": Block(slos=[AVAILABILITY], control="a-a").to_json(), "load": profile.to_json()}
    writer.seal({**header, "clock": {"t0_ns": 1, "wall_s": 1.0, "boot_id": "b", "drift_ms_end": 0.5}, "end": {"how": "completed"}})
    rundir.seal_result(folder, judge(rundir.read(folder)))
    return folder


def test_the_outputs_are_drawn_from_a_run_directory_and_leave_its_seal_whole(run_dir: Path) -> None:
    written = [report.write(run_dir), *gate.write(run_dir)]
    assert [path.name for path in written] == ["report.html", "junit.xml", "summary.md", "metrics.txt"]
    assert rundir.verify(run_dir) == []
    told = Page((run_dir / "report.html").read_text(encoding="utf-8"))
    assert "5 of 250 checkout journeys failed" in told.text
    assert "Availability of checkout journeys" in told.text and "target 99 %" in told.text
    verdict = read(run_dir).verdict
    case = ET.parse(run_dir / "junit.xml").find(".//testcase[@name='verdict']")
    assert case is not None and (len(case) == 0) == (verdict == "PASS")


def test_drawing_again_gives_the_same_bytes(run_dir: Path) -> None:
    first = report.write(run_dir).read_bytes()
    assert report.write(run_dir).read_bytes() == first
    assert not list(run_dir.glob(".*"))


def test_a_run_that_was_never_judged_is_refused_with_the_command_that_judges(run_dir: Path) -> None:
    (run_dir / "result.json").unlink()
    with pytest.raises(UsageError, match="chaosx judge"):
        report.write(run_dir)


def test_a_result_that_is_no_result_is_refused(run_dir: Path) -> None:
    (run_dir / "result.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UsageError, match="expected a JSON object"):
        report.write(run_dir)


@pytest.mark.parametrize("name", ["run.json", "plan.json", "events.jsonl", "SEALED", "load/w0/meta.json", "load/w0/rows-0000.bin"])
def test_a_page_is_drawn_even_where_evidence_is_missing_and_says_which(run_dir: Path, name: str) -> None:
    (run_dir / name).unlink()
    told = Page(report.render(run_dir)).text
    assert "Problems with the evidence" in told and name.rsplit("/", maxsplit=1)[-1].split("-", maxsplit=1)[0] in told


@pytest.mark.parametrize("name", ["run.json", "plan.json", "events.jsonl", "load/w0/meta.json", "load/w0/rows-0000.bin", "load/w0/seconds.bin"])
def test_a_page_is_drawn_even_where_evidence_is_garbage(run_dir: Path, name: str) -> None:
    (run_dir / name).write_bytes(b'{"a": [\xff\x00 garbage\n')
    assert "Problems with the evidence" in Page(report.render(run_dir)).text


def test_an_edited_result_is_told(run_dir: Path) -> None:
    path = run_dir / "result.json"
    path.write_text(path.read_text(encoding="utf-8").replace("A control", "A fine control"), encoding="utf-8")
    assert "result.json" in Page(report.render(run_dir)).text.split("Problems with the evidence")[1]


def test_naming_the_outputs_imports_no_template_engine() -> None:
    modules = "chaoslib_ext.report, chaoslib_ext.gate.junit, chaoslib_ext.gate.summary"
    code = f"import sys, {modules}; print(sorted({{'jinja2', 'markupsafe', 'pydantic', 'yaml'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
