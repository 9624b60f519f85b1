"""The index's filters in a real browser: no script, only what was chosen is shown, by keyboard too; and a thousand runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import shelf_of_runs

from chaoslib_ext.report.many import index
from chaoslib_ext.report.many.shelf import folders

sys.path.append(str(Path(__file__).parents[1] / "security"))
import browser

SHOWN = "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetParent !== null).map(row => row.innerText.replace(/\\s+/g, ' '))"


@pytest.mark.slow
def test_only_the_chosen_verdict_and_service_are_shown(chromium: browser.Browser, tmp_path: Path) -> None:
    for at, (kind, service) in enumerate([("pass", "cart"), ("fail", "cart"), ("fail", "search"), ("pass", "search"), ("fail", "cart")]):
        shelf_of_runs.make(tmp_path / f"r{at}", kind, at=at, service=service)
    page = tmp_path / "index.html"
    page.write_text(index.render(folders([tmp_path]), page), encoding="utf-8")
    chromium.open(page)
    assert len(chromium.value(SHOWN)) == 5
    chromium.value("document.querySelector('label[for^=v-]:nth-of-type(2)').click()")
    assert ["FAIL" in row for row in chromium.value(SHOWN)] == [True] * 3
    chromium.value("[...document.querySelectorAll('label')].find(each => each.innerText.startsWith('cart')).click()")
    assert [("FAIL" in row, "cart" in row) for row in chromium.value(SHOWN)] == [(True, True)] * 2
    chromium.value("document.querySelector('#v-all').focus()")
    for kind in ("keyDown", "keyUp"):
        chromium.page("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert chromium.value("document.activeElement.type + document.activeElement.checked") == "radiotrue"
    assert chromium.events("Log.entryAdded") == []


@pytest.mark.slow
def test_a_thousand_runs_and_ten_that_are_none_are_one_small_page(tmp_path: Path) -> None:
    first = shelf_of_runs.make(tmp_path / "run-0000")
    for at in range(1, 1000):
        shutil.copytree(first, tmp_path / f"run-{at:04}")
    for at in range(10):
        (tmp_path / f"none-{at}").mkdir()
    html = index.render(folders([tmp_path]), tmp_path / "index.html")
    assert html.count('<tr class="w') == 1000 and html.count("holds no run.json") == 10 and len(html.encode()) < 800_000
