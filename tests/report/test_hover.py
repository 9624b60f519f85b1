"""The script of the charts: pinned by its hash, it reads a moment out of the tables of the page, by mouse and by keys, and nothing depends on it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import browser
import more_runs
import page_checks
import pytest
import sample_run
from pages import Page

import chaoslib_ext.report
from chaoslib_ext.report.page import draw

RUNS = {**sample_run.RUNS, **more_runs.RUNS, **more_runs.LARGE}
SCRIPT = (Path(chaoslib_ext.report.__file__).parent / "hover.js").read_text(encoding="utf-8")
TIPS = "[...document.querySelectorAll('.tip')].filter(each => each.checkVisibility()).map(each => each.textContent)"
SPOKEN = "document.querySelector('.spoken').textContent"
# where everything stands, but for what the script lays over it
PLACES = """
[...document.querySelectorAll('body *:not(.tip, .hair, .spoken, script)')].map(each => {
  const box = each.getBoundingClientRect();
  return [each.tagName, Math.round(box.left * 10), Math.round(box.top * 10), Math.round(box.width * 10), Math.round(box.height * 10)].join(' ');
}).concat([document.documentElement.scrollHeight, document.documentElement.scrollWidth])
"""


def tables(html: str) -> list[tuple[list[str], list[list[str]]]]:
    """The data tables of a page, in their order: names, and cells."""
    found = []
    for table in re.findall(r'<table class="numbers".*?</table>', html, re.DOTALL):
        rows = [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in re.findall(r"<tr>(.*?)</tr>", table)]
        found.append((rows[0], rows[1:]))
    return found


def expected(html: str, second: float) -> list[str]:
    """What each chart must say at a second: its table's own row."""
    said = []
    for heads, rows in tables(html):
        [row] = [row for row in rows if float(row[0].split("–")[0]) <= second < float(row[0].split("–")[1])]
        said.append("\n".join([f"T+{row[0]} s", *(f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=True))]))
    return said


def point(chromium: browser.Browser, chart: int, second: float) -> None:
    """Moves the mouse over the chart of a table, to a second of its axis."""
    box: dict[str, Any] = chromium.value(
        f"(svg => (svg.scrollIntoView({{block: 'center'}}), {{...svg.getBoundingClientRect().toJSON(), end: +svg.dataset.end}}))"
        f"([...document.querySelectorAll('svg[tabindex]')][{chart}])"
    )
    x, y = box["left"] + (second + 0.5) / box["end"] * box["width"], box["top"] + box["height"] / 2
    chromium.page("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def press(chromium: browser.Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        chromium.page("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def opened(chromium: browser.Browser, folder: Path, name: str, width: int = 1000, altered: str = "") -> str:
    html = draw(RUNS[name]())
    (folder / "report.html").write_text(html.replace(SCRIPT, SCRIPT + altered), encoding="utf-8")
    page_checks.show(chromium, folder / "report.html", width)
    return html


def test_the_script_is_small_asks_nobody_and_writes_no_markup() -> None:
    assert len(SCRIPT.encode()) <= 3072
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch|XMLHttp|import|https?:|setTimeout|location|cookie|storage", SCRIPT
    )
    assert "</" not in SCRIPT


@pytest.mark.parametrize("name", ["pass", "fail", "error", "empty"])
def test_a_page_has_the_script_once_where_there_is_something_to_point_at(name: str) -> None:
    html = draw(RUNS[name]())
    drawn = html.count('<details class="numbers">') > 0
    assert html.count("<script>") == html.count(SCRIPT) == drawn
    assert ("script-src" in html) == drawn


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pass", "lossy", "ten-minutes", "twelve-hours"])
def test_the_mouse_shows_the_figures_of_that_moment_in_every_chart(chromium: browser.Browser, tmp_path: Path, name: str) -> None:
    html = opened(chromium, tmp_path, name)
    end = int(chromium.value("document.querySelector('svg[data-end]').dataset.end"))
    assert chromium.value(TIPS) == []
    for chart in range(len(tables(html))):
        for second in (int(end * 0.1), int(end * 0.24), int(end * 0.9)):
            point(chromium, chart, second)
            assert chromium.value(TIPS) == expected(html, second), (chart, second)
    assert chromium.value(SPOKEN) == "", "a mouse that moves must not make a screen reader talk"
    chromium.page("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert chromium.value(TIPS) == []


@pytest.mark.slow
def test_keys_walk_through_the_table_and_escape_ends_it(chromium: browser.Browser, tmp_path: Path) -> None:
    html = opened(chromium, tmp_path, "lossy")
    _, rows = tables(html)[1]
    step = float(rows[0][0].split("–")[1]) - float(rows[0][0].split("–")[0])
    chromium.value("[...document.querySelectorAll('svg[tabindex]')][1].focus()")
    walk = ["ArrowRight"] * 12 + ["ArrowLeft"] * 2
    for key in walk:
        press(chromium, key)
    second = (12 - 1 - 2) * step
    assert chromium.value(TIPS) == expected(html, second)
    assert chromium.value(SPOKEN) == expected(html, second)[1].replace("\n", ", ")
    assert chromium.value("document.querySelector('.spoken').getAttribute('aria-live')") == "polite"
    press(chromium, "Escape")
    assert (chromium.value(TIPS), chromium.value(SPOKEN)) == ([], "")
    press(chromium, "ArrowLeft")
    assert chromium.value(TIPS)[0].startswith("T+"), "from the end"
    chromium.value("document.activeElement.blur()")
    assert chromium.value(TIPS) == []


@pytest.mark.slow
def test_every_chart_is_reached_by_the_tab_key_and_no_arrow_is_taken_elsewhere(chromium: browser.Browser, tmp_path: Path) -> None:
    html = opened(chromium, tmp_path, "pass")
    reached = set()
    for _ in range(60):
        chromium.page("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(chromium.value("document.activeElement.matches('svg[tabindex]') ? document.activeElement.getAttribute('aria-label') : ''"))
    assert len(reached - {""}) == len(tables(html))
    chromium.value("document.activeElement.blur()")
    press(chromium, "ArrowRight")
    assert chromium.value(TIPS) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", page_checks.WIDTHS)
def test_nothing_moves_when_a_moment_is_shown_and_nothing_gets_wider(chromium: browser.Browser, tmp_path: Path, width: int) -> None:
    html = opened(chromium, tmp_path, "lossy", width, altered=" ")
    without = chromium.value(PLACES)
    opened(chromium, tmp_path, "lossy", width)
    assert chromium.value(PLACES) == without
    for chart in range(len(tables(html))):
        for second in (1, 20, 45, 89):
            point(chromium, chart, second)
            assert len(chromium.value(TIPS)) == len(tables(html))
            chromium.value("scrollTo(0, 0)")
            assert chromium.value(PLACES) == without, (chart, second)


@pytest.mark.slow
def test_one_altered_byte_and_the_browser_refuses_the_script(chromium: browser.Browser, tmp_path: Path) -> None:
    opened(chromium, tmp_path, "pass")
    assert chromium.value("document.querySelectorAll('svg[tabindex]').length") > 0
    assert chromium.events("Log.entryAdded") == []
    html = opened(chromium, tmp_path, "pass", altered=" ")
    assert chromium.value("document.querySelectorAll('svg[tabindex], .tip, .hair, .spoken').length") == 0
    [entry] = chromium.events("Log.entryAdded")
    assert "Content Security Policy" in entry["entry"]["text"] and "script" in entry["entry"]["text"]
    words = chromium.value("document.body.innerText")
    assert [word for word in Page(html).text.split() if word not in words and word not in chromium.value("document.body.textContent")] == []


@pytest.mark.slow
def test_axe_finds_no_violation_while_a_moment_is_shown(chromium: browser.Browser, tmp_path: Path, axe: str) -> None:
    for scheme in ("light", "dark"):
        opened(chromium, tmp_path, "lossy")
        page_checks.show(chromium, tmp_path / "report.html", 1000, scheme)
        chromium.value(f"(() => {{ {axe}; return 1 }})()")
        chromium.value("document.querySelector('svg[tabindex]').focus()")
        press(chromium, "ArrowRight")
        press(chromium, "ArrowRight")
        assert len(chromium.value(TIPS)) > 3
        assert chromium.value(page_checks.VIOLATIONS) == [], scheme


@pytest.mark.slow
def test_paper_shows_nothing_of_it(chromium: browser.Browser, tmp_path: Path) -> None:
    opened(chromium, tmp_path, "pass")
    point(chromium, 0, 30)
    assert chromium.value(TIPS)
    chromium.page("Emulation.setEmulatedMedia", media="print")
    assert chromium.value("[...document.querySelectorAll('.tip, .hair, .spoken')].every(each => getComputedStyle(each).display === 'none')")


@pytest.mark.slow
def test_under_the_policy_of_jenkins_it_does_not_run_and_nothing_else_is_amiss(chromium: browser.Browser, tmp_path: Path) -> None:
    opened(chromium, tmp_path, "pass")
    with page_checks.jenkins(tmp_path) as address:
        chromium.load(f"{address}/report.html")
        assert chromium.value("document.querySelectorAll('.tip, .hair, .spoken').length") == 0
        complaints = [one["entry"]["text"] for one in chromium.events("Log.entryAdded") if "favicon" not in one["entry"].get("url", "")]
        assert complaints and all("Content Security Policy" in text or "sandboxed" in text for text in complaints), complaints
        assert chromium.events("Runtime.exceptionThrown") == []
