"""What is asked of every page in a real Chromium: fits the screen and the paper, no words over words, axe, and Jenkins' content policy."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import browser
import pytest

AXE = "axe-core@4.14.1"
JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
WIDTHS = (360, 800, 1400)
PAPERS = [pytest.param((8.27, 11.69), id="A4"), pytest.param((8.5, 11.0), id="Letter")]
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
# words outside of charts that lie over others, more than two pixels each way; what is only for screen readers is left out, and what a box scrolls away
WORDS_OVER_WORDS = """
(() => {
  const clipped = node => node && (getComputedStyle(node).clipPath !== 'none' || clipped(node.parentElement));
  const unseen = node => node.closest('svg, .scroll, .tip') || !node.checkVisibility() || clipped(node);
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = [];
  for (let text; (text = walk.nextNode());) {
    if (!text.data.trim() || unseen(text.parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) if (box.width > 1) seen.push([text, box]);
  }
  seen.sort(([, p], [, q]) => p.top - q.top);
  const out = [];
  seen.forEach(([a, p], i) => {
    for (let j = i + 1; j < seen.length && seen[j][1].top < p.bottom - 2; j++) {
      const [b, q] = seen[j];
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left), down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (a !== b && across > 2 && down > Math.min(p.height, q.height) / 2) out.push(a.data.trim() + ' / ' + b.data.trim());
    }
  });
  return out;
})()
"""
# shapes that the browser would paint black, because nothing but a style said what they are
BLACK = "[...document.querySelectorAll('svg.chart :is(rect, path)')].filter(each => !each.closest('[fill]') && !each.matches('.hair')).length"
VIOLATIONS = """
axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html, v.nodes[0].failureSummary]))
"""
TEXT = "document.body.innerText.replace(/\\s+/g, ' ')"


@pytest.fixture(scope="session")
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


def show(chromium: browser.Browser, page: Path, width: int, scheme: str = "light") -> None:
    """Opens a page on a screen of that width."""
    chromium.page("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
    chromium.page("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    chromium.open(page)


def assert_fits(chromium: browser.Browser, page: Path) -> None:
    """On a telephone, a tablet and a wide screen."""
    for width in WIDTHS:
        show(chromium, page, width)
        assert chromium.value(OVERLAPS) == [], width
        assert chromium.value(OUTSIDE) == [], width
        assert chromium.value(WORDS_OVER_WORDS) == [], width
        assert chromium.value("document.documentElement.scrollWidth") <= width


def assert_no_violation(chromium: browser.Browser, page: Path, axe: str) -> None:
    """Neither in light nor in dark, with everything opened that can be."""
    for scheme in ("light", "dark"):
        show(chromium, page, 1000, scheme)
        chromium.value("document.querySelectorAll('details').forEach(each => each.open = true)")
        chromium.value(f"(() => {{ {axe}; return 1 }})()")
        assert chromium.value(VIOLATIONS) == [], scheme


def assert_says_all_under_jenkins(chromium: browser.Browser, page: Path) -> None:
    """Without any style or script every word is still there, and no shape is painted black."""
    show(chromium, page, 1000)
    plain = chromium.value(TEXT)
    with jenkins(page.parent) as address:
        chromium.load(f"{address}/{page.name}")
        assert chromium.value("getComputedStyle(document.body).maxWidth") == "none", "the style was not refused, so nothing was tested"
        words: set[str] = set(chromium.value(TEXT).split(" "))
        assert [word for word in plain.split(" ") if word not in words] == []
        assert chromium.value(BLACK) == 0


def assert_prints_whole(chromium: browser.Browser, page: Path) -> None:
    """On white paper no figure may be cut, also where the reader's screen is dark; what only a screen needs is left out."""
    show(chromium, page, 1000, "dark")
    chromium.page("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert set(chromium.value("[...document.querySelectorAll('figure')].map(each => getComputedStyle(each).breakInside)")) <= {"avoid"}
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.value("[...document.querySelectorAll('details.numbers, nav')].every(each => getComputedStyle(each).display === 'none')")


def pages_on(chromium: browser.Browser, page: Path, paper: tuple[float, float]) -> int:
    """How many sheets it takes; `paper` in inches."""
    show(chromium, page, 1000, "dark")
    told = chromium.page("Page.printToPDF", paperWidth=paper[0], paperHeight=paper[1])
    return len(re.findall(rb"/Type\s*/Page\b", _unpacked(base64.b64decode(told["data"]))))


@contextmanager
def jenkins(folder: Path) -> Iterator[str]:
    """The address of a server that gives the files of a folder as Jenkins does by default."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Jenkins, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Jenkins(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", JENKINS)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        return


def _unpacked(pdf: bytes) -> bytes:
    """A PDF with its compressed object streams laid open."""
    out = [pdf]
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            out.append(zlib.decompress(found[1]))
        except zlib.error:
            continue
    return b"\n".join(out)
