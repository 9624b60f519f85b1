"""What is said to a person: without commands to the terminal (S29), and never the end of a run when nobody can be told any more."""

from __future__ import annotations

import io
import json
import os

import pytest

from chaoslib_ext.cli.words import say, say_json, tell
from chaoslib_ext.runner.live import Live

COMMANDS = "a\x1b[31m\x1b]0;owned\x07\x9b31m\x00\r\u202eb\u2066\ud800"
OBEYED = set("\x1b\x07\x9b\x00\r\u202e\u2066\ud800")


def test_s29_no_command_reaches_the_terminal_and_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell(f"one{COMMANDS}\ntwo")
    tell(COMMANDS, err=True)
    say(COMMANDS)
    printed = capsys.readouterr()
    assert not OBEYED & set(printed.out + printed.err)
    assert "owned" in printed.out and printed.out.splitlines()[1] == "two"


def test_s29_json_says_the_same_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({COMMANDS: [COMMANDS]})
    printed = capsys.readouterr().out
    assert not OBEYED & set(printed)
    assert json.loads(printed) == {COMMANDS: [COMMANDS]}


def test_a_reader_that_is_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        live = Live(out)
        live.begin("heal", 0, 1.0)
        live.say("still here")
        live.insist("and here")


def test_what_is_insisted_on_is_said_also_where_quiet_was_asked_for() -> None:
    out = io.StringIO()
    live = Live(out, quiet=True)
    live.say("talk")
    live.insist("not yet healed: link b")
    assert out.getvalue() == "not yet healed: link b\n"
