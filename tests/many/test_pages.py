"""The pages over many runs: the roll-up of a list, and the index of a folder."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import shelf_of_runs
from pages import Page

from chaoslib_ext.report.many import index, rollup
from chaoslib_ext.report.many.shelf import Card, Foreign, folders, look
from chaoslib_ext.report.sections import Section


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve runs, all verdicts among them; two folders that are none; each run with a page to link to."""
    top = tmp_path_factory.mktemp("day")
    for folder in shelf_of_runs.day_of_runs(top):
        (folder / "report.html").write_text("<!DOCTYPE html><title>x</title>", encoding="utf-8")
    (top / "empty").mkdir()
    (top / "torn").mkdir()
    for name in ("run.json", "result.json"):
        (top / "torn" / name).write_text('{"verdict": ')
    return top


def rolled(day: Path, page: Path | None = None) -> str:
    return rollup.draw(rollup.collect(folders([day]), page or day / "rollup.html"))


def test_the_roll_up_counts_verdicts_in_words_and_names_the_worst(day: Path) -> None:
    told = Page(rolled(day)).text
    assert "Worst: DIRTY" in told
    assert "11 runs: 6 PASS, 1 INCONCLUSIVE, 1 ABORTED, 1 FAIL, 1 ERROR and 1 DIRTY." in told
    assert "Beside them 1 control run (1 PASS)" in told


def test_a_control_is_never_counted_as_resilience_nor_in_the_heat_map(tmp_path: Path) -> None:
    shelf_of_runs.make(tmp_path / "a", "pass", result={"control": "a-a"})
    html = rolled(tmp_path)
    told = Page(html).text
    assert "No run tested resilience" in told and "PASS control: a-a" in told and 'id="heat"' not in html and "v-pass" not in html.split("</style>")[1]


def test_a_cell_says_the_worst_verdict_of_how_many_runs_and_leads_to_it(tmp_path: Path) -> None:
    for at, kind in enumerate(("pass", "fail", "pass")):
        shelf_of_runs.make(tmp_path / f"r{at}", kind, at=at, service="cart")
    shelf_of_runs.make(tmp_path / "r9", "pass", service="search", func="kill_replicas", how="")
    html = rolled(tmp_path)
    told = Page(html).text
    assert re.search(r"cart not tested ✗ FAIL 1 of 3 runs|cart ✗ FAIL 1 of 3 runs not tested", told), told
    assert '<a href="#run-2"><b><span aria-hidden="true">✗</span> FAIL</b></a>' in html


def test_every_run_has_its_verdict_block_in_the_page_with_ids_of_its_own(day: Path) -> None:
    page = Page(rolled(day))
    assert sum(name == "article" for name, _ in page.elements) == 12
    assert len(set(page.ids)) == len(page.ids) and "run-1-verdict-title" in page.ids
    assert page.text.count("Every objective was met") >= 6 and "A fault is not proven healed" in page.text
    anchors = [attributes["href"] or "" for name, attributes in page.elements if name == "a" and (attributes.get("href") or "").startswith("#")]
    assert anchors and {anchor[1:] for anchor in anchors} <= set(page.ids)


def test_links_are_relative_from_wherever_the_page_is(day: Path, tmp_path: Path) -> None:
    page = tmp_path / "sub" / "page.html"
    page.parent.mkdir()
    outside = [
        attributes["href"] or "" for name, attributes in Page(rolled(day, page)).elements if name == "a" and not (attributes["href"] or "").startswith("#")
    ]
    assert len(outside) == 24 and all(href.startswith("../") and (page.parent / href).is_file() for href in outside)


@pytest.mark.parametrize("name", ["rollup", "index"])
def test_what_is_no_run_is_listed_with_the_reason(day: Path, name: str) -> None:
    html = rolled(day) if name == "rollup" else index.render(folders([day]), day / "index.html")
    told = Page(html).text.split("Not shown")[-1]
    assert "empty holds no run.json" in told and "torn Expecting value" in told


@pytest.mark.parametrize("name", ["rollup", "index"])
def test_the_same_runs_give_the_same_bytes(day: Path, name: str) -> None:
    first, second = (rolled(day) if name == "rollup" else index.render(folders([day]), day / "index.html") for _ in range(2))
    assert first == second
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", first) and "default-src 'none'" in first and "<script" not in first


@pytest.mark.parametrize("name", ["rollup", "index"])
def test_the_page_is_a_document_that_a_screen_reader_can_walk(day: Path, name: str) -> None:
    page = Page(rolled(day) if name == "rollup" else index.render(folders([day]), day / "index.html"))
    assert not page.crossed and not page.open
    assert ("html", {"lang": "en"}) in page.elements
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    named = {attributes.get("for") for tag, attributes in page.elements if tag == "label"}
    assert {attributes["id"] for tag, attributes in page.elements if tag == "input"} == named - {None}
    described = [attributes.get(key) for _, attributes in page.elements for key in ("aria-labelledby", "aria-describedby") if attributes.get(key)]
    assert set(described) <= set(page.ids)


def test_further_sections_of_a_caller_stand_before_the_verdict_blocks(day: Path) -> None:
    found = rollup.collect(folders([day]), day / "rollup.html")
    page = Page(rollup.draw(found, "Game day of the shop", [Section("decisions", "Decisions", "many_none.html.j2")]))
    ids = page.ids
    assert "Game day of the shop" in page.text and ids.index("runs") < ids.index("decisions") < ids.index("verdicts")


def test_a_run_that_was_altered_is_told(tmp_path: Path) -> None:
    folder = shelf_of_runs.make(tmp_path / "a", "fail")
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"verdict":"FAIL"', '"verdict":"PASS"'))
    assert "not as sealed" in Page(rolled(tmp_path)).text and "not as sealed" in Page(index.render([folder], tmp_path / "index.html")).text


def test_the_index_is_newest_first_and_its_rules_hide_what_was_not_chosen(day: Path) -> None:
    html = index.render(folders([day]), day / "index.html")
    started = re.findall(r'data-label="Started">(.*?)</td>', html)
    assert len(started) == 12 and started == sorted(started, reverse=True)
    choices = dict(re.findall(r"#(\S+):checked~\.scroll tbody>tr:not\(\.(\w+)\)\{display:none\}", html))
    rows = [set(css.split()) for css in re.findall(r'<tr class="([^"]*)">', html)]
    assert set(choices.values()) == {css for row in rows for css in row}
    for choice, css in choices.items():
        shown = int(re.findall(rf'<label for="{choice}">[^<]*?([0-9,]+)</label>', html)[0])
        assert shown == sum(css in row for row in rows), choice


def test_a_folder_that_was_published_whole_keeps_its_links(day: Path, tmp_path: Path) -> None:
    page = day / "index.html"
    page.write_text(index.render(folders([day]), page), encoding="utf-8")
    shutil.copytree(day, tmp_path / "published")
    hrefs = [attributes["href"] or "" for tag, attributes in Page((tmp_path / "published/index.html").read_text(encoding="utf-8")).elements if tag == "a"]
    assert len(hrefs) == 12 and all((tmp_path / "published" / href).is_file() for href in hrefs)


ODD = [
    ("[]", "expected a JSON object"),
    ('{"verdict": "GREAT"}', "expected one of"),
    ('{"verdict": {}}', "expected one of|unhashable"),
    ("[" * 100_000, "recursion"),
    ("\x00", "Expecting value"),
]


@pytest.mark.parametrize(("text", "why"), ODD, ids=[why.split()[0] for _, why in ODD])
def test_a_result_that_is_none_makes_a_foreign_folder_and_no_traceback(tmp_path: Path, text: str, why: str) -> None:
    folder = shelf_of_runs.make(tmp_path / "a")
    (folder / "result.json").write_text(text)
    found = look(folder)
    assert isinstance(found, Foreign) and re.search(why, found.why), found


@pytest.mark.parametrize("value", [None, 1, "x", [1], {"a": []}])
def test_fields_of_a_wrong_kind_end_no_page(tmp_path: Path, value: object) -> None:
    first = shelf_of_runs.make(tmp_path / "good")
    good = json.loads((first / "result.json").read_text())
    for at, key in enumerate(sorted(set(good) - {"verdict"})):
        folder = shutil.copytree(first, tmp_path / "runs" / f"r{at:02}")
        (folder / "result.json").write_text(json.dumps({**good, key: value}))
        for name in ("run.json", "plan.json") if at < 2 else ():
            (folder / name).write_text(json.dumps(dict.fromkeys(json.loads((folder / name).read_text()), value)))
    runs = list(folders([tmp_path / "runs"]))
    assert all(isinstance(look(folder), Card) for folder in runs)
    assert Page(rollup.draw(rollup.collect(runs, tmp_path / "r.html"))).text and Page(index.render(runs, tmp_path / "i.html")).text


def test_no_runs_at_all_are_said_to_be_none(tmp_path: Path) -> None:
    assert "There is no run to show" in Page(rolled(tmp_path)).text
    assert "No folder in here holds a run" in Page(index.render([], tmp_path / "index.html")).text


def test_a_thousand_runs_are_a_small_index(tmp_path: Path) -> None:
    base = look(shelf_of_runs.make(tmp_path / "a"))
    assert isinstance(base, Card)
    cards = [Card(tmp_path / f"20261124T060000Z-run-{at:04}", base.result, base.header, base.plan) for at in range(1000)]
    assert len(index.draw(cards, [], tmp_path / "index.html").encode()) < 800_000
