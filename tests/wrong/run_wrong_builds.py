"""
Wrong builds: each is a copy of the project with one rule taken out, and must be caught by what watches over the rule.

Of an obligation of the verdict that is every situation that its build names, of any other rule at least one test of its suites.
`python tests/wrong/run_wrong_builds.py [FILE.yaml…] [--only NAME] [--jobs N] [--table FILE]`: prints rule × what caught it, and writes the table of
obligations. Exit code 1 when a build survives, when its patch does not fit any more, or when the suites are red without any patch.
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
from pathlib import Path

from obligation_table import table
from wrong_builds import Build, builds

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("chaoslib_ext", "tests", "experiments", "loadprofiles", "environments", "pyproject.toml", "README.md")
LIMIT_S = 600


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


def run(folder: Path, suites: tuple[str, ...], each: bool = False) -> tuple[bool, str]:
    """Whether the suites are green in a copy, and the first thing that failed; with `each`, whether any of these tests is, and which."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "CHAOSX_STATE": str(folder.parent / "state")}
    argv = [sys.executable, "-m", "pytest", "-q", *([] if each else ["-x"]), "-p", "no:cacheprovider", "--no-header", *suites]
    try:
        done = subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return each, f"nothing within {LIMIT_S} s"
    if done.returncode not in (0, 1, 2):
        return each, f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}"
    if each:
        green = [name for name in suites if f"\nFAILED {name}" not in done.stdout and f"\nERROR {name}" not in done.stdout]
        return bool(green), "; ".join(green or suites)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode == 0, failed[1] if failed else ""


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
        green, what = run(folder, build.tests, build.each)
        return ("SURVIVED" if green else "caught", what)


def unpatched(todo: list[Build]) -> list[str]:
    """What is red without any patch: then nothing that is caught says anything."""
    suites = {one.suites for one in todo if not one.each}
    named = tuple(sorted({name for one in todo if one.each for name in one.tests}))
    suites |= {named} if named else set()
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
    parser.add_argument("--table", type=Path, default=None)
    asked = parser.parse_args(argv[1:])
    todo = [one for path in asked.files or sorted(Path(__file__).parent.glob("*.yaml")) for one in builds(path) if asked.only in one.rule]
    red = unpatched(todo)
    if red:
        print("red without any patch:", *red, sep="\n  ")
        return 1
    words: dict[str, str] = {}
    with ThreadPoolExecutor(asked.jobs) as pool:
        for build, (word, what) in zip(todo, pool.map(judged, todo), strict=True):
            words[build.rule] = word
            print(f"{word:9} {build.rule:70} {what}", flush=True)
    caught = sum(word == "caught" for word in words.values())
    print(f"{caught} of {len(todo)} wrong builds caught")
    if asked.table:
        asked.table.write_text(table(todo, words), encoding="utf-8")
    return 0 if todo and caught == len(todo) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
