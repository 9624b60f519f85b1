"""Roll-up, index and trend in a real Chromium: all that is asked of a run's page, and links that lead somewhere wherever they are published."""

from __future__ import annotations

import shutil
from pathlib import Path

import browser
import more_runs
import page_checks
import pytest
import shelf_of_runs
from page_checks import PAPERS

from chaoslib_ext.report.many import index, rollup, trend, trendpage
from chaoslib_ext.report.many.shelf import folders, look, parted

pytestmark = pytest.mark.slow
LONG = "checkout-" + "x" * 120
ALL = ("rollup", "index", "trend", "odd-rollup", "odd-index", "odd-trend", "no-rollup", "no-index", "no-trend")
every_page = pytest.mark.parametrize("name", ALL)


def drawn(top: Path, prefix: str = "") -> None:
    """The three pages of a folder of runs, in that folder."""
    cards, foreign = parted(look(folder) for folder in folders([top]))
    for name, html in (
        ("rollup", rollup.draw(rollup.collect(folders([top]), top / f"{prefix}rollup.html"))),
        ("index", index.render(folders([top]), top / f"{prefix}index.html")),
        ("trend", trendpage.draw(trend.trends(cards), foreign, top / f"{prefix}trend.html")),
    ):
        (top / f"{prefix}{name}.html").write_text(html, encoding="utf-8")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve runs of all verdicts and two that are none, of five experiments; one of names that fit nowhere; one of nothing."""
    top = tmp_path_factory.mktemp("reports")
    made = shelf_of_runs.day_of_runs(top / "day")
    made += [shelf_of_runs.make(top / "day" / f"again-{at}", "pass", at=20 + at, rto=(4.0 + at / 5, 4.2 + at / 5), version=f"0.{at // 2}.0") for at in range(6)]
    made += [shelf_of_runs.make(top / "day" / "changed", "fail", at=30, sha256="b" * 64)]
    for at, name in enumerate((more_runs.HEBREW, LONG, "a b", "-- ✗ PASS")):
        made.append(shelf_of_runs.make(top / "odd" / f"odd-{at}", ("pass", "fail")[at % 2], at=at, service=name, func=LONG, how=name, title=name, env=name))
    for folder in made:
        (folder / "report.html").write_text("<!DOCTYPE html><title>the page of a run</title>", encoding="utf-8")
    for folder in ("day/empty", "odd/" + "e" * 200, "no"):
        (top / folder).mkdir()
    drawn(top / "day")
    drawn(top / "odd", "odd-")
    drawn(top / "no", "no-")
    return top


def page_of(shelf: Path, name: str) -> Path:
    return shelf / (name.partition("-")[0] if "-" in name else "day") / f"{name}.html"


@every_page
def test_no_words_lie_over_others_and_nothing_is_wider_than_the_screen(chromium: browser.Browser, shelf: Path, name: str) -> None:
    page_checks.assert_fits(chromium, page_of(shelf, name))


@every_page
def test_axe_finds_no_violation_in_light_and_dark(chromium: browser.Browser, shelf: Path, axe: str, name: str) -> None:
    page_checks.assert_no_violation(chromium, page_of(shelf, name), axe)


@every_page
def test_under_the_policy_of_jenkins_everything_is_still_said(chromium: browser.Browser, shelf: Path, name: str) -> None:
    page_checks.assert_says_all_under_jenkins(chromium, page_of(shelf, name))


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize(("name", "most"), [("rollup", 12), ("index", 2), ("trend", 4), ("no-rollup", 1), ("no-index", 1), ("no-trend", 1)])
def test_print_keeps_to_its_pages(chromium: browser.Browser, shelf: Path, name: str, most: int, paper: tuple[float, float]) -> None:
    assert 1 <= page_checks.pages_on(chromium, page_of(shelf, name), paper) <= most


@every_page
def test_in_print_no_figure_and_no_line_of_a_table_may_be_cut(chromium: browser.Browser, shelf: Path, name: str) -> None:
    page_checks.assert_prints_whole(chromium, page_of(shelf, name))
    assert set(chromium.value("[...document.querySelectorAll('tr')].map(each => getComputedStyle(each).breakInside)")) <= {"avoid"}


@pytest.mark.parametrize("name", ["rollup", "index", "trend"])
def test_a_click_leads_to_the_page_of_a_run_wherever_the_folder_is_published(chromium: browser.Browser, shelf: Path, tmp_path: Path, name: str) -> None:
    """Moved, and under the policy of Jenkins, which forbids the script and the style but no link."""
    shutil.copytree(shelf / "day", tmp_path / "job 7 (main)" / "artifacts")
    with page_checks.jenkins(tmp_path) as address:
        chromium.load(f"{address}/job%207%20(main)/artifacts/{name}.html")
        found = chromium.value("[...document.querySelectorAll('a[href]')].map(each => each.href).filter(each => !each.includes('#'))")
        assert found
        for link in sorted(set(found)):
            chromium.load(link)
            assert chromium.value("document.title") == "the page of a run", link


def test_the_verdict_block_of_a_run_in_the_roll_up_is_reached_from_the_heat_map_and_the_table(chromium: browser.Browser, shelf: Path) -> None:
    page_checks.show(chromium, page_of(shelf, "rollup"), 1000)
    inside = "[...document.querySelectorAll('.heat a, #runs tbody th a')].map(each => each.getAttribute('href'))"
    for anchor in sorted(set(chromium.value(inside))):
        chromium.value(f"document.querySelector('a[href=\"{anchor}\"]').click()")
        there = f"document.querySelector('{anchor}').getBoundingClientRect().top"
        assert -2 <= chromium.value(there) < 900, anchor
    assert chromium.events("Log.entryAdded") == []
