"""
`chaosx recover`: takes back what dead runs left behind, by run, all of them, or by what is in a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext import recover, survey
from chaoslib_ext.cli.run_command import choose, environment_of
from chaoslib_ext.clock import parse_duration
from chaoslib_ext.errors import UsageError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    run_id: str | None
    every: bool
    env: str | None
    deadline: str
    dry_run: bool
    accept: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is printed, what was accepted, and the exit code: 0 all clean, 6 not."""

    as_json: list[dict[str, Any]]
    text: str
    accepted: list[str]
    exit_code: int


def recover_command(wanted: Wanted) -> Recovered:
    """Recovers, or says what it would do. Raises UsageError for words that contradict each other."""
    _check(wanted)
    try:
        deadline_s = parse_duration(wanted.deadline)
    except ValueError as error:
        raise UsageError(f"recover: --deadline: {error}") from error
    if wanted.dry_run:
        return _surveyed(wanted)
    told = recover.accept(wanted.run_id, wanted.accept, wanted.reason) if wanted.accept is not None and wanted.run_id is not None else []
    outcomes = _in_target(wanted.env, deadline_s) if wanted.env is not None else recover.recover_runs(wanted.run_id, deadline_s)
    nothing = "nothing to recover: no mark of a fault is in the target" if wanted.env is not None else "nothing to recover: every run is closed"
    code = 0 if all(outcome.clean for outcome in outcomes) else 6
    return Recovered([outcome.as_json() for outcome in outcomes], _lines(outcomes, nothing), told, code)


def _check(wanted: Wanted) -> None:
    given = [name for name, value in (("--run", wanted.run_id), ("--all", wanted.every), ("--env", wanted.env)) if value]
    if len(given) > 1:
        raise UsageError(f"recover: got {' and '.join(given)}, expected one of them")
    if wanted.accept is not None and wanted.run_id is None:
        raise UsageError("recover --accept: got no --run, expected the run whose fault is accepted")
    if wanted.accept is not None and wanted.dry_run:
        raise UsageError("recover: got --accept and --dry-run, expected one of them: accepting is writing")
    if wanted.env is not None:
        choice = choose(wanted.env)
        if choice.kind == "sandbox" and not choice.name:
            raise UsageError(f"recover --env {wanted.env}: a private sandbox ends with its run; expected sandbox@NAME or an environment file")


def _in_target(env: str, deadline_s: float) -> list[recover.Outcome]:
    with environment_of(choose(env)) as environment:
        return recover.recover_environment(environment, deadline_s)


def _surveyed(wanted: Wanted) -> Recovered:
    if wanted.env is None:
        found = survey.of_runs(wanted.run_id)
    else:
        with environment_of(choose(wanted.env)) as environment:
            found = survey.of_environment(environment)
    text = _lines(found, "nothing to recover")
    return Recovered([one.as_json() for one in found], f"{text}\nnothing was touched", [], 6 if any(one.pending for one in found) else 0)


def _lines(found: Sequence[recover.Outcome | survey.Survey], nothing: str) -> str:
    return "\n".join(map(str, found)) or nothing
