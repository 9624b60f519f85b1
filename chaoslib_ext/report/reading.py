"""Reading a run directory into the facts of the page: what was recorded by `rundir`, what was judged from result.json."""

from __future__ import annotations

import json
from pathlib import Path

from chaoslib_ext import history, rundir
from chaoslib_ext.block import Block
from chaoslib_ext.errors import UsageError
from chaoslib_ext.report.facts import Endpoint, Facts, Json, Promise
from chaoslib_ext.seal import hashes


def read_result(run_dir: Path) -> Json:
    """The sealed verdict of a run. Raises UsageError when it was never judged, or cannot be read."""
    path = run_dir / rundir.RESULT
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: missing; `chaosx judge {run_dir}` judges the run") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: got {type(found).__name__}, expected a JSON object")
    return found


def read(run_dir: Path) -> Facts:
    """The facts of a judged run. What is missing of the evidence is told in `problems`; a missing result is a UsageError."""
    result = read_result(run_dir)
    run = rundir.read(run_dir)
    past, problems = _history(run_dir)
    endpoints = [Endpoint(row["index"], str(row.get("name", "")), str(row.get("zone") or ""), str(row.get("class", ""))) for row in run.endpoints]
    return Facts(
        result=result,
        header=run.header,
        plan=run.plan,
        events=tuple(run.events),
        rows=run.rows,
        endpoints=tuple(endpoints),
        promises=promises(run.block),
        problems=(*run.problems, *problems),
        history=tuple(past),
        hashes=tuple(hashes(run_dir).items()),
    )


def _history(run_dir: Path) -> tuple[list[history.Past], list[str]]:
    """The earlier results that were copied before the seal, and what is wrong with them; a run without that file has none."""
    name = "inputs/history.json"
    try:
        return history.read(json.loads((run_dir / name).read_bytes())), []
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, RecursionError) as error:
        return [], [f"{name}: cannot be read: {error}"]


def promises(block: Block | None) -> tuple[Promise, ...]:
    """
    The SLOs of a block for the charts, each with the target promised for the fault.

    That is the target of its objective in the fault window where the block states one, else the SLO's own.
    """
    if block is None:
        return ()
    drawn = [slo for slo in block.slos if slo.sli.source == "locust"]  # the charts show requests
    stated = {objective.slo: objective.target for objective in block.objectives if objective.window == "fault" and objective.target is not None}
    return tuple(Promise(slo.name, slo.sli.select_name, slo.sli.select_class, slo.sli.max_latency_ms, stated.get(slo.name, slo.target)) for slo in drawn)
