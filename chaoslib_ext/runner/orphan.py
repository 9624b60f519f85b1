"""
A run whose supervisor died: what it left is sealed as it is, and judged once, as an error of the tool.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoslib_ext import ledger, rundir, state, verdict
from chaoslib_ext.clock import NS
from chaoslib_ext.errors import UsageError
from chaoslib_ext.recover import owner_alive
from chaoslib_ext.result import Result


def seal_orphan(directory: Path) -> Result:
    """
    Seals and judges a run directory that its supervisor could not finish.

    Whether all is clean is what the state directory says now: closed by the healer or by `recover`, or not. Raises
    UsageError while the supervisor lives, and where the directory holds no run.
    """
    try:
        header = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        folder = state.run_dir(str(header["id"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{directory}: got no readable run.json ({error}), expected the directory of a run") from error
    if owner_alive(folder):
        raise UsageError(f"{directory}: the run is under way; it judges itself when it ends")
    if not (directory / state.LEDGER).exists():
        ledger.copy(folder / state.LEDGER, directory / state.LEDGER)
    if not (directory / rundir.SEALED).exists():
        header = {**header, "end": {"how": "error", "reason": "SUPERVISOR_DIED", "detail": "the supervisor died"}, "clean": _clean(folder, header)}
        rundir.write_json(directory / "run.json", header)
        rundir.seal(directory)
    result = verdict.judge(rundir.read(directory))
    rundir.seal_result(directory, result)
    return result


def _clean(folder: Path, header: dict[str, Any]) -> dict[str, Any]:
    closed = state.read_json(folder / state.CLOSED)
    if not closed.get("clean"):
        return {"state": "dirty", "proven_at_ns": None, "pending": [{"fault": "", "error": f"not proven healed; run: chaosx recover --run {folder.name}"}]}
    touched = not ledger.untouched(folder / state.LEDGER)
    proven_ns = round((float(closed["t"]) - float(header["clock"]["wall_s"])) * NS)
    return {"state": "clean" if touched else "nothing-injected", "proven_at_ns": proven_ns, "pending": []}
