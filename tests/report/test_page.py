"""The page as a whole: what it may never contain, what it always contains, and that it is the same twice."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import more_runs
import pytest
import sample_run
from pages import Page

from chaoslib_ext import report
from chaoslib_ext.report.facts import Endpoint, Facts, Promise
from chaoslib_ext.report.page import draw
from chaoslib_ext.timeline import Outcome, Rows

GOLDEN = Path(__file__).parent.parent / "golden"
EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`${7*7}{{7*7}}</style></svg>\x00\x1b[31m\x85\u202eevil\ud800" + "A" * 500
ALLOWED = {
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
    "rect",
    "line",
    "text",
    "desc",
    "g",
    "header",
    "p",
    "span",
    "h1",
    "h2",
    "h3",
    "main",
    "section",
    "small",
    "ul",
    "li",
    "code",
    "b",
    "dl",
    "div",
    "dt",
    "dd",
    "nav",
    "a",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "caption",
    "figure",
    "figcaption",
    "details",
    "summary",
    "article",
    "br",
    "pre",
    "footer",
    "script",
}
SCRIPT = (Path(report.__file__).parent / "hover.js").read_text(encoding="utf-8")
RUNS = {**sample_run.RUNS, **more_runs.RUNS}
every_run = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in RUNS.items()])
Make = Callable[[], Facts]


GOLDEN_RUNS = ("pass", "fail", "inconclusive", "aborted", "error", "dirty", "control", "not-begun", "stopped-by-person", "compared")


def thinned(make: Make) -> Facts:
    """A run with one sample in forty: a page small enough to review as a golden file."""
    base, kept = make(), Rows()
    for at in range(0, len(base.rows), 80):
        columns = (base.rows.intended_us, base.rows.late_us, base.rows.latency_us, base.rows.endpoint, base.rows.outcome)
        kept.append(*(column[at] for column in columns))
    return replace(base, rows=kept)


@pytest.mark.parametrize("name", GOLDEN_RUNS)
def test_a_page_is_its_golden_file(name: str) -> None:
    html, path = draw(thinned(RUNS[name])), GOLDEN / f"report-{name}.html"
    if os.environ.get("GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(html, encoding="utf-8", newline="\n")
    assert html == path.read_text(encoding="utf-8"), "the page changed; GOLDEN=1 rewrites the file, look at its diff"


@every_run
def test_every_verdict_gives_a_sound_page(make: Make) -> None:
    facts = make()
    html = draw(facts)
    read = Page(html)
    assert not read.crossed and not read.open
    assert {name for name, _ in read.elements} <= ALLOWED
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert f"<title>{facts.verdict} · {facts.title}</title>" in html
    assert "findings" in read.ids
    assert len(html.encode()) <= 150_000
    assert len(read.ids) == len(set(read.ids))
    assert {"verdict", "objectives", "timeline", "evidence"} <= set(read.ids)


@every_run
def test_the_same_facts_give_the_same_bytes(make: Make) -> None:
    assert draw(make()) == draw(make())


@every_run
def test_a_page_needs_nothing_from_outside_and_runs_nothing_but_its_own_script(make: Make) -> None:
    html = draw(make())
    read = Page(html)
    assert [name for name, _ in read.elements].count("script") == html.count(SCRIPT) <= 1
    for name, attributes in read.elements:
        assert name not in ("link", "iframe", "img", "base", "form", "object", "image", "use")
        for key, value in attributes.items():
            assert not key.startswith("on") and key != "style"
            assert not (key in ("href", "src", "xlink:href", "action") and not str(value).startswith("#"))
    assert not re.search(r"https?://|url\((?!#(?:fault|maybe)\))|@import", html)


@every_run
def test_the_policy_pins_the_style_and_forbids_the_rest(make: Make) -> None:
    html = draw(make())
    css = html.split("<style>", 1)[1].split("</style>", 1)[0]
    pinned = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = next(attributes["content"] for name, attributes in Page(html).elements if attributes.get("http-equiv") == "Content-Security-Policy")
    script = html.split("<script>", 1)[1].split("</script>", 1)[0] if "<script>" in html else ""
    scripts = f" script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}';" if script else ""
    assert policy == f"default-src 'none'; style-src 'sha256-{pinned}';{scripts} base-uri 'none'; form-action 'none'"


@every_run
def test_words_that_hide_what_was_judged_are_not_used(make: Make) -> None:
    assert not re.search(r"\b(successful(ly)?|healthy|OK|resilient)\b", Page(draw(make())).text)


@every_run
def test_a_chart_is_painted_with_attributes_alone(make: Make) -> None:
    for name, attributes in Page(draw(make())).elements:
        if name in ("path", "rect", "line"):
            assert attributes.keys() & {"fill", "stroke"}, (name, attributes)


def poison(value: Any) -> Any:
    """The same shape with every text replaced, keys too where they are names."""
    if isinstance(value, dict):
        return {key: value[key] if key in ("verdict", "kind", "outcome", "state", "mode") else poison(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [poison(item) for item in value]
    return EVIL if isinstance(value, str) else value


def poisoned() -> Facts:
    """The failing run with hostile text in every field that can hold text."""
    base = sample_run.failing()
    plan = poison(base.plan)
    plan["resolved"][0]["of"] = {EVIL: {"total": 6, "hit": 2}}
    plan["resolved"][0]["survivors"] = {EVIL: 2}
    header = {**poison(base.header), "versions": {EVIL: EVIL}, "block": {"self_test": {"verdict": EVIL}}, "warnings": [EVIL]}
    header["env"] = {"name": EVIL, "identity": {EVIL: EVIL}}
    result = {**poison(base.result), "control": EVIL, "notices": [EVIL]}
    events = [poison(event) for event in base.events]
    events += [
        {"t_ns": 1, "seq": 900, "kind": kind, "name": EVIL, "text": EVIL, "by": EVIL, "detail": EVIL, "rule": EVIL, "status": EVIL, "error": EVIL, "what": EVIL}
        for kind in ("stop", "note", "decision", "alert", "activity", "target", "phase")
    ]
    promises = (Promise(EVIL, EVIL, "journey", None, 0.95), Promise(EVIL, EVIL, "journey", 250.0, 0.9))
    return Facts(
        result=result,
        header=header,
        plan=plan,
        events=tuple(events),
        rows=base.rows,
        endpoints=(Endpoint(0, EVIL, EVIL, "journey"), Endpoint(1, EVIL, EVIL, "step")),
        promises=promises,
        problems=(EVIL,),
    )


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE", "ABORTED", "ERROR", "DIRTY", EVIL])
def test_hostile_text_in_every_field_stays_text(verdict: str) -> None:
    facts = poisoned()
    html = draw(replace(facts, result={**facts.result, "verdict": verdict}))
    read = Page(html)
    assert [name for name, _ in read.elements].count("script") == html.count(SCRIPT) == 1
    assert {name for name, _ in read.elements} <= ALLOWED
    assert not read.crossed and not read.open
    assert all(not key.startswith("on") and key not in ("style", "src") for _, attributes in read.elements for key in attributes)
    assert html.encode("utf-8").decode("utf-8") == html
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    assert "A" * 301 not in html
    assert html.count("<style>") == html.count("</style>") == 1


def test_the_signature_of_a_pass_is_not_worn_by_a_control() -> None:
    html = draw(sample_run.control())
    assert '<body class="v-control">' in html and "#00724f" not in html.split("</style>")[1]
    assert "Control run (a-a), not a test of resilience." in Page(html).text


def test_a_known_bad_control_that_passes_is_not_green_either() -> None:
    html = draw(sample_run.facts(control="known-bad"))
    assert '<body class="v-control">' in html and "#00724f" not in html.split("</style>")[1]


def test_an_expected_failure_still_reads_as_a_failure() -> None:
    base = sample_run.failing()
    html = draw(replace(base, header={**base.header, "block": {"self_test": {"verdict": "FAIL"}}}))
    assert '<body class="v-fail">' in html
    assert "The experiment file expects FAIL (a self-test of the tool)." in Page(html).text


def test_an_unsealed_run_says_so() -> None:
    base = sample_run.facts(seal="")
    text = Page(draw(replace(base, problems=("SEALED: missing; the run was not sealed",)))).text
    assert "This run was never sealed" in text and "SEALED: missing" in text


def test_a_run_without_load_draws_no_charts_but_its_events() -> None:
    base = replace(sample_run.facts(load=None), rows=Rows(), endpoints=(), promises=())
    read = Page(draw(base))
    assert "No client traffic was measured" in read.text
    assert "“lose zone b” in effect, seen from outside at T+20.31–20.36 s" in read.text


def test_a_dirty_run_names_the_command_on_its_first_screen() -> None:
    text = Page(draw(sample_run.dirty())).text
    assert "Environment not proven clean. Run chaosx recover" in text.split("Objectives")[0]


def test_an_hour_of_samples_stays_within_the_size_bound() -> None:
    rows = Rows()
    for k in range(3600 * 5):
        rows.append(k * 200_000, 0, 20_000 + (k * 7919) % 90_000, 0, Outcome.TIMEOUT if k % 50 == 0 else Outcome.OK)
    html = draw(replace(sample_run.facts(windows={"whole": [0, 3600 * sample_run.S]}), rows=rows))
    assert len(html.encode()) <= 150_000


@pytest.mark.parametrize(("name", "most"), [("ten-minutes", 150_000), ("twelve-hours", 150_000), ("hundred-faults", 300_000), ("thousand-endpoints", 300_000)])
def test_a_page_of_a_long_or_wide_run_stays_within_its_bound(name: str, most: int) -> None:
    html = draw(more_runs.LARGE[name]())
    assert len(html.encode()) <= most
    assert not Page(html).crossed


def test_thousands_of_events_and_targets_are_capped_and_the_rest_is_counted() -> None:
    base = sample_run.facts()
    events = [*base.events, *({"t_ns": 50 * sample_run.S + k, "seq": 1000 + k, "kind": "note", "text": f"note {k}"} for k in range(3000))]
    targets = [sample_run.target(f"shop-{k}") for k in range(2000)]
    result = {**base.result, "faults": [{**base.result["faults"][0], "targets": targets}]}
    html = draw(replace(base, events=tuple(events), result=result, plan={}))
    assert len(html.encode()) <= 150_000
    assert "later events are left out here" in html and "1950 more targets" in html
