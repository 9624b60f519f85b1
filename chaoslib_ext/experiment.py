"""
Experiments: plain Chaos Toolkit files, checked far more strictly than Chaos Toolkit does, with our block in them.

The document stays what it is, for chaoslib; nothing that it names is imported or run by reading it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoslib_ext.block import Block, Budget, FaultBlock, Objective, Rto, Windows
from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.formats.yamlfile import Document, is_file
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.slo import Slo

if TYPE_CHECKING:
    from chaoslib_ext.formats.experiment_models import BlockModel
    from chaoslib_ext.formats.yamlfile import Document

__all__ = ["Block", "Budget", "Experiment", "FaultBlock", "Objective", "Rto", "Windows", "read_experiment"]


@dataclass(frozen=True, slots=True)
class Experiment:
    """
    One experiment. `document` is plain data, as chaoslib wants it; `block` is None for a stranger's file without ours.

    `inputs` are all files that were read, the experiment first. `warnings` are sentences for people; a code stands first
    where there is one.
    """

    path: Path
    title: str
    document: dict[str, Any]
    block: Block | None
    warnings: list[str] = field(default_factory=list)
    inputs: list[Path] = field(default_factory=list)

    def activities(self, part: str = "method") -> list[dict[str, Any]]:
        """The activities of `method`, `rollbacks` or `steady-state-hypothesis`."""
        found = self.document.get(part) or []
        return list(found.get("probes") or []) if isinstance(found, dict) else list(found)


def read_experiment(
    path: Path | str, allow_code: bool = False, variables: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Experiment:
    """
    The experiment of a YAML or JSON file, and the SLOs and the load profile that it names.

    `variables` are values given from outside (an environment's `values`, `--var`); `environ` stands for the process
    environment. `allow_code` admits code that is not ours. Raises InvalidFile with all problems of all files at once.
    """
    from chaoslib_ext.formats.block_checks import our_block, stranger_warnings
    from chaoslib_ext.formats.experiment_checks import Surroundings, check_document
    from chaoslib_ext.formats.yamlfile import read_document

    path = Path(path)
    document = read_document(path)
    around = Surroundings(allow_code, dict(variables or {}), dict(os.environ if environ is None else environ))
    found = _Found(path, document, *check_document(document, around), [path])
    block = _block(found)
    if block is None and our_block(document, []) is None:
        found.warnings.extend(stranger_warnings(document))
    if found.problems:
        raise InvalidFile(sorted(dict.fromkeys(found.problems), key=lambda problem: (problem.file != str(path), problem.file, problem.line)), found.warnings)
    return Experiment(path, document.data["title"], document.data, block, found.warnings, found.inputs)


@dataclass(frozen=True, slots=True)
class _Found:
    """What reading has found so far; the lists grow."""

    path: Path
    document: Document
    problems: list[Problem]
    warnings: list[str]
    inputs: list[Path]


def _block(found: _Found) -> Block | None:
    """Our block with the files that it names; None when there is none, or when it cannot be built (then problems say why)."""
    from chaoslib_ext.formats.block_checks import block_problems, block_warnings, our_block
    from chaoslib_ext.formats.experiment_models import BlockModel
    from chaoslib_ext.formats.file_problems import tried

    part = our_block(found.document, found.problems)
    if part is None:
        return None
    model, problems = tried(BlockModel, part)
    found.problems.extend(problems)
    if model is None:
        return None
    before = len(found.problems)
    load = _load(model, part, found)
    slos = _slos(model, part, found, load)
    readable = len(found.problems) == before
    found.problems.extend(block_problems(model, part, found.document, slos if readable else None, load))
    if found.problems:
        return None
    block = model.block(slos, load)
    found.warnings.extend(block_warnings(block, found.document))
    return block


def _load(model: BlockModel, part: Document, found: _Found) -> LoadProfile | None:
    """The load profile that the block names."""
    from chaoslib_ext.formats.locustfiles import locustfile_problems
    from chaoslib_ext.loadprofile import read_load_profile

    if model.load is None:
        return None
    sources = _present([model.load], part, "load", found)
    if not sources:
        return None
    [source] = sources
    try:
        profile = read_load_profile(source)
    except InvalidFile as error:
        found.problems.extend(error.problems)
        return None
    found.inputs.extend([source, *([Path(profile.locustfile)] if profile.locustfile else [])])
    if profile.locustfile:
        found.problems.extend(locustfile_problems(Path(profile.locustfile)))
    return profile


def _slos(model: BlockModel, part: Document, found: _Found, load: LoadProfile | None) -> list[Slo]:
    """The SLOs of the files that the block names."""
    from chaoslib_ext.slo import read_slo_files

    sources = _present(model.slos, part, "slos", found)
    try:
        read = read_slo_files(sources, [journey.name for journey in load.journeys] if load else [])
    except InvalidFile as error:
        found.problems.extend(error.problems)
        return []
    found.warnings.extend(read.warnings)
    found.inputs.extend(sources)
    return read.slos


def _present(names: list[str], part: Document, key: str, found: _Found) -> list[Path]:
    """The files of these names that are there; the others are problems."""
    sources = [found.path.parent / name for name in names]
    for at, source in enumerate(sources):
        if not is_file(source):
            where = (key, at) if isinstance(part.data[key], list) else (key,)
            found.problems.append(part.problem(where, f"no such file: {source}; the path is relative to the experiment"))
    return [source for source in sources if is_file(source)]
