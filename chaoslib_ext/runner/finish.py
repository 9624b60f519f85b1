"""
The end of a run: the load is let out, the evidence is sealed, the verdict is judged once and sealed beside it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoslib_ext import accepted, ledger, locks, rundir, state, verdict
from chaoslib_ext.clock import boot_id
from chaoslib_ext.runner.orphan import seal_orphan
from chaoslib_ext.runner.phases import End, phase
from chaoslib_ext.runner.prepare import Prepared
from chaoslib_ext.runner.readback import read_back
from chaoslib_ext.runner.stage import Stage

if TYPE_CHECKING:
    from chaoslib_ext.runner.session import Finished

LOAD_OUT_S = 70.0  # the longest step timeout that a profile may have, and the load child's own margin
HEALER_OUT_S = 5.0
SOURCES_OUT_S = 12.0  # three rounds, each at most as long as its requests may take


def finish(stage: Stage, prepared: Prepared, end: End) -> Finished:
    """Seals and judges; what it returns is on disk already."""
    from chaoslib_ext.runner.session import Finished

    stage.healing = True  # nothing cuts the sealing short
    clean = clean_state(stage, prepared)
    with phase(stage, "seal"):
        codes = _end_children(stage)
    read_back(stage, prepared, end)
    clean = _close(stage, clean)
    header = {**prepared.header, "ended_ns": stage.clock.now_ns(), "clean": clean, "children": codes}
    header["end"] = {"how": end.how, "reason": end.reason, "detail": end.detail}
    header["clock"] = {**header["clock"], "drift_ms_end": round(stage.clock.wall_drift_ms(), 3), "boot_id_end": boot_id()}
    with suppress(OSError):  # a copy that is missing is told by the evidence
        ledger.copy(stage.state_dir / state.LEDGER, prepared.report_dir / state.LEDGER)
    prepared.writer.seal(header)
    result = verdict.judge(rundir.read(prepared.report_dir))
    seal = rundir.seal_result(prepared.report_dir, result)
    if stage.seen.journal is not None:
        (prepared.report_dir / "journal.json").write_text(json.dumps(stage.seen.journal["journal"], indent=2), encoding="utf-8")
    accepted.shown(header.get("accepted") or [], prepared.run_id)
    if clean["state"] != "dirty":  # else it is given back by whoever recovers the run
        locks.give_back(prepared.held)
    return Finished(prepared.report_dir, result, seal, end.detail)


def clean_state(stage: Stage, prepared: Prepared) -> dict[str, Any]:
    """Whether everything is proven healed: the healer's own word, and when it was given."""
    answer = stage.seen.heal_answer
    if answer is None:
        return {"state": "dirty", "proven_at_ns": None, "pending": [{"fault": "", "error": "the healer did not answer"}]}
    if answer.get("op") != "clean":
        return {"state": "dirty", "proven_at_ns": None, "pending": answer.get("pending", [])}
    touched = bool(prepared.course.faults) and not ledger.untouched(stage.state_dir / state.LEDGER)
    return {"state": "clean" if touched else "nothing-injected", "proven_at_ns": stage.proven_at_ns, "pending": []}


def _end_children(stage: Stage) -> dict[str, int | None]:
    """Lets the load child finish what is in flight and write its last rows; ends the others."""
    stage.expected_to_end |= set(stage.children)
    codes: dict[str, int | None] = {"healer": None}
    load = stage.children.get("load")
    if load is not None:
        load.send({"op": "stop"})
        stage.pump(lambda: load.exit_code() is not None, LOAD_OUT_S)
    sources = stage.children.get("sources")
    if sources is not None:
        sources.send({"op": "last"})  # what happened in the last second is scraped, and read, a little later
        stage.pump(lambda: "sources" in stage.seen.done or sources.at_end, SOURCES_OUT_S)
    for name in [name for name in stage.children if name != "healer"]:
        child = stage.forget(name)
        if child is not None:
            codes[name] = 0 if name in stage.seen.done else child.exit_code()  # what had said its last word may be killed
            child.kill()
            child.close()
    return codes


def _close(stage: Stage, clean: dict[str, Any]) -> dict[str, Any]:
    """Lets the healer go when all is clean, and closes the run; a DIRTY run stays open, and one that cannot be closed is DIRTY."""
    if clean["state"] == "dirty":
        return clean
    healer = stage.children.get("healer")
    if healer is not None:
        healer.send({"op": "quit"})
        stage.pump(lambda: healer.exit_code() is not None, HEALER_OUT_S)
        stage.forget("healer")
        healer.close()
    try:
        if not (stage.state_dir / state.CLOSED).exists():
            state.close_run(stage.state_dir, "supervisor")
    except OSError as error:
        why = f"the run cannot be closed ({error}); run: chaosx recover --run {stage.state_dir.name}"
        return {"state": "dirty", "proven_at_ns": None, "pending": [{"fault": "", "error": why}]}
    return clean


def judge_again(directory: Path) -> tuple[Path, list[str]]:
    """
    Judges a sealed directory once more; the path of the new result, and where it differs from the sealed one.

    A run that its supervisor could not finish is sealed and judged for the first time. Raises UsageError as `seal_orphan`.
    """
    if not (directory / rundir.RESULT).exists():
        seal_orphan(directory)
        return directory / rundir.RESULT, []
    number = 2
    while (directory / f"result-{number}.json").exists():
        number += 1
    path = directory / f"result-{number}.json"
    rundir.write_json(path, verdict.judge(rundir.read(directory)).to_json())
    sealed = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    fresh = json.loads(path.read_text(encoding="utf-8"))
    keys = sorted(sealed.keys() | fresh.keys())
    return path, [f"{key}: sealed {sealed.get(key)!r}, now {fresh.get(key)!r}" for key in keys if sealed.get(key) != fresh.get(key)]
