"""What systems, files and people call themselves stays text in the report, in a real browser (S7 to S9)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import pytest
import sample_run
from pages import Page

from chaoslib_ext.report.facts import Endpoint, Facts, Promise
from chaoslib_ext.report.page import draw
from chaoslib_ext.report.words import CAP, clean

# texts that have become code in some browser or page before: tags, attributes, addresses, styles, templates, and ways around filters
PAYLOADS = [str(json.loads(line)) for line in Path(__file__).with_name("payloads.jsonl").read_text(encoding="utf-8").splitlines()]
KEPT = ("verdict", "kind", "outcome", "state", "mode")  # words of ours; whatever else is a text becomes the payload
TEXT = "document.documentElement.textContent"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    if browser.PROGRAM is None:
        pytest.skip("chromium is not installed")
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def filled(value: Any, text: str) -> Any:
    """The same shape with every text replaced."""
    if isinstance(value, dict):
        return {key: value[key] if key in KEPT else filled(value[key], text) for key in value}
    if isinstance(value, list | tuple):
        return [filled(item, text) for item in value]
    return text if isinstance(value, str) else value


def everywhere(text: str) -> Facts:
    """The failing run with this text in every field of a run directory that holds text, names of keys included."""
    base = sample_run.failing()
    plan = filled(base.plan, text)
    plan["resolved"][0] |= {"of": {text: {"total": 6, "hit": 2}}, "survivors": {text: 2}}
    header = {**filled(base.header, text), "versions": {text: text}, "warnings": [text], "env": {"name": text, "identity": {text: text}}}
    kinds = ("stop", "note", "decision", "alert", "activity", "target", "phase", "reading")
    told = dict.fromkeys(("name", "text", "by", "detail", "rule", "status", "error", "what", "value", "zone", "uid", "proof", "module", "func"), text)
    events = [filled(event, text) for event in base.events] + [{"t_ns": at + 1, "seq": 900 + at, "kind": kind, **told} for at, kind in enumerate(kinds)]
    promises = (Promise(text, text, "journey", None, 0.95), Promise(text, text, "journey", 250.0, 0.9))
    endpoints = (Endpoint(0, text, text, "journey"), Endpoint(1, text, text, "step"))
    result = {**filled(base.result, text), "control": text, "notices": [text]}
    return Facts(result, header, plan, tuple(events), base.rows, endpoints, promises, (text,))


def everything() -> Facts:
    """One run that holds all payloads at once, in the fields that are lists."""
    base = sample_run.failing()
    notes = [{"t_ns": at + 1, "seq": 1000 + at, "kind": "note", "text": text, "name": text, "by": text} for at, text in enumerate(PAYLOADS)]
    result = {**base.result, "notices": list(PAYLOADS)}
    header = {**base.header, "warnings": list(PAYLOADS), "versions": {text: text for text in PAYLOADS}}
    return replace(base, result=result, header=header, events=(*base.events, *notes), problems=tuple(PAYLOADS))


def assert_silent(page: browser.Browser, path: Path) -> None:
    """No dialog, no script, no request but for the page itself, no complaint, and nothing of a payload became an element."""
    page.open(path)
    asked = {one["request"]["url"] for one in page.events("Network.requestWillBeSent")}
    assert asked <= {path.as_uri()}, asked
    assert not page.events("Page.javascriptDialogOpening")
    assert [one["entry"]["text"] for one in page.events("Log.entryAdded")] == []
    assert page.events("Runtime.consoleAPICalled") + page.events("Runtime.exceptionThrown") == []
    assert page.value("location.href") == path.as_uri()
    assert page.value("document.querySelectorAll('script,iframe,img,object,embed,link,base,form,video,audio,input,template,[onload],[onerror]').length") == 0


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 60


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
