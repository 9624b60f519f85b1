"""What systems, files and people call themselves stays text in every output beside the run's own page (S7, S8)."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import browser
import pytest
from hostile import PAYLOADS, everything, everywhere
from otlp_rules import check
from pages import Page

from chaoslib_ext.exports import grafana, otlp
from chaoslib_ext.exports.seconds_csv import HEAD, cell, table
from chaoslib_ext.gate.junit import junit_xml
from chaoslib_ext.gate.summary import metrics_text, summary_markdown
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.many import index, rollup, trendpage, trendwords
from chaoslib_ext.report.many.shelf import Foreign, folders, look, parted
from chaoslib_ext.report.many.trend import trends
from chaoslib_ext.report.words import clean

FORMULA = re.compile('[\\s"]*[=+\\-@＝＋－＠]')
METRIC = re.compile(r'chaosx_[a-z_]+\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\} -?[0-9.e+-]+')
TAGS = {
    *[
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "svg",
        "defs",
        "pattern",
        "path",
        "header",
        "p",
        "span",
        "h1",
        "h2",
        "h3",
        "h4",
        "main",
        "section",
        "article",
        "nav",
        "ul",
        "li",
        "a",
        "dl",
        "div",
        "dt",
        "dd",
    ]
}
TAGS |= {
    *["table", "thead", "tbody", "tr", "th", "td", "b", "br", "small", "code", "figure", "figcaption", "g", "rect", "line", "text", "footer", "input", "label"]
}
PLAIN = everywhere("x")
every_page = pytest.mark.parametrize("name", [pytest.param("rollup", marks=pytest.mark.slow), "index", "trend"])


@pytest.fixture(params=range(0, len(PAYLOADS), 32), ids=lambda at: f"from {at}")
def some(request: pytest.FixtureRequest) -> list[tuple[str, Facts]]:
    return [(text, everywhere(text)) for text in PAYLOADS[request.param : request.param + 32]]


def test_s7_junit_stays_xml_of_the_same_shape(some: list[tuple[str, Facts]]) -> None:
    shape = [element.tag for element in ET.fromstring(junit_xml(PLAIN)).iter()]
    for text, facts in some:
        found = ET.fromstring(junit_xml(facts))
        assert len([element.tag for element in found.iter()]) >= len(shape) - 3, text  # an empty property is left out
        assert {element.tag for element in found.iter()} <= set(shape)
        assert not re.search(r"\[\[ATTACHMENT\|", junit_xml(facts)) or "[[ATTACHMENT|" in text


def test_s7_the_summary_stays_in_its_lines_cells_and_code(some: list[tuple[str, Facts]]) -> None:
    for text, facts in some:
        made = summary_markdown(facts)
        rows = [line for line in made.splitlines() if line.startswith("| ") and "---" not in line]
        assert all(len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) == 8 for line in rows), text
        assert len(made.split("\n")) == len(summary_markdown(PLAIN).split("\n")), text
        bare = re.sub(r"\\.", "", made)
        assert not re.search(r"<|\]\(|!\[|https?://|www\.|@(?!\u2060)", re.sub("`[^`]*`", "", bare)), text
        assert bare.count("`") % 2 == 0 and "``" not in bare, text


def test_s7_metrics_stay_metrics(some: list[tuple[str, Facts]]) -> None:
    for text, facts in some:
        made = metrics_text(facts).split("\n")
        assert all(line.startswith("# ") or METRIC.fullmatch(line) for line in made[:-1]), text
        assert made.count("# EOF") == 1 and made[-2:] == ["# EOF", ""]
        assert sum(line.startswith("chaosx_verdict{") for line in made) == 6


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_s7_no_cell_of_the_csv_begins_a_formula_whatever_a_spreadsheet_takes_for_the_separator(separator: str) -> None:
    made = table(everything_as_names())
    cells = [each for row in csv.reader(io.StringIO(made), delimiter=separator) for each in row]
    assert len(cells) > len(PAYLOADS)
    assert [each for each in cells if FORMULA.match(each)] == []
    if separator == ",":
        assert {len(row) for row in csv.reader(io.StringIO(made))} == {len(HEAD)}


def everything_as_names() -> Facts:
    """A run of as many endpoints as there are payloads, one sample each."""
    from dataclasses import replace

    from chaoslib_ext.report.facts import Endpoint
    from chaoslib_ext.timeline import Rows

    rows = Rows()
    for at in range(len(PAYLOADS)):
        rows.append(at * 1000, 0, 5_000, at, 0)
    return replace(everything(), rows=rows, endpoints=tuple(Endpoint(at, text, text, "step") for at, text in enumerate(PAYLOADS)))


def test_the_guard_of_cells_leaves_ordinary_names_alone() -> None:
    assert [cell(text) for text in ("GET /a-b?x=1", "checkout", "a+b", "x@y")] == ["GET /a-b?x=1", "checkout", "a+b", "x@y"]
    assert cell("=1+1") == "'=1+1"


def test_s7_spans_and_annotations_stay_json_that_a_receiver_takes(some: list[tuple[str, Facts]]) -> None:
    for text, facts in some:
        assert check(json.loads(otlp.document(facts))) == check(json.loads(otlp.document(PLAIN))), text
        made = json.loads(grafana.document(facts))
        assert len(made) == len(json.loads(grafana.document(PLAIN)))
        assert not [each for each in made if "<" in each["text"] or ">" in each["text"] or type(each["time"]) is not int], text


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: one for each payload, which is in all its texts and, where a file system takes it, the name of its folder."""
    top = tmp_path_factory.mktemp("shelf")
    for at, text in enumerate(PAYLOADS):
        facts = everywhere(text)
        names = "/" not in text and "\0" not in text and text not in (".", "..") and not text.startswith(".") and not re.search("[\ud800-\udfff]", text)
        folder = top / (f"{at:03}{text}" if names and len(text.encode()) < 200 else f"{at:03}")
        folder.mkdir()
        result = {**facts.result, "run": f"{at}{text}", "control": "none"}
        for name, value in (("run.json", facts.header), ("plan.json", facts.plan), ("result.json", result)):
            (folder / name).write_text(json.dumps(value), encoding="utf-8")
        (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in facts.events), encoding="utf-8")
        (folder / "report.html").write_text("<!DOCTYPE html><title>x</title>", encoding="utf-8")
    (top / "zz=<img src=x onerror=alert(1)>").mkdir()
    return top


class Drawn(dict[str, Path]):
    """The three pages over that folder, each drawn when it is asked for."""

    def __init__(self, shelf: Path) -> None:
        super().__init__()
        self.shelf = shelf

    def __missing__(self, name: str) -> Path:
        path = self[name] = self.shelf / f"{name}.html"
        if name == "rollup":
            html = rollup.draw(rollup.collect(folders([self.shelf]), path), "=<script>alert(1)</script>")
        elif name == "index":
            html = index.render(folders([self.shelf]), path)
        else:
            html = trendpage.draw(trends(parted(map(look, folders([self.shelf])))[0]), [Foreign(self.shelf / "<b>", "<b>x</b>")], path)
        path.write_text(html, encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def pages(shelf: Path) -> Drawn:
    cards, foreign = parted(map(look, folders([shelf])))
    assert len(cards) == len(PAYLOADS) and len(foreign) == 1
    return Drawn(shelf)


@every_page
def test_s7_pages_over_many_runs_hold_only_elements_of_ours(pages: dict[str, Path], name: str) -> None:
    page = Page(pages[name].read_text(encoding="utf-8"))
    assert not page.crossed and not page.open
    assert {tag for tag, _ in page.elements} <= TAGS
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on") or key in ("src", "style", "srcset", "formaction")]
    assert len(set(page.ids)) == len(page.ids)
    for href in (attributes["href"] or "" for _, attributes in page.elements if "href" in attributes):
        there = href[1:] in page.ids if href.startswith("#") else (pages[name].parent / unquote(href.partition("#")[0], errors="surrogateescape")).is_file()
        assert there, href


@every_page
def test_s7_what_a_run_calls_itself_is_shown_as_it_is(pages: dict[str, Path], name: str) -> None:
    shown = Page(pages[name].read_text(encoding="utf-8")).text
    missing = [text for text in PAYLOADS if " ".join(clean(text, 60).rstrip("…").replace("\u00a0", " ").split()) not in shown]
    assert missing == []


def test_s7_no_line_of_the_trend_begins_with_a_foreign_word(shelf: Path) -> None:
    cards, _ = parted(map(look, folders([shelf])))
    for line in trendwords.lines(trends(cards)):
        assert line.startswith(("trend of ", "  ")) and "\n" not in line


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rollup", "index", "trend"])
def test_s7_pages_over_many_runs_are_silent_in_a_real_browser(chromium: browser.Browser, pages: dict[str, Path], name: str) -> None:
    chromium.open(pages[name])
    assert {one["request"]["url"] for one in chromium.events("Network.requestWillBeSent")} <= {pages[name].as_uri()}
    assert not chromium.events("Page.javascriptDialogOpening")
    assert [one["entry"]["text"] for one in chromium.events("Log.entryAdded")] == []
    assert chromium.events("Runtime.consoleAPICalled") + chromium.events("Runtime.exceptionThrown") == []
    hostile = "script,iframe,img,object,embed,link,base,form,video,audio,template,[onload],[onerror],[style]"
    assert chromium.value(f"document.querySelectorAll('{hostile}').length") == 0
    assert chromium.value("document.querySelectorAll('input:not([type=radio])').length") == 0
