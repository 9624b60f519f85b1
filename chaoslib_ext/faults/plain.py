"""
Faults under plain `chaos run`: no supervisor, no verdict, but a healer and a prober all the same.

The healer watches the `chaos` process and takes everything back when it ends or the time of a fault is over. Which
environment is meant says `CHAOSX_ENV` (a file or a running sandbox) or `CHAOSX_ROSTER` (the path of a roster).
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from chaoslib_ext import children, locks, state
from chaoslib_ext.clock import Clock
from chaoslib_ext.environment import Environment, Service, parse_env_argument, read_environment
from chaoslib_ext.errors import FaultFailed, UsageError
from chaoslib_ext.faults import injection, planning
from chaoslib_ext.process.client import read_roster, start_ticks

WORDS = "chaosx: run without `chaosx run`: faults are taken back, no verdict is given."
CALM_S = 10.0  # how long the prober may take to see that all targets answer; chosen by feel
EVENTS = "prober.out"

_lock = threading.Lock()
_session: Session | None = None


class Session:
    """One `chaos` process that injects: a state folder, a healer that outlives it and a prober that does not."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.seed = secrets.randbelow(2**31)
        self.rows: list[dict[str, Any]] = []
        clock = Clock.start()
        self.run = f"{clock.utc(0)[:19].replace('-', '').replace(':', '').replace('T', '-')}-plain-{secrets.token_hex(2)}"
        owner = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": clock.boot_id}
        about = {"run": self.run, "t0_ns": clock.t0_ns, "environment": environment.to_json()}
        held = locks.take(environment, self.run)  # the healer gives it back when it has closed the run
        self.folder = state.create_run(self.run, {**about, "supervisor": owner, "plain": True, locks.HELD: locks.to_json(held)})
        self._spec = {**about, "wall_s": clock.wall_s, "boot_id": clock.boot_id}
        self._write_spec()
        self.healer = children.start_healer(self.folder, "plain")
        self.prober = self._start_prober()
        print(WORDS, file=sys.stderr, flush=True)

    def _start_prober(self) -> subprocess.Popen[bytes]:
        fd = os.open(self.folder / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return children.start_prober(self.folder, fd)
        finally:
            os.close(fd)

    def _write_spec(self) -> None:
        state.write_json(self.folder / state.SPEC, {**self._spec, "plan": {"resolved": self.rows}})

    def plan(self, func: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Adds the row of a fault, and waits until the prober has seen its targets answer."""
        provider = {"type": "python", "module": planning.MODULES[0], "func": func, "arguments": arguments}
        activity = {"type": "action", "name": f"{func} {len(self.rows) + 1}", "provider": provider}
        row = planning.resolve(activity, self.environment, self.environment.caps, self.seed)
        self.rows.append(row)
        self._write_spec()
        self._await_calm(row["activity"])
        return row

    def _await_calm(self, fault: str) -> None:
        deadline_s = time.monotonic() + CALM_S
        while not self._watched(fault):
            if time.monotonic() >= deadline_s or self.prober.poll() is not None:
                raise FaultFailed(f"{fault}: its targets were not all seen to answer before it; see {self.folder / 'prober.err'}; nothing was injected")
            time.sleep(0.02)  # the prober writes to a file

    def _watched(self, fault: str) -> bool:
        lines = (self.folder / EVENTS).read_text(encoding="utf-8").splitlines()
        return any(event.get("watching") and event.get("fault") == fault for event in map(_event, lines))


def _event(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:  # the line is being written
        return {}


def context(func: str, arguments: dict[str, Any]) -> injection.Context:
    """The context of one call: the session of this process with a fresh row for it."""
    global _session  # noqa: PLW0603 - there is one `chaos` process, and its healer must live as long as it does
    with _lock:
        if _session is None:
            _session = Session(chosen_environment())
        row = _session.plan(func, arguments)
        injection.name_activity(row["activity"])
        return injection.Context(_session.run, _session.folder, list(_session.rows))


def chosen_environment() -> Environment:
    """The environment of `CHAOSX_ENV` or `CHAOSX_ROSTER`. Raises UsageError when there is none, and says what to set."""
    argument, roster = os.environ.get("CHAOSX_ENV", ""), os.environ.get("CHAOSX_ROSTER", "")
    if roster and not argument:
        return _of_roster(Path(roster).absolute())
    if not argument:
        raise UsageError("a fault of chaoslib_ext needs an environment: set CHAOSX_ENV to a file or to sandbox@NAME, or use `chaosx run --env`")
    choice = parse_env_argument(argument)
    if choice.kind == "file" and choice.path is not None and choice.path.exists():
        found = read_environment(choice.path)
        if found.class_ == "production":
            raise UsageError(f"CHAOSX_ENV: {choice.path} is production, where a plan is confirmed or approved first: use `chaosx plan`, then `chaosx run`")
        return found
    if not choice.name:
        raise UsageError("CHAOSX_ENV: got a private sandbox, which only `chaosx run` can own; `chaosx sandbox up NAME`, then CHAOSX_ENV=sandbox@NAME")
    return _of_sandbox(choice.name)


def _of_sandbox(name: str) -> Environment:
    sandbox = importlib.import_module("chaoslib_ext.sandbox")  # by name: it is a layer above, and only stands in for a target here
    found = sandbox.find(name)
    if found is None:
        raise UsageError(f"CHAOSX_ENV: no sandbox is called {name!r}, and environments/{name}.yaml does not exist; `chaosx sandbox status` lists them")
    return _of_roster(Path(found.roster))


def _of_roster(path: Path) -> Environment:
    try:
        roster = read_roster(path)
    except (OSError, FaultFailed) as error:
        raise UsageError(f"CHAOSX_ROSTER: {error}") from error
    services = {name: Service(name, processes={"roster": str(path)}) for name in sorted({one["service"] for one in roster["replicas"]})}
    return Environment("roster", identity={"roster": roster["identity"]}, services=services, source=str(path))
