"""What a run is given of earlier runs: only sealed results of the same experiment and environment, a bounded number, never an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext import history, rundir
from chaoslib_ext.result import Finding, Result

HEADER = {
    "id": "x",
    "experiment": {"path": "zone.yaml", "sha256": "ab" * 32},
    "env": {"name": "staging", "identity": {"account": "1", "sandbox": "private-1"}},
    "block": {"objectives": [], "self_test": {"verdict": "PASS"}},
    "load": None,
    "started_utc": "2026-11-24T06:31:02.250Z",
    "versions": {"chaoslib_ext": "0.1.0"},
}


def run(root: Path, name: str, **changes: Any) -> Path:
    """A sealed and judged directory."""
    folder = root / name
    writer = rundir.Writer.create(folder)
    rundir.write_json(folder / "plan.json", {"resolved": []})
    writer.seal({**HEADER, "id": name, **changes})
    rto = {"lo_s": 4.6, "hi_s": 4.8, "objective_s": 10.0, "mode": "self-healed"}
    findings = [Finding("rto", "rto", "met"), Finding("slo:a:fault", "slo", "missed", slo="a", window="fault", n=100, bad=7)]
    result = Result(name, "t", "FAIL", 1, ["SLO_MISSED"], findings, rto, None, [], None, None, "none", {}, [], {}, {"state": "clean"}, "")
    rundir.seal_result(folder, result)
    return folder


def test_the_last_twenty_results_are_given_the_oldest_first(tmp_path: Path) -> None:
    for n in range(23):
        run(tmp_path, f"202611{n:02}-run")
    found = history.earlier(tmp_path, HEADER)
    assert [past.run for past in found] == [f"202611{n:02}-run" for n in range(3, 23)]
    last = found[-1]
    assert (last.verdict, last.rto, last.findings) == ("FAIL", (4.6, 4.8), {"rto": "met", "slo:a:fault": "missed"})
    assert last.availability == {"a": (7, 100)} and last.parts == history.parts(HEADER)


def test_other_experiments_other_environments_and_what_was_altered_are_left_out(tmp_path: Path) -> None:
    run(tmp_path, "1", experiment={"path": "other.yaml", "sha256": "ab" * 32})
    run(tmp_path, "2", env={"name": "production", "identity": {}})
    altered = run(tmp_path, "3") / "result.json"
    altered.write_text(altered.read_text(encoding="utf-8").replace("FAIL", "PASS"), encoding="utf-8")
    run(tmp_path, "4")
    assert [past.run for past in history.earlier(tmp_path, HEADER)] == ["4"]


def test_a_folder_full_of_other_things_is_no_reason_not_to_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}")):
        (tmp_path / name).mkdir()
        for part in ("run.json", "result.json", "SEALED"):
            (tmp_path / name / part).write_text(text, encoding="utf-8")
    assert history.earlier(tmp_path, HEADER) == [] and history.earlier(tmp_path / "missing", HEADER) == []


def test_what_is_written_is_read_again_as_it_was(tmp_path: Path) -> None:
    run(tmp_path, "1")
    found = history.earlier(tmp_path, HEADER)
    assert history.read(json.loads(json.dumps([past.to_json() for past in found]))) == found


@pytest.mark.parametrize(
    ("change", "comparable"),
    [
        ({"versions": {"chaoslib_ext": "9"}}, True),
        ({"block": {"objectives": [], "self_test": {"verdict": "FAIL"}}}, True),
        ({"env": {"name": "staging", "identity": {"account": "1", "sandbox": "private-2"}}}, True),
        ({"env": {"name": "staging", "identity": {"account": "2"}}}, False),
        ({"block": {"objectives": [{"slo": "a"}]}}, False),
        ({"load": {"stages": []}}, False),
        ({"experiment": {"path": "zone.yaml", "sha256": "cd" * 32}}, False),
        ({"command": ["chaosx", "run", "x", "--env", "sandbox:no-health-checks"]}, False),
    ],
)
def test_comparable_is_what_has_the_same_files_promises_load_and_environment(change: dict[str, Any], comparable: bool) -> None:
    assert (history.parts({**HEADER, **change}) == history.parts(HEADER)) == comparable


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda each: st.lists(each) | st.dictionaries(st.text(max_size=8), each)
)


@given(st.dictionaries(st.sampled_from([*history.Past.__slots__, "other"]), JSON))
def test_whatever_a_history_holds_is_read_or_refused(found: dict[str, Any]) -> None:
    past = history.read([{**found, "verdict": "PASS"}])[0]
    assert history.read([past.to_json()]) == [past]


@pytest.mark.parametrize("found", [{}, "x", [1], [{}], [{"verdict": "GREAT"}]])
def test_what_is_no_history_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        history.read(found)
