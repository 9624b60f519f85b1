"""
Runs every experiment of a folder in the environment its `self_test` names and compares the verdict with the stated one.

A run that ends INCONCLUSIVE for a reason of this machine's mood (a generator without CPU, a bracket that became too wide) is repeated once
and then told as undecided; for any other unstated reason it is repeated twice and then a failure. A wrong verdict, a crash or a dirty end is one at once.
What this machine cannot do, as the refusal says by name, is skipped, and the table says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

MOODS = {"GENERATOR_SATURATED", "LOAD_NOT_DELIVERED", "RTO_STRADDLES", "TOO_FEW_SAMPLES", "CLOCK_UNSOUND", "BASELINE_UNHEALTHY", "PREFLIGHT_FAILED"}
MOVED = {"TARGETS_CHANGED", "EFFECT_UNPROVEN"}  # a starved store failed over before the fault, which was then refused
NOT_HERE = "this machine cannot"  # how a refusal begins that no second attempt can change
REFUSED = 3  # the exit code of a run that was not begun
LIMIT_S = 240
ATTEMPTS = 3
LANES = 2  # a run mostly waits; each has a sandbox of its own


def stated(path: Path) -> dict[str, object]:
    """The `self_test` of an experiment file."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return next(block for block in document["extensions"] if block["name"] == "chaoslib_ext")["self_test"]


def one(path: Path, env: str, out: str) -> tuple[int, dict[str, object], str]:
    """Runs one experiment; exit code, the JSON it printed, and its talk."""
    argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", str(path), "--env", env, "--out", out, "--json", "--seed", "7"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    try:
        return done.returncode, json.loads(done.stdout), done.stderr
    except ValueError:
        return done.returncode, {"verdict": "-", "reasons": []}, done.stderr


def of_the_mood(reasons: set[str]) -> bool:
    """Whether all reasons of an INCONCLUSIVE are of the machine's mood."""
    return bool(reasons) and reasons <= MOODS | (MOVED if "TARGETS_CHANGED" in reasons else set())


def compare(path: Path, out: str) -> tuple[str, str]:
    """`right`, `undecided`, `skipped` or `WRONG`, and the line of the table."""
    want = stated(path)
    began = time.monotonic()
    for attempt in range(ATTEMPTS):
        code, got, talk = one(path, str(want.get("env", "sandbox")), out)
        reasons = [str(reason) for reason in got["reasons"]]  # type: ignore[attr-defined]
        right = got["verdict"] == want["verdict"] and set(want["reasons"]) <= set(reasons)  # type: ignore[call-overload]
        mood = got["verdict"] == "INCONCLUSIVE" and of_the_mood(set(reasons))
        if code == REFUSED and got["verdict"] == "-" and "not begun: PREFLIGHT_FAILED" in talk and NOT_HERE in talk:
            return "skipped", f"skipped   {path.name:34} {talk[talk.index(NOT_HERE) :].splitlines()[0]}"
        if right or got["verdict"] != "INCONCLUSIVE" or (mood and attempt > 0):
            break
    word = "right" if right else "undecided" if mood else "WRONG"
    if word == "WRONG":
        print(talk, file=sys.stderr)
    line = f"{word:9} {path.name:34} {want['verdict']!s:12} {got['verdict']!s:12} {code:4}  {time.monotonic() - began:5.1f} s  {', '.join(reasons)}"
    return word, line


def main(argv: list[str]) -> int:
    """All experiments of the given folders; 1 when one is wrong."""
    files = sorted(path for folder in argv[1:] for path in Path(folder).glob("*.yaml"))
    with tempfile.TemporaryDirectory() as out:
        os.environ.setdefault("CHAOSX_STATE", str(Path(out) / "state"))
        print(f"{'':9} {'experiment':34} {'stated':12} {'got':12} exit  {'took':>7}  reasons")
        words = []
        with ThreadPoolExecutor(LANES) as pool:
            for word, line in pool.map(lambda path: compare(path, str(Path(out) / "reports" / path.stem)), files):
                print(line, flush=True)
                words.append(word)
    print(f"{words.count('right')} right, {words.count('undecided')} undecided, {words.count('WRONG')} wrong, {words.count('skipped')} skipped")
    return 1 if "WRONG" in words or not words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
