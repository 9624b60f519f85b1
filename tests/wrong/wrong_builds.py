"""
The wrong builds of the YAML files beside this one, as values.

A file names `suites` (arguments of pytest) and `builds`: `rule`, `file`, `old`, `new`, and at will its own `suites`. Of an obligation of the
verdict a build says more: `of` (what cannot be had without it: PASS, FAIL or both), `ignores` (the reason codes that are no longer given;
left out, those that its `old` holds and its `new` does not) and `caught_by` (situations of the catalogue, or tests as pytest names
them, each of which must catch it).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chaoslib_ext.reasons import REASONS

FOLDER = Path(__file__).parent
SITUATION = "tests/truth/test_catalogue.py::test_the_verdict_is_what_is_true_of_the_run"


@dataclass(frozen=True)
class Build:
    """One rule, and the patch that takes it out: `old` stands exactly once in `file`. `tests` must notice: one of them, or all where `each`."""

    rule: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...]
    of: str = ""
    ignores: tuple[str, ...] = ()
    caught_by: tuple[str, ...] = ()

    @property
    def each(self) -> bool:
        """Whether all of `tests` must notice, not only one."""
        return bool(self.caught_by)

    @property
    def tests(self) -> tuple[str, ...]:
        """The arguments of pytest."""
        return tuple(name if "::" in name else f"{SITUATION}[{name}]" for name in self.caught_by) or self.suites


def builds(path: Path) -> list[Build]:
    """The builds of a file; its `suites` are those of every build that names none."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [_build(one, document["suites"]) for one in document["builds"]]


def _build(told: dict[str, Any], suites: list[str]) -> Build:
    ignores = told["ignores"] if "ignores" in told else [code for code in REASONS if code in told["old"] and code not in told["new"]]
    patch = (told["rule"], told["file"], told["old"], told["new"])
    return Build(*patch, tuple(told.get("suites") or suites), told.get("of", ""), tuple(ignores), tuple(told.get("caught_by") or ()))


def all_builds() -> list[Build]:
    """The builds of all files, by file."""
    return [one for path in sorted(FOLDER.glob("*.yaml")) for one in builds(path)]
