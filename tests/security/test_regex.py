"""A regular expression that takes for ever holds nothing up for ever: ours take none such, and a file's own has a limit (S31)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaoslib_ext.clock import Clock
from chaoslib_ext.guard import Rules
from chaoslib_ext.rundir import Writer
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.live import Live
from chaoslib_ext.runner.phases import _method
from chaoslib_ext.runner.stage import Stage, Stop

OURS = """
import importlib, inspect, pkgutil, re, resource
import chaoslib_ext
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
LOCUST = ("load.client", "load.connections", "load.dispatcher", "load.closed", "load.control", "__main__", "method_child")
PIECES = ["a", "0", " ", "-", ".", "a-", "0.", "$", "${", "\\\\", '"', "/", "\\n", "x=", ",", "A", "_", "%", "[", "{"]
TEXTS = [(one * 20_000)[:20_000] + end for one in PIECES for end in ("", "!", "\\0")]
seen = 0
for found in pkgutil.walk_packages(chaoslib_ext.__path__, "chaoslib_ext."):
    if any(part in found.name for part in LOCUST):
        continue
    module = importlib.import_module(found.name)
    source = inspect.getsource(module)
    for name, pattern in vars(module).items():
        used = [way for way in ("match", "fullmatch", "search", "findall", "finditer", "sub") if f"{name}.{way}(" in source]
        if not isinstance(pattern, re.Pattern) or not used:
            continue
        seen += 1
        for text in TEXTS:
            for way in used:
                arguments = ["", text] if way == "sub" else [text]
                arguments = [one.encode() for one in arguments] if isinstance(pattern.pattern, bytes) else arguments
                made = getattr(pattern, way)(*arguments)
                list(made) if way == "finditer" else None
print(seen)
"""
FOR_EVER = "import json, re, sys; print(json.dumps({'op': 'ready'}), flush=True); sys.stdin.readline(); re.fullmatch('(a|a)*b', 'a' * 64)"


@pytest.mark.slow
def test_s31_none_of_our_expressions_takes_long_on_a_text_made_to_hurt() -> None:
    """All of them together, on sixty texts of twenty thousand characters: a minute of processor, where a quadratic one alone wants hours."""
    done = subprocess.run([sys.executable, "-c", OURS], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    assert int(done.stdout) >= 30


def test_s31_a_duration_that_is_a_long_row_of_digits_is_refused_at_once() -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (20, 20)); from chaoslib_ext.clock import parse_duration; parse_duration('0' * 1_000_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert "expected a duration with its unit" in done.stderr and len(done.stderr) < 2000


def test_s31_an_expression_of_a_file_that_takes_for_ever_ends_the_run_and_its_child_is_killed(tmp_path: Path) -> None:
    stage = Stage(Clock.start(), tmp_path, Writer.create(tmp_path / "report"), Rules(), Live(quiet=True))
    child = stage.add(Child("method", [sys.executable, "-c", FOR_EVER], tmp_path))
    assert stage.pump(lambda: "method" in stage.seen.ready, 60.0)
    with pytest.raises(Stop, match="was not judged within") as stopped:
        _method(stage, gate_s=0.5)
    assert (stopped.value.how, stopped.value.reason) == ("undecided", "PROBE_ERRORED")
    assert child.exit_code() is None, "it is still at it"
    child.kill()
    assert child.exit_code() is not None
    child.close()
    for opened in (stage._wake_r, stage._wake_w, stage._selector, stage.writer):  # a run's process simply ends
        opened.close()
