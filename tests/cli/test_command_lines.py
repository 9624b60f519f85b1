"""Wrong command lines: one clear message, an exit code of the table, nothing asked, nothing touched."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoslib_ext.reasons import EXIT_CODES

CHAOSX = str(Path(sys.executable).parent / "chaosx")
SHIPPED = Path(__file__).parents[2] / "experiments/sandbox/zone-lost-silently.yaml"
NOWHERE = "apiVersion: chaosx/v1\nkind: Environment\nname: nowhere\nclass: local\nservices: {}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    work = tmp_path / "work"
    (work / "environments").mkdir(parents=True)
    (work / "environments/staging.yaml").write_text(NOWHERE, encoding="utf-8")
    (work / "plain.yaml").write_text("title: t\nmethod: []\n", encoding="utf-8")
    (work / "binary.yaml").write_bytes(bytes(range(256)))
    (work / "empty.yaml").write_bytes(b"")
    (work / "run").mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / "rooms"))
    yield work


def chaosx(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([CHAOSX, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=env, check=False)


BAD = [
    pytest.param("rum", 2, "did you mean `run`?", id="a command mistyped"),
    pytest.param("frobnicate", 2, "there are: init, run, validate", id="no such command"),
    pytest.param("sandbox dwn", 2, "did you mean `down`?", id="a command of a group mistyped"),
    pytest.param("run", 2, "Missing argument 'EXPERIMENT'", id="run without a file"),
    pytest.param("run plain.yaml --jsn", 2, "--json", id="an option mistyped"),
    pytest.param("run plain.yaml --seed x", 2, "is not a valid integer", id="a seed that is no number"),
    pytest.param("run plain.yaml --seed -1", 2, "-1 is not in the range", id="a seed below zero"),
    pytest.param(
        "run nowhere/at-all", 2, "nowhere/at-all: no such file; check the path, or make a starter project: chaosx init", id="a file that is not there"
    ),
    pytest.param("run plan.yaml", 2, "did you mean plain.yaml?", id="a file nearly there"),
    pytest.param("run .", 2, "got a folder, expected an experiment file in it", id="a folder"),
    pytest.param("run binary.yaml", 2, "binary.yaml:2: not UTF-8; save the file in that encoding", id="a binary file"),
    pytest.param("run empty.yaml", 2, "empty.yaml: the file is empty", id="an empty file"),
    pytest.param("run environments/staging.yaml", 2, "got a file of kind environment, expected an experiment", id="an environment as experiment"),
    pytest.param("run plain.yaml --env stagin", 2, "--env stagin: no such file: environments/stagin.yaml; did you mean staging?", id="an environment mistyped"),
    pytest.param("run plain.yaml --env prod", 2, "there are: sandbox (built in), staging", id="no such environment"),
    pytest.param("run plain.yaml --env UPPER", 2, "expected sandbox, the name of a file in environments/, or a path to one", id="no name at all"),
    pytest.param("run plain.yaml --env sandbox:bogus", 2, "got bogus, expected any of no_retries", id="a switch that is none"),
    pytest.param(
        "run plain.yaml --env sandbox@nobody", 3, "PREFLIGHT_FAILED: no sandbox 'nobody' is up; chaosx sandbox up nobody", id="a sandbox that is not up"
    ),
    pytest.param("run plain.yaml --env staging --out plain.yaml", 2, "is not a folder; name another folder", id="reports into a file"),
    pytest.param("run plain.yaml --env staging --plan nope.json", 2, "cannot be read as a plan", id="a plan that is not there"),
    pytest.param("run plain.yaml --env staging --plan plain.yaml", 2, "cannot be read as a plan", id="a plan that is none"),
    pytest.param("plan", 2, "Missing argument 'EXPERIMENT'", id="plan without a file"),
    pytest.param("plan plain.yaml --env staging -o no/such/plan.json", 2, "its folder does not exist", id="a plan into nowhere"),
    pytest.param("plan plain.yaml --env staging -o run", 2, "is a folder", id="a plan over a folder"),
    pytest.param("validate", 2, "Missing argument 'FILES...'", id="validate without a file"),
    pytest.param("validate missing.yaml", 2, "missing.yaml: no such file; check the path", id="validate what is not there"),
    pytest.param("validate binary.yaml", 2, "not valid: 1 wrong in the file", id="validate a binary file"),
    pytest.param("explain nowhere", 2, "nowhere: no such directory", id="explain nothing"),
    pytest.param("explain run", 2, "run: holds no run.json; expected a run directory", id="explain a folder"),
    pytest.param("report plain.yaml", 2, "plain.yaml: not a directory", id="report a file"),
    pytest.param("report run --verify", 2, "holds no run.json", id="verify a folder"),
    pytest.param("judge run", 2, "holds no run.json", id="judge a folder"),
    pytest.param("recover --run a --all", 2, "got --run and --all, expected one of them", id="recover both ways"),
    pytest.param("recover --deadline soon", 2, "--deadline: got 'soon'", id="a deadline that is none"),
    pytest.param("recover --run nobody", 2, "which is not in", id="recover nobody"),
    pytest.param("recover --accept x --reason y", 2, "got no --run", id="accept without a run"),
    pytest.param("abort nobody", 2, "run nobody is not under way", id="abort nobody"),
    pytest.param("abort", 2, "there are: none", id="abort nothing"),
    pytest.param("schema frob", 2, "expected one of experiment-block", id="no such schema"),
    pytest.param("doctor --env nope", 2, "there are: sandbox (built in), staging", id="doctor for nowhere"),
    pytest.param("completion tcsh", 2, "expected one of bash, zsh, fish", id="a shell that is not served"),
    pytest.param("init plain.yaml", 2, "name a directory", id="a project in a file"),
    pytest.param("init x --from kubernetes", 2, "expected one of sandbox", id="a starter that is none"),
    pytest.param("sandbox up UPPER", 2, "expected small letters", id="a sandbox that cannot be called so"),
]


@pytest.mark.parametrize(("line", "code", "said"), BAD)
def test_a_wrong_command_line_says_what_to_do(folder: Path, line: str, code: int, said: str) -> None:
    before = sorted(folder.rglob("*"))
    done = chaosx(*line.split())
    assert done.returncode == code, done.stderr
    assert done.returncode in {0, 2, *EXIT_CODES.values()}
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_without_a_command_the_help_is_shown() -> None:
    done = chaosx()
    assert done.returncode == 2
    assert "Usage: chaosx" in done.stdout + done.stderr


def test_the_command_imports_nothing_heavy() -> None:
    allowed = "import sys; before = set(sys.modules); import chaoslib_ext.cli; print('\\n'.join(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-P", "-c", allowed], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"kubernetes", "boto3", "locust", "gevent", "jinja2", "chaoslib", "pydantic", "yaml", "platformdirs", "envoy"}
    ours = {name for name in done.stdout.split() if name.startswith("chaoslib_ext")}
    assert ours <= {"chaoslib_ext", "chaoslib_ext.errors", "chaoslib_ext.reasons"} | {name for name in ours if name.startswith("chaoslib_ext.cli")}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    done = chaosx("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_CHAOSX_COMPLETE" in done.stdout


def test_the_shell_completes_commands_and_environments() -> None:
    done = chaosx(_CHAOSX_COMPLETE="bash_complete", COMP_WORDS="chaosx va", COMP_CWORD="1")
    assert (done.returncode, done.stdout.strip()) == (0, "plain,validate"), done.stderr
    done = chaosx(_CHAOSX_COMPLETE="bash_complete", COMP_WORDS="chaosx run plain.yaml --env ", COMP_CWORD="4")
    assert done.stdout.split() == ["plain,sandbox", "plain,staging"]
    assert chaosx(_CHAOSX_COMPLETE="nonsense").returncode == 2


@pytest.mark.parametrize("line", ["validate plain.yaml", "sandbox status", "sandbox switches", "recover", "schema", "sandbox down"])
def test_json_is_one_document_on_standard_output(line: str) -> None:
    done = chaosx(*line.split(), "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([CHAOSX, "schema", "result"], stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert done.returncode == 5
    assert done.stderr == ""


def verdict_on_a_terminal(text: str, **environment: str) -> str:
    """What `say` writes to a terminal."""
    main, other = pty.openpty()
    code = f"from chaoslib_ext.cli.words import say; say({text!r})"
    env = {"TERM": "xterm", **{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM")}, **environment}
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=other, env=env, timeout=60, check=True)
    os.close(other)
    said = b""
    with contextlib.suppress(OSError):  # EIO: everything was read; one read need not bring it all
        while part := os.read(main, 4096):
            said += part
    os.close(main)
    return said.decode()


def test_a_verdict_is_coloured_on_a_terminal_that_wants_it_and_nowhere_else() -> None:
    assert "\x1b[" in verdict_on_a_terminal("FAIL\n  why")
    assert "\x1b[" not in verdict_on_a_terminal("FAIL\n  why", NO_COLOR="1")
    assert "\x1b[" not in verdict_on_a_terminal("FAIL\n  why", TERM="dumb")
    code = "from chaoslib_ext.cli.words import say; say('PASS\\n')"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert piped.stdout.strip() == "PASS"
