"""Ledgers, markers, rosters and answers that somebody made up: data that is refused or followed as data, never code, never a traceback (S30)."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_files
import pytest

from chaoslib_ext import heal, ledger, state
from chaoslib_ext.cli import main
from chaoslib_ext.clock import boot_id
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.frames import salvage
from chaoslib_ext.ledger import Frame, Ledger, Target

QUICK = heal.Patience(base_s=0.01, deadline_s=0.1)
GOOD = json.loads(Frame("f", "INTENT", "process.thaw", Target("process", "i", "replica", "shop", "shop-b1", "00000000-1-1"), seq=1).line()[9:])
HANDLERS = [
    "os.system",
    "builtins.exec",
    "chaoslib_ext.cli",
    "__import__",
    "process.thaw; touch RAN",
    "../../canary",
    "canary.touch",
    "",
    "process",
    "HANDLERS",
]


def line(record: Any) -> bytes:
    text = record if isinstance(record, bytes) else json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a run whose supervisor is dead."""
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "canary.py").write_text(made_files.CANARY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return state.create_run("20260101-000000-x-0001", {"run": "x", "supervisor": {"pid": 0, "start_ticks": 0, "boot_id": boot_id()}})


Recover = Callable[..., tuple[int, str]]


@pytest.fixture
def recover(run: Path, capsys: pytest.CaptureFixture[str]) -> Recover:
    """`chaosx recover` in this process: its exit code, and all that it printed."""

    def call(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main.main(["recover", "--deadline", "0.2s", *more])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return call


WRONG: dict[str, bytes] = {
    "deep": line(b'{"v":1,"ours":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no object": line(b"[1]"),
    "not json": line(b"nonsense"),
    "not utf-8": line(b'{"v":1,"fault":"\xff"}'),
    "another version": line({**GOOD, "v": 99}),
    "no version": line({key: value for key, value in GOOD.items() if key != "v"}),
    "a version that is true": line({**GOOD, "v": True}),
    "a record that is not on the list": line({**GOOD, "rec": "EXEC"}),
    "an extra key": line({**GOOD, "run": "touch RAN"}),
    "a target that is a text": line({**GOOD, "target": "touch RAN"}),
    "ours that is a list": line({**GOOD, "ours": []}),
    "a number that is a text": line({**GOOD, "expires_ns": "1"}),
    "a number that is a float": line({**GOOD, "seq": 1.0}),
    "a handler that is an object": line({**GOOD, "handler": {"a": 1}}),
    "a wrong checksum": b"00000000 " + line(GOOD)[9:],
    "a gap": line({**GOOD, "seq": 7}),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in WRONG.items()])
def test_s30_a_frame_that_is_none_is_corruption_and_is_told_without_a_traceback(run: Path, recover: Recover, data: bytes) -> None:
    path = run / state.LEDGER
    path.write_bytes(data + line({**GOOD, "seq": 2}) + bytes(max(0, state.LEDGER_BYTES - len(data))))
    with pytest.raises(LedgerCorrupt):
        ledger.read(path)
    assert all(isinstance(frame, Frame) for frame in salvage(path))
    code, printed = recover("--run", run.name)
    assert code == 6 and "Traceback" not in printed, printed
    assert not Path("RAN").exists()


@pytest.mark.parametrize("handler", HANDLERS)
def test_s30_the_name_of_a_handler_is_looked_up_in_one_table_and_is_never_code(run: Path, handler: str) -> None:
    Ledger.of_run(run).append(Frame("f", "INTENT", handler, Target("process", "i", "x", "", "x", "x"), {"command": "touch RAN"}))
    left = heal.heal_run(run, None, QUICK)
    assert [item.rec for item in left] == (["STUCK"] if handler else [])  # a frame without a handler is about a fault as a whole
    assert not Path("RAN").exists() and "canary" not in sys.modules


ODD: list[dict[str, Any]] = [
    {},
    {"control": 7},
    {"control": None, "owner": []},
    {"control": "/dev/null", "owner": "x"},
    {"control": "\0", "owner": "x"},
    {"control": "x" * 5000, "owner": "x"},
    {"marker": "/etc/passwd"},
    {"marker": "markers/../../precious"},
    {"owner": "x", "admin": "/dev/null", "config": "/etc/passwd", "routes": [], "keeper": "x"},
    {"node": {}, "controller": {}, "folder": 3},
]


@pytest.mark.parametrize("ours", ODD)
@pytest.mark.parametrize("handler", sorted(heal.HANDLERS))
def test_s30_a_handler_that_is_given_nonsense_touches_nothing_and_is_told(run: Path, handler: str, ours: dict[str, Any]) -> None:
    for name in ("precious", "markers.json"):
        Path(name).write_text("keep me")
    passwd = Path("/etc/passwd").read_bytes()
    Ledger.of_run(run).append(Frame("f", "INTENT", handler, Target("process", "i", "x", "", "x", f"{boot_id()[:8]}-999999999-1"), ours))
    for item in heal.heal_run(run, None, QUICK):
        assert item.command.startswith("chaosx recover --run ")
    assert Path("precious").read_text() == Path("markers.json").read_text() == "keep me"
    assert Path("/etc/passwd").read_bytes() == passwd


def test_s30_a_huge_ledger_is_read_and_told(run: Path, recover: Recover) -> None:
    frames = b"".join(line({**GOOD, "seq": at + 1, "handler": "future.handler", "target": {**GOOD["target"], "uid": str(at % 3)}}) for at in range(10_000))
    (run / state.LEDGER).write_bytes(frames)
    assert len(ledger.read(run / state.LEDGER).frames) == 10_000
    code, printed = recover("--run", run.name)
    assert code == 6 and printed.count("no handler is called 'future.handler'") == 3


HOSTILE = "lose\x1b[31m \x1b]0;owned\x07\r\n\u202e b'; touch RAN; '"


def test_s29_and_s30_names_in_a_ledger_reach_the_console_without_control_codes_and_the_shell_quoted(run: Path, recover: Recover) -> None:
    Ledger.of_run(run).append(Frame(HOSTILE, "INTENT", "future.handler", Target("process", "i", HOSTILE, "", HOSTILE, HOSTILE)))
    for words in (["--run", run.name], ["--dry-run"], ["--run", run.name, "--json"]):
        code, printed = recover(*words)
        assert code == 6, printed
        assert "owned" in printed and not set(printed) & set("\x1b\x07\r\u202e"), words
    assert not Path("RAN").exists()


NONSENSE = [
    b"[]",
    b"nonsense",
    b"{}",
    b'{"supervisor": 7}',
    b'{"supervisor": {"pid": "x"}}',
    b'{"method": 7, "load": {"pid": -1, "start_ticks": null}}',
    b"\xff" * 100,
]


@pytest.mark.parametrize("name", [state.RUN, state.SPEC, state.CHILDREN, state.CLOSED])
@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
def test_s30_files_of_a_state_folder_that_are_nonsense_never_make_a_traceback(run: Path, recover: Recover, name: str, data: bytes) -> None:
    (run / name).write_bytes(data)
    for words in (["--dry-run"], ["--run", run.name]):
        code, printed = recover(*words)
        assert code in (0, 2, 3, 6), (words, printed)
        assert "Traceback" not in printed, (words, printed)
