"""Every obligation of a PASS and of a FAIL has a wrong build that ignores it, and every such build names what must catch it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from obligation_table import table
from situations import FOLDER
from wrong_builds import Build, all_builds, builds

from chaoslib_ext.reasons import REASONS

ROOT = Path(__file__).parents[2]
VERDICT = builds(Path(__file__).with_name("verdict.yaml"))
JUDGES = [*sorted((ROOT / "chaoslib_ext/judging").glob("*.py")), ROOT / "chaoslib_ext/verdict.py"]
NOT_GIVEN = {"PREFLIGHT_FAILED", "LOCK_HELD"}  # how a run ended, which is compared with and never concluded
TOOL = {"SOURCES_DISAGREE"}  # two_sources.yaml has its builds


def codes_in(path: Path) -> set[str]:
    """The reason codes that a module names."""
    return {str(node.value) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant) and node.value in REASONS}


def names_of_situations() -> set[str]:
    """The names in the files, without building anything."""
    first = [path.read_text(encoding="utf-8").split("\n", 1)[0] for path in FOLDER.rglob("*.yaml")]
    return {line.removeprefix("situation: ").strip("'\"") for line in first}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in JUDGES if codes_in(path)])
def test_every_reason_that_a_judge_can_give_has_a_wrong_build_that_ignores_it(path: Path) -> None:
    ignored = {code for one in VERDICT for code in one.ignores}
    assert codes_in(path) - ignored <= NOT_GIVEN | TOOL


@pytest.mark.parametrize("name", ["obligations", "soundness"])
def test_every_obligation_is_ignored_where_it_is_written(name: str) -> None:
    path = ROOT / f"chaoslib_ext/judging/{name}.py"
    here = {code for one in VERDICT if one.file == str(path.relative_to(ROOT)) for code in one.ignores}
    assert codes_in(path) - here <= NOT_GIVEN


@pytest.mark.parametrize("one", [pytest.param(one, id=one.rule) for one in VERDICT])
def test_every_wrong_build_names_what_must_catch_it_and_that_exists(one: Build) -> None:
    assert one.of in ("PASS", "FAIL", "both", "rank")
    assert one.caught_by
    known = names_of_situations()
    for name in one.caught_by:
        file, is_test, test = name.partition("::")
        if is_test:
            assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text()
        else:
            assert name in known
    assert set(one.ignores) <= REASONS.keys()


@pytest.mark.parametrize("one", [pytest.param(one, id=one.rule) for one in all_builds()])
def test_the_patch_of_every_wrong_build_still_fits(one: Build) -> None:
    assert (ROOT / one.file).read_text(encoding="utf-8").count(one.old) == 1
    assert one.new != one.old


def test_the_table_has_a_row_for_each_obligation() -> None:
    told = table(VERDICT, {VERDICT[0].rule: "caught"})
    assert sum(line.startswith("| ") for line in told.splitlines()) == len(VERDICT) + 2
    assert f"| {VERDICT[0].of} | {VERDICT[0].rule} | NO_FAULT | a plan without any target | caught |" in told
