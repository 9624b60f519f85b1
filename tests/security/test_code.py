"""An experiment file runs nothing but the activities it names, and of these only what is ours or was admitted (S1 to S6)."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_files
import pytest
import sample_run
import yaml
from pages import Page

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.formats.variables import substituted
from chaoslib_ext.load.journeys import template
from chaoslib_ext.report.page import draw

PLACES = [
    "method",
    "in the background",
    "tolerance",
    "hypothesis",
    "control of the hypothesis",
    "rollback",
    "control",
    "control of an activity",
    "configuration",
]


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "canary.py").write_text(made_files.CANARY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    return tmp_path


def chaosx(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "chaoslib_ext.cli", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def test_s1_an_unknown_key_is_refused(room: Path) -> None:
    (room / "x.yaml").write_text("title: t\nmethod: []\nrun_this: rm\n", encoding="utf-8")
    assert chaosx("validate", "x.yaml").returncode == 2


def experiments(provider: dict[str, Any]) -> list[Any]:
    return [pytest.param(one, id=name) for name, one in zip(PLACES, made_files.provider_places(provider), strict=False)]


@pytest.mark.parametrize("whole", experiments(made_files.PYTHON))
def test_s2_foreign_python_is_refused_wherever_it_stands_and_never_imported(room: Path, whole: dict[str, Any]) -> None:
    (room / "x.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    with pytest.raises(InvalidFile, match="--allow-code"):
        read_experiment(room / "x.yaml")
    assert "canary" not in sys.modules and not (room / "RAN").exists()


@pytest.mark.parametrize("whole", [one for one in experiments(made_files.PROCESS) if "control" not in str(one.id)])
def test_s2_a_program_is_refused_wherever_it_stands_and_never_started(room: Path, whole: dict[str, Any]) -> None:
    (room / "x.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    with pytest.raises(InvalidFile, match="--allow-code"):
        read_experiment(room / "x.yaml")
    assert not (room / "RAN").exists()


@pytest.mark.parametrize("command", ["validate x.yaml", "plan x.yaml", "run x.yaml --quiet"])
def test_s2_no_command_imports_a_module_that_was_not_admitted(room: Path, command: str) -> None:
    method = [{"type": "action", "name": name, "provider": provider} for name, provider in (("a", made_files.PYTHON), ("b", made_files.PROCESS))]
    (room / "x.yaml").write_text(yaml.safe_dump({"title": "t", "method": method}), encoding="utf-8")
    done = chaosx(*command.split())
    assert done.returncode == 2 and "--allow-code" in done.stderr
    assert sorted(path.name for path in room.iterdir()) == ["canary.py", "x.yaml"]


@pytest.mark.parametrize("module", ["os", "builtins", "subprocess", "chaoslib_ext.heal", "chaoslib_ext.cli", "chaoslib.provider.process", "chaosk8s_evil"])
def test_s2_neither_the_standard_library_nor_our_own_core_is_an_activity(room: Path, module: str) -> None:
    provider = {"type": "python", "module": module, "func": "system", "arguments": {"command": "touch RAN"}}
    (room / "x.yaml").write_text(yaml.safe_dump(next(made_files.provider_places(provider))), encoding="utf-8")
    with pytest.raises(InvalidFile):
        read_experiment(room / "x.yaml")


BOUNDED = """
import resource, sys
from pathlib import Path
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import read_experiment
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))
for path in sys.argv[1:]:
    try:
        read_experiment(Path(path))
    except InvalidFile:
        continue
    sys.exit(f"{path} was read")
"""
BOMBS = {
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)),
    "merge laughs": "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)),
    "brackets": "[" * 500_000,
    "braces": "{a: " * 200_000,
    "indentation": "".join(" " * at + "a:\n" for at in range(900)),
    "block sequences": "- " * 300_000 + "a",
    "itself": "a: &a [*a]",
    "twice": "title: t\nmethod: []\ntitle: u",
    "wide": "title: t\nmethod: [" + "1," * 400_000 + "1]",
    "long": "title: " + "x" * (1 << 20),
    "anchors": "".join(f"a{at}: &a{at} x\n" for at in range(60_000)),
    "object": "title: !!python/object/apply:os.system [touch RAN]\nmethod: []",
    "name": "title: !!python/name:canary.touch\nmethod: []",
    "module": "title: !!python/module:canary\nmethod: []",
    "tuple key": "? !!python/tuple [a]\n: 1",
}


def test_s3_and_s4_bombs_depths_doubles_and_objects_are_refused_within_bounds(room: Path) -> None:
    """20 s of processor and 400 MB of memory for all of them together, where one that was taken would want hours and gigabytes."""
    for name, text in BOMBS.items():
        (room / f"{name}.yaml").write_text(text, encoding="utf-8")
        (room / f"{name}.json").write_text(text, encoding="utf-8")
    paths = [str(path) for path in sorted(room.glob("*.yaml")) + sorted(room.glob("*.json"))]
    done = subprocess.run([sys.executable, "-c", BOUNDED, *paths], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (room / "RAN").exists()


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_s5_an_experiment_is_never_fetched_from_an_address(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        done = chaosx(command, f"http://127.0.0.1:{server.getsockname()[1]}/x.yaml")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("key", ["slos", "load"])
def test_s5_nor_are_the_files_that_it_names(room: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.yaml"
        block = {"name": "chaoslib_ext", "version": 1, key: [address] if key == "slos" else address}
        (room / "x.yaml").write_text(yaml.safe_dump({"title": "t", "method": [], "extensions": [block]}), encoding="utf-8")
        with pytest.raises(InvalidFile, match="no such file"):
            read_experiment(room / "x.yaml")
        with pytest.raises(BlockingIOError):
            server.accept()


TEMPLATES = [
    "{{7*7}}",
    "{{ ''.__class__.__mro__ }}",
    "{% include '/etc/passwd' %}",
    "#{7*7}",
    "<%= 7*7 %>",
    "${{7*7}}",
    "$(id)",
    "`id`",
    "%(x)s",
    "{0.__class__}",
]


@pytest.mark.parametrize("text", TEMPLATES)
def test_s6_text_that_looks_like_a_template_stays_what_it_is(room: Path, text: str) -> None:
    (room / "x.yaml").write_text(yaml.safe_dump({"title": text, "method": []}), encoding="utf-8")
    assert read_experiment(room / "x.yaml").title == text
    assert " ".join(text.split()) in Page(draw(sample_run.facts(title=text))).text
    assert substituted({"a": text}, {"x": 1}) == {"a": text}


@pytest.mark.parametrize("text", ["${x.__class__}", "${x[0]}", "${x!r}", "${x:>99}"])
def test_s6_a_variable_is_a_name_and_nothing_can_be_reached_through_it(text: str) -> None:
    assert substituted({"a": text}, {"x": "secret"}) == {"a": text}
    assert template(text).render({"x": "secret", "x.__class__": "reached"}) == text
