"""What a pipeline reads: junit.xml for Jenkins and GitLab, summary.md, metrics.txt."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import sample_run
from test_page import poisoned

from chaoslib_ext.gate.junit import junit_xml
from chaoslib_ext.gate.summary import metrics_text, summary_markdown

SCHEMA = Path(__file__).parents[3] / "shared" / "schemas" / "jenkins-junit-10.xsd"
RUNS = {**sample_run.RUNS, "hostile": poisoned}
every_run = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in RUNS.items()])


@every_run
def test_jenkins_schema_accepts_the_junit_file(make: sample_run.Make, tmp_path: Path) -> None:
    if not SCHEMA.exists():
        pytest.skip(f"{SCHEMA} is not here")
    if shutil.which("xmllint") is None:
        pytest.skip("xmllint is not installed")
    path = tmp_path / "junit.xml"
    path.write_text(junit_xml(make()), encoding="utf-8")
    checked = subprocess.run(["xmllint", "--nonet", "--noout", "--schema", str(SCHEMA), str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@every_run
def test_junit_is_red_exactly_when_the_verdict_is_not_pass(make: sample_run.Make) -> None:
    facts = make()
    root = ET.fromstring(junit_xml(facts))
    verdict = root.find(".//testcase[@name='verdict']")
    assert verdict is not None
    assert (verdict.find("failure") is not None) == (facts.verdict == "FAIL")
    assert (verdict.find("error") is not None) == (facts.verdict not in ("PASS", "FAIL"))
    cases = root.findall(".//testcase")
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    suite = root.find("testsuite")
    assert suite is not None
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == [
        str(len(cases)),
        str(len(root.findall(".//failure"))),
        str(len(root.findall(".//error"))),
    ]


def test_names_of_cases_hold_no_measured_value() -> None:
    passing, failing = ({case.get("name") for case in ET.fromstring(junit_xml(make())).iter("testcase")} for make in (sample_run.facts, sample_run.failing))
    assert passing == failing


def test_a_missed_objective_is_told_with_measured_target_margin_and_samples() -> None:
    messages = [failure.get("message") for failure in ET.fromstring(junit_xml(sample_run.failing())).iter("failure")]
    assert "measured 33.25\u00a0%, target ≥\u00a095\u00a0%, margin −61.75\u00a0pp, samples 1,068 bad of 1,600" in messages


@every_run
def test_the_summary_is_markdown_without_foreign_markup(make: sample_run.Make) -> None:
    text = summary_markdown(make())
    assert text.startswith("### ")
    assert len(text.encode()) <= 60_100
    assert not re.search(r"(?<!\\)<", text)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in rows)


@every_run
def test_metrics_are_parseable_and_never_a_zero_for_what_was_not_measured(make: sample_run.Make) -> None:
    facts = make()
    text = metrics_text(facts)
    assert text.endswith("# EOF\n")
    line = re.compile(r'chaosx_[a-z_]+\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\} -?[0-9.e+-]+')
    for each in text.splitlines():
        assert each.startswith("# ") or line.fullmatch(each), each
    assert ("chaosx_rto_seconds" in text) == bool(facts.result.get("rto"))
    assert text.count("chaosx_verdict{") == 6
