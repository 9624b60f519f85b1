"""`chaosx export`: a table, spans, annotations and paper, as files and to a receiver that refuses what is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import receiver
import shelf_of_runs
from otlp_rules import check

from chaoslib_ext import exports, rundir
from chaoslib_ext.errors import NotDelivered, UsageError
from chaoslib_ext.exports import Wish, paper, posting
from chaoslib_ext.report.reading import read
from chaoslib_ext.timeline import BAD, Outcome


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf_of_runs.make(tmp_path_factory.mktemp("runs") / "a", "fail", samples=True)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")  # the receiver is on loopback


def chaosx(*argv: object, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **more}
    return subprocess.run([sys.executable, "-m", "chaoslib_ext.cli", *map(str, argv)], capture_output=True, text=True, timeout=120, check=False, env=env)


def test_the_table_counts_what_the_rows_hold(run_dir: Path) -> None:
    facts = read(run_dir)
    rows = list(csv.DictReader(io.StringIO(exports.export(run_dir, Wish("csv", exports.STDOUT)).text or "")))
    journeys = [row for row in rows if row["series"] == "all journeys"]
    ours = [Outcome(code) for endpoint, code in zip(facts.rows.endpoint, facts.rows.outcome, strict=True) if endpoint == 0]
    assert {row["series"] for row in rows} == {"all journeys", "checkout", "POST /checkout"}
    assert sum(int(row["offered"]) for row in journeys) == len(ours)
    assert sum(int(row["bad"]) for row in journeys) == sum(outcome in BAD for outcome in ours)
    for outcome, n in Counter(ours).items():
        column = "good" if outcome is Outcome.OK else outcome.name.lower()
        assert sum(int(row[column]) for row in journeys) == n, outcome
    worst = max(journeys, key=lambda row: float(row["p99_ms"] or 0))
    assert float(worst["p50_ms"]) <= float(worst["p95_ms"]) <= float(worst["p99_ms"]) == 1000.0
    assert worst["utc"].startswith("2026-11-24 06:00:")


def test_files_go_beside_the_report_and_leave_the_seal_whole(run_dir: Path) -> None:
    for format_, name in (("csv", "timeseries.csv"), ("otlp", "spans.otlp.json"), ("grafana", "annotations.json")):
        first = exports.export(run_dir, Wish(format_)).written
        assert first == run_dir / name
        data = first.read_bytes()
        exports.export(run_dir, Wish(format_))
        assert first.read_bytes() == data and rundir.verify(run_dir) == []


def test_spans_are_the_run_its_phases_and_its_faults_at_their_times(run_dir: Path) -> None:
    request = json.loads(exports.export(run_dir, Wish("otlp", exports.STDOUT)).text or "")
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert check(request) == len(spans) == 9
    by_name = {span["name"]: span for span in spans}
    fault, root = by_name["fault: lose zone b"], by_name["run: Does checkout survive the loss of a zone?"]
    zero_ns = int(root["startTimeUnixNano"])
    assert int(fault["startTimeUnixNano"]) - zero_ns == round(20.362e9) and int(fault["endTimeUnixNano"]) - zero_ns == round(60.41e9)
    assert root["status"] == {"code": 2, "message": "FAIL"} and [event["name"] for event in root["events"]] == ["note"]
    assert {each["key"]: each["value"] for each in root["attributes"]}["chaosx.seal"] == {"stringValue": rundir.seal_of(run_dir)}


def test_the_receiver_would_refuse_a_wrong_span(run_dir: Path) -> None:
    with receiver.receiver() as there:
        for wrong in (b"{}", b'{"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "x"}, "spans": [{"spanId": "1"}]}]}]}'):
            with pytest.raises(NotDelivered, match="answered 400"):
                posting.post(f"{there.url}/v1/traces", wrong, "")


@pytest.mark.parametrize(("format_", "path", "count"), [("otlp", "/v1/traces", 9), ("grafana", "/api/annotations", 3)])
def test_an_endpoint_gets_what_the_file_would_hold_with_the_token(run_dir: Path, format_: str, path: str, count: int) -> None:
    with receiver.receiver() as there:
        done = chaosx("export", run_dir, "--format", format_, "--endpoint", there.url, "--token-env", "MINE", "--json", MINE="s3cret")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"format": format_, "written": None, "sent": count, "endpoint": there.url + path}
        text = exports.export(run_dir, Wish(format_, exports.STDOUT)).text or ""
        assert [body for _, body, _ in there.got] == ([json.loads(text)] if format_ == "otlp" else json.loads(text))
        assert {(where, token) for where, _, token in there.got} == {(path, "Bearer s3cret")}
        assert "s3cret" not in done.stdout + done.stderr


REFUSALS = [
    pytest.param([(503, {}, "busy")], "answered 503", id="busy"),
    pytest.param([(302, {"Location": "http://127.0.0.1:9/steal"}, "")], "answered 302", id="a redirect is not followed"),
    pytest.param([(200, {}, '{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "old"}}')], "rejected 2 spans: old", id="some spans rejected"),
]


@pytest.mark.parametrize(("answers", "told"), REFUSALS)
def test_what_an_endpoint_does_not_take_is_told_and_ends_with_five(run_dir: Path, answers: list[tuple[int, dict[str, str], str]], told: str) -> None:
    with receiver.receiver() as there:
        there.answers = answers
        done = chaosx("export", run_dir, "--format", "otlp", "--endpoint", there.url)
    assert (done.returncode, done.stdout) == (5, "") and told in done.stderr and "Traceback" not in done.stderr


def test_annotations_that_were_taken_before_one_was_refused_are_counted(run_dir: Path) -> None:
    with receiver.receiver() as there:
        there.answers = [(200, {}, "{}"), (200, {}, "{}"), (403, {}, "no")]
        done = chaosx("export", run_dir, "--format", "grafana", "--endpoint", there.url)
    assert done.returncode == 5 and "2 of 3 annotations were taken before; their tag is chaosx:run:" in done.stderr


def test_an_endpoint_that_is_not_there_is_told(run_dir: Path) -> None:
    with receiver.receiver() as there:
        url = there.url
    done = chaosx("export", run_dir, "--format", "otlp", "--endpoint", url)
    assert done.returncode == 5 and "cannot be reached" in done.stderr and "Traceback" not in done.stderr


WRONG = [
    pytest.param(Wish("csv", None, "http://127.0.0.1:9"), "csv is written to a file", id="a table is not sent"),
    pytest.param(Wish("otlp", Path("x"), "http://127.0.0.1:9"), "got both", id="file and endpoint"),
    pytest.param(Wish("otlp", None, "ftp://127.0.0.1"), "expected an address like", id="no http"),
    pytest.param(Wish("otlp", None, "file:///etc/passwd"), "expected an address like", id="a file"),
    pytest.param(Wish("otlp", None, "http://me:pw@127.0.0.1:9"), "holds a user", id="a password in the address"),
    pytest.param(Wish("grafana", None, "http://127.0.0.1:9", "NOT_THERE_X"), "no such variable", id="a token that is missing"),
    pytest.param(Wish("pdf", exports.STDOUT), "a PDF is written to a file", id="paper on standard output"),
    pytest.param(Wish("csv", Path("/")), "got a folder", id="a folder"),
]


@pytest.mark.parametrize(("wish", "told"), WRONG)
def test_what_cannot_be_exported_is_a_usage_error(run_dir: Path, wish: Wish, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        exports.export(run_dir, wish)


def test_a_run_without_wall_time_cannot_be_shown_beside_other_data(tmp_path: Path) -> None:
    folder = shelf_of_runs.make(tmp_path / "a")
    header = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**header, "clock": {}}))
    with pytest.raises(UsageError, match="wall_s: missing"):
        exports.export(folder, Wish("otlp", exports.STDOUT))


@pytest.mark.slow
def test_the_report_is_printed_by_the_browser_that_is_here(run_dir: Path) -> None:
    if not any(shutil.which(name) for name in paper.PROGRAMS):
        pytest.skip("no browser is installed")
    done = chaosx("export", run_dir, "--format", "pdf")
    assert (done.returncode, done.stdout.strip()) == (0, str(run_dir / "report.pdf")), done.stderr
    data = (run_dir / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF") and b"%%EOF" in data[-1024:] and rundir.verify(run_dir) == []


@pytest.mark.parametrize(("more", "told"), [({"PATH": "/nowhere"}, "chromium, chromium-browser"), ({"CHAOSX_BROWSER": "my-browser"}, "my-browser")])
def test_without_a_browser_paper_is_refused_by_name(run_dir: Path, more: dict[str, str], told: str) -> None:
    done = chaosx("export", run_dir, "--format", "pdf", "-o", run_dir / "no.pdf", **{"CHAOSX_BROWSER": "", **more})
    assert done.returncode == 2 and f"no browser is installed here (looked for {told}" in done.stderr and not (run_dir / "no.pdf").exists()


def test_a_browser_that_prints_nothing_is_told(run_dir: Path) -> None:
    done = chaosx("export", run_dir, "--format", "pdf", "-o", run_dir / "no.pdf", CHAOSX_BROWSER="false")
    assert done.returncode == 5 and "printed nothing" in done.stderr and not (run_dir / "no.pdf").exists()


def test_naming_the_command_imports_nothing_that_a_format_needs() -> None:
    heavy = ("chaoslib_ext.exports", "chaoslib_ext.report.many", "jinja2")
    code = f"import sys, chaoslib_ext.cli; print(sorted(name for name in sys.modules if name.startswith({heavy})))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
