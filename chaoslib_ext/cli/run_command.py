"""
`chaosx run`: brings files, environment, run and outputs together. The only place that knows all four.
"""

from __future__ import annotations

import os
import resource
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.cli.words import tell
from chaoslib_ext.environment import EnvChoice, Environment, parse_env_argument, read_environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.experiment import Experiment, read_experiment
from chaoslib_ext.formats import kinds
from chaoslib_ext.formats.file_problems import nearest
from chaoslib_ext.formats.yamlfile import is_file
from chaoslib_ext.gate.outputs import write_all
from chaoslib_ext.reasons import REASONS
from chaoslib_ext.runner.approval import read_approval, told
from chaoslib_ext.runner.plan import read_plan
from chaoslib_ext.runner.prepare import Asked, command_line, prepare
from chaoslib_ext.runner.session import Finished
from chaoslib_ext.runner.session import run as run_prepared
from chaoslib_ext.runner.signals import interruptible


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    experiment: Path
    env: str
    out: Path
    seed: int | None
    allow_code: bool
    quiet: bool
    plan_file: Path | None = None
    no_fuse: bool = False
    confirm: str = ""
    approval_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed: the verdict, as JSON and as text."""

    verdict: str
    as_json: dict[str, Any]
    text: str


def run_file(options: Options) -> Shown:
    """Runs one experiment file and draws its report. Raises UsageError or Refused before anything is touched."""
    interruptible()
    os.umask(os.umask(0o022) | 0o022)  # evidence that others could write would prove nothing
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # a core file holds secrets
    choice = choose(options.env)
    experiment = read_for(options.experiment, choice, options.allow_code)
    stored = read_plan(options.plan_file) if options.plan_file else None
    approval = read_approval(options.approval_file) if options.approval_file else None
    if stored is not None and options.seed not in (None, stored["seed"]):
        raise UsageError(f"--seed {options.seed}: the plan {options.plan_file} was drawn with seed {stored['seed']}; leave --seed out, or plan again")
    seed = stored["seed"] if stored is not None else options.seed
    check_folders(options.out)
    for warning in () if options.quiet else experiment.warnings:
        tell(f"warning: {warning}", err=True)
    with environment_of(choice) as environment:
        asked = Asked(options.out, seed, command_line(), stored, options.allow_code, options.no_fuse, options.confirm, approval)
        prepared = prepare(experiment, environment, asked)
        for line in () if options.quiet else told(prepared.header["approval"]):
            tell(line, err=True)
        if stored is not None and not options.quiet:
            tell(f"plan {prepared.plan['token']}: the targets are the planned ones", err=True)
        finished = run_prepared(prepared, experiment, options.quiet)
    return shown(finished, draw(finished), prepared.plan["token"])


def choose(text: str) -> EnvChoice:
    """The environment that `--env` means. Raises UsageError with what there is when its file is missing."""
    choice = parse_env_argument(text)
    if choice.path is None or is_file(choice.path):
        return choice
    there = ["sandbox", *sorted(path.stem for path in Path("environments").glob("*.yaml"))]
    near = nearest(text, there)
    hint = f"did you mean {near}?" if near else f"there are: sandbox (built in){''.join(f', {name}' for name in there[1:])}"
    raise UsageError(f"--env {text}: no such file: {choice.path}; {hint}")


def read_for(path: Path, choice: EnvChoice, allow_code: bool) -> Experiment:
    """The experiment of a file, with the values of the environment. Raises UsageError for anything that is no experiment."""
    if not path.exists():
        there = sorted(str(found) for found in [*Path().glob("*.yaml"), *Path("experiments").glob("**/*.yaml")][:1000])
        near = nearest(str(path), there)
        hint = f"did you mean {near}?" if near else "check the path, or make a starter project: chaosx init"
        raise UsageError(f"{path}: no such file; {hint}")
    if path.is_dir():
        raise UsageError(f"{path}: got a folder, expected an experiment file in it")
    kind = kinds.kind_of(path)
    if kind not in (kinds.EXPERIMENT, kinds.UNKNOWN):
        raise UsageError(f"{path}: got a file of kind {kind}, expected an experiment (`title`, `method`, …) that names it")
    values = read_environment(choice.path).values if choice.path is not None else {}
    return read_experiment(path, allow_code=allow_code, variables=values)


def check_folders(out: Path) -> None:
    """Whether reports and state can be written, before anything is begun. Raises UsageError, or Refused for the state directory."""
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"--out {out}: {above} {'may not be written to' if above.is_dir() else 'is not a folder'}; name another folder")
    home = state.state_dir()
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise Refused("PREFLIGHT_FAILED", f"the state directory {home} cannot be written; set CHAOSX_STATE to a folder of yours on a local disk")


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
    info = sandbox.up(private, choice.switches, owner_pid=os.getpid())
    try:
        yield Environment.from_json(sandbox.environment_json(info))
    finally:
        sandbox.down(private)


def draw(finished: Finished) -> list[Path]:
    """The report and the other outputs; a failure to draw does not touch the sealed verdict."""
    try:
        return write_all(finished.directory)
    except Exception as error:  # the verdict is on disk already; say what failed and go on with it
        tell(f"the outputs could not be drawn ({type(error).__name__}: {error}); try: chaosx report {finished.directory}", err=True)
        return []


def shown(finished: Finished, outputs: list[Path], token: str) -> Shown:
    """The end of a run as people and pipelines read it."""
    result = finished.result
    report = next((path for path in outputs if path.suffix == ".html"), None)
    lines = [result.verdict]
    for code in result.reasons:
        lines.append(f"  {code}: {REASONS[code].sentence} {REASONS[code].next_step}")
    lines += [f"  {finished.detail}"] if finished.detail else []
    lines += [f"  notice: {text}" for text in result.notices]
    lines.append(f"report  {_near(report)}" if report else f"run     {_near(finished.directory)}")
    lines += [f"why     chaosx explain {_near(finished.directory)}", f"plan    {token}", f"seal    {finished.seal}"]
    as_json = {"verdict": result.verdict, "exit_code": result.exit_code, "reasons": result.reasons, "run": result.run, "directory": str(finished.directory)}
    as_json |= {name: figures for name, figures in result.to_json().items() if name in ("rto", "recovery_after_removal", "rpo")}
    return Shown(result.verdict, {**as_json, "report": str(report) if report else None, "seal": finished.seal, "plan_token": token}, "\n".join(lines))


def _near(path: Path) -> str:
    """The path as short as it can be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
