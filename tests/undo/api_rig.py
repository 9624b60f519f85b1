"""What the tests with failing interfaces share: a few workers with a room each, and cases handed to whichever is free."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Case = dict[str, Any]
WORKERS = 10  # most of a case is waiting: for time limits, backoff and fsync

ZONE = {"zone": "b", "duration": "60s", "timeout_s": 0.05}  # nobody looks at the effect here
FAULTS: dict[str, Case] = {
    "lose_zone silent": {"func": "lose_zone", "arguments": ZONE},
    "lose_zone isolate": {"func": "lose_zone", "arguments": {**ZONE, "how": "isolate", "service": "shop"}},
    "lose_zone crash": {"func": "lose_zone", "arguments": {**ZONE, "how": "crash"}},
    "delay_traffic": {"func": "delay_traffic", "arguments": {**ZONE, "service": "shop", "delay": "10ms"}},
    "abort_traffic": {"func": "abort_traffic", "arguments": {**ZONE, "service": "shop", "route": "catalog"}},
    "cut_replication": {"func": "cut_replication", "arguments": ZONE},
    "delay_replication": {"func": "delay_replication", "arguments": {**ZONE, "delay": "30ms"}},
    "lose_primary freeze": {"func": "lose_primary", "arguments": {"how": "freeze", "duration": "60s", "timeout_s": 0.05}, "failover": True},
    "lose_primary switchover": {"func": "lose_primary", "arguments": {"how": "switchover", "timeout_s": 0.05}},
}


class Workers:
    """Worker processes; `run` gives each case with its answer, in no particular order."""

    def __init__(self, folder: Path) -> None:
        script = str(Path(__file__).with_name("api_worker.py"))
        self._errors = [(folder / f"w{number}.err").open("w+") for number in range(WORKERS)]
        argv = [[sys.executable, "-W", "error", script, str(folder / f"w{number}")] for number in range(WORKERS)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._all = [subprocess.Popen(one, stderr=errors, **pipes) for one, errors in zip(argv, self._errors, strict=True)]
        self._free: queue.Queue[subprocess.Popen[str]] = queue.Queue()
        for worker in self._all:
            self._free.put(worker)

    def run(self, cases: Iterable[Case]) -> list[tuple[Case, Case]]:
        cases = list(cases)
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(zip(cases, pool.map(self._one, cases), strict=True))

    def _one(self, case: Case) -> Case:
        worker = self._free.get()
        assert worker.stdin is not None and worker.stdout is not None
        worker.stdin.write(json.dumps(case) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        assert line, f"the worker died of {case}: {self._said(worker)}"
        self._free.put(worker)
        return dict(json.loads(line))

    def _said(self, worker: subprocess.Popen[str]) -> str:
        errors = self._errors[self._all.index(worker)]
        errors.seek(0)
        return errors.read()[-2000:]

    def close(self) -> None:
        for worker in self._all:
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.close()
        for worker in self._all:
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()
        for errors in self._errors:
            errors.close()


@contextmanager
def workers(folder: Path) -> Iterator[Workers]:
    made = Workers(folder)
    try:
        yield made
    finally:
        made.close()


def told(case: Case, answer: Case) -> str:
    """A case and what became of it, for a failed assertion."""
    return json.dumps({"case": case, **answer}, ensure_ascii=False)
