"""The commands that only read: validate, explain, doctor, judge, schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from chaoslib_ext.cli.running import ENV_HELP, environments
from chaoslib_ext.cli.words import JSON_HELP, say, say_json, summary, tell
from chaoslib_ext.errors import UsageError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Take `process` providers and foreign Python modules.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def validate(files: tuple[Path, ...], allow_code: bool, as_json: bool) -> int:
    """
    Checks files and tells all their problems at once; touches nothing.

    Experiments, load profiles, environments, OpenSLO documents and locustfiles. Nothing that a file names is imported.
    """
    from chaoslib_ext.cli.validate_command import check_files

    checked = check_files(files, allow_code)
    problems = [problem for one in checked for problem in one.problems]
    if as_json:
        say_json({"valid": not problems, "files": [one.to_json() for one in checked]})
        return 2 if problems else 0
    for one in checked:
        for warning in one.warnings:
            tell(f"warning: {warning}", err=True)
        for problem in one.problems:
            tell(str(problem), err=True)
    if problems:
        tell(f"not valid: {summary(problems)}", err=True)
    else:
        tell(f"{len(files)} {'file is' if len(files) == 1 else 'files are'} valid")
    return 2 if problems else 0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("finding", required=False)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def explain(directory: Path, finding: str | None, as_json: bool) -> int:
    """
    Walks from the verdict of a run directory down to the rows that it rests on.

    FINDING is one of its findings, like `slo:browse-availability:fault` or `rto`; without it, those that decided the verdict.
    """
    from chaoslib_ext.cli.explain_command import lines
    from chaoslib_ext.explain import explain as explained

    told = explained(run_directory(directory), finding)
    if as_json:
        say_json(told)
    else:
        say("\n".join(lines(told)))
    return 0


@click.command()
@click.option("--env", "env", default="sandbox", show_default=True, help=ENV_HELP, shell_complete=environments)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def doctor(env: str, as_json: bool) -> int:
    """Says what this machine lacks and what earlier runs left behind; changes nothing. Exit code 3: something is missing; 6: something of ours is left."""
    from chaoslib_ext.cli.run_command import choose
    from chaoslib_ext.doctor import examine, exit_code

    checks = examine(choose(env))
    if as_json:
        say_json({"exit_code": exit_code(checks), "checks": [check.to_json() for check in checks]})
    else:
        tell("\n".join(str(check) for check in checks))
    return exit_code(checks)


def run_directory(directory: Path) -> Path:
    """The directory, if it is one of a run. Raises UsageError otherwise."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: {'not a directory' if directory.exists() else 'no such directory'}; expected a run directory, like reports/<run>")
    if not (directory / "run.json").is_file():
        inside = sorted(path.parent.name for path in directory.glob("*/run.json"))
        hint = f"did you mean {directory / inside[-1]}?" if inside else "expected a run directory, like reports/<run>"
        raise UsageError(f"{directory}: holds no run.json; {hint}")
    return directory


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def judge(directory: Path, as_json: bool) -> int:
    """
    Judges a run directory again, beside the sealed verdict, and says where the two differ.

    A run whose supervisor died is sealed as it is, and judged for the first time.
    """
    from chaoslib_ext.runner.finish import judge_again

    path, differences = judge_again(run_directory(directory))
    judged = json.loads(path.read_text(encoding="utf-8"))
    if as_json:
        say_json({"result": str(path), "verdict": judged["verdict"], "reasons": judged["reasons"], "differences": differences})
        return 0
    tell(" ".join([judged["verdict"], *judged["reasons"]]), err=True)
    tell(path)
    for line in differences:
        tell(line, err=True)
    return 0


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The names as a JSON list; a schema is JSON anyway.")
def schema(name: str | None, as_json: bool) -> None:
    """Prints the JSON Schema of a format; without a name, the names."""
    from chaoslib_ext.formats import schemas

    if name is None:
        click.echo(json.dumps(schemas.NAMES) if as_json else "\n".join(schemas.NAMES))
        return
    if name not in schemas.NAMES:
        raise UsageError(f"schema: got {name!r}, expected one of {', '.join(schemas.NAMES)}")
    click.echo(json.dumps(schemas.schema(name), indent=2, sort_keys=True))
