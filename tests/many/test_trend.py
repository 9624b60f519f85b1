"""The trend over many runs: comparable ones together, what changed between the others, nothing judged again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import shelf_of_runs
from pages import Page

from chaoslib_ext.cli.words import say, tell
from chaoslib_ext.report.many import trend, trendpage, trendwords
from chaoslib_ext.report.many.shelf import folders, look, parted


def runs(top: Path, *changes: dict[str, object], kind: str = "pass") -> list[trend.Trend]:
    for at, change in enumerate(changes):
        shelf_of_runs.make(top / f"r{at:02}", kind, at=at, **change)
    return trend.trends(parted(map(look, folders([top])))[0])


def test_comparable_runs_are_one_stretch_oldest_first(tmp_path: Path) -> None:
    [found] = runs(tmp_path, {"rto": (4.0, 4.2)}, {"rto": (4.1, 4.3)}, {"rto": (4.0, 4.4)}, {"rto": (8.0, 8.2)})
    [stretch] = found.stretches
    assert [point.past.rto for point in stretch.points] == [(4.0, 4.2), (4.1, 4.3), (4.0, 4.4), (8.0, 8.2)]
    assert "Worse (+91 %, outside the usual spread): the median of 3 runs is 4.3 s." in stretch.told.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "b" * 64}, "the experiment file changed"),
        ({"load": {"stages": [{"rate": 9.0}]}}, "the load profile changed"),
        ({"result": {"control": "a-a"}}, "control: none became a-a"),
    ],
    ids=["experiment", "profile", "control"],
)
def test_what_changed_parts_the_runs_and_is_told(tmp_path: Path, change: dict[str, object], told: str) -> None:
    [found] = runs(tmp_path, {}, {}, change)
    assert [len(stretch.points) for stretch in found.stretches] == [2, 1]
    assert found.stretches[1].changed == (told,)


def test_another_environment_is_another_trend(tmp_path: Path) -> None:
    assert [(found.environment, len(found.points)) for found in runs(tmp_path, {}, {"env": "staging"}, {})] == [("sandbox", 2), ("staging", 1)]


def test_a_version_is_told_and_parts_nothing(tmp_path: Path) -> None:
    [found] = runs(tmp_path, {}, {"version": "0.2.0"})
    [stretch] = found.stretches
    assert list(trendwords.noted(stretch.points).values()) == [["chaosx 0.1.0 became 0.2.0"]]
    assert "       chaosx 0.1.0 became 0.2.0" in list(trendwords.lines([found]))


def test_what_was_changed_back_is_compared_with_the_runs_before_the_change(tmp_path: Path) -> None:
    [found] = runs(tmp_path, {}, {}, {}, {"sha256": "b" * 64}, {})
    assert [len(stretch.points) for stretch in found.stretches] == [3, 1, 1]
    assert "the median of 3 runs" in found.stretches[2].told.replace("\u00a0", " ")


def test_what_was_not_measured_is_never_a_zero(tmp_path: Path) -> None:
    [found] = runs(tmp_path, {}, kind="inconclusive")
    [row] = trend.to_json([found])[0]["stretches"][0]["runs"]
    assert (row["rto"]["lo_s"], row["rto"]["hi_s"], row["rpo"]["lost_writes"]) == (None, None, None)
    assert "RTO –  RPO not measured" in "\n".join(trendwords.lines([found]))


def test_lost_writes_and_availability_are_told_with_their_counts(tmp_path: Path) -> None:
    [found] = runs(tmp_path, {"result": {"rpo": {"lost": 12, "lo_s": 3.1, "hi_s": 3.4, "acknowledged": 900}}})
    told = "\n".join(trendwords.lines([found])).replace("\u00a0", " ")
    assert "RPO 12 writes, 3.1–3.4 s" in told and "checkout-availability 96.43 % of 1,600" in told


def test_the_page_is_the_same_bytes_twice_and_has_a_table_and_a_description(tmp_path: Path) -> None:
    found = runs(tmp_path, {}, {}, {"sha256": "b" * 64}, {})
    first, second = (trendpage.draw(found, [], tmp_path / "trend.html") for _ in range(2))
    page = Page(first)
    assert first == second and not page.crossed and not page.open
    assert "Recovery time of 2" in str(next(attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "img"))
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.elements if tag == "th")
    assert "Not comparable with the runs before: the experiment file changed." in page.text


def chaosx(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "chaoslib_ext.cli", *map(str, argv)], capture_output=True, text=True, timeout=120, check=False)


def test_the_command_prints_text_json_and_a_page_and_leaves_out_what_was_altered(tmp_path: Path) -> None:
    runs(tmp_path / "reports", {}, {})
    altered = shelf_of_runs.make(tmp_path / "reports" / "r99", at=9)
    (altered / "result.json").write_text((altered / "result.json").read_text() + " ")
    (tmp_path / "reports" / "junk").mkdir()
    done = chaosx("trend", tmp_path / "reports", "--json", "-o", tmp_path / "trend.html")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [run["run"][-3:] for one in told["trends"] for stretch in one["stretches"] for run in stretch["runs"]] == ["r00", "r01"]
    assert sorted(Path(each["directory"]).name for each in told["not_shown"]) == ["junk", "r99"]
    assert (tmp_path / "trend.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    plain = chaosx("trend", tmp_path / "reports")
    assert plain.stdout.startswith("trend of zone-loss.yaml in sandbox: 2") and "r99: left out, not as it was sealed: result.json" in plain.stderr


def test_a_name_that_is_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    done = chaosx("trend", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "") and "no such directory" in done.stderr


ORDERS = "##vso[task.complete result=Succeeded;]"


def test_a_name_is_no_order_to_the_pipeline_that_shows_the_trend(tmp_path: Path) -> None:
    runs(tmp_path / "reports", {"env": ORDERS, "title": ORDERS, "version": f"1 {ORDERS}"}, {"env": ORDERS, "version": "##[error]2"})
    (tmp_path / "reports" / "##vso[task.complete]").mkdir()
    plain, as_json = chaosx("trend", tmp_path / "reports"), chaosx("trend", tmp_path / "reports", "--json")
    assert (plain.returncode, as_json.returncode) == (0, 0)
    assert "##" not in plain.stdout + plain.stderr + as_json.stdout + as_json.stderr
    assert "# #vso[task.complete result=Succeeded;]" in plain.stdout
    assert json.loads(as_json.stdout)["trends"][0]["environment"] == ORDERS, "the same once it is read"


@pytest.mark.parametrize(
    "order", ["##vso[task.complete]", "##[error]x", "##teamcity[x]", "::error::x", "  ::set-output name=x::y", "a\n::add-mask::b", "#\x00#vso[x]"]
)
def test_no_order_of_a_pipeline_is_told(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    tell(order)
    say(f"PASS\n{order}")
    printed = capsys.readouterr().out
    assert not re.search(r"##[\w-]*\[|^\s*::\w", printed, re.MULTILINE)
    tell("SLO x::y at 10:30::1, ## a heading, T+3::4")
    assert capsys.readouterr().out == "SLO x::y at 10:30::1, ## a heading, T+3::4\n"
