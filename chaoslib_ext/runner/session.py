"""
One run from its first child to its sealed verdict.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from chaoslib_ext import children, guard, locks
from chaoslib_ext.errors import Refused
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.process.client import start_ticks
from chaoslib_ext.result import Result
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.finish import finish
from chaoslib_ext.runner.hush import withheld
from chaoslib_ext.runner.live import Live
from chaoslib_ext.runner.phases import READY_S, End, conduct, heal, phase
from chaoslib_ext.runner.prepare import Prepared
from chaoslib_ext.runner.stage import Stage, Stop

MOST_HEALERS = 3  # one that dies at once would be started for ever; chosen by feel


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is over: its directory and the verdict that was sealed with it."""

    directory: Path
    result: Result
    seal: str
    detail: str


def run(prepared: Prepared, experiment: Experiment, quiet: bool) -> Finished:
    """Runs what was prepared. Raises Refused when a child does not come up; then nothing was injected."""
    stage = Stage(prepared.clock, prepared.state_dir, prepared.writer, rules_of(experiment), Live(quiet=quiet))
    stage.managed = prepared.managed
    stage.withheld = lambda child: withheld(experiment, child)
    stage.held = {str(row["activity"]) for row in prepared.plan["resolved"] if row["kind"] == "held"}
    stage.on_healer_lost = lambda: _new_healer(stage)
    stage.lock_lost = lambda: locks.lost(prepared.held)
    stage.catch_signals()
    try:
        try:
            with phase(stage, "preflight"):
                _start_children(stage, prepared)
        except Stop as stop:
            heal(stage, prepared.course)
            return finish(stage, prepared, End(stop.how, stop.reason, stop.detail))
        except Refused as error:
            heal(stage, prepared.course)
            return finish(stage, prepared, End("undecided", error.reason, str(error)))
        end = conduct(stage, prepared.course)
        return finish(stage, prepared, end)
    finally:
        stage.release_signals()


def rules_of(experiment: Experiment) -> guard.Rules:
    """The stop rules of the file; without one on silence, a load child that says nothing ends the run all the same: it would go on blind."""
    rules = guard.Rules.of(experiment.block.stop if experiment.block else [])
    return rules if rules.no_data_s is not None else replace(rules, silent_s=guard.SILENT_S)


def _start_children(stage: Stage, prepared: Prepared) -> None:
    """The healer first and alone; then the others, side by side."""
    _start_healer(stage)
    _await(stage, {"healer"})
    folder = str(stage.state_dir)
    wanted = {"prober": ["-m", "chaoslib_ext.prober", folder, str(os.getpid())], "method": ["-m", "chaoslib_ext.runner.method_child", folder, "method"]}
    if prepared.course.has_load:
        wanted["load"] = ["-m", "chaoslib_ext.load.child", str(stage.state_dir / "load.json")]
    if prepared.course.has_sources:
        wanted["sources"] = ["-m", "chaoslib_ext.sources.watcher", folder]
    for name, words in wanted.items():
        child = stage.add(Child(name, [sys.executable, "-P", *words], stage.state_dir, without=stage.withheld(name)))
        children.record(stage.state_dir, name, child.process.pid)
    watched = {f"prober: {row['activity']}" for row in prepared.plan["resolved"]}
    _await(stage, (set(wanted) - {"prober"}) | watched)


def _await(stage: Stage, names: set[str]) -> None:
    try:
        ready = stage.pump(lambda: names <= stage.seen.ready, READY_S)
    except Stop as stop:
        if stop.how == "aborted":
            raise
        raise Refused("PREFLIGHT_FAILED", stop.detail) from stop
    if not ready:
        missing = ", ".join(sorted(names - stage.seen.ready))
        raise Refused("PREFLIGHT_FAILED", f"not ready within {READY_S:g} s: {missing}")


def _start_healer(stage: Stage) -> None:
    pid = os.getpid()
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.healer", str(stage.state_dir), str(pid), str(start_ticks(pid))]
    child = stage.add(Child("healer", argv, stage.state_dir, own_session=True, without=stage.withheld("healer")))
    with suppress(OSError) if stage.seen.healers_lost else nullcontext():  # a record of it is nothing to die for, once a fault may be in force
        children.record(stage.state_dir, "healer", child.process.pid)


def _new_healer(stage: Stage) -> None:
    """Another healer in the place of one that died, asked again what its predecessor was asked; when none lives, the supervisor heals by itself."""
    stage.seen.ready.discard("healer")
    stage.seen.healers_lost += 1
    try:
        if stage.seen.healers_lost > MOST_HEALERS:
            raise OSError(f"{stage.seen.healers_lost} have died")
        _start_healer(stage)
    except OSError as error:
        stage.event("supervisor", "note", text=f"there is no healer any more: {error}")
        return
    if stage.healing and stage.seen.heal_answer is None:
        stage.children["healer"].send({"op": "last"})
