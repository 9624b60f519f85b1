"""The line that follows a run: honest, at most one line wide, and plain where nothing can be drawn over."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.clock import NS
from chaoslib_ext.runner.live import Live


def second(number: int, **more: Any) -> dict[str, Any]:
    return {"second": number, "scheduled": 100, "released": 100, "good": 90, "bad": 10, "in_flight": 3, **more}


def plain(*seconds: dict[str, Any], now_s: int | None = None, phase: str = "method", lasts: float | None = 30.0) -> str:
    out = io.StringIO()
    live = Live(out)
    live.begin(phase, 0, lasts)
    for one in seconds:
        live.second(one)
    live.draw((seconds[-1]["second"] + 1 if now_s is None else now_s) * NS)
    return out.getvalue().splitlines()[-1]


def test_the_line_holds_phase_rate_errors_in_flight_and_time_left() -> None:
    assert plain(second(10), second(11)) == "T+12 s  method    100/s  20 of 200 bad  3 in flight  18 s left"


def test_what_was_not_sent_is_said() -> None:
    assert "87 of 100/s" in plain(second(10, released=87))


def test_figures_that_are_old_are_not_shown_as_new() -> None:
    line = plain(second(10), now_s=20)
    assert "no figures for 9 s" in line
    assert "100/s" not in line


def test_a_phase_without_an_end_has_no_time_left() -> None:
    assert "left" not in plain(second(10), lasts=None)


def test_the_line_fits_into_eighty_columns_up_to_a_million() -> None:
    big = second(99_998, scheduled=20_000, released=19_999, good=800_000, bad=199_999, in_flight=20_000)
    for phase in ("preflight", "warm-up", "recovery"):
        assert len(plain(big, phase=phase, lasts=100_299.0)) <= 79


def on_a_terminal(columns: int) -> str:
    main, other = pty.openpty()
    os.environ.pop("LINES", None)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(other, "w") as out:
        live = Live(out)
        live.begin("method", 0, 30.0)
        live.second(second(10))
        live.draw(11 * NS)
        live.draw(11 * NS)
        live.say("a line that stays")
    said = b""
    with contextlib.suppress(OSError):  # EIO: everything was read; one read need not bring it all
        while part := os.read(main, 65536):
            said += part
    os.close(main)
    return said.decode()


@pytest.mark.parametrize("columns", [30, 80])
def test_on_a_terminal_one_line_is_drawn_over_and_never_wraps(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm")
    said = on_a_terminal(columns)
    [drawn] = re.findall(r"\r\x1b\[2K(T[^\r\n]*)", said)
    assert len(drawn) <= columns - 1
    assert drawn.startswith("T+11 s  method")
    assert "\x1b[3" not in said


def test_a_dumb_terminal_gets_no_control_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in on_a_terminal(80)


def test_without_a_terminal_there_is_a_line_now_and_then(tmp_path: Path) -> None:
    out = io.StringIO()
    live = Live(out)
    for now in range(1, 31):
        live.second(second(now - 1))
        live.draw(now * NS)
    assert len(out.getvalue().splitlines()) == 4
    assert "\x1b" not in out.getvalue()


def test_quiet_is_quiet() -> None:
    out = io.StringIO()
    live = Live(out, quiet=True)
    live.begin("method", 0, 1.0)
    live.second(second(1))
    live.draw(NS)
    assert out.getvalue() == ""
