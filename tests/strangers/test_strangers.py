"""Strangers' files are taken, or refused by naming what is missing; never with a traceback, never by running anything of theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import EXPERIMENTS, LOCUSTFILES, SLOS, Case

from chaoslib_ext.cli.validate_command import check_files

CHAOSX = str(Path(sys.executable).parent / "chaosx")
ALL = [*EXPERIMENTS, *LOCUSTFILES, *SLOS]
WRITES = "from pathlib import Path\nPath(__file__).with_name('imported').write_text('x')\ndef healthy():\n    return True\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("STRANGERS_HOST", "STRANGERS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    yield tmp_path / "work"


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_a_strangers_file_is_taken_or_refused_by_naming_what_is_missing(folder: Path, case: Case) -> None:
    put(folder, {case.file: case.text, **case.beside})
    before = everything(folder)
    [checked] = check_files([Path(case.file)], case.allow_code)
    told = [f"{problem.kind}: {problem}" for problem in checked.problems]
    assert {problem.kind for problem in checked.problems} == set(case.wants), told
    for kind, text in case.wants.items():
        assert any(line.startswith(f"{kind}: ") and text in line for line in told), told
    for text in case.warns:
        assert any(text in warning for warning in checked.warnings), checked.warnings
    assert everything(folder) == before


def test_there_are_at_least_forty_of_them_with_a_name_each() -> None:
    assert len(ALL) >= 40
    assert len({case.name for case in ALL}) == len(ALL)


def chaosx(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHAOSX, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)


def test_what_is_missing_is_told_apart_and_nothing_is_left_in_the_folder(folder: Path) -> None:
    put(
        folder,
        {
            "e.yaml": "title: t\nmethod:\n"
            "- {type: action, name: a, provider: {type: python, module: chaosspring.actions, func: f}}\n"
            "- {type: action, name: b, provider: {type: process, path: no-such-program, arguments: x}}\n"
            "- {type: probe, name: c, provider: {type: http, url: 'http://${host}/'}, tolerence: 200}\n"
            "configuration: {host: {type: env, key: STRANGERS_HOST}}\n"
        },
    )
    done = chaosx("validate", "e.yaml", "--allow-code")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "not valid: 1 wrong in the file, 1 package missing, 1 environment variable missing, 1 program missing" in done.stderr
    assert done.stderr.count("UNMANAGED_ACTION") == 2
    as_json = json.loads(chaosx("validate", "e.yaml", "--allow-code", "--json").stdout)
    assert sorted(problem["kind"] for problem in as_json["files"][0]["problems"]) == ["environment", "file", "package", "program"]
    assert everything(folder) == ["e.yaml"]


def test_an_openslo_file_may_name_what_stands_in_another_one(folder: Path) -> None:
    [whole] = [case.text for case in SLOS if case.name == "one that we can judge"]
    indicator = whole[whole.index("ratioMetric") : whole.index("}}\n  timeWindow")]
    put(folder, {"slo.yaml": next(case.text for case in SLOS if case.name == "an indicator of another file")})
    put(folder, {"sli.yaml": f"apiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: elsewhere}}\nspec: {{{indicator}}}\n"})
    assert [one.problems for one in check_files([Path("slo.yaml"), Path("sli.yaml")], False)] == [[], []]


OWN = "title: own\ndescription: d\nmethod:\n- {type: probe, name: p, provider: {type: python, module: acme, func: healthy}}\n"
NOWHERE = "apiVersion: chaosx/v1\nkind: Environment\nname: nowhere\nclass: local\nservices: {}\n"


@pytest.mark.slow
def test_a_strangers_module_is_imported_by_a_run_that_admits_it_and_by_nothing_else(folder: Path) -> None:
    put(folder, {"acme.py": WRITES, "e.yaml": OWN, "environments/nowhere.yaml": NOWHERE})
    for words in (
        ["validate", "e.yaml"],
        ["validate", "e.yaml", "--allow-code"],
        ["plan", "e.yaml", "--env", "nowhere"],
        ["run", "e.yaml", "--env", "nowhere"],
    ):
        done = chaosx(*words)
        assert done.returncode == (0 if words[-1] == "--allow-code" else 2), done.stderr
        assert not (folder / "imported").exists(), words
    done = chaosx("plan", "e.yaml", "--env", "nowhere", "--allow-code")
    assert (done.returncode, (folder / "imported").exists()) == (0, False), done.stderr
    done = chaosx("run", "e.yaml", "--env", "nowhere", "--allow-code")
    assert done.returncode == 3, done.stderr
    assert (folder / "imported").exists()
    assert not (folder / "chaostoolkit.log").exists()


@pytest.mark.slow
def test_files_that_are_called_like_libraries_are_not_imported_in_their_place(folder: Path) -> None:
    put(folder, {f"{name}.py": WRITES for name in ("yaml", "requests", "chaoslib", "chaosk8s", "locust", "gevent", "click", "pydantic", "json")})
    put(folder, {"e.yaml": OWN.replace("{type: python, module: acme, func: healthy}", "{type: http, url: 'http://127.0.0.1:1/', timeout: 1}")})
    put(folder, {"environments/nowhere.yaml": NOWHERE})
    done = chaosx("run", "e.yaml", "--env", "nowhere")
    assert done.returncode == 3, done.stderr
    assert not (folder / "imported").exists()
    assert "PROBE_ERRORED" in done.stdout


@pytest.mark.slow
def test_a_strangers_process_with_arguments_in_one_string_runs_when_admitted(folder: Path) -> None:
    text = "title: p\ndescription: d\nmethod:\n- {type: action, name: say, provider: {type: process, path: sh, arguments: \"-c 'echo $((40 + 2)) > said'\"}}\n"
    put(folder, {"e.yaml": text, "environments/nowhere.yaml": NOWHERE})
    done = chaosx("run", "e.yaml", "--env", "nowhere", "--allow-code")
    assert done.returncode == 3, done.stderr
    assert "UNMANAGED_ACTION" in done.stdout
    assert (folder / "said").read_text().strip() == "42"
    assert sorted(path.name for path in folder.iterdir()) == ["e.yaml", "environments", "reports", "said"]
