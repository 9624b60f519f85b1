"""
The command line: `chaosx`. It parses words and prints; the work is elsewhere and imported when asked for.

Data goes to standard output, talk to standard error; nothing is ever asked back. Exit codes: 0 PASS, 1 FAIL, 2 usage or
file, 3 INCONCLUSIVE, 4 ABORTED, 5 the tool failed, 6 DIRTY; no other is ever returned.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from chaoslib_ext import __version__
from chaoslib_ext.cli import reading, rooms, running, starting
from chaoslib_ext.cli.export_command import export
from chaoslib_ext.cli.report_command import report
from chaoslib_ext.cli.trend_command import trend
from chaoslib_ext.cli.words import Suggesting, problem_lines, tell
from chaoslib_ext.errors import ChaosxError, InvalidFile, LedgerCorrupt, NotClean, Refused, UsageError
from chaoslib_ext.reasons import REASONS


class Group(Suggesting):
    """The root command: turns our exceptions into messages and the exit codes of the contract."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs |= {"standalone_mode": False, "prog_name": "chaosx"}
        sys.exit(exit_code_of(lambda: super(Group, self).main(*args, **kwargs)))


def exit_code_of(call: Callable[[], Any]) -> int:
    """Runs a command and gives its exit code; every exception of ours becomes a message on standard error."""
    try:
        code = call()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except SystemExit as end:  # click ends so: its shell completion, and when nobody reads standard output any more
        return 0 if not end.code else 2 if "_CHAOSX_COMPLETE" in os.environ else 5
    except click.ClickException as error:
        error.show()
        return 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        with suppress(OSError):  # the terminal was closed, which is what stopped it
            tell("stopped", err=True)
        return 4
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        return _unheard() if error.errno == errno.EIO and error.filename is None else _told(error)  # EIO: the terminal was closed
    except Exception as error:  # told below by kind; a bug of ours must not look like a verdict
        return _told(error)


def _unheard() -> int:
    """Nobody can be told any more, on either stream; Python's own last flush must not complain."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    return 5


def _told(error: Exception) -> int:
    """Says what went wrong; the exit code."""
    if isinstance(error, InvalidFile):
        tell("\n".join(problem_lines(error)), err=True)
        return 2
    if isinstance(error, Refused):
        reason = REASONS[error.reason]
        tell(f"not begun: {error.reason}: {error}\n{reason.sentence} {reason.next_step}", err=True)
        return 6 if error.reason == "EARLIER_RUN_DIRTY" else 3
    if isinstance(error, NotClean | LedgerCorrupt):
        tell(f"DIRTY: {error}", err=True)
        return 6
    if isinstance(error, ChaosxError):
        tell(str(error), err=True)
        return 2 if isinstance(error, UsageError) else 5
    if isinstance(error, OSError) and error.filename is not None:
        tell(f"{error.filename}: {error.strerror}; chaosx needs it and could not go on", err=True)
        return 5
    import traceback

    traceback.print_exception(error)
    tell(f"chaosx failed: {type(error).__name__}: {error}\nThis is a fault of chaosx; please report it with the lines above.", err=True)
    return 5


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chaosx")
def main() -> None:
    """Resilience tests that can be believed: faults by Chaos Toolkit, traffic by Locust, RTO and RPO measured, one verdict."""


for _command in (
    *(starting.init, running.run, reading.validate, running.plan, running.approve, reading.explain, reading.doctor, running.abort, running.recover),
    *(report, trend, export, reading.judge, rooms.sandbox, reading.schema, starting.completion),
):
    main.add_command(_command)
