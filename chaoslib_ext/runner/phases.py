"""
The phases of a run in their order, each with its abort edge to the heal.

warm-up → baseline → method → heal → recovery. What happens in them is told by events; what it means is
for the verdict.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from chaoslib_ext import children, guard
from chaoslib_ext.block import Detection
from chaoslib_ext.clock import NS
from chaoslib_ext.heal import Patience, heal_run
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.stage import Stage, Stop

READY_S = 30.0  # starting a child takes under a second here; this is for a machine that swaps
GATE_S = 300.0  # how long the hypothesis may take before the method, as after it
REMOVAL_S = 15.0  # how long the prober may need to see a target again after the heal
HEAL_MARGIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Course:
    """What the phases need to know of the experiment. Times in seconds; `needed` maps an SLI to the samples its recovered window needs."""

    warmup_s: float
    baseline_s: float
    recovery_s: float
    stable_s: float
    has_load: bool
    has_hypothesis: bool
    has_rollbacks: bool
    ours: bool
    faults: tuple[str, ...]
    targets: dict[str, float]
    baseline_targets: dict[str, float]
    needed: dict[str, int]
    heal_deadline_s: float
    has_sources: bool = False
    detection: Detection | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How the run ended: completed, undecided, aborted or error, with a reason code and words."""

    how: str = "completed"
    reason: str | None = None
    detail: str = ""


@contextmanager
def phase(stage: Stage, name: str, seconds: float | None = None) -> Iterator[None]:
    """A phase on the timeline and on the terminal."""
    stage.event("supervisor", "phase", name=name, state="start")
    stage.live.begin(name, stage.clock.now_ns(), seconds)
    try:
        yield
    finally:
        stage.event("supervisor", "phase", name=name, state="end")


def conduct(stage: Stage, course: Course) -> End:
    """Runs all phases up to the end of recovery; whatever happens, the heal is one of them."""
    end = End()
    try:
        _up_to_method(stage, course)
    except Stop as stop:
        end = End(stop.how, stop.reason, stop.detail)
        stage.live.say(f"{stop.reason}: {stop.detail}; taking everything back")
        stage.signals.clear()
    except Exception as error:  # whatever failed, the heal comes first and the verdict is ERROR
        end = End("error", "TOOL_FAILED", f"{type(error).__name__}: {error}")
    heal(stage, course)
    try:
        _after_heal(stage, course, end)
    except Stop as stop:
        end = End(stop.how, stop.reason, stop.detail) if end.how == "completed" else end
    return end


def _up_to_method(stage: Stage, course: Course) -> None:
    if course.has_load:
        _start_load(stage)
        with phase(stage, "warm-up", course.warmup_s):
            stage.pump_for(course.warmup_s)
    elif stage.rules.alerts:
        _watch_alerts_only(stage)
    measured = course.has_load or course.has_sources
    with phase(stage, "baseline", course.baseline_s if measured else None):
        stage.pump_for(course.baseline_s if measured else 0.0)
    trouble = baseline_trouble(stage.seen.seconds, course)
    if trouble is not None:
        reason, text = trouble
        stage.event("supervisor", "decision", text=f"nothing is injected: {text}", by="tool")
        raise Stop("undecided", reason, text)
    with phase(stage, "method"):
        _method(stage)


def _start_load(stage: Stage) -> None:
    start_ns = stage.clock.now_ns() + NS // 5
    stage.children["load"].send({"op": "start", "at_ns": stage.clock.t0_ns + start_ns})
    stage.watch = guard.Watch(start_ns + NS)


def _watch_alerts_only(stage: Stage) -> None:
    """Without a load the guard has no seconds to read, and silence says nothing."""
    stage.rules = guard.Rules(alerts=stage.rules.alerts)
    stage.watch = guard.Watch(stage.clock.now_ns())


def baseline_trouble(seconds: list[dict[str, Any]], course: Course) -> tuple[str, str] | None:
    """
    Why nothing should be injected after this baseline, or None.

    Only what is plain from the one-second summaries; the verdict judges the rows. `seconds` are those seen so
    far, newest last; the newest `baseline_s` of them are the baseline.
    """
    if not course.has_load:
        return None
    window = seconds[-max(1, int(course.baseline_s)) :]
    scheduled = sum(second["scheduled"] for second in window)
    lost = sum(second["not_released"] + second["late"] for second in window)
    if scheduled and lost > 0.05 * scheduled:
        return "GENERATOR_SATURATED", f"{lost} of {scheduled} arrivals of the baseline were not sent in time"
    for name, target in course.baseline_targets.items():
        good = sum(second["slis"].get(name, [0, 0])[0] for second in window)
        total = sum(second["slis"].get(name, [0, 0])[1] for second in window)
        if not total:
            return "NO_DATA", f"{name}: no sample in the baseline"
        if good < target * total:
            return "BASELINE_UNHEALTHY", f"{name}: {good} of {total} good in the baseline, expected at least {target:.4g}"
    return None


def _method(stage: Stage, gate_s: float = GATE_S) -> None:
    child = stage.children["method"]
    child.send({"op": "go"})
    if not stage.pump(lambda: bool(stage.seen.method) or "method" in stage.seen.done, gate_s):
        raise Stop("undecided", "PROBE_ERRORED", f"the hypothesis was not judged within {gate_s:g} s; a regex of a tolerance may take for ever")
    stage.pump(lambda: "method" in stage.seen.done, None)
    status = (stage.seen.journal or {}).get("status")
    if status in ("interrupted", "aborted", "failed"):
        raise Stop("aborted", "STOPPED_BY_PERSON" if status == "interrupted" else "STOP_RULE", f"a control of the experiment ended the method ({status})")
    stage.pump(lambda: stage.held_in_force() <= set(stage.seen.healed), None)


def heal(stage: Stage, course: Course) -> None:
    """The last heal: the healer kills the method child, takes everything back and says whether all is clean."""
    stage.healing = True
    stage.expected_to_end |= {"method"}
    with phase(stage, "heal"):
        answer = _answer_to_last(stage, course)
        clean = answer is not None and answer.get("op") == "clean"
        stage.event("supervisor", "note", text="everything is taken back" if clean else "not everything is proven healed")
        if course.faults:
            stage.pump(lambda: stage.held_in_force() <= stage.seen.removed, REMOVAL_S)
    stage.proven_at_ns = stage.clock.now_ns()
    stage.healing = False


def _answer_to_last(stage: Stage, course: Course) -> dict[str, Any] | None:
    """What the healer says of the last heal. When none lives any more, this process heals, and hears nothing meanwhile."""
    stage.seen.heal_answer = None
    if "healer" in stage.children:
        stage.children["healer"].send({"op": "last"})
        stage.pump(lambda: stage.seen.heal_answer is not None or "healer" not in stage.children, course.heal_deadline_s + HEAL_MARGIN_S)
    if stage.seen.heal_answer is None and "healer" not in stage.children:
        left = heal_run(stage.state_dir, ["method"], Patience.of_run(stage.state_dir))
        stage.seen.heal_answer = {"op": "dirty", "pending": [asdict(item) for item in left]} if left else {"op": "clean"}
    return stage.seen.heal_answer


def _after_heal(stage: Stage, course: Course, end: End) -> None:
    began = stage.seen.method in ("start", "end")
    if not course.ours and course.has_hypothesis and end.how == "completed" and began:
        one_off(stage, "recheck")
    if course.has_rollbacks and began:
        stage.healing = True  # a file's own way back is not cut short either
        try:
            one_off(stage, "rollback")
        finally:
            stage.healing = False
    if end.how != "completed" or not began:
        return
    if course.has_load or course.has_sources:
        with phase(stage, "recovery", course.recovery_s):
            stage.pump(lambda: recovered(stage, course) and detected(stage, course), course.recovery_s)
    elif course.faults:
        stage.pump(lambda: stage.seen.effects <= stage.seen.removed, course.recovery_s)
    if course.ours and course.has_hypothesis:
        one_off(stage, "recheck")


def recovered(stage: Stage, course: Course) -> bool:
    """
    Whether recovery has been seen for long enough that observing on adds nothing.

    Every SLI met its target for `stable_s` seconds and two more, since the heal and every replacement, with as
    many samples as its objectives need. The verdict computes the instant from the rows.
    """
    if not stage.seen.effects <= stage.seen.removed:
        return False
    wanted = int(course.stable_s) + 2
    since = stage.proven_at_ns // NS + 1
    fresh = [second for second in stage.seen.seconds if second["second"] >= since]
    good_run: list[dict[str, Any]] = []
    for second in reversed(fresh):
        if any(_misses(second, name, target) for name, target in course.targets.items()):
            break
        good_run.append(second)
    if len(good_run) < wanted:
        return False
    return all(sum(second["slis"].get(name, [0, 0])[1] for second in good_run) >= needed * 1.1 for name, needed in course.needed.items())


def detected(stage: Stage, course: Course) -> bool:
    """Whether the promised alert has fired, or its time is over and one more answer about it has come. True when none is promised."""
    if course.detection is None or stage.seen.effect_ns is None or course.detection.alert in stage.seen.fired:
        return True
    over_ns = stage.seen.effect_ns + round((course.detection.within_s + 2.0) * NS)
    last = stage.seen.alerts.get(course.detection.alert)
    return last is not None and last.at_ns >= over_ns


def _misses(second: dict[str, Any], name: str, target: float) -> bool:
    good, total = second["slis"].get(name, [0, 0])
    return bool(total == 0 or good < target * total)


def one_off(stage: Stage, mode: str) -> None:
    """A fresh child for the hypothesis after recovery, or for the file's own rollbacks."""
    name = mode
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.runner.method_child", str(stage.state_dir), mode]
    stage.expected_to_end.add(name)
    child = stage.add(Child(name, argv, stage.state_dir, without=stage.withheld(name)))
    with suppress(OSError):  # nothing that it does is taken back by us, and it dies with this process
        children.record(stage.state_dir, name, child.process.pid)
    child.send({"op": "go"})
    stage.pump(lambda: name in stage.seen.done or child.at_end, 300.0)
    if name not in stage.seen.done:
        stage.event(mode, "activity", name=mode, type="action" if mode == "rollback" else "probe", where=mode, state="ended", status="failed",
                    error=f"the {mode} child ended early: {child.last_words()}", managed=True)  # fmt: skip
    stage.forget(name)
    child.kill()
