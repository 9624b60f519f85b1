"""
One room whose interfaces fail, and what is done to it: `api_worker.py FOLDER` does one case for each line of JSON it reads.

A case is `{func, arguments, inject: [kind, at, last], undo: [kind, at, last], deadline_s, die, failover}`. The answer says what the ledger,
`chaosx recover` and the room itself tell. With `die`, the injector is a process of its own, which is killed while it waits
for the answer to the call that is held back, and what was held back lands at the moment that `land` names.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from api_room import ApiRoom

from chaoslib_ext import faults, locks, state
from chaoslib_ext.children import record
from chaoslib_ext.cli.recover_command import Recovered, Wanted, recover_command
from chaoslib_ext.errors import ChaosxError
from chaoslib_ext.faults import injection, planning
from chaoslib_ext.ledger import Ledger

DEADLINE_S = 30.0
NAME = "the fault"
Case = dict[str, Any]


class Zygote:
    """A warmed process that was forked while there was one thread only; it forks the injectors that are to be killed."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        self._told, told = os.pipe()
        if os.fork() == 0:
            os.close(self._ask)
            _serve_forks(asked, told)
        os.close(asked)
        os.close(told)

    def inject(self, case: Case, folder: Path) -> int:
        """The process id of a method child that injects."""
        os.write(self._ask, json.dumps({**case, "folder": str(folder)}).encode() + b"\n")
        return int(os.read(self._told, 32))


def _serve_forks(asked: int, told: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in os.fdopen(asked):
        case = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            fd = state.open_heal_lock(Path(case["folder"]))
            state.lock(fd, False, DEADLINE_S)
            print(inject(case, Path(case["folder"])), file=sys.stderr, flush=True)
            signal.pause()
        os.write(told, f"{pid}\n".encode())
    os._exit(0)


def inject(case: Case, folder: Path) -> str:
    """What the action said: empty when it was done."""
    os.environ["CHAOSX_RUN"] = str(folder)
    injection.name_activity(json.loads((folder / state.SPEC).read_text())["plan"]["resolved"][0]["activity"])
    try:
        getattr(faults, case["func"])(**case["arguments"])
    except ChaosxError as error:
        return str(error)
    return ""


class Worker:
    """The room and its cases."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder, self.zygote, self.number = folder, zygote, 0
        self.room = ApiRoom(folder / "room-0")

    def run(self, case: Case) -> Case:
        self.number += 1
        self.room.begin_anew()
        self._settled()
        folder = self._begun(case)
        before = self.room.state()
        told = self._died(case, folder) if case.get("die") else self._injected(case, folder)
        if case.get("failover") and told.get("stopped"):
            self.room.fail_over("fenced")
        first = self._recovered(case, folder)
        self.room.plan.begin()
        landed = self.room.deliver()
        after = self._settled(before)
        answer = {**told, **first, "landed": landed, "unclean": _difference(before, after), "recs": _recs(folder), "left": ""}
        if answer["code"] or answer["unclean"]:
            answer["again"] = self._recovered({"deadline_s": 10.0}, folder)["code"]
            answer["left"] = _difference(before, self._settled(before))
        if answer["left"]:
            self._another_room()
        return answer

    def _begun(self, case: Case) -> Path:
        environment = self.room.environment()
        activity = {"type": "action", "name": f"{NAME} {self.number}", "provider": {"module": "chaoslib_ext.faults", "func": case["func"]}}
        activity["provider"]["arguments"] = case["arguments"]
        row = planning.resolve(activity, environment, {}, 1)
        run = f"20250101-000000-api-{self.number:04d}"
        owner = {"pid": 0, "start_ticks": 0, "boot_id": ""}
        held = locks.to_json(locks.take(environment, run))
        folder = state.create_run(run, {"run": run, "supervisor": owner, "environment": environment.to_json(), "locks": held})
        state.write_json(folder / state.SPEC, {"run": run, "t0_ns": 0, "environment": environment.to_json(), "plan": {"resolved": [row]}})
        return folder

    def _injected(self, case: Case, folder: Path) -> Case:
        self.room.plan.begin(*case.get("inject", ()))
        said = inject(case, folder)
        return {"said": said, "inject calls": self.room.plan.calls, "stopped": self.room.state()["stopped"]}

    def _died(self, case: Case, folder: Path) -> Case:
        """The injector, dead while what it sent is still on its way."""
        self.room.plan.begin(*case["inject"])
        pid = self.zygote.inject(case, folder)
        record(folder, "method", pid)
        deadline_s = time.monotonic() + DEADLINE_S
        while not self.room.plan.held and time.monotonic() < deadline_s:
            time.sleep(0.002)
        if not case.get("alive"):  # else the recovery has to end it
            os.kill(pid, signal.SIGKILL)
        return {"inject calls": self.room.plan.calls, "held": len(self.room.plan.held)}

    def _recovered(self, case: Case, folder: Path) -> Case:
        self.room.plan.begin(*case.get("undo", ()))
        landing, landed = None, []
        if case.get("land") is not None:  # seconds after the recovery began; else it lands when the recovery is over
            landing = threading.Timer(case["land"], lambda: landed.extend(self.room.deliver()))
            landing.start()
        found: Recovered = recover_command(Wanted(folder.name, False, None, f"{case['deadline_s']}s", False, None, ""))
        if landing is not None:
            landing.join()
        outcome = found.as_json[0]
        return {"code": found.exit_code, "clean": outcome["clean"], "errors": outcome["left"], "undo calls": self.room.plan.calls, "during": landed}

    def _settled(self, like: Case | None = None) -> Case:
        """The room once its replicas are started again; at the latest after a while, as it is then."""
        deadline_s = time.monotonic() + (2.0 if like and _difference(like, self.room.state()) else DEADLINE_S)
        while True:
            found = self.room.state()
            if not found["down"] or time.monotonic() > deadline_s:
                return found
            time.sleep(0.01)

    def _another_room(self) -> None:
        self.room.close()
        self.room = ApiRoom(self.folder / f"room-{self.number}")


def _difference(before: Case, after: Case) -> str:
    """What is different, as text; empty for nothing."""
    return "; ".join(f"{key}: {before[key]} → {after[key]}" for key in before if before[key] != after[key])


def _recs(folder: Path) -> list[str]:
    return [frame.rec for frame in Ledger.of_run(folder).read().frames]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    os.environ["CHAOSX_STATE"] = str(folder / "state")
    random.seed(folder.name)
    worker = Worker(folder, Zygote())
    try:
        for line in sys.stdin:
            print(json.dumps(worker.run(json.loads(line))), flush=True)
    finally:
        worker.room.close()


if __name__ == "__main__":
    main()
