"""
Wrong builds: each is a copy of the project with one rule taken out, and must be caught by at least one of the suites that watch over the rule.

`python tests/wrong/run_wrong_builds.py [FILE.yaml…] [--only NAME] [--jobs N]`: prints a table of rule × what caught it. Exit code 1 when a build
survives, when its patch does not fit any more, or when the suites are red without any patch.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("chaoslib_ext", "tests", "experiments", "loadprofiles", "environments", "pyproject.toml", "README.md")
LIMIT_S = 600


@dataclass(frozen=True)
class Build:
    """One rule, the patch that takes it out (`old` stands exactly once in `file`), and the suites that must notice, as arguments of pytest."""

    rule: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...]


def builds(path: Path) -> list[Build]:
    """The builds of a file; its `suites` are those of every build that names none."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [Build(one["rule"], one["file"], one["old"], one["new"], tuple(one.get("suites") or document["suites"])) for one in document["builds"]]


def copy_of_the_project(folder: Path) -> None:
    """Everything that the suites need, and nothing that was built."""
    skip = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis", ".venv*")
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=skip)
        else:
            shutil.copy2(source, folder / name)
    shared = PROJECT.parent / "shared"
    if shared.is_dir():
        (folder.parent / "shared").symlink_to(shared)


def run(folder: Path, suites: tuple[str, ...]) -> tuple[bool, str]:
    """Whether the suites are green in a copy, and the first thing that failed."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "CHAOSX_STATE": str(folder.parent / "state")}
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *suites]
    try:
        done = subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False, f"nothing within {LIMIT_S} s"
    if done.returncode == 0:
        return True, ""
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (1, 2) or failed is None:
        return False, f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}"
    return False, failed[1]


def judged(build: Build) -> tuple[str, str]:
    """`caught`, `SURVIVED` or `NO FIT`, and by what."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        copy_of_the_project(folder)
        target = folder / build.file
        text = target.read_text(encoding="utf-8")
        if text.count(build.old) != 1:
            return "NO FIT", f"{build.file} holds the patched text {text.count(build.old)} times"
        target.write_text(text.replace(build.old, build.new), encoding="utf-8")
        compiled = subprocess.run([sys.executable, "-c", f"compile(open({str(target)!r}).read(), 'x', 'exec')"], capture_output=True, check=False)
        if compiled.returncode:
            return "NO FIT", f"{build.file} is no Python any more"
        green, what = run(folder, build.suites)
        return ("SURVIVED", "") if green else ("caught", what)


def unpatched(suites: set[tuple[str, ...]]) -> list[str]:
    """What is red without any patch: then nothing that is caught says anything."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        copy_of_the_project(folder)
        return [f"{' '.join(one)}: {what}" for one in sorted(suites) for green, what in [run(folder, one)] if not green]


def main(argv: list[str]) -> int:
    """All builds of the given files, or of all files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args(argv[1:])
    todo = [one for path in asked.files or sorted(Path(__file__).parent.glob("*.yaml")) for one in builds(path) if asked.only in one.rule]
    red = unpatched({one.suites for one in todo})
    if red:
        print("red without any patch:", *red, sep="\n  ")
        return 1
    words = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for build, (word, what) in zip(todo, pool.map(judged, todo), strict=True):
            words.append(word)
            print(f"{word:9} {build.rule:70} {what}", flush=True)
    print(f"{words.count('caught')} of {len(words)} wrong builds caught")
    return 0 if words and words.count("caught") == len(words) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
