"""
`chaosx validate`: each file is read as what it is, by its own words; all problems of all files are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chaoslib_ext.environment import read_environment
from chaoslib_ext.errors import InvalidFile, UsageError
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.loadprofile import read_load_profile
from chaoslib_ext.slo import read_slo_files

KINDS = {"kind: LoadProfile": "load profile", "kind: Environment": "environment", "openslo": "slo"}


def check_files(files: Iterable[Path], allow_code: bool) -> tuple[list[str], list[str]]:
    """The problems and the warnings of the files, as lines."""
    problems: list[str] = []
    warnings: list[str] = []
    for path in files:
        try:
            warnings += _check(path, allow_code)
        except InvalidFile as error:
            problems += [str(problem) for problem in error.problems]
        except UsageError as error:
            problems.append(str(error))
    return problems, warnings


def _check(path: Path, allow_code: bool) -> list[str]:
    kind = kind_of(path)
    if kind == "load profile":
        read_load_profile(path)
    elif kind == "environment":
        read_environment(path)
    elif kind == "slo":
        return list(read_slo_files([path]).warnings)
    else:
        return list(read_experiment(path, allow_code=allow_code).warnings)
    return []


def kind_of(path: Path) -> str:
    """What a file says it is: load profile, environment, slo, or else an experiment."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return next(
        (kind for sign, kind in KINDS.items() if any(line.startswith(("apiVersion", "kind", "- apiVersion")) and sign in line for line in text.splitlines())),
        "experiment",
    )
