"""
A run as JUnit XML, in the part of the format that Jenkins, its xUnit plugin and GitLab all read.

One test case per finding, and one for the verdict itself: a run that was not decided has no failed finding, and
must not look green. Measured values stand in messages, never in names, or the history of a case would break.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.findings import NOTHING, Row, rows
from chaoslib_ext.report.moments import utc
from chaoslib_ext.report.reading import read
from chaoslib_ext.report.sentences import sentence
from chaoslib_ext.report.words import clean
from chaoslib_ext.seal import write_whole

FILE = "junit.xml"
_TYPES = {
    "slo": "SloMissed",
    "rto": "RtoMissed",
    "recovery_after_removal": "RecoveryAfterRemovalMissed",
    "rpo": "RpoMissed",
    "budget": "BudgetOverspent",
    "hypothesis": "HypothesisNotMet",
}


def write(run_dir: Path) -> Path:
    """Writes `junit.xml` into a judged run directory and returns its path. Raises UsageError when it holds no result."""
    path = run_dir / FILE
    write_whole(path, junit_xml(read(run_dir)).encode())
    return path


def junit_xml(facts: Facts) -> str:
    """The document: one suite named by the experiment's title."""
    cases = _cases(facts)
    count = {kind: str(sum(case.find(kind) is not None for case in cases)) for kind in ("failure", "error")}
    window = facts.window("whole")
    took = f"{window[1] - window[0]:.3f}" if window else "0.000"
    face = {"name": facts.title, "tests": str(len(cases)), "failures": count["failure"], "errors": count["error"], "time": took}
    root = ET.Element("testsuites", face)
    started = utc(facts.header, 0)
    suite = ET.SubElement(root, "testsuite", {**face, "skipped": "0", **({"timestamp": started[:19].replace(" ", "T")} if started else {})})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(facts):
        ET.SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _properties(facts: Facts) -> list[tuple[str, str]]:
    result = facts.result
    told = [
        ("run", result.get("run")),
        ("verdict", facts.verdict),
        ("exit_code", result.get("exit_code")),
        ("reasons", " ".join(map(str, result.get("reasons") or []))),
    ]
    told += [("seal", result.get("seal") or "none"), ("control", facts.control or "none"), ("report", "report.html")]
    return [(name, clean(value)) for name, value in told if value not in (None, "")]


def _cases(facts: Facts) -> list[ET.Element]:
    cases = [_verdict_case(facts)]
    seen = {cases[0].get("name")}
    for row in rows(facts.result.get("findings") or []):
        case = _case(facts, row)
        plain, again = case.get("name", ""), 2
        while case.get("name") in seen:  # GitLab drops all but the first case of a name
            case.set("name", f"{plain} ({again})")
            again += 1
        seen.add(case.get("name"))
        cases.append(case)
    return cases


def _verdict_case(facts: Facts) -> ET.Element:
    case = ET.Element("testcase", {"classname": facts.title, "name": "verdict", "time": "0.000"})
    if facts.verdict != "PASS":
        kind = "failure" if facts.verdict == "FAIL" else "error"
        codes = [code for code in facts.result.get("reasons") or [] if code in REASONS]
        problem = ET.SubElement(case, kind, {"type": clean(facts.verdict, 40), "message": clean(sentence(facts), 600)})
        problem.text = "\n".join([sentence(facts), *(f"{code}: {REASONS[code].sentence} {REASONS[code].next_step}" for code in codes), "report: report.html"])
    return case


def _case(facts: Facts, row: Row) -> ET.Element:
    target = f" {row.target}" if row.target != NOTHING else ""
    window = f", {row.window}" if row.window != NOTHING else ""
    case = ET.Element("testcase", {"classname": facts.title, "name": f"{row.title}{target}{window}", "time": "0.000"})
    if row.outcome == "met":
        return case
    told = f"measured {row.measured}, target {row.target}, margin {row.margin}, samples {row.samples}"
    kind, type_ = ("failure", _TYPES.get(row.kind, "Missed")) if row.outcome == "missed" else ("error", "Inconclusive")
    codes = [f"{code}: {REASONS[code].sentence}" if code in REASONS else code for code in row.reasons]
    problem = ET.SubElement(case, kind, {"type": type_, "message": told})
    problem.text = "\n".join([told, *codes, *row.evidence, "report: report.html#objectives"])
    return case
