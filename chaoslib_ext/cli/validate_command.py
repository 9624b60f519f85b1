"""
`chaosx validate`: each file is read as what it is, by its own words; all problems of all files are told.

OpenSLO files are read together, because one may name what stands in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.formats import kinds


@dataclass(slots=True)
class Checked:
    """One file: what it is, and what was found."""

    file: str
    kind: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data; each problem with its `kind`."""
        return {**asdict(self), "valid": not self.problems}


def check_files(files: Sequence[Path], allow_code: bool) -> list[Checked]:
    """What was found in each file, in the order given. Problems of a file that another one names are told with the one that names it."""
    checked = [Checked(str(path), kinds.kind_of(path)) for path in files]
    for path, one in zip(files, checked, strict=True):
        if one.kind != kinds.SLO:
            _read(one, path, allow_code)
    slos = {one.file: one for one in checked if one.kind == kinds.SLO}
    if slos:
        _read_slos(slos)
    return checked


def _read(one: Checked, path: Path, allow_code: bool) -> None:
    readers: dict[str, Callable[[Path], list[str]]] = {
        kinds.LOAD_PROFILE: _load_profile,
        kinds.ENVIRONMENT: _environment,
        kinds.LOCUSTFILE: _locustfile,
        kinds.UNKNOWN: _unknown,
        kinds.EXPERIMENT: lambda path: _experiment(path, allow_code),
    }
    try:
        one.warnings += readers[one.kind](path)
    except InvalidFile as error:
        one.problems += error.problems
        one.warnings += error.warnings


def _read_slos(slos: dict[str, Checked]) -> None:
    from chaoslib_ext.slo import read_slo_files

    try:
        for warning in read_slo_files([Path(file) for file in slos]).warnings:
            slos[next((file for file in slos if warning.startswith(f"{file}:")), next(iter(slos)))].warnings.append(warning)
    except InvalidFile as error:
        for problem in error.problems:
            slos.get(problem.file, next(iter(slos.values()))).problems.append(problem)


def _experiment(path: Path, allow_code: bool) -> list[str]:
    from chaoslib_ext.experiment import read_experiment

    return read_experiment(path, allow_code=allow_code).warnings


def _load_profile(path: Path) -> list[str]:
    from chaoslib_ext.formats.locustfiles import locustfile_problems, locustfile_warnings
    from chaoslib_ext.loadprofile import read_load_profile

    profile = read_load_profile(path)
    if profile.locustfile is None:
        return []
    problems = locustfile_problems(Path(profile.locustfile))
    if problems:
        raise InvalidFile(problems)
    return locustfile_warnings(Path(profile.locustfile))


def _environment(path: Path) -> list[str]:
    from chaoslib_ext.environment import read_environment

    read_environment(path)
    return []


def _locustfile(path: Path) -> list[str]:
    from chaoslib_ext.formats.locustfiles import locustfile_problems, locustfile_warnings

    problems = locustfile_problems(path)
    if problems:
        raise InvalidFile(problems)
    return locustfile_warnings(path)


def _unknown(path: Path) -> list[str]:
    raise InvalidFile([Problem(str(path), 0, "", kinds.unknown_text(path))])
