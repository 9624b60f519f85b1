"""
The command line: `chaosx`. It parses words and prints; the work is elsewhere and imported when asked for.

Data goes to standard output, talk to standard error. Exit codes: 0 PASS, 1 FAIL, 2 usage or file, 3 INCONCLUSIVE,
4 ABORTED, 5 the tool failed, 6 DIRTY; no other is ever returned.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chaoslib_ext import __version__
from chaoslib_ext.errors import ChaosxError, LedgerCorrupt, NotClean, Refused, UsageError
from chaoslib_ext.reasons import EXIT_CODES, REASONS

ENV_HELP = "An environment file, or its name in environments/; `sandbox`, `sandbox:SWITCH,…` (a private one), `sandbox@NAME` (one that runs)."


class Group(click.Group):
    """The root command: turns our exceptions into messages and the exit codes of the contract."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        sys.exit(exit_code_of(lambda: super(Group, self).main(*args, **kwargs)))


def exit_code_of(call: Callable[[], Any]) -> int:
    """Runs a command and gives its exit code; every exception of ours becomes a message on standard error."""
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except click.exceptions.Abort:
        return 4
    except UsageError as error:
        click.echo(str(error), err=True)
        return 2
    except Refused as error:
        reason = REASONS[error.reason]
        click.echo(f"not begun: {error.reason}: {error}\n{reason.sentence} {reason.next_step}", err=True)
        return 6 if error.reason == "EARLIER_RUN_DIRTY" else 3
    except (NotClean, LedgerCorrupt) as error:
        click.echo(f"DIRTY: {error}", err=True)
        return 6
    except ChaosxError as error:
        click.echo(str(error), err=True)
        return 5
    except BrokenPipeError:
        return 5
    except Exception as error:  # a bug of ours must not look like a verdict
        import traceback

        traceback.print_exc()
        click.echo(f"chaosx failed: {type(error).__name__}: {error}", err=True)
        return 5


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chaosx")
def main() -> None:
    """Resilience tests that can be believed: faults by Chaos Toolkit, traffic by Locust, RTO and RPO measured, one verdict."""


@main.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--env", "env", default="sandbox", show_default=True, help=ENV_HELP)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where run directories go.")
@click.option("--seed", type=int, default=None, help="Seed of everything drawn at random; printed, so that a run can be repeated.")
@click.option("--allow-code", is_flag=True, help="Take `process` providers and foreign Python modules; without it they are never imported.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document on standard output.")
@click.option("--quiet", "-q", is_flag=True, help="Nothing on standard error but errors.")
def run(experiment: Path, env: str, out: Path, seed: int | None, allow_code: bool, as_json: bool, quiet: bool) -> int:
    """Runs one experiment and leaves a report. The exit code is the verdict."""
    from chaoslib_ext.cli.run_command import Options, run_file

    result = run_file(Options(experiment, env, out, seed, allow_code, quiet))
    click.echo(json.dumps(result.as_json, sort_keys=True) if as_json else result.text)
    return EXIT_CODES[result.verdict]


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Take `process` providers and foreign Python modules.")
def validate(files: tuple[Path, ...], allow_code: bool) -> int:
    """Checks files and tells all their problems at once; touches nothing."""
    from chaoslib_ext.cli.validate_command import check_files

    problems, warnings = check_files(files, allow_code)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    for problem in problems:
        click.echo(problem, err=True)
    if not problems:
        click.echo(f"{len(files)} {'file is' if len(files) == 1 else 'files are'} valid")
    return 2 if problems else 0


@main.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Prints the JSON Schema of a format; without a name, the names."""
    from chaoslib_ext.formats import schemas

    if name is None:
        click.echo("\n".join(schemas.NAMES))
        return
    if name not in schemas.NAMES:
        raise UsageError(f"schema: got {name!r}, expected one of {', '.join(schemas.NAMES)}")
    click.echo(json.dumps(schemas.schema(name), indent=2, sort_keys=True))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--verify", is_flag=True, help="Only say whether the evidence is unaltered; exit code 1 when it is not.")
def report(directory: Path, verify: bool) -> int:
    """Draws the report of a run directory again. It never judges."""
    from chaoslib_ext import rundir

    if verify:
        altered = rundir.verify(directory)
        for line in altered:
            click.echo(line)
        click.echo("unaltered" if not altered else f"{len(altered)} altered", err=True)
        return 1 if altered else 0
    from chaoslib_ext.gate.outputs import write_all

    for path in write_all(directory):
        click.echo(path)
    return 0


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def judge(directory: Path) -> int:
    """Judges a run directory again, beside the sealed verdict, and says where the two differ."""
    from chaoslib_ext.runner.finish import judge_again

    path, differences = judge_again(directory)
    click.echo(path)
    for line in differences:
        click.echo(line, err=True)
    return 0


@main.command()
@click.option("--run", "run_id", default=None, help="Only this run.")
@click.option("--all", "every", is_flag=True, help="Every run that is not closed (the default).")
@click.option("--deadline", default="120s", show_default=True, help="How long to try.")
@click.option("--accept", "fault", default=None, help="Take what is left of this fault as it is; needs --run and --reason.")
@click.option("--reason", default="", help="Why it is accepted; it stays in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def recover(run_id: str | None, every: bool, deadline: str, fault: str | None, reason: str, as_json: bool) -> int:
    """Takes back what dead runs left behind. Exit code 0: all clean; 6: not, and what to do."""
    from chaoslib_ext.clock import parse_duration
    from chaoslib_ext.recover import accept, recover_runs

    if fault is not None:
        if run_id is None:
            raise UsageError("recover --accept: got no --run, expected the run whose fault is accepted")
        for line in accept(run_id, fault, reason):
            click.echo(f"accepted: {line}", err=True)

    if run_id is not None and every:
        raise UsageError("recover: got --run and --all, expected one of them")
    try:
        deadline_s = parse_duration(deadline)
    except ValueError as error:
        raise UsageError(f"recover: --deadline: {error}") from error
    outcomes = recover_runs(run_id, deadline_s)
    if as_json:
        click.echo(json.dumps([outcome.as_json() for outcome in outcomes], sort_keys=True))
    else:
        click.echo("\n".join(str(outcome) for outcome in outcomes) or "nothing to recover: every run is closed")
    return 0 if all(outcome.clean for outcome in outcomes) else 6


@main.command()
@click.argument("run_id", required=False)
@click.option("--reason", default="", help="Why; it is written on the timeline.")
def abort(run_id: str | None, reason: str) -> int:
    """Stops a run from another terminal: its faults are taken back first."""
    from chaoslib_ext.runner.abort import abort_run

    click.echo(abort_run(run_id, reason))
    return 0


@main.group()
def sandbox() -> None:
    """A small replicated shop behind a real Envoy, on this machine, to try things on."""


@sandbox.command("up")
@click.argument("name", default="default")
@click.option("--switch", "switches", multiple=True, help="A weakness to plant; `chaosx sandbox switches` lists them.")
@click.option("--json", "as_json", is_flag=True)
def sandbox_up(name: str, switches: tuple[str, ...], as_json: bool) -> int:
    """Starts a sandbox that lives until `down`."""
    from chaoslib_ext import sandbox as rooms

    info = rooms.up(name, switches, owner_pid=None)
    environment = rooms.environment_json(info)
    click.echo(json.dumps(environment, sort_keys=True) if as_json else f"{info.name}: {info.url}  (chaosx run … --env sandbox@{info.name})")
    return 0


@sandbox.command("status")
@click.option("--json", "as_json", is_flag=True)
def sandbox_status(as_json: bool) -> int:
    """Lists the sandboxes of this user."""
    from chaoslib_ext import sandbox as rooms

    found = rooms.status()
    if as_json:
        click.echo(json.dumps(found, sort_keys=True))
    else:
        click.echo("\n".join(f"{one['name']}: {one['url']}" for one in found) or "no sandbox")
    return 0


@sandbox.command("down")
@click.argument("name", default="default")
def sandbox_down(name: str) -> int:
    """Ends a sandbox; nothing of it stays."""
    from chaoslib_ext import sandbox as rooms

    click.echo(f"{name}: {'ended' if rooms.down(name) else 'there is no such sandbox'}")
    return 0


@sandbox.command("switches")
def sandbox_switches() -> None:
    """Lists the weaknesses that can be planted."""
    from chaoslib_ext.sandbox import WEAKNESSES

    for name, text in WEAKNESSES.items():
        click.echo(f"{name:20} {text}")
