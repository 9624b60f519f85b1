"""A run's page in a real Chromium: no words over words, nothing wider than the screen, no chart cut by print, no violation of axe, no need for its style."""

from __future__ import annotations

from pathlib import Path

import browser
import more_runs
import pytest
import sample_run
from page_checks import OVERLAPS, PAPERS, WORDS_OVER_WORDS, assert_fits, assert_no_violation, assert_prints_whole, assert_says_all_under_jenkins, pages_on

from chaoslib_ext.report.page import draw

pytestmark = pytest.mark.slow
RUNS = {**sample_run.RUNS, **more_runs.RUNS, **more_runs.LARGE}
every_run = pytest.mark.parametrize("name", list(RUNS))


def written(folder: Path, name: str) -> Path:
    page = folder / "report.html"
    page.write_text(draw(RUNS[name]()), encoding="utf-8")
    return page


@every_run
def test_no_words_lie_over_others_and_nothing_is_wider_than_the_screen(chromium: browser.Browser, tmp_path: Path, name: str) -> None:
    assert_fits(chromium, written(tmp_path, name))


def test_the_checks_for_overlaps_see_one(chromium: browser.Browser, tmp_path: Path) -> None:
    """The traps themselves work."""
    two = '<text x="10" y="20">one label</text><text x="14" y="22">another</text>'
    page = tmp_path / "bad.html"
    page.write_text(f'<!DOCTYPE html><svg class="chart" aria-label="c" width="300" height="60">{two}</svg><p>first<p style="margin-top:-30px">second', "utf-8")
    chromium.open(page)
    assert chromium.value(OVERLAPS) == ["c: one label / another"]
    assert chromium.value(WORDS_OVER_WORDS) == ["first / second"]


@pytest.mark.parametrize("name", [*sample_run.RUNS, *more_runs.RUNS])
def test_axe_finds_no_violation_in_light_and_dark(chromium: browser.Browser, tmp_path: Path, axe: str, name: str) -> None:
    assert_no_violation(chromium, written(tmp_path, name), axe)


def test_axe_would_tell(chromium: browser.Browser, tmp_path: Path, axe: str) -> None:
    """The check itself works: grey on grey and a picture without a name are seen."""
    page = tmp_path / "bad.html"
    page.write_text("<!DOCTYPE html><html><title>x</title><p style='color:#aaa;background:#bbb'>faint</p><img src='data:,'></html>", encoding="utf-8")
    chromium.open(page)
    chromium.value(f"(() => {{ {axe}; return 1 }})()")
    found = chromium.value("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id))")
    assert {"color-contrast", "image-alt", "html-has-lang"} <= set(found)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("name", ["pass", "lossy", "ten-minutes", "error"])
def test_print_keeps_to_its_pages_and_leaves_the_data_tables_out(chromium: browser.Browser, tmp_path: Path, name: str, paper: tuple[float, float]) -> None:
    assert 1 <= pages_on(chromium, written(tmp_path, name), paper) <= {"error": 2, "pass": 6, "lossy": 7, "ten-minutes": 8}[name]


def test_in_print_no_figure_may_be_cut_and_the_paper_is_white(chromium: browser.Browser, tmp_path: Path) -> None:
    page = written(tmp_path, "lossy")
    assert_prints_whole(chromium, page)
    assert chromium.value("document.querySelectorAll('figure, details.numbers').length") > 8


@pytest.mark.parametrize("name", ["pass", "fail", "dirty", "not-begun"])
def test_without_any_style_or_script_everything_is_still_said_and_the_charts_are_painted(chromium: browser.Browser, tmp_path: Path, name: str) -> None:
    assert_says_all_under_jenkins(chromium, written(tmp_path, name))
