"""
`chaosx run`: brings files, environment, run and outputs together. The only place that knows all four.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from chaoslib_ext.environment import EnvChoice, Environment, parse_env_argument, read_environment
from chaoslib_ext.errors import Refused
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.gate.outputs import write_all
from chaoslib_ext.reasons import REASONS
from chaoslib_ext.runner.prepare import command_line, prepare
from chaoslib_ext.runner.session import Finished
from chaoslib_ext.runner.session import run as run_prepared


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    experiment: Path
    env: str
    out: Path
    seed: int | None
    allow_code: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed: the verdict, as JSON and as text."""

    verdict: str
    as_json: dict[str, Any]
    text: str


def run_file(options: Options) -> Shown:
    """Runs one experiment file and draws its report. Raises UsageError or Refused before anything is touched."""
    choice = parse_env_argument(options.env)
    values = read_environment(choice.path).values if choice.path is not None else {}
    experiment = read_experiment(options.experiment, allow_code=options.allow_code, variables=values)
    for warning in experiment.warnings:
        click.echo(f"warning: {warning}", err=True)
    with environment_of(choice) as environment:
        prepared = prepare(experiment, environment, options.out, options.seed, command_line())
        finished = run_prepared(prepared, experiment, options.quiet)
    return shown(finished, draw(finished))


@contextmanager
def environment_of(choice: EnvChoice) -> Iterator[Environment]:
    """The environment, for as long as it is needed; a private sandbox is started and ended here."""
    if choice.path is not None:
        yield read_environment(choice.path)
        return
    from chaoslib_ext import sandbox

    if choice.name:
        info = sandbox.find(choice.name)
        if info is None:
            raise Refused("PREFLIGHT_FAILED", f"no sandbox {choice.name!r} is up; chaosx sandbox up {choice.name}")
        yield Environment.from_json(sandbox.environment_json(info))
        return
    private = f"run-{secrets.token_hex(4)}"
    info = sandbox.up(private, choice.switches, owner_pid=os.getpid(), timeout_s=25)
    try:
        yield Environment.from_json(sandbox.environment_json(info))
    finally:
        sandbox.down(private)


def draw(finished: Finished) -> list[Path]:
    """The report and the other outputs; a failure to draw does not touch the sealed verdict."""
    try:
        return write_all(finished.directory)
    except Exception as error:  # the verdict is on disk already; say what failed and go on with it
        click.echo(f"the outputs could not be drawn ({type(error).__name__}: {error}); try: chaosx report {finished.directory}", err=True)
        return []


def shown(finished: Finished, outputs: list[Path]) -> Shown:
    """The end of a run as people and pipelines read it."""
    result = finished.result
    report = next((path for path in outputs if path.suffix == ".html"), None)
    lines = [result.verdict]
    for code in result.reasons:
        lines.append(f"  {code}: {REASONS[code].sentence} {REASONS[code].next_step}")
    lines += [f"  {finished.detail}"] if finished.detail else []
    lines += [f"report  {_near(report)}" if report else f"run     {_near(finished.directory)}", f"seal    {finished.seal}"]
    as_json = {"verdict": result.verdict, "exit_code": result.exit_code, "reasons": result.reasons, "run": result.run, "directory": str(finished.directory)}
    return Shown(result.verdict, {**as_json, "report": str(report) if report else None, "seal": finished.seal}, "\n".join(lines))


def _near(path: Path) -> str:
    """The path as short as it can be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
