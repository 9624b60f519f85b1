"""
Runs each shipped experiment several times, with the machine as it is and with every core burning, and prints how the verdicts are distributed.

`repeatability.py FOLDER [--rounds 5] [--lanes 2] [--only idle|burning]`. Windows are shortened, everything else stays. A verdict of PASS or FAIL
that is not the stated one, a dirty end or a crash is red at once; INCONCLUSIVE is allowed where its reasons are all of the machine's mood.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from run_experiments import NOT_HERE, of_the_mood, one, stated

SHORT = {"warmup": "3s", "baseline": "7s", "stable": "3s"}
STARVED = {"RPO_UNDECIDED"}  # too many writes of which a starved generator never learned what became of them


def shortened(path: Path, place: Path) -> Path:
    """A copy of the experiment with short windows; its SLOs and its load are the same files."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    block = next(one for one in document["extensions"] if one["name"] == "chaoslib_ext")
    block["windows"] = {**block["windows"], **{name: length for name, length in SHORT.items() if name in block["windows"]}}
    block["slos"] = [str((path.parent / one).resolve()) for one in block.get("slos", [])]
    block["load"] = str((path.parent / block["load"]).resolve())
    copy = place / path.name
    copy.write_text(yaml.safe_dump(document), encoding="utf-8")
    return copy


@contextmanager
def burning(cores: int) -> Iterator[None]:
    """That many processes that do nothing but use the processor."""
    fires = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(cores)]
    for fire in fires:
        fire.start()
    try:
        yield
    finally:
        for fire in fires:
            fire.kill()
            fire.join()


def _burn() -> None:
    while True:
        pass


def told(path: Path, place: Path) -> tuple[str, bool]:
    """The verdict of one run with its reasons, and whether it is allowed."""
    want = stated(path)
    code, got, talk = one(shortened(path, place), str(want.get("env", "sandbox")), str(place / "reports"))
    verdict, reasons = str(got["verdict"]), set(map(str, got["reasons"]))  # type: ignore[call-overload]
    if verdict == "-" and NOT_HERE in talk:
        return "refused", True
    right = verdict == want["verdict"] and set(want["reasons"]) <= reasons  # type: ignore[call-overload]
    mood = verdict == "INCONCLUSIVE" and (reasons == STARVED or of_the_mood(reasons - STARVED))
    if not right and not mood:
        print(f"{path.name}: exit {code}, {verdict} {sorted(reasons)}\n{talk}", file=sys.stderr, flush=True)
    return verdict if right else f"{verdict} ({', '.join(sorted(reasons))})", right or mood


def rounds(files: list[Path], number: int, lanes: int, place: Path) -> dict[str, list[tuple[str, bool]]]:
    """Every experiment that many times, some side by side; verdicts by experiment."""
    jobs: list[tuple[Path, Path]] = []
    for at in range(number):
        for path in files:
            jobs.append((path, place / f"{at}-{path.stem}"))
            jobs[-1][1].mkdir(parents=True)
    with ThreadPoolExecutor(lanes) as pool:
        done = list(pool.map(lambda job: told(*job), jobs))
    found: dict[str, list[tuple[str, bool]]] = {}
    for (path, _), outcome in zip(jobs, done, strict=True):
        found.setdefault(path.name, []).append(outcome)
    return found


def shown(name: str, found: dict[str, list[tuple[str, bool]]]) -> int:
    """Prints the distribution; how many verdicts are not allowed."""
    print(f"\n{name}")
    for experiment, outcomes in sorted(found.items()):
        counts = Counter(verdict for verdict, _ in outcomes)
        print(f"  {experiment:36} {'; '.join(f'{n} × {verdict}' for verdict, n in counts.most_common())}", flush=True)
    return sum(not allowed for outcomes in found.values() for _, allowed in outcomes)


def main() -> int:
    """1 when one verdict is wrong."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--lanes", type=int, default=2)
    words.add_argument("--only", choices=["idle", "burning"])
    asked: Any = words.parse_args()
    files = sorted(asked.folder.resolve().glob("*.yaml"))
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        os.environ["CHAOSX_STATE"] = str(Path(place) / "state")
        if asked.only != "burning":
            wrong += shown("the machine as it is", rounds(files, asked.rounds, asked.lanes, Path(place) / "idle"))
        if asked.only != "idle":
            with burning(os.cpu_count() or 2):
                wrong += shown("every core burning", rounds(files, asked.rounds, asked.lanes, Path(place) / "burning"))
    print(f"\n{wrong} wrong")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
