"""The page in a real Chromium: no words over words, nothing wider than the screen, no chart cut by print, no violation of axe, no need for its style."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import browser
import more_runs
import pytest
import sample_run

from chaoslib_ext.report.page import draw

pytestmark = pytest.mark.slow
AXE = "axe-core@4.14.1"
JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
RUNS = {**sample_run.RUNS, **more_runs.RUNS, **more_runs.LARGE}
WIDTHS = (360, 800, 1400)
# words of a chart that lie over other words of the same chart, more than a pixel each way
OVERLAPS = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const seen = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
  const out = [];
  seen.forEach(([a, p], i) => seen.slice(i + 1).forEach(([b, q]) => {
    const across = Math.min(p.right, q.right) - Math.max(p.left, q.left), down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (across > 1 && down > 3) out.push(chart.getAttribute('aria-label') + ': ' + a + ' / ' + b);
  }));
  return out;
})
"""
# words of a chart that stand outside of it
OUTSIDE = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const room = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width > 0 && (box.left < room.left - 2 || box.right > room.right + 2 || box.top < room.top - 4 || box.bottom > room.bottom + 4);
  }).map(text => chart.getAttribute('aria-label') + ': ' + text.textContent);
})
"""
# shapes that the browser would paint black, because nothing but a style said what they are
BLACK = "[...document.querySelectorAll('svg.chart :is(rect, path)')].filter(each => !each.closest('[fill]')).length"
VIOLATIONS = """
axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html, v.nodes[0].failureSummary]))
"""
every_run = pytest.mark.parametrize("name", list(RUNS))


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core, installed once into the user's cache by npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = Path.home() / ".cache" / "chaosx-tests" / AXE
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), AXE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm could not install {AXE}: {done.stderr[-200:]}")
    return script.read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def show(chromium: browser.Browser, page: Path, width: int, scheme: str = "light") -> None:
    chromium.page("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
    chromium.page("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    chromium.open(page)


@every_run
def test_no_words_of_a_chart_lie_over_others_and_nothing_is_wider_than_the_screen(chromium: browser.Browser, page: Path, name: str) -> None:
    page.write_text(draw(RUNS[name]()), encoding="utf-8")
    for width in WIDTHS:
        show(chromium, page, width)
        assert chromium.value(OVERLAPS) == [], width
        assert chromium.value(OUTSIDE) == [], width
        assert chromium.value("document.documentElement.scrollWidth") <= width


def test_the_check_for_overlaps_sees_one(chromium: browser.Browser, page: Path) -> None:
    """The trap itself works."""
    two = '<text x="10" y="20">one label</text><text x="14" y="22">another</text>'
    page.write_text(f'<!DOCTYPE html><svg class="chart" aria-label="c" width="300" height="60">{two}</svg>', encoding="utf-8")
    chromium.open(page)
    assert chromium.value(OVERLAPS) == ["c: one label / another"]


@pytest.mark.parametrize("name", [*sample_run.RUNS, *more_runs.RUNS])
def test_axe_finds_no_violation_in_light_and_dark(chromium: browser.Browser, page: Path, axe: str, name: str) -> None:
    page.write_text(draw(RUNS[name]()), encoding="utf-8")
    for scheme in ("light", "dark"):
        show(chromium, page, 1000, scheme)
        chromium.value("document.querySelectorAll('details').forEach(each => each.open = true)")
        chromium.value(f"(() => {{ {axe}; return 1 }})()")
        assert chromium.value(VIOLATIONS) == [], scheme


def test_axe_would_tell(chromium: browser.Browser, page: Path, axe: str) -> None:
    """The check itself works: grey on grey and a picture without a name are seen."""
    page.write_text("<!DOCTYPE html><html><title>x</title><p style='color:#aaa;background:#bbb'>faint</p><img src='data:,'></html>", encoding="utf-8")
    chromium.open(page)
    chromium.value(f"(() => {{ {axe}; return 1 }})()")
    found = chromium.value("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id))")
    assert {"color-contrast", "image-alt", "html-has-lang"} <= set(found)


@pytest.mark.parametrize("paper", [(8.27, 11.69), (8.5, 11.0)], ids=["A4", "Letter"])
@pytest.mark.parametrize("name", ["pass", "lossy", "ten-minutes", "error"])
def test_print_keeps_to_its_pages_and_leaves_the_data_tables_out(chromium: browser.Browser, page: Path, name: str, paper: tuple[float, float]) -> None:
    page.write_text(draw(RUNS[name]()), encoding="utf-8")
    show(chromium, page, 1000, "dark")
    told = chromium.page("Page.printToPDF", paperWidth=paper[0], paperHeight=paper[1])
    pages = len(re.findall(rb"/Type\s*/Page\b", unpacked(base64.b64decode(told["data"]))))
    assert 1 <= pages <= {"error": 2, "pass": 6, "lossy": 7, "ten-minutes": 8}[name]


def test_in_print_no_figure_may_be_cut_and_the_paper_is_white(chromium: browser.Browser, page: Path) -> None:
    page.write_text(draw(RUNS["lossy"]()), encoding="utf-8")
    show(chromium, page, 1000, "dark")
    chromium.page("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert set(chromium.value("[...document.querySelectorAll('figure')].map(each => getComputedStyle(each).breakInside)")) == {"avoid"}
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.value("[...document.querySelectorAll('details.numbers')].every(each => getComputedStyle(each).display === 'none')")


@pytest.mark.parametrize("name", ["pass", "fail", "dirty", "not-begun"])
def test_without_any_style_or_script_everything_is_still_said_and_the_charts_are_painted(chromium: browser.Browser, page: Path, name: str) -> None:
    page.write_text(draw(RUNS[name]()), encoding="utf-8")
    show(chromium, page, 1000)
    plain = chromium.value("document.body.innerText.replace(/\\s+/g, ' ')")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Jenkins, directory=str(page.parent)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        chromium.load(f"http://127.0.0.1:{server.server_port}/{page.name}")
        assert chromium.value("getComputedStyle(document.body).maxWidth") == "none", "the style was not refused, so nothing was tested"
        words: set[str] = set(chromium.value("document.body.innerText.replace(/\\s+/g, ' ')").split(" "))
        assert [word for word in plain.split(" ") if word not in words] == []
        assert chromium.value(BLACK) == 0
    finally:
        server.shutdown()
        server.server_close()


class Jenkins(SimpleHTTPRequestHandler):
    """Serves a folder as Jenkins does by default."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", JENKINS)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        return


def unpacked(pdf: bytes) -> bytes:
    """A PDF with its compressed object streams laid open."""
    out = [pdf]
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            out.append(zlib.decompress(found[1]))
        except zlib.error:
            continue
    return b"\n".join(out)
