"""What systems, files and people call themselves stays text in the report, in a real browser (S7 to S9)."""

from __future__ import annotations

import re
from pathlib import Path

import browser
import pytest
from hostile import PAYLOADS, everything, everywhere
from pages import Page

from chaoslib_ext.report.page import draw
from chaoslib_ext.report.words import CAP, clean

TEXT = "document.documentElement.textContent"


def assert_silent(page: browser.Browser, path: Path) -> None:
    """No dialog, no script, no request but for the page itself, no complaint, and nothing of a payload became an element."""
    page.open(path)
    asked = {one["request"]["url"] for one in page.events("Network.requestWillBeSent")}
    assert asked <= {path.as_uri()}, asked
    assert not page.events("Page.javascriptDialogOpening")
    assert [one["entry"]["text"] for one in page.events("Log.entryAdded")] == []
    assert page.events("Runtime.consoleAPICalled") + page.events("Runtime.exceptionThrown") == []
    assert page.value("location.href") == path.as_uri()
    own = "script:not(body > script:last-child)"  # the page's one script, pinned by its hash in the policy
    assert page.value(f"document.querySelectorAll('{own},iframe,img,object,embed,link,base,form,video,audio,input,template,[onload],[onerror]').length") == 0


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 200


@pytest.mark.slow
def test_s7_every_payload_in_every_field_stays_text_in_a_real_browser(chromium: browser.Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for text in PAYLOADS:
        path.write_text(draw(everywhere(text)), encoding="utf-8")
        assert_silent(chromium, path)
        assert squeezed(clean(text)) in squeezed(chromium.value(TEXT)), text


def test_s7_and_s8_all_payloads_on_one_page_stay_text_in_a_real_browser(chromium: browser.Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(draw(everything()), encoding="utf-8")
    assert_silent(chromium, path)
    shown = squeezed(chromium.value(TEXT))
    assert [text for text in PAYLOADS if squeezed(clean(text)) not in shown] == []
    assert chromium.value("document.querySelectorAll('meta[http-equiv=Content-Security-Policy]').length") == 1


def test_the_browser_would_tell(chromium: browser.Browser, tmp_path: Path) -> None:
    """The trap itself works: a page that does run a payload is noticed."""
    path = tmp_path / "bad.html"
    path.write_text("<!DOCTYPE html><title>x</title><img src=http://127.0.0.1:9/x.png><script>console.log(1)</script>", encoding="utf-8")
    with pytest.raises(AssertionError):
        assert_silent(chromium, path)


@pytest.mark.parametrize("size", [301, 10_000, 1_000_000])
def test_s9_a_long_text_is_cut_wherever_it_stands(size: int) -> None:
    html = draw(everywhere("E" * size))
    assert "E" * CAP not in html and "E" * (CAP - 1) in html
    assert len(html.encode()) < 300_000
    assert not Page(html).crossed
