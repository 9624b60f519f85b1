"""What all commands say alike: the nearest command, problems by kind, JSON, and where colour is wanted."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from chaoslib_ext.errors import InvalidFile, Problem

JSON_HELP = "One JSON document on standard output."
KINDS = {
    "file": "wrong in the file",
    "package": "package missing",
    "environment": "environment variable missing",
    "program": "program missing",
    "version": "version that does not fit",
    "code": "code that needs --allow-code",
}
_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "ABORTED": "yellow", "ERROR": "red", "DIRTY": "red"}
_ORDERS = re.compile(r"##(?=[\w-]*\[)|^([ \t]*)::(?=[\w-])", re.MULTILINE)  # what a pipeline obeys in a log: Azure, TeamCity, GitHub
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Suggesting(click.Group):
    """A group of commands that names the nearest one when there is none of the name given."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, list(self.commands), n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(self.commands)}"
            raise click.UsageError(f"got {name!r}, expected a command; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - in the order of a day's work, not of the alphabet
        return list(self.commands)


def summary(problems: Iterable[Problem]) -> str:
    """`2 wrong in the file, 1 package missing`."""
    counted = Counter(problem.kind for problem in problems)
    return ", ".join(f"{counted[kind]} {text}" for kind, text in KINDS.items() if counted[kind])


def problem_lines(error: InvalidFile) -> list[str]:
    """Warnings and problems of a file, and in the end how many of which kind."""
    lines = [*(f"warning: {warning}" for warning in error.warnings), *map(str, error.problems)]
    many = len(error.problems) > 1 or any(problem.kind != "file" for problem in error.problems)
    return [*lines, f"nothing was touched: {summary(error.problems)}"] if many else lines


@contextmanager
def heard() -> Iterator[None]:
    """Prints what is printed inside, if anybody can be told: a reader that is gone, or a terminal that was closed, is no failure."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python's own last flush must not complain


def harmless(text: str) -> str:
    """The text without what a terminal or a pipeline obeys instead of showing: names and errors come from outside. Its lines stay."""
    return _ORDERS.sub(lambda found: "# #" if found[1] is None else f"{found[1]}: :", _OBEYED.sub("\ufffd", text))


def tell(text: object, err: bool = False) -> None:
    """Lines for a person, on standard output or error."""
    click.echo(harmless(str(text)), err=err)


def say_json(value: Any) -> None:
    """One JSON document on standard output; the same bytes for the same value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    text = text.replace("##", "#\\u0023")  # see _ORDERS; only inside its texts can this, or such a character, stand
    click.echo(_OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def wants_colour(stream: Any = None) -> bool:
    """A terminal, and nobody who said no: NO_COLOR, TERM=dumb. FORCE_COLOR says yes whatever the stream is."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or bool((stream or sys.stdout).isatty())


def say(text: str) -> None:
    """Text on standard output; its first word is coloured when it is a verdict and colour is wanted."""
    word, space, rest = harmless(text).partition("\n")
    text = word + space + rest
    if wants_colour() and word in _COLOURS:
        text = click.style(word, fg=_COLOURS[word], bold=True) + space + rest
    click.echo(text, color=True)
