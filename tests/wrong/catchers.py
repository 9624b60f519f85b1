"""
Which situations of the catalogue catch each wrong build of `verdict.yaml`: all of them, where the file names the few that must.

`python tests/wrong/catchers.py [--only WORD] [--first N]` prints one line of JSON for each build, with `--first` only the first N found. The
recorded situations become run directories once, and each build judges them all: some six seconds for a build. Exit code 1 when
a situation that the file names does not catch its build.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from build import build
from situations import Situation, scene_of, situations, wrong
from wrong_builds import Build, builds

from chaoslib_ext.rundir import Run
from chaoslib_ext.verdict import judge

PROJECT = Path(__file__).resolve().parents[2]


def judge_all(order: list[str], first: int) -> list[str]:
    """The names of the situations, each a file with its run, that this build judges otherwise than they are; one that raises is caught, too."""
    found: list[str] = []
    for path in order:
        situation, run = pickle.loads(Path(path).read_bytes())
        if _wrong(situation, run):
            found.append(situation.name)
            if len(found) == first:
                break
    return found


def _wrong(situation: Situation, run: Run) -> bool:
    try:
        return bool(wrong(situation, judge(run)))
    except Exception:  # whatever a wrong build raises: it is noticed
        return True


def caught_by(one: Build, package: Path, runs: dict[Path, Situation], first: int) -> list[str]:
    """The situations that catch a build: a patch on the copy of the package that is taken out again. Those that a reason in the patch is of come first."""
    target = package / one.file
    text = target.read_text(encoding="utf-8")
    assert text.count(one.old) == 1, f"{one.rule}: {one.file} holds the patched text {text.count(one.old)} times"
    target.write_text(text.replace(one.old, one.new), encoding="utf-8")
    try:
        likely = sorted(runs, key=lambda path: (runs[path].name not in one.caught_by, not any(code in one.old for code in runs[path].reasons)))
        return judged_by(package, likely, first)
    finally:
        target.write_text(text, encoding="utf-8")


def judged_by(package: Path, order: list[Path], first: int = 0) -> list[str]:
    """The same of the package as it is in the copy."""
    env = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    told = json.dumps([list(map(str, order)), first])
    done = subprocess.run([sys.executable, __file__, "--judge"], input=told, env=env, capture_output=True, text=True, check=True, timeout=3600)
    return list(json.loads(done.stdout))


def main(argv: list[str]) -> int:
    """All builds of the catalogue, one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--judge", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv[1:])
    if asked.judge:
        print(json.dumps(judge_all(*json.load(sys.stdin))))
        return 0
    lacking = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, package, runs = Path(scratch), Path(scratch) / "package", {}
        shutil.copytree(PROJECT / "chaoslib_ext", package / "chaoslib_ext", ignore=shutil.ignore_patterns("__pycache__"))
        for number, situation in enumerate(one for one in situations() if not one.live):
            path = folder / f"{number}.pickle"
            path.write_bytes(pickle.dumps((situation, build(folder / str(number), scene_of(situation.planted)))))
            runs[path] = situation
        assert not judged_by(package, list(runs)), "the catalogue is not clean without any patch"
        for one in builds(Path(__file__).with_name("verdict.yaml")):
            if asked.only in one.rule:
                found = caught_by(one, package, runs, asked.first)
                missing = [name for name in one.caught_by if "::" not in name and name not in found and (not asked.first or len(found) < asked.first)]
                lacking += bool(missing)
                print(json.dumps({"rule": one.rule, "caught_by": found, "missing": missing}), flush=True)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
