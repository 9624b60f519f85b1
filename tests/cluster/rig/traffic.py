"""Traffic through the Service from where clients stand, and what they saw of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.api import until


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: status 0 is no answer; `due_s` is Unix seconds."""

    due_s: float
    status: int
    latency_ms: float
    said: str

    @property
    def good(self) -> bool:
        return self.status == 200

    @property
    def pod(self) -> str:
        return str(json.loads(self.said)["pod"]) if self.good else ""

    @property
    def zone(self) -> str:
        return str(json.loads(self.said)["zone"]) if self.good else ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A running client and the file it notes its answers in."""

    notes: Path

    def answers(self, since_s: float = 0.0) -> list[Answer]:
        """All answers to requests due from then on, in order of being due."""
        whole = [line for line in self.notes.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return sorted((answer for line in whole if (answer := Answer(**json.loads(line))).due_s >= since_s), key=lambda one: one.due_s)

    def await_good(self, count: int, since_s: float | None = None) -> None:
        """Waits for that many good answers in a row to requests due from then (or from now) on."""
        since_s = time.time() if since_s is None else since_s

        def enough() -> bool:
            latest = self.answers(since_s)[-count:]
            return len(latest) == count and all(answer.good for answer in latest)

        until(enough, f"{count} good answers in a row")


@contextmanager
def traffic(outside: list[str], url: str, notes: Path, per_second: float = 50.0) -> Iterator[Traffic]:
    """Asks the URL so often for as long as the block runs; begins when the first good answers are there."""
    with notes.open("w") as output:
        command = [*outside, sys.executable, str(Path(__file__).with_name("asking.py")), url, str(per_second)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output)
        try:
            running = Traffic(notes)
            running.await_good(20)
            yield running
        finally:
            client.communicate(timeout=60)  # closes its standard input, at which it ends
