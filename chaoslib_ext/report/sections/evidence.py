"""What the verdict rests on: who ran what with which versions, the seal, the clock, what is missing, how to run it again."""

from __future__ import annotations

import shlex
from typing import Any

from chaoslib_ext.history import parts
from chaoslib_ext.report.facts import Facts, Json
from chaoslib_ext.report.moments import local, utc, zone_of
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.words import Prose, clean, millis, number, whole

_MOST_PROBLEMS = 50
_MOST_ARGUMENTS = 40
_MOST_FILES = 40


def section(facts: Facts) -> Section:
    """The evidence; every run has some."""
    result = facts.result
    data = {
        "facts": [(name, text) for name, text in _identity(facts) + _load(facts) if text],
        "versions": [(clean(name, 60), clean(version, 80)) for name, version in sorted(_mapping(facts.header.get("versions")).items())],
        "problems": [clean(problem) for problem in facts.problems[:_MOST_PROBLEMS]],
        "more_problems": max(0, len(facts.problems) - _MOST_PROBLEMS),
        "warnings": [clean(warning) for warning in facts.header.get("warnings") or []],
        "command": _command(facts.header.get("command"), facts.header.get("seed")),
        "files": _files(facts),
        "run": clean(result.get("run", ""), 120),
        "sealed": bool(result.get("seal")),
    }
    return Section("evidence", "Evidence", "evidence.html.j2", data)


def _identity(facts: Facts) -> list[tuple[str, str]]:
    result, header = facts.result, facts.header
    attempt, clock, env = _mapping(result.get("attempt")), _mapping(header.get("clock")), _mapping(header.get("env"))
    experiment, end = _mapping(header.get("experiment")), _mapping(header.get("end"))
    return [
        ("Run", clean(result.get("run", ""), 120)),
        ("Started", _moment(header, 0)),
        ("Ended", _moment(header, header["ended_ns"]) if isinstance(header.get("ended_ns"), int) else ""),
        ("How it ended", clean(" – ".join(str(end[key]) for key in ("how", "reason", "detail") if end.get(key)))),
        ("Seal (SHA-256)", clean(result.get("seal") or "none: this run was never sealed", 120)),
        ("Experiment", clean(experiment.get("path") or "", 200)),
        ("Experiment (SHA-256)", clean(experiment.get("sha256") or "", 120)),
        ("Environment", clean(env.get("name") or "", 80)),
        ("Identity of the target", _flat(env.get("identity"))),
        ("Attempt", clean(attempt.get("n", ""), 20) + (f" · commit {clean(attempt['commit'], 60)}" if attempt.get("commit") else "")),
        ("Seed", clean(header.get("seed", ""), 40)),
        ("Clock drift", _drift(clock)),
        ("Comparable runs", ", ".join(f"{name} {value}" for name, value in parts(header).items())),
        ("Boot", clean(clock.get("boot_id") or "", 60)),
    ]


def _moment(header: Json, t_ns: float) -> str:
    here = local(header, t_ns)
    return Prose(utc(header, t_ns) + (f" ({here} {zone_of(header)})" if here else ""))


def _load(facts: Facts) -> list[tuple[str, str]]:
    load = _mapping(facts.result.get("load"))
    if not load:
        return [("Load", "none was generated")]
    model = clean(load.get("model", ""), 20)
    counted = (
        f"{number(whole(load.get('delivered')))} of {number(whole(load.get('intended')))} arrivals delivered, {number(whole(load.get('unknown')))} unknown"
    )
    late = load.get("late_p99_ms")
    return [
        ("Load", Prose(f"{model} model; {counted}")),
        ("Generator lateness", f"p99 {millis(late)} of {number(whole(load.get('intended')))} arrivals" if late is not None else ""),
    ]


def _drift(clock: Json) -> str:
    drift_ms = clock.get("drift_ms_end")
    return f"{millis(drift_ms)} of wall time against monotonic time, start to end" if isinstance(drift_ms, int | float) else ""


def _files(facts: Facts) -> list[tuple[str, str]]:
    """The inputs and the records of the run with their SHA-256, as sealed; the many files of samples are counted by the seal alone."""
    chosen = [(name, digest) for name, digest in facts.hashes if name.startswith("inputs/") or "/" not in name]
    return [(clean(name, 120), digest) for name, digest in chosen[:_MOST_FILES]]


def _command(command: Any, seed: Any) -> str:
    """The command as it was typed, with the seed that it drew, so that the same draws come again."""
    parts = [clean(part) for part in command] if isinstance(command, list) else []
    if parts and type(seed) is int and not any(part == "--seed" or part.startswith("--seed=") for part in parts):
        parts = [*parts[:_MOST_ARGUMENTS], "--seed", str(seed)]
    return Prose(shlex.join(parts[:_MOST_ARGUMENTS]) + (" …" if len(parts) > _MOST_ARGUMENTS else ""))


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return clean(", ".join(f"{key} {part}" for key, part in sorted(value.items()) if not isinstance(part, dict | list)))
    return clean(value or "")
