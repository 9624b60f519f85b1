"""The commands that run something, or say what a run would be: run, plan, abort, recover."""

from __future__ import annotations

from pathlib import Path

import click

from chaoslib_ext.cli.words import JSON_HELP, heard, say, say_json, tell
from chaoslib_ext.reasons import EXIT_CODES

ENV_HELP = "An environment file, or its name in environments/; `sandbox`, `sandbox:SWITCH,…` (a private one), `sandbox@NAME` (one that runs)."
CODE_HELP = "Take `process` providers and foreign Python modules; without it they are never imported."


def environments(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """What `--env` could be, for the shell's completion."""
    names = ["sandbox", *sorted(path.stem for path in Path("environments").glob("*.yaml"))]
    return [name for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--env", "env", default="sandbox", show_default=True, help=ENV_HELP, shell_complete=environments)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where run directories go.")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), default=None, help="Run exactly this plan of `chaosx plan -o`, or refuse with a diff.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of everything drawn at random; printed, so that a run can be repeated.")
@click.option("--allow-code", is_flag=True, help=CODE_HELP)
@click.option("--no-fuse", is_flag=True, help="Hold faults without a fuse in the target; needs --confirm, and the report says so.")
@click.option("--confirm", default="", help="The environment's name (production: and the plan's token), for what needs a person's word.")
@click.option("--approval", "approval_file", type=click.Path(path_type=Path), default=None, help="The stored approval of `chaosx approve`, for production.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option("--quiet", "-q", is_flag=True, help="Nothing on standard error but errors.")
def run(
    experiment: Path,
    env: str,
    out: Path,
    plan_file: Path | None,
    seed: int | None,
    allow_code: bool,
    no_fuse: bool,
    confirm: str,
    approval_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Runs one experiment and leaves a report. The exit code is the verdict."""
    from chaoslib_ext.cli.run_command import Options, run_file

    result = run_file(Options(experiment, env, out, seed, allow_code, quiet, plan_file, no_fuse, confirm, approval_file))
    with heard():  # the run is over and sealed: that nobody reads about it does not change its verdict
        if as_json:
            say_json(result.as_json)
        else:
            say(result.text)
    return EXIT_CODES[result.verdict]


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--env", "env", default="sandbox", show_default=True, help=ENV_HELP, shell_complete=environments)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Where to write the plan, for `chaosx run --plan`.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of everything drawn at random.")
@click.option("--allow-code", is_flag=True, help=CODE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def plan(experiment: Path, env: str, output: Path | None, seed: int | None, allow_code: bool, as_json: bool) -> int:
    """
    Says what a run would hit, cost, take and decide. Touches nothing.

    A private sandbox is started for the plan and ended again. Exit code 3: the run would be refused, and why.
    """
    from chaoslib_ext.cli.plan_command import plan_file

    shown = plan_file(experiment, env, output, seed, allow_code)
    if as_json:
        say_json(shown.plan)
    else:
        say(shown.text)
    return 3 if shown.plan["refused"] else 0


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--by", required=True, help="Who approves.")
@click.option("--until", default="", help="A time with its zone, like 2030-01-31T18:00Z.")
@click.option("--for", "for_", default="", help="How long from now, like 2h.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write the approval, for `chaosx run --approval`.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def approve(plan_file: Path, by: str, until: str, for_: str, output: Path, as_json: bool) -> int:
    """
    Approves a plan of `chaosx plan -o` for a while: this experiment, in this environment, within these caps.

    Another draw of replicas within the caps is still approved; anything else is not. The file tells an edit, and is no signature.
    """
    from chaoslib_ext.cli.approve_command import approve_file

    shown = approve_file(plan_file, by, until, for_, output)
    if as_json:
        say_json(shown.approval)
    else:
        say(shown.text)
    return 0


@click.command()
@click.argument("run_id", required=False)
@click.option("--reason", default="", help="Why; it is written on the timeline.")
def abort(run_id: str | None, reason: str) -> int:
    """Stops a run from another terminal: its faults are taken back first."""
    from chaoslib_ext.runner.abort import abort_run

    tell(abort_run(run_id, reason))
    return 0


@click.command()
@click.option("--run", "run_id", default=None, help="Only this run.")
@click.option("--all", "every", is_flag=True, help="Every run that is not closed (the default).")
@click.option("--env", "env", default=None, help="What is in this target, also without any state directory; frees its lock. sandbox@NAME or an environment.")
@click.option("--dry-run", is_flag=True, help="Says what would be done, and touches nothing.")
@click.option("--deadline", default="120s", show_default=True, help="How long to try.")
@click.option("--accept", "fault", default=None, help="Take what is left of this fault as it is; needs --run and --reason.")
@click.option("--reason", default="", help="Why it is accepted; the next report shows it.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def recover(run_id: str | None, every: bool, env: str | None, dry_run: bool, deadline: str, fault: str | None, reason: str, as_json: bool) -> int:
    """Takes back what dead runs left behind. Exit code 0: all clean; 6: not, and what to do."""
    from chaoslib_ext.cli.recover_command import Wanted, recover_command

    found = recover_command(Wanted(run_id, every, env, deadline, dry_run, fault, reason))
    for line in found.accepted:
        tell(f"accepted: {line}", err=True)
    if as_json:
        say_json(found.as_json)
    else:
        tell(found.text)
    return found.exit_code
